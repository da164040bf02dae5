# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory of the emulated machine, through QEMU's gdb stub.

Happy path: free_port() for Host(gdb=...), then poke(port, address, bytes).  The
machine stands still meanwhile and goes on afterwards.

What can fail: QEMU does not listen or does not take a packet: LabError.
"""

import re
import socket

from .place import LabError


def free_port():
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _packet(sock, text):
    """One request; returns the answer without its frame."""
    body = text.encode()
    sock.sendall(b"$%s#%02x" % (body, sum(body) & 255))
    got = b""
    while True:
        answer = re.search(rb"\$([^#]*)#..", got)
        if answer and not answer.group(1).startswith(b"T"):
            sock.sendall(b"+")
            return answer.group(1).decode()
        if answer:
            # That the machine stopped, since somebody connected.
            sock.sendall(b"+")
            got = got[answer.end():]
            continue
        part = sock.recv(4096)
        if not part:
            raise LabError("QEMU's gdb stub hung up")
        got += part


def poke(port, address, data):
    """Writes bytes at a physical address."""
    try:
        with socket.create_connection(("127.0.0.1", port), 30) as sock:
            for request in ("Qqemu.PhyMemMode:1",
                            f"M{address:x},{len(data):x}:{data.hex()}", "D"):
                answer = _packet(sock, request)
                if answer != "OK":
                    raise LabError(f"QEMU's gdb stub answers '{answer}' to "
                                   f"'{request}'")
    except OSError as e:
        raise LabError(f"QEMU's gdb stub: {e}") from e

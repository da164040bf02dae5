# SPDX-License-Identifier: GPL-2.0-only
"""The driver's end of the command channel into dom0 (guest/agent.sh is the other).

Happy path: Agent(sock).run(script, limit) sends a shell script, waits for the
acknowledgement, then for the result, and returns (exit code, output).

What can fail: lines lost or garbled on the serial port.  Scripts and output
carry an MD5 and a number, so both ends notice; the driver asks again and the
agent answers again without running the script twice.  Silence until the limit
raises AgentTimeout, naming the script.
"""

import base64
import hashlib
import re
import select
import time

from .place import LabError

LINE = re.compile(rb"@(ok|o|rc|bad|pong) (\d+) ?([^\r\n]*)")
CHUNK = 720
ACK_WAIT = 10


class AgentTimeout(LabError):
    """The agent did not answer in time."""


class Agent:
    """Talks to the agent over a connected socket.

    `log` is a binary file that keeps all that came in; `check` is called while
    waiting and raises if the machine is known to be dead.
    """

    def __init__(self, sock, log, check):
        self.sock = sock
        self.sock.setblocking(False)
        self.log = log
        self.check = check
        self.buffer = b""
        self.number = 0

    def pump(self):
        """Takes in what has arrived; returns whether anything had.

        To be called while waiting for other things too: over the Xen console
        (channel hvc0) the machine stops when nobody reads.
        """
        try:
            got = self.sock.recv(65536)
        except (BlockingIOError, ConnectionResetError):
            got = b""
        self.log.write(got)
        self.log.flush()
        self.buffer += got
        return bool(got)

    def _send(self, text):
        data = text.encode()
        end = time.monotonic() + 120
        while data:
            self.check()
            if time.monotonic() > end:
                raise AgentTimeout("dom0 does not take input from its command "
                                   "channel")
            readable, ready, _ = select.select([self.sock], [self.sock], [], 1)
            if readable:
                self.pump()
            if ready:
                try:
                    data = data[self.sock.send(data):]
                except BlockingIOError:
                    pass

    def _messages(self, wait):
        """Yields (word, number, rest) of what arrives within `wait` seconds."""
        end = time.monotonic() + wait
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                m = LINE.search(line)
                if m:
                    yield (m.group(1).decode(), int(m.group(2)),
                           m.group(3).decode(errors="replace").strip())
            left = end - time.monotonic()
            if left <= 0:
                return
            self.check()
            ready, _, _ = select.select([self.sock], [], [], min(left, 1))
            if ready and not self.pump():
                time.sleep(0.1)

    def hello(self, limit):
        """Waits until the agent answers; it may still be opening its port."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            self._send("\nping 0\n")
            for word, n, _ in self._messages(2):
                if (word, n) == ("pong", 0):
                    return
        raise AgentTimeout(f"dom0's agent has not answered in {limit:.0f} s")

    def _post(self, number, script):
        text = base64.b64encode(script).decode()
        self._send(f"\nnew {number}\n")
        for i in range(0, len(text), CHUNK):
            self._send(f"put {number} {text[i:i + CHUNK]}\n")
        self._run_line(number, script)

    def _run_line(self, number, script):
        self._send(f"run {number} {hashlib.md5(script).hexdigest()}\n")

    def run(self, script, limit):
        """Runs a shell script in dom0; returns (exit code, output).

        `limit` is in wall seconds and covers everything.
        """
        self.number += 1
        number = self.number
        raw = (script.rstrip("\n") + "\n").encode()
        end = time.monotonic() + limit
        acked, pieces = False, []
        self._post(number, raw)
        asked, patience = time.monotonic(), ACK_WAIT
        while time.monotonic() < end:
            for word, n, rest in self._messages(1):
                if n != number:
                    continue
                if word == "ok":
                    acked, pieces = True, []
                elif word == "bad":
                    self._post(number, raw)
                    asked = time.monotonic()
                elif word == "o":
                    pieces.append(rest)
                elif word == "rc":
                    done = self._result(rest, pieces)
                    if done:
                        return done
                    pieces = []
                    self._run_line(number, raw)
            if not acked and time.monotonic() - asked > patience:
                # A slow machine must not be buried in repetitions.
                patience *= 2
                self._post(number, raw)
                asked = time.monotonic()
        what = "has not finished" if acked else "was not taken"
        raise AgentTimeout(f"within {limit:.0f} s this {what} in dom0: "
                           f"{script.strip()[:200]}")

    @staticmethod
    def _result(rest, pieces):
        """(code, output) if the pieces are whole, else None."""
        try:
            code, md5 = rest.split()
            out = base64.b64decode("".join(pieces))
            if hashlib.md5(out).hexdigest() != md5:
                return None
            return int(code), out.decode(errors="replace")
        except ValueError:
            return None

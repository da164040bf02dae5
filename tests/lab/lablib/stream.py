# SPDX-License-Identifier: GPL-2.0-only
"""The last stream of a host, as xen-lu-stream reads it in dom0.

Happy path:

    host = lab.host(files={**stream.files(), ...})
    ...                                     # an update
    requests = stream.records(host, "HVM_IO")

records() returns [(name of the record's owner, {field: text})].  What can fail: the
compiler, Xen keeps no stream, or it breaks the rules: LabError with the words of
xen-lu-stream.
"""

import re
import subprocess

from .place import BUILD, ROOT, LabError, locked

READER, DUMP = "/bin/xen-lu-stream", "/run/lab/dump"


def files():
    """xen-lu-stream for dom0: to be given to Host."""
    out = BUILD / "xen-lu-stream"
    with locked(BUILD / "stream.lock", "xen-lu-stream"):
        made = subprocess.run(
            ["make", "-s", "-C", ROOT / "tools/liveupdate", f"OUT={out}",
             "LDFLAGS=-static"], text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        raise LabError(f"cannot build xen-lu-stream:\n{made.stdout.strip()}")
    return {READER: out / "xen-lu-stream"}


def records(host, name):
    """Of all records of that name in the stream that Xen keeps, once it is verified."""
    text = host.must(
        f"luquery dump {DUMP} >/dev/null && xen-lu-stream -v {DUMP} >/dev/null && "
        f"xen-lu-stream {DUMP} | awk '/^0x/ {{ on = $2 == \"{name}\" }} on'; rm {DUMP}")
    found = []
    for line in text.splitlines():
        head = re.match(r"0x\w+ \S+ (\S+) version", line)
        field = re.match(r"    (\w+) = (.*)$", line)
        if head:
            found.append((head[1], {}))
        elif field:
            found[-1][1][field[1]] = field[2]
    return found

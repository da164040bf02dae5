# SPDX-License-Identifier: GPL-2.0-only
"""A writer for the cpio "newc" archives Linux unpacks as its initramfs.

Done here rather than with cpio(1) so that device nodes, owners and time stamps
do not depend on who builds: the same input gives the same bytes, without root.

Happy path: add files, directories, links and nodes, then bytes() or gz().
Archives can be concatenated, compressed or not; Linux unpacks them in order,
which is how a run adds its own files to the image everybody shares.
"""

import gzip
import os
import stat
from pathlib import Path


class Archive:
    """Collects entries; parents of an entry are added when missing."""

    def __init__(self):
        self.parts = []
        self.seen = set()
        self.ino = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        name = name.strip("/")
        self._parents(name)
        self.seen.add(name)
        self.ino += 1
        raw = name.encode() + b"\0"
        head = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0,
                rdev[0], rdev[1], len(raw), 0]
        out = b"070701" + b"".join(b"%08X" % v for v in head) + raw
        out += b"\0" * (-len(out) % 4) + data
        self.parts.append(out + b"\0" * (-len(out) % 4))

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.seen:
            self.dir(parent)

    def dir(self, name, mode=0o755):
        if name.strip("/") not in self.seen:
            self._entry(name, stat.S_IFDIR | mode)

    def data(self, name, content, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor, mode=0o600):
        self._entry(name, stat.S_IFCHR | mode, rdev=(major, minor))

    def file(self, name, path):
        path = Path(path)
        mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
        self.data(name, path.read_bytes(), mode)

    def tree(self, base):
        """Adds everything below the directory `base`, links kept as links."""
        base = Path(base)
        for path in sorted(base.rglob("*")):
            name = str(path.relative_to(base))
            if path.is_symlink():
                self.link(name, os.readlink(path))
            elif path.is_dir():
                self.dir(name)
            elif path.is_file():
                self.file(name, path)

    def bytes(self):
        raw = b"TRAILER!!!\0"
        head = b"070701" + b"%08X" * 13 % (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                                           len(raw), 0)
        end = head + raw
        out = b"".join(self.parts) + end
        return out + b"\0" * (-len(out) % 512)

    def gz(self):
        return gzip.compress(self.bytes(), 1, mtime=0)

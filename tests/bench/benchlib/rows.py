# SPDX-License-Identifier: GPL-2.0-only
"""What can be measured, by the names that the command line takes.

Happy path: parse("guests=4") returns the Row, which tells how large a host it wants.
What can fail: a name that means nothing, ValueError with what is wanted.
"""

import re
from dataclasses import dataclass

from lablib.devicemodel import DOM0_MEM

KEXEC = "kexec"
DOM0, HOST = 1024, 4096

# Idle guests, so many of them on a host of 4 GiB.
GUEST = 160
# A guest that grows, on a host that is large enough for xl save as well.
GUEST_HOST, BESIDE_GUEST = 6144, 2048
# Saved are guests of so much at the most: one of 2 GiB takes a quarter of an hour.
SAVE_MOST = 2048

DEFAULT = ["512/4096", "1024/4096", "2048/4096", "1024/16384", "1024/65536", KEXEC,
           "guests=1", "guests=4", "guests=16",
           "guest=256", "guest=1024", "guest=2048", "guest=4096", "guest=8192",
           "pvh=256", "pvh=1024", "pvh=4096",
           "pvh=2048/4096", "pvh=8192/16384", "pvh=32768/65536", "hvm=1024"]
WANTED = ("DOM0_MIB/HOST_MIB, guests=NUMBER, guest=MIB, pvh=MIB, hvm=MIB, either with "
          f"/HOST_MIB, or {KEXEC}")

# What QEMU needs beyond the memory of its machine, in MiB.
QEMU = 1024
# From so much on a host's memory is only taken as it is written to.
SPARSE = 16384


@dataclass(frozen=True)
class Row:
    """One host: `guests` idle guests of `memory` MiB each, all sizes in MiB."""

    name: str
    kind: str           # "dom0", "guests", "guest", "pvh", "hvm" or KEXEC
    dom0: int = DOM0
    host: int = HOST
    guests: int = 0
    memory: int = 0

    @property
    def type(self):
        """What xl calls its guests."""
        return self.kind if self.kind in ("pvh", "hvm") else "pv"

    @property
    def flavour(self):
        """The Xen: emulated, PVH and HVM guests are healthy on the lab's only."""
        return "4.17" if self.type == "pv" else "4.17-lab"

    @property
    def sparse(self):
        """Whether its memory is not to be taken beforehand."""
        return self.host >= SPARSE

    @property
    def needs(self):
        """The memory of this machine that it takes, in MiB."""
        if self.sparse:
            return self.dom0 + (self.host + self.memory) // 8 + QEMU
        return self.host + QEMU

    @property
    def saved(self):
        """Whether its guest goes through xl save and restore, too."""
        return self.kind == "guest" and self.memory <= SAVE_MOST


def parse(name):
    if name == KEXEC:
        return Row(name, KEXEC)
    if m := re.fullmatch(r"(\d+)/(\d+)", name):
        return Row(name, "dom0", int(m[1]), int(m[2]))
    if m := re.fullmatch(r"guests=([1-9]\d*)", name):
        return Row(name, "guests", guests=int(m[1]), memory=GUEST)
    if m := re.fullmatch(r"(guest|pvh|hvm)=([1-9]\d*)(?:/(\d+))?", name):
        memory = int(m[2])
        return Row(name, m[1], guests=1, memory=memory,
                   dom0=DOM0_MEM if m[1] == "hvm" else DOM0,
                   host=int(m[3] or max(GUEST_HOST, memory + BESIDE_GUEST)))
    raise ValueError(f"{name}: want {WANTED}")

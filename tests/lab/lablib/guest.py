# SPDX-License-Identifier: GPL-2.0-only
"""A guest of a host: made by xl in dom0, obeying through xenstore.

Happy path:

    host = lab.host(files=guest.files(), ...)
    host.boot(); host.must("xenstart")
    g = guest.Guest(host, "one", vcpus=1)
    g.create()
    g.must("uname -a")
    w = lab.witnesses(g, [("heartbeat", "")])

It runs dom0's own kernel and image, or the kernel of another release of Debian
(lablib/kernels.py); init finds lab.guest= and serves commands
(guest/domu.sh).  Its console goes to /run/lab/console.NAME in dom0.  A Guest is to
Witnesses what a Host is.

What can fail: xl refuses, or the guest does not answer in time: LabError with the
end of the guest's console.
"""

import shlex

from . import kernels
from .place import BUILD, LabError

KERNEL, PACKED = "/boot/guest-kernel", "/boot/guest.gz"
# Unpacked once: xl would do it for each guest, which takes seconds under icount.
RAMDISK = "/boot/guest.cpio"


def files(others=()):
    """What dom0 needs for guests, of those kernels too: to be given to Host."""
    return {KERNEL: BUILD / "vmlinuz", PACKED: BUILD / "dom0.cpio.gz",
            **{f"/boot/{path.name}": path for kernel in others
               for path in (kernel.vmlinuz, kernel.modules)}}


class Guest:
    """One domU by its name; config are more lines of its xl.cfg.

    `kernel` is a kernels.Kernel, None for dom0's own.
    """

    def __init__(self, host, name, kind="pv", vcpus=1, memory=160,
                 config="", kernel=None):
        self.host, self.name, self.kind = host, name, kind
        self.vcpus, self.memory, self.config = vcpus, memory, config
        self.slow = host.slow
        self.number = 0
        self.vmlinuz = f"/boot/{kernel.vmlinuz.name}" if kernel else KERNEL
        self.modules = f"/boot/{kernel.modules.name}" if kernel else None
        self.ramdisk = f"{self.modules}.ramdisk" if kernel else RAMDISK
        self.args = f" {kernels.ARGS}" if kernel else ""

    def cfg(self):
        return (f'name = "{self.name}"\ntype = "{self.kind}"\n'
                f'kernel = "{self.vmlinuz}"\nramdisk = "{self.ramdisk}"\n'
                f'memory = {self.memory}\nvcpus = {self.vcpus}\n'
                f'extra = "console=hvc0 rdinit=/init lab.guest={self.name} '
                f'quiet{self.args}"\n{self.config}\n')

    def create(self, limit=120):
        """xl create, and waits until the guest obeys."""
        self.build("", limit)
        return self.meet(limit)

    def define(self):
        """Leaves in dom0 what xl create needs; returns the configuration's path."""
        path = f"/run/lab/{self.name}.cfg"
        self.host.must(f"[ -e {RAMDISK} ] || zcat {PACKED} >{RAMDISK} || exit 1\n"
                       f"cat >{path} <<'EOF'\n{self.cfg()}EOF")
        return path

    def build(self, how="-p", limit=120):
        """xl create, by default of a guest that stays paused."""
        path = self.define()
        if self.modules:
            self.host.must(f"cat {RAMDISK} {self.modules} >{self.ramdisk}")
        self.host.must(f"xl create {how} {path} 2>&1", limit)

    def meet(self, limit=120):
        """Listens to the console of a guest that runs, waits until it obeys."""
        self.host.must(
            f"(setsid xenconsole --num 0 --type pv $(xl domid {self.name}) "
            f">/run/lab/console.{self.name} 2>&1 3>&- </dev/null &)")
        self.must("true", limit)
        return self

    def domid(self):
        return int(self.host.must(f"xl domid {self.name}"))

    def run(self, script, limit=120):
        """Runs a shell script in the guest; returns (exit code, output)."""
        self.number += 1
        return self.host.run(
            f"inguest {self.name} {self.number} {limit * self.slow} "
            f"<<'INGUEST'\n{script}\nINGUEST\n", limit + 30)

    def must(self, script, limit=120):
        """Runs a script that has to succeed; returns its output."""
        rc, out = self.run(script, limit)
        if rc:
            raise LabError(f"{self.name}: '{script.strip()[:200]}' ended with "
                           f"{rc}:\n{out.strip()[-2000:]}\n{self.console()}")
        return out

    def console(self, lines=20):
        """The end of what the guest has printed."""
        _, out = self.host.run(f"tail -n {lines} "
                               f"/run/lab/console.{shlex.quote(self.name)}")
        return out

    def trouble(self, pattern):
        """The lines of the guest's kernel log that match."""
        _, out = self.run(f"dmesg | grep -E '{pattern}' | head -n 10")
        return out

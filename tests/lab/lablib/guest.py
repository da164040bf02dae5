# SPDX-License-Identifier: GPL-2.0-only
"""A guest of a host: made by xl in dom0, obeying through xenstore.

Happy path:

    host = lab.host(files=guest.files(), ...)
    host.boot(); host.must("xenstart")
    g = guest.Guest(host, "one", vcpus=1)
    g.create()
    g.must("uname -a")
    w = lab.witnesses(g, [("heartbeat", "")])

It runs dom0's own kernel, or that of another release of Debian (lablib/kernels.py), and
an image of its own; init finds lab.guest= and serves commands (guest/domu.sh).  Its
console goes to /run/lab/console.NAME in dom0.  A Guest is to Witnesses what a Host is.

What can fail: xl refuses, or the guest does not answer in time: LabError with the
end of the guest's console.
"""

import shlex

from . import kernels
from .place import BUILD, LabError
from .toolstack import until

KERNEL, PACKED = "/boot/guest-kernel", "/boot/guest.gz"
# Unpacked once: xl would do it for each guest, which takes seconds under icount.
RAMDISK = "/boot/guest.cpio"


def files(others=()):
    """What dom0 needs for guests, of those kernels too: to be given to Host."""
    return {KERNEL: BUILD / "vmlinuz", PACKED: BUILD / "guest.cpio.gz",
            **{f"/boot/{path.name}": path for kernel in others
               for path in (kernel.vmlinuz, kernel.modules)}}


class Guest:
    """One domU by its name.

    kind is what xl calls type; "hvm" needs a host with devicemodel.files(), whose QEMU
    gives the guest its kernel.  config are more lines of its xl.cfg, args more options
    of its kernel.  `kernel` is a kernels.Kernel, None for dom0's own.
    """

    def __init__(self, host, name, kind="pv", vcpus=1, memory=160,
                 config="", args="", kernel=None):
        self.host, self.name, self.kind = host, name, kind
        self.vcpus, self.config = vcpus, config
        # QEMU puts kernel and image into the guest's own memory first.
        self.memory = max(memory, 256) if kind == "hvm" else memory
        self.slow = host.slow
        self.number = 0
        self.vmlinuz = f"/boot/{kernel.vmlinuz.name}" if kernel else KERNEL
        self.modules = f"/boot/{kernel.modules.name}" if kernel else None
        # The BIOS of an HVM guest reads it from QEMU byte by byte: the fewer the better.
        self.ramdisk = f"{self.modules}.ramdisk" if kernel else \
            PACKED if kind == "hvm" else RAMDISK
        self.args = f"{args} {kernels.ARGS}" if kernel else args

    def cfg(self):
        more = 'vnc = 0\nvga = "stdvga"\n' if self.kind == "hvm" else ""
        return (f'name = "{self.name}"\ntype = "{self.kind}"\n'
                f'kernel = "{self.vmlinuz}"\nramdisk = "{self.ramdisk}"\n'
                f'memory = {self.memory}\nvcpus = {self.vcpus}\n'
                # On a tmpfs the image could fill no more than half of the memory.
                'extra = "console=hvc0 rdinit=/init rootfstype=ramfs quiet '
                f'lab.guest={self.name} {self.args}"\n{more}{self.config}\n')

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
        self.host.must(f"xl create {how} {path} 2>&1 || {{ rc=$?; "
                       f"cat /var/log/xen/qemu-dm-{self.name}.log; exit $rc; }} "
                       "2>/dev/null", limit)

    def half_build(self, pages=0):
        """Begins xl create -p, stops it as soon as there are so many pages."""
        path, run = self.define(), f"/run/lab/{self.name}.xl"
        self.host.must(
            f"rm -f {run}.rc\n(xl create -p {path} >{run}.out 2>&1 & "
            f"echo $! >{run}.pid; wait $!; echo $? >{run}.rc) "
            "3>&- </dev/null >/dev/null 2>&1 &\n"
            f"i=0; until d=$(xl domid {self.name} 2>/dev/null); do usleep 20000; "
            f"i=$((i+1)); [ $i -gt 500 ] && cat {run}.out && exit 1; done\n"
            f"stopat $d {pages} $(cat {run}.pid) 2>&1")

    def finish_build(self, limit=120):
        """Lets xl create -p go on to its end."""
        run = f"/run/lab/{self.name}.xl"
        self.host.must(
            f"kill -CONT $(cat {run}.pid); i=0; until [ -s {run}.rc ]; do "
            f"usleep 100000; i=$((i+1)); [ $i -gt {limit * 10} ] && exit 1; done; "
            f"cat {run}.out; exit $(cat {run}.rc)", limit)

    def meet(self, limit=120):
        """Listens to the console of a guest that runs, waits until it obeys."""
        return self.listen().there(limit)

    def listen(self):
        """Keeps what the domain prints from now on."""
        self.host.must(
            f"(setsid xenconsole --num 0 --type pv $(xl domid {self.name}) "
            f">>/run/lab/console.{self.name} 2>&1 3>&- </dev/null &)")
        return self

    def there(self, limit=120):
        """Waits until the guest obeys."""
        self.must("true", limit)
        return self

    def domid(self):
        return int(self.host.must(f"xl domid {self.name}"))

    def ticks(self, every=1):
        """Starts a process that counts in the guest's data/tick for ever."""
        self.must("(i=0; while i=$((i + 1)); do xenstore write data/tick $i; "
                  f"sleep {every}; done >/dev/null 2>&1 &)")

    def tick(self):
        """How far it has counted."""
        return int(self.host.must(
            f"xenstore read /local/domain/$(xl domid {self.name})/data/tick "
            "2>/dev/null || echo 0"))

    def ticking(self, limit=60):
        """Waits until it counts on; returns whether it does."""
        path = f"/local/domain/{self.domid()}/data/tick"
        return until(self.host, f"[ $(xenstore read {path}) -gt {self.tick()} ]",
                     limit)

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

# SPDX-License-Identifier: GPL-2.0-only
"""Micro-guests (tests/guests) in a host: made by xl in dom0, obeying on their console.

Happy path:

    host = lab.host(files=microguest.files(), ...)
    host.boot(); host.must("xenstart")
    m = microguest.MicroGuest(host, "m0").create()
    m.set("fifo", seed=1)
    ...
    ok, values, said = m.command("verify", "fifo", seed=1)

files() builds the kernel.  A command goes to the guest's console by xenconsole, whose
output is kept in /run/lab/console.NAME in dom0; the answer is a line "@<n> ok
key=value ..." or "@<n> bad ..." after lines that say what is bad.

What can fail: the compiler; xl refuses; the guest dies or does not answer in
time: LabError with the end of its console.
"""

import re
import subprocess

from .place import BUILD, ROOT, LabError, locked

KERNEL = {"pv": "/boot/micro", "pvh": "/boot/micro-pvh", "hvm": "/boot/micro-pvh"}


def files():
    """What dom0 needs for micro-guests: to be given to Host."""
    out = BUILD.parent / "guests"
    with locked(BUILD / "guests.lock", "the micro-guest"):
        made = subprocess.run(
            ["make", "-s", "-C", ROOT / "tests" / "guests", f"OUT={out}"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False)
    if made.returncode:
        raise LabError(f"the micro-guest cannot be built:\n{made.stdout.strip()}")
    return {KERNEL["pv"]: out / "micro", KERNEL["pvh"]: out / "micro-pvh"}


class MicroGuest:
    """One of them by its name; options are its command line, config more lines of its
    xl.cfg, kind is what xl calls type; "hvm" needs a host with devicemodel.files()."""

    def __init__(self, host, name, vcpus=18, memory=64, options="", config="",
                 kind="pv"):
        self.host, self.name, self.vcpus, self.kind = host, name, vcpus, kind
        self.memory, self.options, self.config = memory, options, config
        self.number = 0

    def cfg(self):
        more = 'vnc = 0\nvga = "none"\n' if self.kind == "hvm" else ""
        return (f'name = "{self.name}"\ntype = "{self.kind}"\n'
                f'kernel = "{KERNEL[self.kind]}"\n'
                f'memory = {self.memory}\nvcpus = {self.vcpus}\n'
                f'max_event_channels = 4095\nmax_grant_version = 2\n'
                f'on_crash = "preserve"\n'
                f'extra = "{self.options}"\n{more}{self.config}\n')

    def create(self, limit=60):
        """xl create, and waits until the guest says that it is ready."""
        path, out = f"/run/lab/{self.name}.cfg", f"/run/lab/console.{self.name}"
        pipe = f"/run/lab/in.{self.name}"
        self.host.must(
            f"cat >{path} <<'EOF'\n{self.cfg()}EOF\nrm -f {pipe}; mkfifo {pipe}\n"
            f"xl create -p {path} 2>&1 || "
            f"{{ cat /var/log/xen/qemu-dm-{self.name}.log 2>/dev/null; exit 1; }}\n"
            # The shell keeps the pipe open, so that xenconsole sees no end of it.
            f"(setsid sh -c 'exec 4<>{pipe}; exec xenconsole --interactive "
            f"--num 0 --type pv $(xl domid {self.name}) <&4' >{out} 2>&1 3>&- &)\n"
            f"xl unpause {self.name}", limit)
        self._wait("^micro: ready", limit)
        return self

    def domid(self):
        return int(self.host.must(f"xl domid {self.name}"))

    def console(self, lines=20):
        """The end of what the guest has said."""
        _, out = self.host.run(f"tail -n {lines} /run/lab/console.{self.name}")
        return out

    def _wait(self, pattern, limit):
        rc, _ = self.host.run(
            f"end=$(($(date +%s) + {limit})); nap=20000\n"
            f"until grep -q '{pattern}' /run/lab/console.{self.name}; do\n"
            f"grep -q '^micro: died' /run/lab/console.{self.name} && exit 2\n"
            f"[ $(date +%s) -gt $end ] && exit 1\n"
            # Looking is work, and work takes longer here than waiting.
            f"usleep $nap; [ $nap -gt 500000 ] || nap=$((nap * 2)); done",
            limit + 60)
        if rc:
            raise LabError(f"{self.name}: {'died' if rc == 2 else 'no answer'} "
                           f"({pattern}):\n{self.console()}")

    def post(self, verb, test, **args):
        """Begins a command."""
        self.number += 1
        words = "".join(f" {k}={v}" for k, v in args.items())
        self.host.must(f"echo '{self.number} {verb} {test}{words}' "
                       f">/run/lab/in.{self.name}")

    def answer(self, limit=60):
        """Of the command that was posted last: (ok, {key: value}, lines said).

        `limit` is in seconds of the guest's time.
        """
        self._wait(f"^@{self.number} ", limit)
        text = self.host.must(
            f"sed -n '/^@{self.number - 1} /,/^@{self.number} /p' "
            f"/run/lab/console.{self.name}" if self.number > 1 else
            f"sed '/^@1 /q' /run/lab/console.{self.name}")
        lines = [line.rstrip("\r") for line in text.splitlines()]
        return (lines[-1].split()[1] == "ok",
                dict(re.findall(r"(\S+?)=(\S*)", lines[-1])),
                [line for line in lines if line.startswith("bad: ")])

    def command(self, verb, test, limit=60, **args):
        self.post(verb, test, **args)
        return self.answer(limit)

# SPDX-License-Identifier: GPL-2.0-only
"""PVH micro-guests: what Xen keeps of an emulated APIC and a vCPU, set, updated, verified.

Small PVH kernels of our own (tests/guests/pvh), one for each line of TESTS, since a test
has the only vCPU of its guest to itself. TESTS: a selection, with commas (default all); TO:
flavours that take turns as the new Xen. Needs a flavour of the lab and QEMU 10
(docs/lab.md). What names tsc is run if Xen offers its guests the mode of the APIC's timer
that waits for the TSC; the emulator's CPUs do not let it. UPDATES=0 sets and verifies without an update; what has to be due in a gap
is not, then, and not run.
"""

from lablib import microguest
from lablib.place import LabError
from lablib.update import Updates, install, next_xens

# By name, in the order in which they are set: the test, its parameters, the options of
# the guest's kernel.
TESTS = {
    "once-over": ("lapic", {"mode": 0, "when": 2}, ""),
    "tsc-over": ("lapic", {"mode": 2, "when": 2}, ""),
    "irr": ("irr", {}, ""),
    "upcall": ("upcall", {}, ""),
    "upcall-via": ("upcall", {}, "via"),
    "hlt": ("hlt", {}, ""),
    "ticks": ("lapic", {"mode": 1}, ""),
    "once-later": ("lapic", {"mode": 0, "when": 1}, ""),
    "tsc-later": ("lapic", {"mode": 2, "when": 1}, ""),
    # These do not sleep much.
    "hlt-wake": ("hlt", {"wake": 1}, ""),
    "once-gap": ("lapic", {"mode": 0, "when": 0}, ""),
    "tsc-gap": ("lapic", {"mode": 2, "when": 0}, ""),
    "regs": ("regs", {}, ""),
}

# Of these an update is a part.
NEEDS_GAP = ("once-gap", "tsc-gap")


class One:
    """A test and its guest."""

    def __init__(self, lab, host, name, test, kind, memory):
        self.lab, self.name = lab, name
        self.test, self.args, options = test
        self.guest = microguest.MicroGuest(
            host, name, vcpus=1, memory=memory, options=options, kind=kind).create()
        self.offers_deadline = "TSC deadline" in self.guest.console()
        self.dead = False

    def post(self, verb, **args):
        if not self.dead:
            self.guest.post(verb, self.test, **self.args, **args)

    def answer(self, when, verb):
        if self.dead:
            return
        try:
            ok, values, said = self.guest.answer()
        except LabError as e:
            # The others can still tell something.
            self.dead = True
            ok, values, said = False, {}, [str(e)]
        self.lab.check(ok, f"{when}: {self.name}: {verb}", "; ".join(said))
        if values:
            self.lab.say(f"{self.name}: {verb}: " + " ".join(
                f"{k}={v}" for k, v in values.items()))


def run(lab, tests=TESTS, kind="pvh", memory=16, more=(), dom0_mem=1024):
    """`tests` are like TESTS, for guests of that kind and so many MiB; `more` are files
    that dom0 needs besides."""
    lab.qemu = "10"
    lab.params.setdefault("FLAVOUR", "4.17-lab")
    count = lab.param("UPDATES", 2)
    wanted = [t for t in lab.param("TESTS", ",".join(tests)).split(",")
              if count or t not in NEEDS_GAP]
    images = next_xens(lab, count)
    files = {**microguest.files(), **dict(more)}
    paths = install(files, images)
    with lab.host(append="liveupdate=64M guest_loglvl=none", files=files,
                  dom0_mem=dom0_mem) as host:
        host.boot()
        host.must("xenstart")
        ones = []
        for name in wanted:
            if name.startswith("tsc") and ones and not ones[0].offers_deadline:
                lab.say(f"{name}: not run, Xen offers no TSC deadline")
            else:
                ones.append(One(lab, host, name, tests[name], kind, memory))
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, w)
        for n in range(count or 1):
            name = f"update {n + 1}"
            for one in ones:
                one.post("set", seed=n + 1)
                one.answer(f"before {name}", "set")
            if count and not updates.once():
                break
            gap_us = int(1000 * max(updates.gaps, default=0))
            # All at once: each waits for what is to come.
            for one in ones:
                one.post("verify", seed=n + 1)
            for one in sorted(ones, key=lambda o: o.name.endswith("later")):
                one.answer(f"after {name}", "verify")
            lab.say(f"{name}: the gap is {gap_us} us")
        for one in ones:
            host.must(f"xl destroy {one.guest.name}")
        updates.finish()

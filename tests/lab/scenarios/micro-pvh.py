# SPDX-License-Identifier: GPL-2.0-only
"""PVH micro-guests: what Xen keeps of an emulated APIC and a vCPU, set, updated, verified.

Small PVH kernels of our own (tests/guests/pvh), one for each line of TESTS, since a test
has the vCPU of its guest to itself; that of IPIs has two. TESTS: a selection, with commas
(default all); TO: flavours that take turns as the new Xen. Needs a flavour of the lab and
QEMU 10 (docs/lab.md). What names tsc is run if Xen offers its guests the mode of the APIC's
timer that waits for the TSC; the emulator's CPUs do not let it. UPDATES=0 sets and verifies
without an update; what has to be due in a gap is not, then, and not run. Before the first
update come two that are refused, for guests with a CR3 that could not be loaded.
"""

from math import isfinite

from lablib import microguest, scenario, stream
from lablib.place import LabError
from lablib.toolstack import until
from lablib.update import Updates, execute, install, load, next_xens

# What "walk" has, in MiB: with pages of 1 GiB in its P2M, if the host has some.
WALK = 2560

# By name, in the order in which they are set: the test, its parameters, the options of
# the guest's kernel, and more lines of its configuration.
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
    "ipis": ("ipis", {"second": 0}, ""),
    "ipis-busy": ("ipis", {"second": 1}, ""),
    "ipis-deaf": ("ipis", {"second": 2}, ""),
    "walk": ("walk", {"mib": WALK}, ""),
}

# A Xen that does not know what "viridian" has.
LESSER = "/boot/xen-lesser"
# What a test needs but one vCPU and a little memory.
VCPUS, MEMORY = {"ipis": 2, "odd": 2}, {"walk": WALK}
# With these an update is refused.
ODD = (("odd", {}, ""), ("odd", {"gone": 1}, "", "hap = 0"))
# Of these an update is a part.
NEEDS_GAP = ("once-gap", "tsc-gap")


class One:
    """A test and its guest."""

    def __init__(self, lab, host, name, test, kind, memory):
        self.lab, self.name = lab, name
        self.test, self.args, options, *config = test
        self.guest = microguest.MicroGuest(
            host, name, vcpus=VCPUS.get(self.test, 1),
            memory=MEMORY.get(self.test, memory), options=options, kind=kind,
            config="\n".join(config)).create()
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


def refusals(lab, host, path):
    """vCPUs with a register that Xen would not load: a blocker, and no more than that."""
    for number, odd in enumerate(ODD):
        one = One(lab, host, f"odd{number}", odd, "pvh", 16)
        one.post("set")
        if "gone" in one.args:
            lab.check(until(host, f"xl list {one.name} | awk 'NR == 2 {{ exit $5 !~ /c/ }}'"),
                      f"a refusal: {one.name}: is crashed, and preserved")
        else:
            one.answer("a refusal", "set")
        since = host.log.stat().st_size
        result = load(host, path, host.xen_cmdline())
        scenario.load("bad-input").refused(
            lab, host, f"{one.name}: CR3", result if result[0] else execute(host), since,
            rf"blocked by d{one.guest.domid()}: hvm-context: v1 has a value in CR3 that "
            r"Xen does not load[\s\S]*nothing was changed")
        host.must(f"xl destroy {one.guest.name}")


def too_little(lab, host, one):
    """A Xen that knows fewer viridian features than the guest was promised."""
    since = host.log.stat().st_size
    scenario.load("bad-input").refused(
        lab, host, "a Xen that knows fewer viridian features",
        load(host, LESSER, host.xen_cmdline()), since,
        rf"d{one.guest.domid()}: image: it does not know the viridian features 0x")


def run(lab, tests=TESTS, kind="pvh", memory=16, more=(), dom0_mem=1024):
    """`tests` are like TESTS, for guests of that kind and so many MiB; `more` are files
    that dom0 needs besides."""
    lab.for_hvm()
    count = lab.param("UPDATES", 2)
    wanted = [t for t in lab.param("TESTS", ",".join(tests)).split(",")
              if count or t not in NEEDS_GAP]
    # Of this one the stream tells what its P2M is made of.
    walks = count and "walk" in wanted
    images = next_xens(lab, count)
    files = {**microguest.files(), **(stream.files() if walks else {}), **dict(more)}
    paths = install(files, images)
    lesser = count and "viridian" in wanted
    if lesser:
        bad = scenario.load("bad-input")
        files[LESSER] = bad.Image(images[0]).put(bad.VIRIDIAN, "<I", 1)
    with lab.host(append="liveupdate=64M guest_loglvl=none", files=files,
                  mem=6144 if "walk" in wanted else 4096, dom0_mem=dom0_mem) as host:
        host.boot()
        host.must("xenstart")
        ones = []
        for name in wanted:
            if name.startswith("tsc") and ones and not ones[0].offers_deadline:
                lab.say(f"{name}: not run, Xen offers no TSC deadline")
            else:
                ones.append(One(lab, host, name, tests[name], kind, memory))
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        if count and kind == "pvh":
            refusals(lab, host, paths[0])
        if lesser:
            too_little(lab, host, next(o for o in ones if o.name == "viridian"))
        updates = Updates(lab, host, images, paths, w)
        for n in range(count or 1):
            name = f"update {n + 1}"
            for one in ones:
                one.post("set", seed=n + 1)
                one.answer(f"before {name}", "set")
            if count and not updates.once():
                break
            for who, p2m in stream.records(host, "P2M") if walks else ():
                lab.say(f"{name}: {who}: {p2m['nr_tables']} tables in its P2M")
            gap_us = int(1000 * max(updates.gaps, default=0))
            paused = updates.paused[-1] if count else 0.0
            # In us; a Xen that is told to say little does not tell.
            known = {"paused": int(1000 * paused)} if isfinite(paused) else {}
            # All at once: each waits for what is to come.
            for one in ones:
                one.post("verify", seed=n + 1, **known)
            for one in sorted(ones, key=lambda o: o.name.endswith("later")):
                one.answer(f"after {name}", "verify")
            lab.say(f"{name}: the gap is {gap_us} us")
        for one in ones:
            host.must(f"xl destroy {one.guest.name}")
        updates.finish()

# SPDX-License-Identifier: GPL-2.0-only
"""Micro-guests: state that Linux does not put into Xen, set, updated, verified.

Two small PV kernels of our own (tests/guests), one with FIFO event channels and one
with 2-level ones.  Before each update every test of TESTS (with commas, default all)
sets its state, after it each verifies it.  TO: flavours that take turns as the
new Xen.  RAISE=<seed>, for flavours of the lab only: Xen raises events of these guests,
and prints, at random moments of each pause; dom0 reads what is printed.
"""

import re

from lablib import microguest
from lablib.place import LabError
from lablib.update import Updates, execute, install, load, next_xens, reasons

# By test: the guests it runs in, in the order in which states are set.  "grants" is
# "grant" and "map" in both directions, "peers" is "peer" in both.
TESTS = {
    "virqs": ["fifo", "2l"],
    "grants": ["fifo", "2l"],
    "peers": ["fifo", "2l"],
    "fifo": ["fifo"],
    "2l": ["2l"],
    "poll": ["fifo", "2l"],
    # Before those that want other handlers of the same exceptions, or any port.
    "queued": ["fifo"],
    "regs": ["fifo", "2l"],
    "segs": ["fifo", "2l"],
    "dogs": ["fifo", "2l"],
    "vcpus": ["fifo", "2l"],
    "nmi": ["fifo", "2l"],
    "calls": ["fifo", "2l"],
    # With architectural_iopl, which calls switches on and off, no port is denied.
    "io": ["fifo", "2l"],
    "ptes": ["2l"],
    "timers": ["fifo", "2l"],
    "storm": ["fifo", "2l"],
}

PEER = {"fifo": "2l", "2l": "fifo"}

# Seconds that a watchdog has when an update comes, and ms that its end may be away
# from what its guest has told last: it is not alone on its CPU.
BITE, SLACK = 25, 2000
# Where an event was raised, as raise.c tells it.
RAISED = re.compile(r"live-update: (raised d(\d+)v(\d+) (\w+) \d+)")
HV_LOG = "/var/log/xen/console/hypervisor.log"


class Micro:
    """The guests of a run, and what is done to them."""

    def __init__(self, lab, host, wanted):
        self.lab, self.wanted, self.dead = lab, wanted, set()
        self.guests = {
            name: microguest.MicroGuest(host, name, options=name).create()
            for name in ("fifo", "2l") if any(name in TESTS[t] for t in wanted)}
        self.ids = {name: g.domid() for name, g in self.guests.items()}
        self.queued = Queued(lab, host, self)

    def do(self, when, name, verb, test, **args):
        """One command to one guest; what it notes, if it answers."""
        self.post(name, verb, test, **args)
        return self.answer(when, name, verb, test)

    def post(self, name, verb, test, **args):
        if name not in self.dead:
            self.guests[name].post(verb, test, **args)

    def answer(self, when, name, verb, test):
        if name in self.dead:
            return {}
        try:
            ok, values, said = self.guests[name].answer()
        except LabError as e:
            # The other guest can still tell something.
            self.dead.add(name)
            ok, values, said = False, {}, [str(e)]
        self.lab.check(ok, f"{when}: {name}: {verb} {test}", "; ".join(said))
        if values:
            self.lab.say(f"{name}: {verb} {test}: " + " ".join(
                f"{k}={v}" for k, v in values.items()))
        return values

    def each(self, when, verb, test, **args):
        """A command to all guests that the test runs in, at the same time."""
        for name in TESTS[test]:
            self.post(name, verb, test, **args)
        for name in TESTS[test]:
            self.answer(when, name, verb, test)

    def grants(self, when, verb, test, **args):
        """In both directions; each guest's table is of another version."""
        version = {"fifo": 2, "2l": 1}
        for name, peer in PEER.items():
            mine = version[name if test == "grant" else peer]
            self.do(when, name, verb, test, me=self.ids[name],
                    peer=self.ids[peer], version=mine, **args)

    def peers(self, when, verb, **args):
        first = {}
        for name, peer in PEER.items():
            first[peer] = self.do(when, name, verb, "peer",
                                  peer=self.ids[peer], **args).get("first", 0)
        return first

    def set(self, when, seed, tests=None):
        for test in tests or self.wanted:
            if test == "grants":
                self.grants(when, "set", "grant")
                self.grants(when, "set", "map")
                # What the peer has mapped lives on when its owner gives it up.
                self.grants(when, "set", "grant", away=1)
            elif test == "queued":
                self.queued.catch(when, seed)
            elif test == "peers":
                for name, first in self.peers(when, "set").items():
                    self.do(when, name, "set", "peer", first=first,
                            peer=self.ids[PEER[name]])
            else:
                self.each(when, "set", test, seed=seed)

    def verify(self, when, seed, last, tests=None, raised=0):
        # What keeps CPUs busy ends first.
        for test in sorted(tests or self.wanted,
                           key=lambda t: t not in ("storm", "regs")):
            if test == "grants":
                self.grants(when, "verify", "grant", inuse=1)
                self.grants(when, "verify", "map")
                self.grants(when, "verify", "grant", inuse=0)
            elif test == "queued":
                self.queued.verify(when)
            elif test == "peers":
                for step in range(3):
                    self.peers(when, "verify", step=step)
            else:
                self.each(when, "verify", test, seed=seed, last=last, raised=raised)


class Queued:
    """Exceptions that a guest's CPU has taken, that Xen has queued, and that have not
    arrived: each of some vCPUs has one while it is down, across an update."""

    def __init__(self, lab, host, micro):
        self.lab, self.host, self.micro, self.shown = lab, host, micro, ""

    def catch(self, when, seed):
        domid = self.micro.ids["fifo"]
        said = self.micro.do(when, "fifo", "set", "queued", seed=seed)
        places = [f"{v[1:]}={at}" for v, at in said.items() if v[0] == "v"]
        self.micro.post("fifo", "verify", "queued", step=0)
        out = self.host.must(
            f"queued catch {domid} {said.get('box')} {' '.join(places)}", 120)
        came = self.micro.answer(when, "fifo", "verify", "queued")
        turns, self.shown = out.split("\n", 1)
        # r15 is the number of the exception that the vCPU has made.
        made = {v: int(n) for v, n in
                re.findall(r"^(v\d+) .* r15=(\d+)$", self.shown, re.M)}
        self.lab.check(
            len(made) == len(places) and
            all(n == int(came.get(v, -9)) + 1 for v, n in made.items()),
            f"{when}: each of {len(places)} vCPUs has made an exception more than "
            "have come", f"made {made}, came {came}")
        self.lab.say(f"fifo: {turns}, made {made}")

    def verify(self, when):
        self.micro.do(when, "fifo", "verify", "queued", step=1)
        vcpus = re.findall(r"^v(\d+) ", self.shown, re.M)
        shown = self.host.must(
            f"queued show {self.micro.ids['fifo']} {' '.join(vcpus)}")
        self.lab.check(shown == self.shown, f"{when}: they are down as they were",
                       f"before:\n{self.shown}after:\n{shown}")
        self.micro.do(when, "fifo", "verify", "queued", step=2)


class Dogs:
    """Two guests with a watchdog that bites: one lives on until then, the other one
    has suspended by then, so that nothing happens to it."""

    def __init__(self, lab, host):
        self.lab, self.host = lab, host
        self.awake, self.asleep = (
            microguest.MicroGuest(host, name, options="fifo",
                                  config='on_watchdog = "preserve"').create()
            for name in ("awake", "asleep"))
        self.asleep.post("set", "dogs", bite=2, suspend=1)
        reason = self.down(self.asleep)
        lab.check(reason == "2", "a guest suspends", f"shut down for reason {reason}")
        # Its watchdog's time comes, and nothing else happens that could be waited for.
        host.must("sleep 3", 60)

    def arm(self):
        """Just before an update."""
        self.awake.command("set", "dogs", bite=BITE)

    def down(self, guest, limit=120):
        """The reason for which a guest has shut down; waits for that."""
        return self.host.must(
            f"end=$(($(date +%s) + {limit}))\n"
            f"until r=$(xl list -v {guest.name} | awk 'NR == 2 && $5 ~ /s/ "
            f"{{ print $8 }}'); [ -n \"$r\" ]; do\n"
            f"[ $(date +%s) -gt $end ] && {{ xl list -v; exit 1; }}\n"
            f"usleep 200000; done; echo $r", limit + 60).strip()

    def verify(self, gap):
        """After an update that lasted so many ms."""
        lab, host = self.lab, self.host
        host.must(f"resumeguest {self.asleep.domid()}")
        ok, _, said = self.asleep.answer()
        lab.check(ok, "the suspended guest goes on", "; ".join(said))
        ok, _, said = self.asleep.command("verify", "dogs", expired=1)
        lab.check(ok, "a watchdog that expired while its guest was suspended is taken, "
                  "and does not bite", "; ".join(said))

        reason = self.down(self.awake)
        last = re.findall(r"^alive (\d+)", self.awake.console(200), re.M)[-1:]
        lab.check(reason == "4" and last and
                  -SLACK < int(last[0]) - BITE * 1000 - gap < SLACK,
                  "a watchdog bites when its time is over, less the gap",
                  f"reason {reason}, last alive after {last} ms of {BITE} s, "
                  f"gap {gap} ms")
        lab.say(f"awake: last alive after {last} ms")
        for guest in (self.awake, self.asleep):
            host.must(f"xl destroy {guest.name}")


def start_console_log(host):
    """xenconsoled keeps what Xen prints, from now on."""
    host.must("kill $(cat /run/xen/xenconsoled.pid); mkdir -p /var/log/xen/console\n"
              "while pidof xenconsoled >/dev/null; do usleep 50000; done\n"
              "xenconsoled --log=hv --pid-file=/run/xen/xenconsoled.pid")


def check_raised(lab, host, micro, since, when):
    """Each vCPU was raised, and dom0 has read of each once, of no other."""
    said = RAISED.findall(host.log.read_bytes()[since:].decode(errors="replace"))
    lab.say(f"{when}: raised: " + " ".join(f"d{d}v{v}:{at}" for _, d, v, at in said))
    missing = [f"d{d}v{v}" for d in micro.ids.values() for v in range(3, 10)
               if not any((d, v) == (int(rd), int(rv)) for _, rd, rv, _ in said)]
    lab.check(not missing, f"{when}: events of all vCPUs were raised",
              " ".join(missing))
    text = ""
    for _ in range(50):
        text = host.must(f"sed -n '/live-update: raised/p' {HV_LOG}")
        if text.count("\n") >= len(said):
            break
        host.must("usleep 100000")
    got = [line for line, *_ in RAISED.findall(text)]
    lab.check(got[-len(said):] == [line for line, *_ in said],
              f"{when}: dom0 has read all that was printed in the pause, once",
              f"{len(got)} lines in dom0, {len(said)} in the log")


def refused(lab, host, updates, what, pattern):
    """An update that has to be refused with a line of that pattern."""
    since = host.log.stat().st_size
    rc, out = load(host, updates.paths[0], updates.args)
    if rc == 0:
        rc, out = execute(host)
    said = reasons(host, since)
    lab.check(rc and any(re.search(pattern, line) for line in said),
              f"{what} is refused by name",
              "; ".join([f"exit code {rc}", out.strip(), *said]))


def refusals(lab, host, micro, updates):
    """What is not carried is refused, and only as long as it is there."""
    micro.do("linear tables", "2l", "set", "linear")
    refused(lab, host, updates, "a table linked with one of its level",
            r"blocked by d\d+: linear-pt: L4 table")
    micro.do("linear tables", "2l", "end", "linear")


def run(lab):
    count = lab.param("UPDATES", 2)
    seed = lab.param("RAISE", 0)
    wanted = lab.param("TESTS", ",".join(TESTS)).split(",")
    images = next_xens(lab, count)
    files = microguest.files()
    paths = install(files, images)
    # A debug build has a megabyte to say of such guests.
    append = "liveupdate=64M guest_loglvl=none"
    if seed:
        append += f" lu-raise={seed} conring_size=64k"
    with lab.host(append=append, files=files) as host:
        host.boot()
        host.must("xenstart")
        if seed:
            start_console_log(host)
        micro = Micro(lab, host, wanted)
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, w)
        if count and "2l" in wanted:
            refusals(lab, host, micro, updates)
        for n in range(count or 1):
            name = f"update {n + 1}"
            dogs = Dogs(lab, host) if "dogs" in wanted and not n else None
            micro.set(f"before {name}", n + 1)
            if dogs:
                dogs.arm()
            since = host.log.stat().st_size
            if count and not updates.once():
                break
            if seed and count:
                check_raised(lab, host, micro, since, name)
            micro.verify(name, n + 1, int(n + 1 >= count), raised=int(bool(seed)))
            if dogs:
                dogs.verify(max(updates.gaps, default=0))
        for name in micro.guests:
            host.must(f"xl destroy {name}")
        updates.finish()

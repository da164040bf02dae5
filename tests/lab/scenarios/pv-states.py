# SPDX-License-Identifier: GPL-2.0-only
"""Guests in every state that an operator meets: found in just that state, and usable.

Five micro-guests: "busy" runs, with a cap and its own TSC; "idle" is blocked, with an
emulated TSC and a time offset; "paused" is paused twice; "off" has shut down and
"crashed" has crashed, both preserved.  Three Linux guests: "few" has a vCPU that is
offline and one that was never up, affinities and weight; "saving" waits in the suspend
of an xl save whose file takes no more; "built" has a builder that stands still, by
turns before the guest has memory and when it has.

GUESTS are some of these names, with commas (default all).

Before each of UPDATES (default 2) updates each is brought into its state, which is
checked.  After it everything that xl and Xen tell of any of them is what it was, and
then each is used as what it is: see use_*().  TO: flavours that take turns as the new
Xen, 4.17-shifted and 4.17.
"""

from lablib import guest, microguest
from lablib.place import LabError
from lablib.toolstack import (
    all_vcpus, domains, shares, states, until, vcpus)
from lablib.update import Updates, install, next_xens

LINUX, MICRO = 160, 16
MARK = "mark-of-a-crashed-guest"
CAP, OFFSET = 25, 5400
PIPE, SAVED = "/run/lab/pipe", "/run/lab/saved"
FEW = {0: ("0", "all"), 1: ("1", "0"), 2: ("all", "1")}

# More lines of a micro-guest's xl.cfg.
CONFIG = {
    "busy": f'cap = {CAP}\ncpu_weight = 100\ntsc_mode = "native"\ncpus = "1"\n',
    "idle": f'tsc_mode = "always_emulate"\nrtc_timeoffset = {OFFSET}\n',
    "paused": "",
    "off": 'on_poweroff = "preserve"\n',
    "crashed": "",
}

# What else micro-guests of a kind want.
MICROS = {"pv": {}, "pvh": {"kind": "pvh", "vcpus": 1}}

# What each is, for its checks, and what has to be so before an update.
WHAT = {
    "busy": "running", "idle": "blocked", "paused": "paused twice",
    "off": "shut down and preserved", "crashed": "crashed and preserved",
    "few": "vCPUs offline", "saving": "suspended by xl save", "built": "being built",
}
ALIVE = {"dying": 0, "shutdown": 0, "code": 255, "paused": 0}
WANT = {
    "busy": {"run state": {**ALIVE, "blocked": 0}, "weight and cap": (100, CAP),
             "TSC mode": 2},
    "idle": {"run state": {**ALIVE, "blocked": 1}, "TSC mode": 1},
    "paused": {"run state": {**ALIVE, "paused": 1}},
    "off": {"run state": {**ALIVE, "shutdown": 1, "code": 0}},
    "crashed": {"run state": {**ALIVE, "shutdown": 1, "code": 3}},
    "few": {"run state": ALIVE, "vCPUs online": [0], "affinity": FEW,
            "weight and cap": (700, 150)},
    "saving": {"run state": {**ALIVE, "shutdown": 1, "code": 2}},
    "built": {"run state": {**ALIVE, "paused": 1}, "vCPUs online": []},
}
# The order in which they are used: what is saved takes the place of what was built.
USED = ("busy", "idle", "paused", "off", "crashed", "few", "built", "saving")
# These do not run: not a nanosecond.
STILL = ("paused", "off", "crashed", "saving", "built")


class States:
    """The guests, and what is done to them."""

    def __init__(self, lab, host, kind, names):
        self.lab, self.host, self.kind = lab, host, kind
        self.when, self.names = "", names
        self.guests, self.were, self.cost = {}, {}, {}

    def check(self, ok, name, what, detail=""):
        return self.lab.check(ok, f"{self.when}: {name} ({WHAT[name]}): {what}",
                              str(detail))

    def wait(self, condition, name, what, limit=60):
        """Checks that a condition of dom0's shell comes true."""
        return self.check(until(self.host, condition, limit), name, what,
                          f"not within {limit} s: {condition}")

    def state(self, name):
        """What Xen says of one guest."""
        return states(self.host, {name: self.guests[name].domid()})[name]

    # What can be told of all guests

    def look(self):
        """{name: {facet: value}}, and how long each has run."""
        ids = {n: d.id for n, d in domains(self.host).items()
               if n in self.names}
        cpus, share = all_vcpus(self.host), shares(self.host)
        said = states(self.host, ids)
        out, ran = {}, {}
        for name in self.names:
            if name not in ids:
                out[name], ran[name] = {}, None
                continue
            s, v = said[name], cpus.get(name, {})
            keys = WANT[name]["run state"]
            out[name] = {
                "run state": {k: s[k] for k in keys},
                "vCPUs online": [n for n, c in v.items() if c.state[2] != "p"],
                "affinity": {n: (c.hard, c.soft) for n, c in v.items()},
                "weight and cap": share.get(name),
                "TSC mode": s["tsc_mode"],
                "TSC": (s["tsc_khz"], s["incarnation"]),
                "memory": (s["pages"], s["max_pages"], s["claimed"]),
            }
            ran[name] = s["cpu_time"]
        return out, ran

    # Before an update

    def create(self, name, **kw):
        g = self.guests[name] = guest.Guest(self.host, name, self.kind, memory=LINUX,
                                            **kw)
        return g.create()

    def micro(self, name):
        if name in self.guests:
            return self.guests[name]
        g = self.guests[name] = microguest.MicroGuest(
            self.host, name, memory=MICRO, options=f"fifo {MARK}",
            config=CONFIG[name], **MICROS[self.kind])
        return g.create()

    def order(self, name, verb, test, **args):
        """A command to a micro-guest, which has to succeed; what it notes."""
        ok, values, said = self.guests[name].command(verb, test, **args)
        self.check(ok, name, f"{verb} {test}", "; ".join(said))
        return values

    def prepare(self, n):
        """Brings each into its state."""
        self.when = f"before update {n}"
        for name in self.names:
            getattr(self, f"make_{name}", self.micro)(name)
        for name in self.names:
            getattr(self, f"begin_{name}", lambda n: None)(n)
        self.were, self.ran = self.look()
        for name in self.names:
            want = dict(WANT[name])
            if name == "busy":
                want["affinity"] = {v: ("1", "all") for v in
                                    self.were[name]["affinity"] or [0]}
            got = {k: self.were[name].get(k) for k in want}
            self.check(got == want, name, "it is", f"{got}, want {want}")

    def make_few(self, name):
        if name in self.guests:
            return
        self.create(name, vcpus=2, config=(
            "maxvcpus = 3\ncpu_weight = 700\ncap = 150\n"))
        for cpu, (hard, soft) in FEW.items():
            self.host.must(f"xl vcpu-pin {name} {cpu} {hard} {soft}")

    def make_saving(self, name):
        if name not in self.guests:
            self.create(name).must("cat /proc/sys/kernel/random/uuid >/run/mark")

    def make_built(self, name):
        self.guests[name] = guest.Guest(self.host, name, self.kind, memory=LINUX,
                                        vcpus=2)

    def begin_off(self, _):
        self.down("off", 0)

    def begin_crashed(self, _):
        self.down("crashed", 3)

    def begin_paused(self, _):
        for _ in range(2):
            self.host.must("xl pause paused")

    def begin_few(self, _):
        self.host.must("xl vcpu-set few 1")
        until(self.host, "xl vcpu-list few | awk '$3 == 1 && $5 == \"--p\" "
              "{ ok = 1 } END { exit !ok }'")

    def begin_saving(self, _):
        """xl save to a pipe that nobody reads: it gets as far as 64 KiB."""
        self.same = self.life(self.guests["saving"])
        self.host.must(
            f"rm -f {PIPE} {SAVED}*; mkfifo {PIPE}\n"
            # The shell holds both ends, so that xl can open it.
            f"(exec 4<>{PIPE}; xl save -c saving {PIPE} >{SAVED}.out 2>&1; "
            f"echo $? >{SAVED}.rc) 3>&- </dev/null >/dev/null 2>&1 &")
        self.reaches("saving", "shutdown=1 code=2")

    def begin_built(self, n):
        g = self.guests["built"]
        g.half_build(0 if n % 2 else LINUX << 7)
        pages = self.state("built")["pages"]
        self.check(bool(pages) != bool(n % 2), "built",
                   f"it has {'no' if n % 2 else 'some'} memory", f"{pages} pages")

    def begin_idle(self, _):
        self.order("idle", "set", "clocks")
        self.written = self.state("idle")["written"]

    def begin_busy(self, n):
        self.order("busy", "set", "clocks")
        self.order("busy", "set", "regs", seed=n)

    def life(self, g):
        """What tells whether a Linux guest is still the same one."""
        return g.must("cat /proc/sys/kernel/random/boot_id /run/mark").split()

    def down(self, name, code):
        self.guests[name].post("set", "down", reason=code)
        self.reaches(name, f"shutdown=1 code={code}")

    def reaches(self, name, state):
        domid = self.guests[name].domid()
        self.wait(f"domstate {domid} | grep -q '{state}'", name, "it gets there")

    # After it

    def found(self):
        """Each guest is what it was."""
        now, ran = self.look()
        for name in self.names:
            for facet, was in self.were[name].items():
                got = now[name].get(facet)
                self.check(got == was, name, f"its {facet} as before",
                           f"{got}, was {was}")
            if name in STILL:
                self.check(ran[name] == self.ran[name], name, "it has not run",
                           f"{ran[name]} ns, were {self.ran[name]}")
        if "busy" in self.names:
            self.check(ran["busy"] > self.ran["busy"], "busy", "it has run",
                       f"{ran['busy']} ns, were {self.ran['busy']}")

    def gone(self, name):
        """Destroys a guest; nothing of it is left."""
        domid = self.guests.pop(name).domid()
        self.host.must(f"xl destroy {domid} 2>&1")
        self.wait(f"! xl list {domid} && [ -z \"$(xenstore list "
                  f"/local/domain/{domid})\" ]", name, "xl destroy leaves nothing")

    def shares(self, name, weight, cap):
        self.host.must(f"xl sched-credit2 -d {name} -w {weight} -c {cap}")
        got = shares(self.host)[name]
        self.check(got == (weight, cap), name, "xl sched-credit2 sets it", got)

    def use_busy(self):
        """It gets what its cap says; the registers of its vCPU are as they were."""
        domid = self.guests["busy"].domid()
        out = self.host.must(
            f"domstate {domid}; cat /proc/uptime; sleep 1; "
            f"domstate {domid}; cat /proc/uptime").splitlines()
        ran = [int(line.split("cpu_time=")[1].split()[0]) for line in out[::2]]
        at = [float(line.split()[0]) for line in out[1::2]]
        share = (ran[1] - ran[0]) / (at[1] - at[0]) / 1e7
        self.check(CAP / 2 < share < CAP * 1.5, "busy", f"its cap of {CAP} % holds",
                   f"{share:.1f} % of a CPU")
        self.lab.say(f"busy has {share:.1f} % of a CPU")
        self.order("busy", "verify", "regs")
        self.cost["busy"] = int(self.order("busy", "verify", "clocks")["cost"])
        self.shares("busy", 300, 80)
        self.shares("busy", 100, CAP)

    def use_idle(self):
        """Xen answers its RDTSC, from where it was; Xen writes its time of day."""
        self.cost["idle"] = int(self.order(
            "idle", "verify", "clocks", emulated=1)["cost"])
        self.check(self.cost["idle"] > 10 * self.cost["busy"], "idle",
                   "its RDTSC is emulated, that of busy is not", self.cost)
        self.host.must("domstate set")
        domid = self.guests["idle"].domid()
        self.wait(f"[ $(domstate {domid} | sed 's/.*written=//') -gt "
                  f"{self.written} ]", "idle", "Xen writes its time of day")
        day = {n: self.state(n)["wallclock"] for n in ("idle", "busy")}
        self.check(day["idle"] - day["busy"] == OFFSET, "idle",
                   f"its time offset is {OFFSET} s", day)

    def use_paused(self):
        """It takes two unpauses until it runs."""
        for left in (1, 0):
            at = self.state("paused")["cpu_time"]
            self.host.must("xl unpause paused")
            if left:
                self.host.must("sleep 1")
                now = self.state("paused")
                self.check(now["paused"] and now["cpu_time"] == at, "paused",
                           "one unpause is not enough", now)
        self.order("paused", "set", "clocks")
        now = self.state("paused")
        self.check(not now["paused"], "paused", "two are", now)

    def use_off(self):
        self.gone("off")

    def use_crashed(self):
        """Its memory can still be looked at."""
        if self.kind == "pv":
            self.host.must("xl dump-core crashed /run/lab/core 2>&1", 300)
            found = self.host.must(f"found {MARK} /run/lab/core; rm /run/lab/core")
        else:
            # It would map each frame below 4 GiB by itself, most of them not there.
            found = self.host.must(
                f"found {MARK} -d {self.guests['crashed'].domid()} {MICRO}")
        self.check(int(found) > 0, "crashed", "a tool finds its memory",
                   f"found {found.strip()} times")
        self.gone("crashed")

    def use_few(self):
        """The others come up, each where its affinity wants it, and can be moved."""
        g, host = self.guests["few"], self.host
        self.check(g.must("nproc").strip() == "1", "few", "its kernel has one")
        host.must("xl vcpu-set -i few 3")
        cpu = "/sys/devices/system/cpu/cpu"
        # No udev there to do it.
        g.must("for n in 1 2; do i=0; "
               f"until [ -e {cpu}$n/online ] && echo 1 >{cpu}$n/online; do "
               "usleep 100000; i=$((i+1)); [ $i -gt 300 ] && exit 1; done; done")
        did = g.must("nproc; for n in 1 2 4; do "
                     "taskset $n sh -c 'cut -d\" \" -f39 /proc/self/stat'; done")
        self.check(did.split() == ["3", "0", "1", "2"], "few",
                   "xl vcpu-set brings up all", did)
        seen = vcpus(host, "few")
        self.check((seen[0].cpu, seen[1].cpu) == ("0", "1"), "few",
                   "they run where their affinity says", seen)
        host.must("xl vcpu-pin few 0 1 0")
        seen = vcpus(host, "few")
        self.check((seen[0].hard, seen[0].soft) == ("1", "0"), "few",
                   "xl vcpu-pin changes that", seen)
        host.must("xl vcpu-pin few 0 {} {}".format(*FEW[0]))
        self.shares("few", 50, 0)
        self.shares("few", 700, 150)

    def use_saving(self):
        """xl save completes, the guest goes on, and what was saved can be restored."""
        host, g = self.host, self.guests["saving"]
        host.must(f"cat {PIPE} >{SAVED}; until [ -s {SAVED}.rc ]; do usleep 50000; "
                  "done", 300)
        rc, size = host.must(f"cat {SAVED}.rc; stat -c %s {SAVED}").split()
        self.check(rc == "0" and int(size) >> 20 > LINUX // 2, "saving",
                   "xl save completes", f"exit code {rc}, {size} bytes; " +
                   host.must(f"cat {SAVED}.out"))
        now = self.life(g)
        self.check(now == self.same, "saving", "it resumes and is the same",
                   f"{now}, was {self.same}")
        self.gone("saving")
        host.must(f"xl restore {SAVED} 2>&1; rc=$?; rm {SAVED}; exit $rc", 300)
        self.guests["saving"] = g
        g.listen().there()
        now = self.life(g)
        self.check(now == self.same, "saving", "xl restore brings it back",
                   f"{now}, was {self.same}")

    def use_built(self):
        """Its builder comes to an end, and it boots."""
        g = self.guests["built"]
        g.finish_build()
        state = self.were["built"]["run state"]
        now = {k: v for k, v in self.state("built").items() if k in state}
        self.check(now == state, "built", "it waits to be started", now)
        self.host.must("xl unpause built")
        g.meet()
        self.check(g.must("nproc").strip() == "2", "built", "it boots, with both vCPUs")
        self.gone("built")

    def use(self):
        for name in sorted(self.names, key=list(USED).index):
            try:
                getattr(self, f"use_{name}")()
            except (LabError, KeyError) as e:
                self.host.check()
                self.check(False, name, "it can be used", repr(e))


def run(lab, kind="pv"):
    lab.params.setdefault("TO", "4.17-shifted,4.17")
    names = [n for n in lab.param("GUESTS", ",".join(WHAT)).split(",")]
    count = lab.param("UPDATES", 2)
    images = next_xens(lab, count)
    files = {**guest.files(), **microguest.files()}
    paths = install(files, images)
    with lab.host(append="liveupdate=64M guest_loglvl=none", files=files,
                  mem=3072) as host:
        host.boot()
        host.must("xenstart")
        s = States(lab, host, kind, names)
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, w)
        for n in range(1, max(count, 1) + 1):
            s.prepare(n)
            if count and not updates.once():
                raise LabError("no update took place")
            s.when = f"update {n}" if count else "without an update"
            s.found()
            s.use()
        for name in list(s.guests):
            s.gone(name)
        updates.finish()

# SPDX-License-Identifier: GPL-2.0-only
"""Debian's xl on guests that lived through an update: each command by its effect.

After each of UPDATES (default 2) updates dom0's unchanged tools work on guests that
were there before it: "keep" (list, console, pause, mem-set, vcpu-set, block devices,
watches, then save and restore), "go" (reboot), "move" (migrate to this same host),
"off" (shutdown), "dead" (destroy).  "file" is saved before each update and restored
after it.  What comes of them, and new guests in the place of those that ended, live
through the next update.  Every new domain has to get the next domid.  TO: flavours that
take turns as the new Xen.

A command that fails is a failed check; the others are tried all the same.
"""

from lablib import guest
from lablib.place import LabError
from lablib.toolstack import config, domains, store, until, vcpus
from lablib.update import Updates, install, next_xens

MEMORY = 160
DISK = "format=raw,vdev={},access=rw,backendtype=phy,script=/bin/hotplug,target={}"
TYPE, HEARD = "/run/lab/type.keep", "/run/lab/console.keep"


class Round:
    """What is tried after one update, on the guests that lived through it."""

    def __init__(self, lab, host, kind):
        self.lab, self.host, self.kind = lab, host, kind
        self.highest = 0
        self.when = "before the update"
        self.words = self.sessions = self.number = 0
        self.guests, self.away = {}, {}

    # What the steps are made of

    def check(self, ok, what, detail=""):
        return self.lab.check(ok, f"{self.when}: {what}", str(detail))

    def wait(self, condition, what, limit=60):
        """Checks that a condition of dom0's shell comes true."""
        return self.check(until(self.host, condition, limit), what,
                          f"not within {limit} s: {condition}")

    def next_id(self, g):
        """A domain has been made for g: it must have got the next domid."""
        got, want = g.domid(), self.highest + 1
        self.highest = max(want, got)
        self.check(got == want, f"{g.name} gets the next domid",
                   f"{got}, want {want}")

    def create(self, name, **kw):
        g = self.guests[name] = guest.Guest(self.host, name, self.kind, memory=MEMORY,
                                            **kw)
        g.build("")
        self.next_id(g)
        self.attend(g)
        g.there().ticks()
        return g

    def attend(self, g):
        """Keeps what a domain prints; one program at a time may do that."""
        if g.name == "keep":
            self.console_open()
        else:
            g.listen()

    def get(self, name, where=None):
        """A guest that there should be."""
        found = (self.guests if where is None else where).get(name)
        if not found:
            raise LabError(f"{name} was lost before")
        return found

    def life(self, g):
        """What tells whether the guest is still the same one."""
        return g.must("cat /proc/sys/kernel/random/boot_id /run/mark").split()

    def gone(self, g, domid, what):
        """Checks that a domain has left neither itself nor traces."""
        self.wait(f"! xl list {domid}", f"{what}: {g.name} is gone")
        self.wait(f"[ -z \"$(xenstore list /local/domain/{domid})\" ]",
                  f"{what}: so is its directory in xenstore")

    # Before the update

    def console_open(self):
        """A session of xl console on a terminal, which stays open."""
        # That of an HVM guest would be its serial line.
        which = "-t pv " if self.kind == "hvm" else ""
        self.host.must(
            f"rm -f {TYPE}; mkfifo {TYPE}\n"
            f"(setsid sh -c 'onpty xl console {which}keep <>{TYPE}; "
            f"echo console ends' >>{HEARD} 2>&1 3>&- &)")

    def console_ends(self, why):
        self.sessions += 1
        self.wait(f"[ $(grep -c 'console ends' {HEARD}) = {self.sessions} ]",
                  f"console: {why} ends the session")

    def begin(self):
        """Guests and what runs in them, at the very start."""
        self.create("keep", config=(
            f"maxvcpus = 2\ndisk = ['{DISK.format('xvda', '/dev/loop0')}']\n"))
        for name in ("go", "move", "off", "dead", "file"):
            self.create(name)
        self.get("keep").must(
            "(while read -r word; do echo heard $word; done "
            "</dev/hvc0 >/dev/hvc0 2>&1 &)")

    def prepare(self):
        """Before each update: what has to live through it."""
        self.when = "before the update"
        for g in self.guests.values():
            g.must("[ -e /run/mark ] || cat /proc/sys/kernel/random/uuid >/run/mark")
        keep, host = self.get("keep"), self.host
        self.put_away("file")
        self.watch = f"/local/domain/{keep.domid()}/data"
        host.must(f"xenstore write {self.watch}/poke 0\n"
                  "rm -f /run/lab/watch\n"
                  f"(xenstore watch -n 2 {self.watch}/call >/run/lab/watch 2>&1 "
                  "3>&- &)")
        keep.must("rm -f /run/watch\n"
                  "(xenstore watch -n 2 data/poke >/run/watch 2>&1 &)")
        for where, file in ((host, "/run/lab/watch"), (keep, "/run/watch")):
            where.must(f"until [ -s {file} ]; do usleep 50000; done")
        # The highest domid has to be one that is free again.
        last = guest.Guest(host, "last", self.kind, memory=MEMORY)
        last.build()
        self.next_id(last)
        host.must("xl destroy last")
        self.wait("! xl list last", "the domain with the highest domid is gone")
        self.same = {n: self.life(g) for n, g in self.guests.items()}
        self.were = domains(host)
        self.config = config(host, "keep")

    # After the update

    def list(self):
        now = domains(self.host)
        for name, was in self.were.items():
            got = now.get(name)
            self.check(got and got[:3] == was[:3] and
                       got.seconds >= was.seconds,
                       f"xl list has {name} as before", f"{got}, was {was}")
        self.check(set(now) == set(self.were), "xl list has no other domain",
                   f"{sorted(now)}, were {sorted(self.were)}")
        got = config(self.host, "keep")
        self.check(got == self.config, "xl list -l has keep's configuration",
                   f"{got}, was {self.config}")
        for name, g in self.guests.items():
            self.check(self.life(g) == self.same[name] and g.ticking(),
                       f"{name} is the same and goes on")

    def console(self):
        self.speak("with the session that was open")
        self.host.must(f"printf '\\035' >{TYPE}")
        self.console_ends("Ctrl-]")
        self.console_open()
        self.speak("with a new session")

    def speak(self, how):
        """Checks that a word goes in by the console, and comes out again."""
        self.words += 1
        word = f"word{self.words}"
        # xl console may still be opening what is typed on.
        self.wait(f"{{ echo {word} >{TYPE}; usleep 500000; "
                  f"grep -q 'heard {word}' {HEARD}; }}",
                  f"console: in and out {how}", 30)

    def dmesg(self):
        mark = self.host.must("xl debug-keys h; xl dmesg | "
                              "grep -c \"'h' pressed\"; xl dmesg | tail -n 60 | "
                              "grep -c \"'h' pressed\"; true").split()
        self.check(mark == [str(self.number), "1"],
                   "xl dmesg shows what Xen has just printed", mark)

    def pause(self):
        keep = self.get("keep")
        self.host.must("xl pause keep; sleep 1")
        state, at = domains(self.host)["keep"].state, keep.tick()
        self.host.must("sleep 2")
        self.check(state[2] == "p" and keep.tick() == at,
                   "xl pause stops it", f"{state}, {at} to {keep.tick()}")
        self.host.must("xl unpause keep")
        self.check(keep.ticking(), "xl unpause lets it go on")

    def mem_set(self):
        keep = self.get("keep")
        total = "sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo"
        first = int(keep.must(total))
        # xl lists an HVM guest without the memory of its screen.
        beside = keep.memory - domains(self.host)["keep"].memory
        for size in (keep.memory - 16, keep.memory):
            self.host.must(f"xl mem-set keep {size}")
            self.wait(f"[ $(xl list keep | awk 'NR == 2 {{ print $3 }}') = "
                      f"{size - beside} ]", f"xl mem-set: the domain has {size} MiB")
            got, want = int(keep.must(total)), first - (keep.memory - size) * 1024
            self.check(abs(got - want) < 1024,
                       f"xl mem-set: so does its kernel ({size} MiB)",
                       f"{got} kB, want {want}")

    def vcpu_set(self):
        keep = self.get("keep")
        cpu = "/sys/devices/system/cpu/cpu1"
        self.host.must("xl vcpu-set keep 2")
        # No udev there to do it.
        keep.must(f"i=0; until [ -e {cpu}/online ] && echo 1 >{cpu}/online; do "
                  "usleep 100000; i=$((i+1)); [ $i -gt 300 ] && exit 1; done")
        state = vcpus(self.host, "keep")[1].state
        did = keep.must("nproc; taskset 2 sh -c 'cut -d\" \" -f39 /proc/self/stat'")
        self.check(did.split() == ["2", "1"] and "p" not in state,
                   "xl vcpu-set 2: the second vCPU works", f"{did} {state}")
        if self.kind == "hvm":
            # QEMU adds vCPUs; xl has nothing that removes them.
            return
        self.host.must("xl vcpu-set keep 1")
        self.wait("xl vcpu-list keep | awk '$3 == 1 && $5 == \"--p\" { ok = 1 } "
                  "END { exit !ok }'", "xl vcpu-set 1: it is offline again")
        self.check(keep.must("nproc").strip() == "1",
                   "xl vcpu-set 1: for its kernel too")

    def disk(self, dev, back, how):
        """Checks that what the guest writes is in the file behind its disk."""
        keep = self.get("keep")
        keep.must(f"i=0; until [ -b /dev/{dev} ]; do usleep 100000; i=$((i+1)); "
                  "[ $i -gt 300 ] && exit 1; done\n"
                  "dd if=/dev/urandom of=/run/data bs=64k count=8 2>/dev/null; "
                  f"dd if=/run/data of=/dev/{dev} bs=64k oflag=direct 2>/dev/null")
        wrote = keep.must("md5sum </run/data")
        here = self.host.must(f"head -c 524288 {back} | md5sum")
        read = keep.must(f"dd if=/dev/{dev} bs=64k count=8 iflag=direct "
                         "2>/dev/null | md5sum")
        self.check(wrote == here == read, f"{how}: {dev} is written and read",
                   f"{wrote} {here} {read}")

    def block(self):
        self.disk("xvda", "/run/disk0", "attached before the update")
        for dev, nr in (("xvda", 0), ("xvdb", 1)):
            if dev == "xvdb":
                self.attach(dev, nr)
            self.detach(dev)
        self.attach("xvda", 0)

    def attach(self, dev, nr):
        self.host.must(f"xl block-attach keep "
                       f"'{DISK.format(dev, f'/dev/loop{nr}')}' 2>&1")
        self.disk(dev, f"/run/disk{nr}", "xl block-attach")

    def detach(self, dev):
        number = {"xvda": 51712, "xvdb": 51728}[dev]
        back = f"/local/domain/0/backend/vbd/{self.get('keep').domid()}/{number}"
        self.host.must(f"xl block-detach keep {dev} 2>&1")
        rc, out = self.get("keep").run(f"ls /sys/block/{dev}")
        self.check(rc, f"xl block-detach: {dev} is gone in the guest", out)
        self.check(not store(self.host, back + "/state"),
                   f"xl block-detach: {dev} is gone in xenstore")

    def watches(self):
        keep, host = self.get("keep"), self.host
        keep.must("xenstore write data/call 1")
        self.wait(f"[ $(grep -c {self.watch}/call /run/lab/watch) = 2 ]",
                  "a watch set before the update fires in dom0")
        host.must(f"xenstore write {self.watch}/poke 1")
        rc, out = keep.run("i=0; until [ $(grep -c data/poke /run/watch) = 2 ]; do "
                           "usleep 100000; i=$((i+1)); [ $i -gt 300 ] && "
                           "cat /run/watch && exit 1; done")
        self.check(rc == 0, "a watch set before the update fires in the guest", out)
        host.must(f"rm -f /run/lab/watch; (xenstore watch -n 2 {self.watch}/call "
                  ">/run/lab/watch 2>&1 3>&- &)")
        self.wait("[ -s /run/lab/watch ]", "a new watch is set in dom0")
        keep.must("xenstore write data/call 2")
        self.wait(f"[ $(grep -c {self.watch}/call /run/lab/watch) = 2 ]",
                  "a new watch fires in dom0")

    def destroy(self):
        g = self.get("dead")
        domid = g.domid()
        self.host.must("xl destroy dead")
        del self.guests["dead"]
        self.gone(g, domid, "xl destroy")

    def shutdown(self):
        g = self.get("off")
        domid = g.domid()
        self.host.must("xl shutdown off 2>&1")
        del self.guests["off"]
        self.gone(g, domid, "xl shutdown")

    def reboot(self):
        go = self.get("go")
        old, was = go.domid(), self.life(go)[0]
        self.host.must("xl reboot go 2>&1")
        self.wait(f"xl domid go && [ $(xl domid go) != {old} ]",
                  "xl reboot: there is a new domain", 120)
        self.next_id(go)
        go.listen().there()
        now = go.must("cat /proc/sys/kernel/random/boot_id").strip()
        self.check(now != was, "xl reboot: it has booted", f"{now}, was {was}")
        self.gone(go, old, "xl reboot")
        go.ticks()

    def save(self):
        """Both ways after the update."""
        self.put_away("keep")
        self.console_ends("the end of the domain")
        keep = self.take_back("keep")
        self.disk("xvda", "/run/disk0", "xl restore")
        self.speak("of a restored guest")

    def restore(self):
        """What was saved before the update, under the other Xen."""
        self.take_back("file")

    def put_away(self, name):
        g = self.get(name)
        state, old = (g, self.life(g), g.tick()), g.domid()
        self.host.must(f"xl save {name} /run/{name}.save 2>&1", 300)
        self.away[name] = state
        del self.guests[name]
        self.gone(g, old, "xl save")
        size = int(self.host.must(f"stat -c %s /run/{name}.save")) >> 20
        self.check(size > g.memory // 2,
                   f"xl save: the file holds the memory of {name}", f"{size} MiB")

    def take_back(self, name):
        g, was, at = self.get(name, self.away)
        self.host.must(f"xl restore /run/{name}.save 2>&1; rc=$?; "
                       f"rm /run/{name}.save; exit $rc", 300)
        self.guests[name] = g
        del self.away[name]
        self.next_id(g)
        self.attend(g)
        self.goes_on(g, was, at, f"xl restore of {name}")
        return g

    def migrate(self):
        move = self.get("move")
        was, old, at = self.life(move), move.domid(), move.tick()
        # No ssh: what would run at the other end is run here.
        self.host.must("xl migrate -s '' move 'xl migrate-receive' 2>&1", 300)
        self.next_id(move)
        self.gone(move, old, "xl migrate")
        self.attend(move)
        self.goes_on(move, was, at, "xl migrate")

    def goes_on(self, g, was, at, what):
        g.there()
        now = self.life(g)
        self.check(now == was, f"{what}: it is the same", f"{now}, was {was}")
        self.check(g.ticking() and g.tick() > at, f"{what}: it goes on",
                   f"at {g.tick()}, was {at}")

    STEPS = ("list", "watches", "console", "dmesg", "pause", "mem_set", "vcpu_set",
             "block", "destroy", "shutdown", "reboot", "migrate", "save", "restore")

    def all(self, n, more):
        """Every step, and new guests for those that have ended.

        One will do when no more updates come.
        """
        self.when, self.number = f"update {n}", n
        for step in self.STEPS:
            try:
                getattr(self, step)()
            except LabError as e:
                self.host.check()
                self.check(False, f"{step} runs to its end", e)
        for name in ("off", "dead") if more else ("off",):
            if name not in self.guests:
                self.create(name)


def run(lab, kind="pv", more=(), dom0_mem=1024):
    """`kind` is what the guests are; `more` are files that dom0 needs besides."""
    count = lab.param("UPDATES", 2)
    images = next_xens(lab, count)
    files = {**guest.files(), **dict(more)}
    paths = install(files, images)
    with lab.host(append="liveupdate=64M", files=files,
                  mem=dom0_mem + (4096 if more else 2048),
                  dom0_mem=dom0_mem) as host:
        host.boot()
        host.must("xenstart && modprobe -a loop xen-blkback\n"
                  "for i in 0 1; do dd if=/dev/zero of=/run/disk$i bs=1M count=4; "
                  "losetup /dev/loop$i /run/disk$i || exit 1; done 2>/dev/null")
        r = Round(lab, host, kind)
        r.begin()
        updates = Updates(lab, host, images, paths,
                          lab.witnesses(host, [("heartbeat", "{tsc}")]))
        for n in range(1, count + 1):
            r.prepare()
            if not updates.once():
                raise LabError("no update took place")
            r.all(n, n < count)
        for g in r.guests.values():
            host.must(f"xl destroy {g.name}")
        updates.finish()

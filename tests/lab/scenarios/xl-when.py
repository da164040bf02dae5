# SPDX-License-Identifier: GPL-2.0-only
"""xl live-update at bad moments: done or refused, never stuck.

An update is started in dom0's shell while something else goes on.  It must come to an
end: done, or refused with a reason and nothing changed.  Either way Xen's count of updates
agrees with what xl said, witnesses in dom0 and in a guest go on (without a gap where no
update was done), another guest can be created and destroyed, and a last update is done.

  xen     Xen is out of memory: a guest made by xl takes nearly all, a domain without
          vCPUs the rest, or claims it.  What a refusal says is missing is given back, first
          not quite all of it, until an update is done
  dom0    dom0 is out of memory, by a file of a tmpfs: LEFT (MiB, a list) are available
  create  an xl create is under way, for the times of DELAYS (ms)
  twice   xl live-update twice at once, told to wait or not, and xl beside kexec, so many
          ms apart
  tries   a second xl or kexec comes while Xen tries an update again and again, which wants
          a flavour with fault injection and is not among the default
  end     dom0 goes down meanwhile, on a host of its own for each of ENDS: an orderly end,
          after an update or without one

PARTS chooses among them.
"""

import re
import shlex
import time
from errno import ENOMEM

from lablib import guest, microguest
from lablib.host import DEAD
from lablib.place import LabError
from lablib.toolstack import free, ours, until
from lablib.update import install, reasons
from lablib.witness import Together
from lablib.xl import NOTHING_CHANGED, REFUSED, UPDATED, facts, reasons_in, xl

PARTS = "xen,dom0,create,twice,end"
NEW = "/boot/xen-new"
UPDATE = f"xl live-update {NEW}"

# What is left beside the big guest: an update fits into it, as does a small guest.
BESIDE = 96
# KiB: what an update lacks once when it lacks little.
LITTLE = 64
# KiB: given back when it is not said how much is missing, as of a load.
UNTOLD = 64
MOST_STEPS = 12
# Pages that remain for the load of an image.
LEAST = 24

KILLED = 137            # by SIGKILL, as a shell tells it

# (what Xen says is missing, in KiB, as one or two numbers)
MISSING = (r"room: (\d+) KiB of the \d+ KiB of the new Xen's frame table are missing",
           r"stream: (\d+) KiB of \d+ KiB are missing",
           r"room: the new Xen needs (\d+) KiB, free or private are (\d+) KiB")


class Attempts:
    """Updates of one host, each of them judged."""

    def __init__(self, lab, host, seen):
        self.lab, self.host, self.seen = lab, host, seen
        self.number = 0

    def begin(self):
        self.since = self.host.log.stat().st_size
        self.before = facts(self.host)
        self.sample = self.seen.sample()
        self.seen.window()

    def end(self, what, done, detail, asked=True):
        """So many updates were done since begin(), as whoever did them says.

        `asked`: Xen was, and not only Linux for memory, which may take long to find none.
        """
        lab, host, done = self.lab, self.host, int(done)
        text = host.log.read_bytes()[self.since:].decode(errors="replace")
        banners = len(re.findall(r"Xen version \d", text))
        now = facts(host)
        lab.check(now["updates"] == self.before["updates"] + done ==
                  self.before["updates"] + banners,
                  f"{what}: {done} done, and Xen has counted {done}",
                  f"{now['updates']} after {self.before['updates']}, {banners} new Xens; "
                  f"{detail}; {'; '.join(reasons(host, self.since))}")
        after = lab.goes_on(self.seen, self.sample, f"{what}: dom0 and the guest go on")
        if not done and asked:
            lab.no_gap(after, f"{what}: without a gap")

    def judge(self, what, code, out, err):
        """What one xl live-update said: done or refused; returns whether it was done."""
        why = reasons_in(err)
        self.lab.check(
            code == UPDATED and "replaced by" in out or
            code == REFUSED and NOTHING_CHANGED in err and why,
            f"{what}: {'done' if code == UPDATED else 'refused: ' if why else ''}"
            + ", ".join(re.sub(r"\d+", "N", text) for _, text, _ in why),
            f"code {code}: {out} {err}")
        return code == UPDATED

    def once(self, what):
        """One xl live-update, with nothing beside it; (whether it was done, its errors)."""
        self.begin()
        code, out, err = xl(self.host, NEW, 300)
        done = self.judge(what, code, out, err)
        self.end(what, done, f"{out} {err}")
        if not done:
            self.lab.check(not facts(self.host)["is_loaded"],
                           f"{what}: nothing stays loaded")
        return done, err

    def works(self, what):
        """Another guest comes and goes, and an update is done."""
        self.number += 1
        m = microguest.MicroGuest(self.host, f"m{self.number}")
        m.create()
        self.host.must(f"xl destroy {m.name}")
        self.lab.check(until(self.host, f"! xl domid {m.name}"),
                       f"{what}: another guest comes and goes")
        done, err = self.once(f"{what}: afterwards an update")
        self.lab.check(done, f"{what}: ... is done", err)


# ---- Out of memory ---------------------------------------------------------------

def missing(text):
    """KiB that are missing as Xen says it, None if it is not about memory."""
    for pattern in MISSING:
        m = re.search(pattern, text)
        if m:
            return int(m[1]) - int(m[2]) if m.lastindex == 2 else int(m[1])
    return UNTOLD if any(error == ENOMEM for _, _, error in reasons_in(text)) else None


def squeeze(lab, host, attempts, what, take, give_back):
    """Updates with ever more memory, until one is done.

    take(pages) has so many pages taken from all that is free, which give_back() ends.
    """
    pages, lacked = (free(host) >> 2) - LEAST, []
    for _ in range(MOST_STEPS):
        take(pages)
        done, err = attempts.once(f"{what}, {len(lacked) + 1}")
        if done:
            break
        give_back()
        kib = missing(err)
        if not lab.check(kib is not None and kib > 0, f"{what}: refused for lack of memory",
                         err):
            return
        lacked.append(kib)
        # Not all of it at first: little is missing then.
        pages -= max(kib - (LITTLE if len(lacked) == 1 else 0), 4) >> 2
    lab.say(f"{what}: missing were {lacked} KiB, then it was done")
    lab.check(done and lacked, f"{what}: refused until there was enough, and then done",
              f"{lacked}")
    lab.check(any(kib <= 2048 for kib in lacked), f"{what}: little was missing once",
              f"{lacked}")
    # Once more in what the new Xen has left of it: whatever comes of it.
    attempts.once(f"{what}, by the new Xen")
    give_back()


def part_xen(lab, host, attempts):
    big = guest.Guest(host, "big", memory=(free(host) >> 10) - BESIDE)
    big.build()
    out = "/run/lab/taken"

    def take(pages):
        host.must(f"xenstate take {pages} >{out}")

    def claim(pages):
        host.must(f"xenstate build >{out} && xenstate claim $(head -n 1 {out}) {pages}")

    def give_back():
        host.must(f"xenstate end $(head -n 1 {out})")
        if not until(host, f"! xl list $(head -n 1 {out})"):
            raise LabError("what took the memory does not go")

    squeeze(lab, host, attempts, "no memory in Xen", take, give_back)
    squeeze(lab, host, attempts, "no memory for the stream", claim, give_back)
    host.must("xl destroy big")
    attempts.works("no memory in Xen")


# Nobody but xl: what the driver talks to, and xenstored, must not be chosen.
SPARE = "for p in /proc/[0-9]*; do echo -1000 >$p/oom_score_adj; done 2>/dev/null"
VICTIM = "echo 1000 >/proc/self/oom_score_adj"
AVAILABLE = "$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"


def part_dom0(lab, host, attempts):
    # Nor has the console time for what Linux says about it.
    host.must(f"dmesg -n 1; {SPARE}; mkdir -p /run/lab/eat; "
              "mount -t tmpfs -o size=100% eat /run/lab/eat")
    for left in lab.param("LEFT", "48,16,8").split(","):
        what = f"{left} MiB left to dom0"
        attempts.begin()
        host.must(f"n=$(({AVAILABLE} - 1024 * {left})); [ $n -gt 0 ] && "
                  "fallocate -l $((n * 1024)) /run/lab/eat/all", 300)
        # What Linux has to do for its memory is not what this is about.
        attempts.seen.window()
        code, out = host.run(f"({VICTIM}; exec {UPDATE}) 2>/run/lab/xl.err", 300)
        host.must("rm /run/lab/eat/all")
        err = host.must("cat /run/lab/xl.err")
        killed = code == KILLED and "xl" in host.run(
            "dmesg | tail -n 400 | grep 'Killed process'")[1]
        if killed:
            lab.say(f"{what}: Linux has killed xl")
        done = not killed and attempts.judge(what, code, out, err)
        attempts.end(what, done, f"{out} {err}", not killed)
        host.must("xl live-update --unload")
        attempts.works(what)
    host.must("umount /run/lab/eat; dmesg -n 7")


# ---- Beside others ------------------------------------------------------------------

def both(host, scripts):
    """Runs scripts in dom0 at once; [(exit code, output, errors)]."""
    host.must("".join(
        f"(sh -c {quoted} >/run/lab/both.{i} 2>/run/lab/both.{i}.err; "
        f"echo $? >/run/lab/both.{i}.rc) 3>&- </dev/null &\n"
        for i, quoted in enumerate(map(shlex.quote, scripts))) + "wait", 400)
    told = []
    for i in range(len(scripts)):
        rc, out, err = (host.must(f"cat /run/lab/both.{i}{end}")
                        for end in (".rc", "", ".err"))
        told.append((int(rc), out, err))
    return told


def delays(lab, default):
    return [int(ms) for ms in lab.param("DELAYS", default).split(",")]


def part_create(lab, host, attempts):
    for ms in delays(lab, "0,40,120,250,500"):
        what = f"{ms} ms into xl create"
        g = guest.Guest(host, "new")
        path = g.define()
        attempts.begin()
        (rc, out, err), (code, xl_out, xl_err) = both(host, [
            f"xl create {path}", f"usleep {1000 * ms}; {UPDATE}"])
        done = attempts.judge(what, code, xl_out, xl_err)
        attempts.end(what, done, xl_err)
        if lab.check(rc == 0, f"{what}: the guest is created", f"{rc} {out} {err}"):
            g.meet()
            lab.check(g.run("true")[0] == 0, f"{what}: and it works")
        host.run("xl destroy new")
        if not until(host, "! xl domid new"):
            raise LabError("the guest does not go")
    attempts.works("beside xl create")


KEXEC = (f"kexec --load-live-update --command-line=\"{{line}}\" {NEW} && "
         "kexec -x --exec-live-update")


def part_twice(lab, host, attempts):
    line = host.xen_cmdline()
    outcomes = []
    waits = UPDATE.replace("live-update", "live-update --wait=60", 1)
    for other, first, second in (("xl", UPDATE, UPDATE), ("a waiting xl", waits, waits),
                                 ("kexec", UPDATE, KEXEC.format(line=line))):
        for ms in delays(lab, "0,5,20,60,120,250"):
            what = f"{other} {ms} ms after xl"
            attempts.begin()
            told = both(host, [first, f"usleep {1000 * ms}; {second}"])
            done = attempts.judge(f"{what}, the first", *told[0])
            if other != "kexec":
                done += attempts.judge(f"{what}, the second", *told[1])
            else:
                code, out, err = told[1]
                lab.check(code == 0 or err.strip(), f"{what}, the second: done or refused",
                          f"{code} {out} {err}")
                done += code == 0
            if first == waits:
                lab.check(done == 2, f"{what}: both are done", f"{told}")
            attempts.end(what, done, f"{told}")
            outcomes.append(f"{other} {ms}: {[t[0] for t in told]}")
            host.must("xl live-update --unload")
    lab.say("exit codes: " + ", ".join(outcomes))
    attempts.works("twice at once")


# One less than Xen's MOST_TRIES (passing.c): the last one is done.
TRIES = 9


def part_tries(lab, host, attempts):
    """The second comes in a moment in which nothing of the first one runs."""
    for other, second in (("kexec", "kexec -x --exec-live-update"), ("xl", UPDATE)):
        what = f"{other} between the tries of xl"
        host.must(f"xenhypfs write /params/lu-fault again={TRIES}")
        attempts.begin()
        # A load and two tries.
        seen = int(host.must("luquery status | sed -n 's/^attempt //p'")) + 3
        told = both(host, [UPDATE, "until [ $(luquery status | sed -n 's/^attempt //p') "
                           f"-ge {seen} ]; do :; done; {second}"])
        done = attempts.judge(f"{what}, the first", *told[0])
        if other == "xl":
            done += attempts.judge(f"{what}, the second", *told[1])
        else:
            code, _, err = told[1]
            lab.check(code and "Device or resource busy" in err and done,
                      f"{what}: is refused, and the first is done", f"{told}")
        attempts.end(what, done, f"{told}")
        lab.say(f"{what}: {told}")
        host.must("xenhypfs write /params/lu-fault none; xl live-update --unload")
    attempts.works("between tries")


# ---- dom0's end ----------------------------------------------------------------------

# Nothing that ends with the machine has anybody to tell.
BESIDE_IT = "({} >/run/lab/end.out 2>&1 3>&- </dev/null &)"
UPDATES = BESIDE_IT.format(UPDATE)
# A guest that is dead while xenconsoled, stopped, has its console's page mapped.
WAITING = ("kill -STOP $(cat /run/xen/xenconsoled.pid); xl destroy m; "
           f"{UPDATES}; until xl live-update -s | grep -q '^waiting '; do usleep 20000; done")
HALTED = "Hardware Dom0 halted: halting machine"
REBOOTS = "Hardware Dom0 shutdown: rebooting machine"
# Linux asks for the second where ACPI does not do it.
POWER_OFF = f"Entering ACPI S5 state|{HALTED}"


def loaded(reason, us):
    """dom0's vCPU 1 ends it so long after vCPU 0 has loaded the image."""
    return ("xl vcpu-pin 0 0 0; xl vcpu-pin 0 1 1; "
            "n=$(($(luquery status | sed -n 's/^attempt //p') + 1)); "
            + BESIDE_IT.format(f"taskset 2 downat {reason} $n {us}")
            + f"; taskset 1 {UPDATE}")


# {name: (what is done, a pattern of the end that has to come)}
ENDS = {
    "poweroff-waiting": (f"{WAITING}; poweroff -f", POWER_OFF),
    "halt-waiting": (f"{WAITING}; halt -f", HALTED),
    "reboot-beside": (f"{UPDATES}; reboot -f", REBOOTS),
    "poweroff-beside": (f"{UPDATES}; poweroff -f", POWER_OFF),
    "halt-loaded": (loaded(0, 0), HALTED),
    "halt-checking": (loaded(0, 6000), HALTED),
    "reboot-checking": (loaded(1, 12000), REBOOTS),
    "halt-later": (loaded(0, 25000), HALTED),
}


def halted(host):
    """All CPUs of the machine stand still."""
    states = re.findall(r"\bHLT=(\d)", host.monitor(
        "human-monitor-command", **{"command-line": "info registers -a"}))
    return len(states) == host.cpus and set(states) == {"1"}


def over(host, end):
    """Waits until the machine has come to that end; what is wrong, None for nothing."""
    limit = time.monotonic() + 150 * host.slow
    while time.monotonic() < limit:
        text = host.serial()
        dead = DEAD.search(text)
        if dead:
            return dead[0].strip()
        if host.proc.poll() is not None:
            code, text = host.proc.returncode, host.serial()
            good = code == 0 and re.search(end, text)
            return None if good else f"QEMU ended with {code}"
        if HALTED in end and HALTED in text and halted(host):
            return None
        host.agent.pump()
        time.sleep(0.2)
    return "nothing happens any more"


def part_end(lab):
    names = lab.param("ENDS", ",".join(ENDS)).split(",")
    path = lab.first_xen()
    for name in names:
        script, end = ENDS[name]
        files = {**guest.files(), **microguest.files(), **ours()}
        install(files, [path])
        with lab.host(append="liveupdate=64M", files=files, mem=2048) as host:
            host.boot()
            host.must("xenstart")
            microguest.MicroGuest(host, "m").create()
            host.must(f"(sh -c {shlex.quote(script)} >/run/lab/script.out 2>&1 3>&- "
                      "</dev/null &)")
            wrong = over(host, end)
            text = host.serial()
            updates = len(re.findall(r"live-update: update \d+:", text))
            banners = len(re.findall(r"Xen version \d", text))
            lab.check(not wrong and banners == 1 + updates,
                      f"{name}: an orderly end, after {updates} updates",
                      f"{wrong}, {banners} Xens; {'; '.join(text.splitlines()[-8:])}")
            lab.say(f"{name}: " + " / ".join(
                line.strip() for line in text.splitlines()
                if "live-update: " in line or "Hardware Dom0" in line or "ACPI S5" in line))


def run(lab):
    parts = {"xen": part_xen, "dom0": part_dom0, "create": part_create,
             "twice": part_twice, "tries": part_tries}
    wanted = lab.param("PARTS", PARTS).split(",")
    if not set(wanted) <= {*parts, "end"}:
        raise LabError(f"PARTS: {','.join(wanted)}: want some of {', '.join(parts)}, end")
    shared = [name for name in wanted if name in parts]
    if shared:
        files = {**guest.files(), **microguest.files(), **ours()}
        install(files, [lab.first_xen()])
        with lab.host(append="liveupdate=64M", files=files, mem=2048) as host:
            host.boot()
            host.must("xenstart")
            steady = guest.Guest(host, "steady").create()
            w = lab.witnesses(host, [("heartbeat", "{tsc}"), ("memory", "-m 8 -d 5")])
            inside = lab.witnesses(steady, [("heartbeat", "{tsc}"),
                                            ("memory", "-m 8 -d 5")])
            seen = Together({"": w, "steady ": inside})
            for name in shared:
                parts[name](lab, host, Attempts(lab, host, seen))
            lab.verdicts(seen.stop(), "in the end")
    if "end" in wanted:
        part_end(lab)

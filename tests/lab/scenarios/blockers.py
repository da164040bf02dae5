# SPDX-License-Identifier: GPL-2.0-only
"""State that is not carried blocks an update by name, for as long as it is there.

Each case makes one such state, with the tool an operator would use where there is one,
or with guest/xenstate.c, and tries an update.  It must be refused before anything was
frozen, with the blockers of the case, each of the right domain and errno, and no
other; so each attempt also proves that the state of the case before is gone.  It is
asked for three times: by kexec, by xl live-update -n -j and by xl live-update, and all
have to say the same, in Xen's log, in JSON and in text.  Witnesses in dom0 and in a guest
that nobody touches go on without a gap.  When all is undone an update works.
Cases are grouped by the host that they want:

  states    domains, tools and settings of a common host
  boot      what a command line brings about: sched=, sched-gran=, vpmu=; of
            a debug build, as the others have no such scheduler; and xenoprof, which
            nobody can end
  iommu     a machine with an IOMMU, a device assigned to a guest, and a pin of the
            IO-APIC set up as old kernels do

PARTS chooses among them, CASES among the cases of states, by name.
"""

import re
import subprocess

from lablib import devices, guest
from lablib.place import LabError
from lablib.toolstack import ours
from lablib.update import Updates, build_id, execute, install, load, reasons
from lablib.witness import Together
from lablib.xl import (
    NOTHING_CHANGED, REFUSED, blocked, facts, parsed, reasons_in, reported, xl)

EAGAIN, EBUSY, EOPNOTSUPP = 11, 16, 95
PARTS = "states,boot,iommu"

# A payload that patches nothing: all that Xen looks for in one that is uploaded.
PAYLOAD = """
    .text
hook: ret
    .section .livepatch.hooks.load, "aw"
    .quad hook
    .macro note section, id
    .section \\section, "a", @note
    .long 4, 20, 3
    .asciz "GNU"
    .byte \\id
    .endm
    note .note.gnu.build-id, "{own}"
    note .livepatch.depends, "{xen}"
    note .livepatch.xen_depends, "{xen}"
"""


def payload(directory, xen):
    """A live patch for this Xen; its path."""
    def listed(digits):
        return ",".join(f"0x{digits[i:i + 2]}" for i in range(0, 40, 2))

    source, path = directory / "payload.s", directory / "payload.livepatch"
    source.write_text(PAYLOAD.format(own=listed("5a" * 20),
                                     xen=listed(build_id(xen))))
    res = subprocess.run(["gcc", "-c", "-o", path, source], text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if res.returncode:
        raise LabError(f"cannot assemble a live patch:\n{res.stdout}")
    return path


class Case:
    """A state: how it comes, how it goes, what blocks.

    `make` and `undo` are shell scripts; {v} in them and in `want` is the domid of the
    guest `victim`, {n} that of a domain whose domid `make` prints last.  `want` are
    (domain or "", pattern, errno).  `may` are patterns of blockers that come along.
    If it `runs` the victim has booted, or it may be one that never ran.
    """

    def __init__(self, name, make, undo, *want, may=(), runs=False):
        self.name, self.make, self.undo = name, make, undo
        self.want, self.may, self.runs = want, may, runs


HELD = "i=0; until {}; do usleep 100000; i=$((i+1)); [ $i -le 600 ] || exit 1; done"

GONE = HELD.format("! xl list {v} >/dev/null 2>&1")

# Feeds a migration until it is under way, and then only when it may go on.
STALL = """#!/bin/busybox sh
{ dd bs=1024 count=256 2>/dev/null; touch /run/lab/stalled
  while [ ! -e /run/lab/go ]; do usleep 100000; done; cat; } | "$@"
"""

def pvh(more=""):
    """Makes a PVH guest that never runs, of which {n} is the domid if nothing follows."""
    return ("{ sed 's/victim/pvh/; s/\"pv\"/\"pvh\"/' /run/lab/victim.cfg; "
            f"echo '{more}'; }} >/run/lab/pvh.cfg; xl create -p /run/lab/pvh.cfg && "
            "xl domid pvh && ")


PVH_GONE = "xl destroy pvh; " + GONE.replace("{v}", "{n}")

STATES = [
    Case("debugger", "xenstate debugger {v} 1", "xenstate debugger {v} 0",
         ("d{v}", "debugger: an attached debugger", EBUSY)),
    Case("log-dirty", "xenstate log-dirty {v} 1", "xenstate log-dirty {v} 0",
         ("d{v}", "paging: shadow or log-dirty mode", EOPNOTSUPP)),
    Case("migration",
         "rm -f /run/lab/go /run/lab/stalled; (setsid xl migrate -s '' victim "
         "'/bin/stall xl migrate-receive' >/run/lab/migrate.out 2>&1 3>&- "
         "</dev/null &); (" + HELD.format("[ -e /run/lab/stalled ]") + ") || "
         "{ cat /run/lab/migrate.out; ps | grep 'xl\\|stall'; exit 1; }",
         "touch /run/lab/go; " + HELD.format("[ \"$(xl domid victim)\" != {v} ]")
         + "; " + HELD.format("! ps | grep -q '[x]l migrate -s'"),
         ("d{v}", "paging: shadow or log-dirty mode", EOPNOTSUPP),
         runs=True),
    Case("mapped zombie",
         "mapguest {v} $(xenstore read /local/domain/{v}/console/ring-ref) "
         ">/run/lab/mapped 2>&1 3>&- </dev/null & echo $! >/run/lab/holder; "
         + HELD.format("grep -q mapped /run/lab/mapped") + "; xl destroy victim",
         "kill $(cat /run/lab/holder); " + GONE,
         ("d{v}", r"destruction: \d+ pages are left, others have mapped them",
          EBUSY)),
    Case("granted zombie",
         "kill -STOP $(cat /run/xen/xenconsoled.pid); xl destroy victim",
         "kill -CONT $(cat /run/xen/xenconsoled.pid); " + GONE,
         ("d{v}", r"destruction: \d+ pages are left, d0 has mapped \d+ of its grants",
          EBUSY)),
    Case("vnuma", "d=$(xenstate build) && xenstate vnuma $d && echo $d",
         "xenstate end {n}",
         ("d{n}", "vnuma: virtual NUMA", EOPNOTSUPP)),
    Case("stubdom",
         pvh() + "d=$(xenstate build) && xenstate target $d $(xl domid pvh) && "
         "echo $d",
         "xenstate end {n}; xl destroy pvh",
         ("d{n}", r"stubdom: privilege over d\d+", EOPNOTSUPP)),
    Case("referred zombie",
         pvh() + "d=$(xenstate build) && p=$(xl domid pvh) && "
         "xenstate target $d $p && xl destroy pvh && "
         "echo $d >/run/lab/target && echo $p",
         "xenstate end $(cat /run/lab/target); " + GONE.replace("{v}", "{n}"),
         ("d{n}", "destruction: somebody still refers to it", EBUSY),
         may=(r"stubdom: ",)),
    Case("populate on demand", pvh("maxmem = 256") + "true", PVH_GONE,
         ("d{n}", "pod: memory that is populated on demand", EOPNOTSUPP)),
    Case("nested virtualisation", pvh("nestedhvm = 1") + "true", PVH_GONE,
         ("d{n}", "nested: nested virtualisation", EOPNOTSUPP)),
    Case("monitor", pvh() + "xenstate monitor $(xl domid pvh)", PVH_GONE,
         ("d{n}", "vm-event: v0 is monitored", EOPNOTSUPP),
         ("d{n}", "vm-event: a ring for its events", EOPNOTSUPP),
         ("d{n}", r"evtchn \d+: notifies a part of Xen that cannot be carried over",
          EOPNOTSUPP)),
    Case("trace",
         "xentrace -D -e 0x1f000 -S 16 /run/lab/trace >/dev/null 2>&1 3>&- "
         "</dev/null & echo $! >/run/lab/tracer; "
         + HELD.format("grep -q privcmd /proc/$(cat /run/lab/tracer)/maps"),
         "kill -INT $(cat /run/lab/tracer); "
         + HELD.format("[ ! -e /proc/$(cat /run/lab/tracer) ]")
         + "; rm -f /run/lab/trace",
         ("", r"xen-page: Xen's page 0x[0-9a-f]+ \(a trace buffer\?\) is mapped",
          EBUSY)),
    # By CPU 1: if it is CPU 0 that marks a page of a PV guest, Xen 4.17 spoils a lock that
    # it has not initialised, and hangs when that guest is destroyed
    # (p2m_pod_offline_or_broken_hit(), p2m_initialise()).
    Case("bad page",
         "xenstate own {v} | head -n 1 | cut -d' ' -f1 >/run/lab/bad; "
         "xl vcpu-pin 0 1 1 && taskset 2 xenstate bad 0x$(cat /run/lab/bad) 1",
         "taskset 2 xenstate bad 0x$(cat /run/lab/bad) 0; xl vcpu-pin 0 1 all",
         ("d{v}", r"page 0x[0-9a-f]+: state not carried: .*", EOPNOTSUPP)),
    Case("sleeping device",
         "cd /sys/class/nvme/nvme0/device; "
         "dd if=config of=/run/lab/command bs=1 skip=4 count=1 2>&1; "
         "printf '\\004' | dd of=config bs=1 seek=4 conv=notrunc 2>&1",
         "cd /sys/class/nvme/nvme0/device; "
         "dd if=/run/lab/command of=config bs=1 seek=4 conv=notrunc 2>&1",
         ("d0", r"PIRQ \d+: the device sleeps, its MSI-X table is out of reach",
          EAGAIN)),
    # A byte of its first BAR; nobody uses the device meanwhile.
    Case("moved device",
         "cd /sys/class/nvme/nvme0/device; "
         "dd if=config of=/run/lab/bar bs=1 skip=18 count=1 2>&1; "
         "dd if=config of=/run/lab/command bs=1 skip=4 count=1 2>&1; "
         "printf '\\004' | dd of=config bs=1 seek=4 conv=notrunc 2>&1; "
         "printf '\\001' | dd of=config bs=1 seek=18 conv=notrunc 2>&1",
         "cd /sys/class/nvme/nvme0/device; "
         "dd if=/run/lab/bar of=config bs=1 seek=18 conv=notrunc 2>&1; "
         "dd if=/run/lab/command of=config bs=1 seek=4 conv=notrunc 2>&1",
         ("d0", r"device \S+: its MSI-X tables are not where its BARs are",
          EOPNOTSUPP), may=(r"PIRQ ",)),
    Case("CPU offline", "xen-hptool cpu-offline 1", "xen-hptool cpu-online 1",
         ("", "1 of 2 CPUs offline", EOPNOTSUPP)),
    Case("CPU in no pool", "xl cpupool-cpu-remove Pool-0 1",
         "xl cpupool-cpu-add Pool-0 1",
         ("", r"some CPUs are not in Pool-0 .*", EOPNOTSUPP)),
    Case("CPU pool",
         "xl cpupool-cpu-remove Pool-0 1 && echo 'name=\"other\"\ncpus=[\"1\"]' "
         ">/run/lab/pool.cfg && xl cpupool-create /run/lab/pool.cfg",
         "xl cpupool-destroy other; xl cpupool-cpu-add Pool-0 1",
         ("", r"there are CPU pools other than Pool-0 .*", EOPNOTSUPP),
         may=(r"some CPUs are not in Pool-0", r"scheduler ")),
    Case("kexec image",
         f"kexec -l --command-line=console=ttyS0 {guest.KERNEL}", "kexec -u",
         ("", r"kexec-image: an image loaded for kexec -e; .*", EBUSY)),
    Case("live patch", "xen-livepatch upload nothing /boot/payload",
         "xen-livepatch unload nothing",
         ("", r"livepatch: 1 live patches are loaded .*", EBUSY)),
]


def blockers(said):
    """{(domain or "", message, errno)} in Xen's words."""
    return {(d.rstrip(": "), message, int(code)) for d, message, code in re.findall(
        r"live-update: blocked by (d\d+: )?(.*) \(-(\d+)\)\s*$", said, re.M)}


def named(lab, what, found, want, may, detail):
    """Checks that these blockers were found, and no others but those that may be."""
    rest = set(found)
    for domain, pattern, code in want:
        mine = {b for b in found if (b[0], b[2]) == (domain, code)
                and re.fullmatch(pattern, b[1])}
        rest -= mine
        lab.check(mine, f"{what}: blocked by "
                  f"{domain + ': ' if domain else ''}{pattern} (-{code})", detail)
    rest = {b for b in rest if not any(re.match(p, b[1]) for p in may)}
    lab.check(not rest, f"{what}: by nothing else", f"{rest}")


def nothing_frozen(lab, host, what, since, failed, detail):
    said = "\n".join(line.strip() for line in reasons(host, since))
    lab.check(failed and "freezing" not in said and "nothing was changed" in said,
              f"{what}: refused, nothing was frozen", f"{detail}; {said}")
    return said


def judge(lab, host, path, name, want, may=()):
    """Tries updates, which these blockers and no others have to refuse.

    The image is loaded: xl unloads it.
    """
    since = host.log.stat().st_size
    rc, out = execute(host, 300)
    detail = f"rc {rc} {out.strip()}"
    said = nothing_frozen(lab, host, name, since, rc, detail)
    named(lab, name, blockers(said), want, may, f"{detail}; {said}")

    rc, out, err = xl(host, f"-n -j {path}")
    told, detail = parsed(out), f"rc {rc} {out} {err}"
    named(lab, f"{name}, JSON", reported(told), want, may, detail)
    lab.check(rc == REFUSED and told["last"] == "check" and
              told["last_error"] in {code for _, _, code in reported(told)} and
              len(reported(told)) == sum(r.get("blocker", False) or r["text"] !=
                                         f"{r['feature']}: cannot be saved"
                                         for r in told["reports"]) and
              not reasons_in(out + err), f"{name}, JSON: refused, all told in JSON",
              detail)

    since = host.log.stat().st_size
    rc, out, err = xl(host, path)
    detail = f"rc {rc} {out} {err}"
    nothing_frozen(lab, host, f"{name}, xl", since, rc == REFUSED, detail)
    named(lab, f"{name}, xl", blocked(err), want, may, detail)
    now = facts(host)
    lab.check(err.splitlines()[-1:] == [NOTHING_CHANGED] and not out and
              not now["is_loaded"] and not now["updates"],
              f"{name}, xl: says so, and nothing stays loaded", f"{detail} {now}")


def victim(host, case):
    """The domid of the guest of that name; a new one is made if there is none."""
    g = guest.Guest(host, "victim", memory=160)
    if host.run("xl domid victim 2>/dev/null")[0]:
        g.build()
    if case.runs and "-p-" in host.must("xl list victim | tail -n 1"):
        host.must("xl unpause victim")
        g.meet()
    return str(g.domid())


def attempt(lab, host, case, victim, path, seen):
    """One case: the state comes, blocks, and goes.  `victim` is a domid.

    A state that does not come is a failure, and the other cases still run.
    """
    ids = {"v": victim}
    rc, out = load(host, path, host.xen_cmdline())
    lab.check(rc == 0, f"{case.name}: the image loads", out)
    rc, said = host.run(fill(case.make, ids), 200)
    if lab.check(rc == 0, f"{case.name}: is there", said[-500:]):
        ids["n"] = (said.split() or [""])[-1]
        before = seen.sample()
        seen.window()
        judge(lab, host, path, case.name,
              [(fill(d, ids), fill(p, ids), e) for d, p, e in case.want],
              case.may)
        now = lab.goes_on(seen, before, f"{case.name}: dom0 and the steady guest go on")
        lab.no_gap(now, f"{case.name}: no gap in either")
    rc, said = host.run(fill(case.undo, ids), 200)
    lab.check(rc == 0, f"{case.name}: is gone", said[-500:])


def part_states(lab):
    path = lab.first_xen()
    files = {**guest.files(), **ours()}
    files["/bin/stall"] = STALL.encode()
    files["/boot/payload"] = payload(lab.dir, path)
    paths = install(files, [path])
    wanted = lab.param("CASES", ",".join(c.name for c in STATES)).split(",")
    unknown = set(wanted) - {c.name for c in STATES}
    if unknown:
        raise LabError(f"CASES: no {', '.join(unknown)}")
    with lab.host(append="liveupdate=64M", files=files, mem=3072,
                  devices=devices.disk("nvme", lab.dir, 0)) as host:
        host.boot()
        # Or "xenstate own" has Xen log each page of the machine that is not.
        host.must("xenstart && chmod +x /bin/stall && "
                  "xl set-parameters 'guest_loglvl=none liveupdate-wait=0'")
        steady = guest.Guest(host, "steady").create()
        inside = lab.witnesses(steady, [("heartbeat", "{tsc}"),
                                        ("memory", "-m 8 -d 5")])
        w = lab.witnesses(host, [("heartbeat", "{tsc}"), ("timers", "")])
        updates = Updates(lab, host, [path], paths, w)
        seen = Together({"": w, "steady ": inside})

        for case in STATES:
            if case.name in wanted:
                attempt(lab, host, case, victim(host, case), paths[0], seen)
        host.run("xl destroy victim")
        before_in = inside.sample()
        lab.check(updates.once(), "an update works when all is undone")
        lab.goes_on(inside, before_in, "the steady guest goes on")
        lab.verdicts(inside.stop(), "in the steady guest")
        host.must("xl destroy steady")
        updates.finish()


def fill(text, ids):
    """Puts domids where {v} and {n} are; shell has other uses for braces."""
    for key, value in ids.items():
        text = text.replace("{" + key + "}", value)
    return text


def once(lab, flavour, append, want, may=(), prepare=None, **host_kw):
    """A host of its own, for what cannot be taken back: one attempt is refused."""
    path = lab.xen(flavour)
    files = {**guest.files(), **ours()}
    paths = install(files, [path])
    with lab.host(path, append=f"liveupdate=64M {append}", files=files,
                  mem=2048, channel="poll", **host_kw) as host:
        host.boot()
        ids = {}
        if prepare:
            host.must("xenstart")
            ids["n"] = host.must(prepare, 200).split()[-1]
        rc, out = load(host, paths[0], host.xen_cmdline())
        lab.check(rc == 0, "the image loads", out)
        judge(lab, host, paths[0], append or "a machine with an IOMMU",
              [(fill(d, ids), p, e) for d, p, e in want], may)
        lab.check(host.run("true")[0] == 0, "dom0 goes on")


def part_boot(lab):
    once(lab, "4.17-shifted", "sched=rtds sched-gran=core vpmu=1",
         [("", r"scheduling granularity is not cpu \(sched-gran=\)", EOPNOTSUPP),
          ("", r"scheduler \S+ cannot cross an update \(sched=\)", EOPNOTSUPP),
          ("d0", "xenoprof: profiling", EOPNOTSUPP),
          ("d0", r"xen-page: it shares Xen's page 0x[0-9a-f]+, no grant frame or "
           "shared info", EOPNOTSUPP),
          ("d0", "vpmu: v0 uses performance counters", EOPNOTSUPP)],
         may=(r"vpmu: ",), prepare="xenstate profile && echo none",
         cpus="2,threads=2", dom0_vcpus=1)


def part_iommu(lab):
    """A guest gets the network card, which dom0 does not use; nobody has pin 22."""
    once(lab, lab.param("FLAVOUR", "4.17"), "",
         [("", r"an IOMMU is in use \(boot with iommu=0\)", EOPNOTSUPP),
          ("", "GSI 22 was set up by PHYSDEVOP_apic_write", EOPNOTSUPP),
          ("d{n}", r"device \S+ is assigned to it, detach it", EOPNOTSUPP)],
         machine="q35",
         devices=["-device", "amd-iommu", "-device", "e1000e,addr=5,romfile="],
         prepare=f"cat >/run/lab/g.cfg <<'EOF'\nname = \"g\"\ntype = \"pv\"\n"
                 f"kernel = \"{guest.KERNEL}\"\nmemory = 128\nvcpus = 1\n"
                 "passthrough = \"enabled\"\nEOF\n"
                 "xl create -p /run/lab/g.cfg >/dev/null && "
                 "xenstate pin 22 && xenstate assign $(xl domid g) 0x28 && "
                 "xl domid g")


def run(lab):
    parts = {"states": part_states, "boot": part_boot, "iommu": part_iommu}
    for name in lab.param("PARTS", PARTS).split(","):
        if name not in parts:
            raise LabError(f"PARTS: {name}: want some of {PARTS}")
        parts[name](lab)

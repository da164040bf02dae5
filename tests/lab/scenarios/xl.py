# SPDX-License-Identifier: GPL-2.0-only
"""An update is asked about, made and judged by the tools of dom0.

On one host, with Debian's tools and our xl over them (make tools):

  query   the hypercall itself, without a library: status, check, reports, records,
          gaps, losses, the last stream, abort, arguments that make no sense, and a guest
          that may not ask
  tool    xl live-update: dry runs, a blocker in text and JSON, an update that waits for
          the blocker to go, with xen.gz and with xen, one that is allowed to lose
          something, each domain's gap, what two streams have otherwise, the same facts
          in hypfs, status, abort, exit codes
  images  images and command lines that have to be refused, each in its own words

PARTS chooses among them. Witnesses in dom0 and in a guest see no gap but those of the
updates.
"""

import re
import shlex

from lablib import guest, scenario, stream
from lablib.place import ROOT, LabError
from lablib.toolstack import free, ours
from lablib.update import build_id, execute, install, load, reasons
from lablib.xl import NOTHING, facts, parsed, xl

PARTS = "query,tool,images"

EPERM, ENOENT, EINTR, EFAULT, EBUSY, EINVAL, EOPNOTSUPP = 1, 2, 4, 14, 16, 22, 95
LOAD, CHECK, EXEC = 1, 2, 3
ENABLED, LOADED, UPDATED, WAITING = 1, 2, 4, 8
NOBODY = 0x7ff4     # DOMID_INVALID

# A guest that is dead while xenconsoled, stopped, has its console's page mapped.
ZOMBIE = ("tty=/local/domain/{v}/console/tty; until xenstore read $tty; do "
          "usleep 50000; done; "
          "kill -STOP $(cat /run/xen/xenconsoled.pid); xl destroy held")
# Long enough for an update to be aborted while it waits.
PATIENT = "xl set-parameters liveupdate-wait=60000; "
UNTIL = "i=0; until {}; do usleep 20000; i=$((i+1)); [ $i -le 1000 ] || exit 1; done; "
NO_ZOMBIE = ("kill -CONT $(cat /run/xen/xenconsoled.pid); i=0; "
             "until ! xl list {v} >/dev/null 2>&1; do usleep 100000; i=$((i+1)); "
             "[ $i -le 600 ] || exit 1; done; xl set-parameters liveupdate-wait=5000")
# An image for kexec -e, which blocks an update.
KEXEC_IMAGE = f"kexec -l --command-line=console=ttyS0 {guest.KERNEL}"
# The blockers that may be lost.
MAY_LOSE = ("kexec-image", "crash-image", "livepatch")
DUMP, EARLIER = "/run/lab/dump", "/run/lab/earlier"
# Records that two streams of a host that does little may have otherwise: who wrote it,
# where pages are, clocks, and what a domain does all the time.
MAY_DIFFER = {"HOST", "MEMORY", "TIME", "CONRING", "FROZEN", "PAGETABLES", "PV_VCPU",
              "PV_DOMAIN", "PV_XSAVE", "VCPU_TIMER", "TSC", "EVTCHN", "EVTCHN_FIFO", "PIRQS",
              "GRANT", "GRANT_MAPS", "SCHED_GLOBAL"}
# What this Xen reads, one in a line.
RECORDS = ROOT / "xen/common/liveupdate/records.h"


def status(host):
    """{name: value} of what Xen says, numbers as such."""
    found = {}
    for line in host.must("luquery status").splitlines():
        name, _, value = line.partition(" ")
        found[name] = int(value) if value.isdigit() else value
    return found


def reports(host):
    """[(domid, blocker?, errno, feature, text)]"""
    found = []
    for line in host.must("luquery reports").splitlines():
        m = re.fullmatch(r"(\d+) (\d) (\d+) (\S+): (.*)", line)
        if not m:
            raise LabError(f"luquery says: {line}")
        found.append((int(m[1]), m[2] == "1", int(m[3]), m[4], m[5]))
    return found


def answers(lab, host, what, want, args):
    """luquery is refused with this errno."""
    rc, out = host.run(f"luquery {args} 2>&1")
    lab.check(rc == 1 and f": {want} " in out, what, f"rc {rc}, {out}")


def logged(host, since):
    """The texts of reasons in Xen's log, without domain and errno."""
    return [re.sub(r"^.*live-update: (blocked by )?(d\d+: )?|\s*\(-\d+\)\s*$", "", line)
            for line in reasons(host, since) if re.search(r"\(-\d+\)\s*$", line)
            and "nothing was changed" not in line]


def nothing_wrong(lab, host):
    now = status(host)
    lab.check(now["flags"] == ENABLED and now["updates"] == 0 and
              now["wait_ms"] == 5000 and now["last_op"] == 0,
              "status: ready, nothing loaded, no update yet", f"{now}")
    lab.check(now["zone_size"] == now["region_size"] + 2 * now["slot_size"] ==
              96 << 20, "status: the zone is what was asked for", f"{now}")
    since = host.log.stat().st_size
    rc, out = host.run("luquery check")
    lab.check(rc == 0 and not reports(host), "check without an image: no blocker", out)
    lab.check(not reasons(host, since), "a check says nothing in the log")
    want = len(re.findall(r"^LU_RECORD\(", RECORDS.read_text(), re.M))
    rows = host.must("luquery records").splitlines()
    lab.check(len(rows) == want and all(len(r.split()) == 5 for r in rows),
              f"the {want} records that this Xen reads", f"{rows}")


def makes_no_sense(lab, host):
    answers(lab, host, "no such operation", EOPNOTSUPP, "raw 99 0 0")
    answers(lab, host, "status has no index", EINVAL, "raw 1 1 0")
    answers(lab, host, "check has no index", EINVAL, "raw 0 1 0")
    answers(lab, host, "abort has no index", EINVAL, "raw 4 1 0")
    answers(lab, host, "a reserved field", EINVAL, "raw 1 0 1")
    answers(lab, host, "no report of that number", ENOENT, "raw 2 4294967295 0")
    answers(lab, host, "no record of that number", ENOENT, "raw 3 4294967295 0")
    answers(lab, host, "an argument outside of memory", EFAULT, "pointer")
    answers(lab, host, "nothing to abort", ENOENT, "abort")
    answers(lab, host, "no gap without an update", ENOENT, "raw 5 0 0")
    answers(lab, host, "no stream without an update", ENOENT, "raw 6 0 0")
    answers(lab, host, "no loss of that number", ENOENT, "raw 7 4294967295 0")
    answers(lab, host, "a name that is none of a loss", ENOENT, "allow nonsense")
    answers(lab, host, "a name without an end", EINVAL, "allow " + "x" * 30)
    answers(lab, host, "allow has no index", EINVAL, "raw 8 1 0")


def blocked(lab, host, victim):
    host.must(f"xenstate debugger {victim} 1")
    want = [(victim, True, EBUSY, "DOMAIN", "debugger: an attached debugger")]
    since = host.log.stat().st_size
    answers(lab, host, "check: blocked", EBUSY, "check")
    found, now = reports(host), status(host)
    lab.check(found == want, "check: by whom and what", f"{found}")
    lab.check((now["last_op"], now["last_error"]) == (CHECK, EBUSY) and
              now["flags"] == ENABLED | LOADED, "status: of the check", f"{now}")
    lab.check(not reasons(host, since), "a check that is refused says nothing")
    rc, out = execute(host)
    found, now = reports(host), status(host)
    lab.check(rc != 0 and found == want, "an update: blocked by the same",
              f"rc {rc} {out} {found}")
    lab.check(now["last_op"] == EXEC and logged(host, since) == [found[0][4]],
              "its report is what the log says", f"{logged(host, since)}")
    answers(lab, host, "a guest's state may not be lost", ENOENT, "allow debugger")
    answers(lab, host, "check: blocked as before", EBUSY, "check")
    host.must(f"xenstate debugger {victim} 0")
    rc, out = host.run("luquery check")
    lab.check(rc == 0 and not reports(host), "check: no longer blocked", out)


def losses(host):
    """{name: whether it is allowed}"""
    return {name: allowed == "1" for name, allowed, _ in
            (line.split(" ", 2) for line in host.must("luquery losses").splitlines())}


def lost(lab, host, line):
    """A blocker that may be lost is one until that is allowed, and after each load."""
    lab.check(set(losses(host)) == set(MAY_LOSE) and not any(losses(host).values()),
              "what may be lost, by default nothing", f"{losses(host)}")
    host.must(KEXEC_IMAGE)
    answers(lab, host, "an image for kexec -e: blocked", EBUSY, "check")
    host.must("luquery allow kexec-image")
    rc, out = host.run("luquery check")
    found = reports(host)
    lab.check(rc == 0 and len(found) == 1 and found[0][1:4] == (False, 0, "kexec") and
              losses(host) == {**dict.fromkeys(MAY_LOSE, False), "kexec-image": True},
              "allowed: it is told, and blocks no more", f"{out} {found}")
    answers(lab, host, "a wrong name", ENOENT, "allow kexec")
    answers(lab, host, "... takes back what was allowed", EBUSY, "check")
    host.must("luquery allow kexec-image")
    load(host, NEW, line)
    answers(lab, host, "so does a load", EBUSY, "check")
    host.must("kexec -u")


def bad_image(lab, host, path, line):
    for what, args, image in (("no Xen", line, "/bin/busybox"),
                              ("another line", line + " ept=no-pml", path)):
        since = host.log.stat().st_size
        rc, _ = load(host, image, args)
        found, now = reports(host), status(host)
        if image == path:
            lab.check(rc != 0 and [f[4] for f in found] == logged(host, since) != [] and
                      found[0][0] == NOBODY and not found[0][1],
                      f"load of {what}: the report is what the log says",
                      f"rc {rc} {found} {logged(host, since)}")
            lab.check(now["last_op"] == LOAD and now["last_error"] == EINVAL and
                      not now["flags"] & LOADED, "nothing is loaded", f"{now}")
        else:
            lab.check(rc != 0, f"load of {what}: kexec refuses")


def aborted(lab, host, victim):
    host.must(PATIENT + ZOMBIE.replace("{v}", str(victim)))
    host.must("(kexec -x --exec-live-update; echo rc $?) >/run/lab/exec.out 2>&1 "
              "3>&- </dev/null & true")
    rc, out = host.run(UNTIL.replace("{}", "[ $(($(luquery status | "
                                     "sed -n 's/^flags //p') & 8)) = 8 ]") +
                       "luquery abort; " + UNTIL.replace(
                           "{}", "grep -q '^rc' /run/lab/exec.out") +
                       "cat /run/lab/exec.out", 200)
    lab.check(rc == 0 and "rc 0" not in out, "an update that waits is aborted", out)
    found, now = reports(host), status(host)
    lab.check([f[2:] for f in found] == [(EINTR, "image", "exec: aborted")] and
              now["flags"] == ENABLED | LOADED, "it says so, and stays loaded",
              f"{found} {now}")
    answers(lab, host, "nobody waits any more", ENOENT, "abort")
    answers(lab, host, "a check does not wait", EBUSY, "check")
    found = reports(host)
    lab.check(len(found) == 1 and found[0][:3] == (victim, True, EBUSY) and
              found[0][3] == "passing" and "destruction:" in found[0][4],
              "the domain that is in the way is named", f"{found}")
    host.must(NO_ZOMBIE.replace("{v}", str(victim)), 200)


def updated(lab, host, image, domids):
    before, since = status(host), host.log.stat().st_size
    rc, out = execute(host)
    now = status(host)
    text = "\n".join(reasons(host, since))
    lab.check(rc == 0 and now["updates"] == before["updates"] + 1,
              "the update takes place", f"rc {rc} {out} {text}")
    lab.check(now["running"].split()[-1] == build_id(image) and
              now["previous"] == before["running"] and
              now["flags"] == ENABLED | UPDATED, "status: who, and from whom",
              f"{now}")
    phases = [now[f"{p}_ns"] for p in ("freeze", "save", "jump", "boot", "restore",
                                       "release")]
    told = re.search(r"paused ([\d.]+) ms", text)
    lab.check(all(phases) and abs(sum(phases) - now["paused_ns"]) < 10 and told and
              abs(float(told[1]) - now["paused_ns"] / 1e6) < 0.11,
              "status: the pause is that of the log, and the sum of its phases",
              f"{now} {text}")
    lab.check(now["last_op"] == 0 and not reports(host), "no attempt in this Xen yet")
    found = [tuple(map(int, line.split())) for line in
             host.must("luquery gaps").splitlines()]
    least = now["paused_ns"] - now["freeze_ns"] - now["release_ns"]
    lab.check([d for d, _ in found] == sorted(domids) and
              all(least <= gap <= now["paused_ns"] for _, gap in found),
              "each domain's gap, a part of the pause", f"{found} {now}")
    said = host.must(f"luquery dump {DUMP} && xen-lu-stream -v {DUMP} && stat -c %s {DUMP}")
    lab.check(now["dump_bytes"] > 4096 and said.split()[-1] == str(now["dump_bytes"]) and
              now["dump_pages"] << 12 > now["dump_bytes"],
              "the stream of the update can be read, and keeps the rules", said)
    index = -(-now["dump_bytes"] // 480)
    answers(lab, host, "no part behind its end", ENOENT, f"raw 6 {index} 0")
    host.must("luquery unload")
    answers(lab, host, "unloading drops it", ENOENT, "raw 6 0 0")
    now = status(host)
    lab.check(now["dump_bytes"] == now["dump_pages"] == 0, "and tells so", f"{now}")


def not_root(lab, host):
    """In dom0 it is Linux that keeps who has no privilege away from hypercalls.

    It does so when their file is opened, so that an open one must not get into other hands.
    """
    def nobody(command):
        return host.run(f"su nobody -c {shlex.quote(command)} 2>&1")

    before, line = status(host), shlex.quote(host.xen_cmdline())
    rc, out = nobody("id -u")
    lab.check(rc == 0 and out.strip() == "65534", "there is somebody without privilege",
              f"rc {rc} {out}")
    for path in ("/dev/xen/privcmd", "/proc/xen/privcmd"):
        rc, out = nobody(f": <>{path}")
        lab.check(rc and "Permission denied" in out and
                  host.run(f": <>{path}")[0] == 0,
                  f"only root opens {path}", f"rc {rc} {out}")
    # By what it opens itself, and by what root's shell has open.
    for how in ("", "exec 9<>/dev/xen/privcmd; "):
        rc, out = host.run(how + "su nobody -c "
                           "'ls -l /proc/self/fd; : <>/proc/self/fd/9' 2>&1")
        lab.check(rc and ("privcmd" in out) == bool(how) and
                  ("Permission denied" if how else "nonexistent") in out,
                  f"{how or 'with nothing open '}nobody cannot open it anew",
                  f"rc {rc} {out}")
    for args in ("luquery status", "luquery check", "luquery abort", "luquery unload",
                 f"kexecraw {NEW} good x", "kexec -x --exec-live-update",
                 f"kexec --load-live-update --command-line={line} {NEW}",
                 "xl live-update --status", f"xl live-update -n {NEW}",
                 f"xl live-update {NEW}"):
        rc, out = nobody(args)
        # kexec-tools do not always say why.
        lab.check(rc and ("Permission denied" in out or args.startswith("kexec -")),
                  f"who is not root in dom0 may not: {args.split(' --command')[0]}",
                  f"rc {rc} {out}")
    rc, out = nobody(f"xl live-update {NEW}; echo code $?")
    lab.check("code 1" in out and "cannot init xl context" in out,
              "xl ends as it does when it cannot begin", out)
    now = status(host)
    lab.check(now == before, "all that has changed nothing", f"{now}, was {before}")


def part_query(lab, host, g, victim, path):
    nothing_wrong(lab, host)
    makes_no_sense(lab, host)
    g.must("modprobe -q xen-privcmd; mount -t xenfs xenfs /proc/xen; true")
    for args in ("status", "check", "abort", "gaps", "losses", "allow kexec-image",
                 "dump /run/dump", "unload", "raw 99 0 0"):
        rc, out = g.run(f"luquery {args} 2>&1")
        lab.check(rc == 1 and f": {EPERM} " in out, f"a guest may not: {args}",
                  f"rc {rc} {out}")
    rc, out = g.run("kexecraw /bin/busybox good x 2>&1")
    lab.check(rc == 2 and "Operation not permitted" in out,
              "a guest may not: kexec", f"rc {rc} {out}")
    not_root(lab, host)
    line = host.xen_cmdline()
    rc, out = load(host, NEW, line)
    now = status(host)
    lab.check(rc == 0 and now["loaded"].split()[-1] == build_id(path),
              "status: build id of what is loaded", f"{out} {now}")
    blocked(lab, host, victim)
    bad_image(lab, host, NEW, line)
    load(host, NEW, line)
    lost(lab, host, line)
    held = guest.Guest(host, "held")
    held.build()
    aborted(lab, host, held.domid())
    updated(lab, host, path, [0, victim])


# ---- xl ------------------------------------------------------------------------

def says(lab, host, what, args, code, want, forbidden=None):
    """One check: exit code, and text on either output."""
    rc, out, err = xl(host, args)
    lab.check(rc == code and re.search(want, out + err) and
              not (forbidden and re.search(forbidden, out + err)), what,
              f"rc {rc}, want {code} /{want}/: {out}{err}")
    return out


def without_gap(lab, seen, what, run):
    """run() while witnesses look for a gap that must not be."""
    for w in seen.values():
        w.window()
    run()
    for who, w in seen.items():
        lab.no_gap(w.sample(), f"{what}: no gap in {who}")


def refused_by_xl(lab, host, victim):
    """A blocker in text, in JSON and as exit code; nothing stays loaded."""
    text = "debugger: an attached debugger"
    want = (rf"blocked by d{victim}: {text} \(Device or resource busy; may pass by "
            r"itself\)")
    says(lab, host, "dry run: blocked", f"-n {GZ}", 1, want)
    out = says(lab, host, "dry run: blocked, JSON", f"-n -j {GZ}", 1, '"reports"',
               "blocked by")
    told = parsed(out)
    lab.check(told["reports"] == [{
        "domid": victim, "blocker": True, "transient": True, "error": EBUSY,
        "feature": "DOMAIN", "text": text}] and
        (told["last"], told["last_error"]) == ("check", EBUSY),
        "dry run: the blocker in JSON", out)
    says(lab, host, "dry run without an image: blocked", "-n", 1, want)
    since = host.log.stat().st_size
    says(lab, host, "an update: blocked", GZ, 1, want + r"[\s\S]*nothing was changed")
    said = "\n".join(reasons(host, since))
    lab.check("freezing" not in said and "blocked by" in said,
              "an update that is refused froze nothing", said)
    now = facts(host)
    lab.check(not now["is_loaded"] and now["last"] == "execute" and
              now["last_error"] == EBUSY, "nothing stays loaded", f"{now}")


def dry(lab, host, path):
    says(lab, host, "dry run without an image", "-n", 0,
         "^Nothing stands against an update, as far as")
    says(lab, host, "dry run", f"-n {GZ}", 0,
         f"^Nothing stands against an update to Xen .*build {build_id(path)[:12]}")
    lab.check(not facts(host)["is_loaded"], "a dry run leaves nothing loaded")


def hypfs(host, path):
    return host.must(f"xenhypfs cat /live-update/{path}").strip()


def in_hypfs(lab, host, now, build):
    """hypfs tells what xl has in JSON."""
    want = {
        "state": "loaded" if now["is_loaded"] else "ready",
        "updates": str(now["updates"]), "domains": str(now.get("domains", 0)),
        "running/build-id": now["running"]["build_id"],
        "previous/build-id": now.get("previous", {}).get("build_id", ""),
        "loaded/build-id": now.get("loaded", {}).get("build_id", ""),
        "last/operation": now["last"], "last/error": str(now["last_error"]),
        "dump/bytes": str(now["dump_bytes"]), "dump/pages": str(now["dump_kb"] // 4),
        "gaps": "\n".join(f"d{g.get('domid', 0)} {g['gap']}" for g in now["gaps"]),
    }
    want.update({f"paused/{'total' if p == 'paused' else p}": str(ns)
                 for p, ns in now.get("times", {}).items()})
    found = {path: hypfs(host, path) for path in want}
    lab.check(found == want and build in want["running/build-id"],
              "hypfs: the same facts", f"{found}, xl has {want}")
    told = [r for r in hypfs(host, "last/reports").splitlines() if r]
    lab.check([re.sub(r"^(blocked by |will be lost: )?(d\d+: )?| \(-?\d+\)$", "", r)
               for r in told] == [r["text"] for r in now["reports"]],
              "hypfs: the same reports", f"{told}, xl has {now['reports']}")


def own_gaps(lab, now, inside):
    """Each domain's gap: a part of the pause, and no longer than it saw itself."""
    gaps = {g.get("domid", 0): g["gap"] for g in now["gaps"]}
    t = now["times"]
    least = t["paused"] - t["freeze"] - t["release"]
    lab.check(set(gaps) == set(inside) and
              all(least <= gap <= t["paused"] for gap in gaps.values()),
              "each domain's gap, a part of the pause", f"{gaps} {t}")
    for domid, w in inside.items():
        saw = float(w.sample()["heartbeat"].get("gap_ms", 0))
        lab.check(gaps.get(domid, 0) / 1e6 - 1.5 <= saw,
                  f"d{domid} has seen no less than its gap",
                  f"{saw} ms, {gaps.get(domid)} ns")


def dumped(lab, host, now):
    """The stream that was consumed is a stream, for its owner only."""
    host.must(f"touch {DUMP}; chmod 644 {DUMP}")
    says(lab, host, "dump", f"--dump={DUMP}", 0, "^$")
    rc, out = host.run(f"xen-lu-stream -v {DUMP}; echo rc $?; stat -c '%a %s' {DUMP}")
    lab.check(rc == 0 and "rc 0" in out and
              out.split()[-2:] == ["600", str(now["dump_bytes"])],
              "it verifies, is all of it, and only its owner reads it", out)
    says(lab, host, "it takes memory, which the status tells", "--status", 0,
         r"\ndump +\d+ KiB of stream in \d+ KiB of Xen's memory")


def differs(lab, host):
    rc, out = host.run(f"xen-lu-stream --diff {EARLIER} {DUMP}")
    heads, gone, unexpected, head = set(), [], [], ""
    for line in out.splitlines():
        if line[:1].isupper():
            head = line.split()[0]
            heads.add(head)
        elif re.match(r"[-+] ", line):
            gone.append(line.split()[1])
        if head not in MAY_DIFFER:
            unexpected.append(line)
    lab.check(rc == 4 and {"HOST", "TIME", "FROZEN"} <= heads <= MAY_DIFFER and
              MAY_DIFFER.issuperset(gone),
              "two streams have only otherwise what must be",
              f"rc {rc}: {heads - MAY_DIFFER} {gone} {unexpected[:40]}")


def dropped(lab, host):
    """Unloading gives the memory of the last stream back."""
    held, before = facts(host)["dump_kb"], free(host)
    says(lab, host, "unload", "--unload", 0, "^$")
    now, after = facts(host), free(host)
    lab.check(held > 0 and now["dump_kb"] == now["dump_bytes"] == 0 and
              abs(after - before - held) <= 64,
              "the last stream is gone, and its memory free again",
              f"{held} kB were held, {before} kB free, now {after}")
    says(lab, host, "dump: there is none", f"--dump={DUMP}.none", 1, "There is no stream")
    lab.check(host.run(f"[ -e {DUMP}.none ]")[0] == 1, "and no file is made")


def may_be_lost(lab, host):
    """What may be lost blocks unless it is allowed."""
    host.must("xen-livepatch upload nothing /boot/payload && " + KEXEC_IMAGE)
    says(lab, host, "an image for kexec -e and a live patch: blocked", f"-n {GZ}", 1,
         r"blocked by kexec-image: [\s\S]*blocked by livepatch: ")
    says(lab, host, "one of them allowed: blocked by the other",
         f"-n --allow-loss=livepatch {GZ}", 1,
         r"blocked by kexec-image: [\s\S]*will be lost: livepatch: ",
         "blocked by livepatch")
    says(lab, host, "both allowed: a dry run", f"-n --allow-loss=livepatch,kexec-image {GZ}",
         0, r"^will be lost: kexec-image: [^\n]*\nwill be lost: livepatch: [\s\S]*"
         "Nothing stands against")
    says(lab, host, "what was allowed is so no more", "-n", 1, "blocked by kexec-image")
    says(lab, host, "what may be lost", "--status -v", 0, "".join(
        rf"\nmay lose +{name}: [\s\S]*" for name in MAY_LOSE))


def waits(lab, host, g, victim, path):
    """An update with --wait takes place when its blocker goes."""
    before, seen = facts(host), g.must("cat /proc/sys/kernel/random/boot_id")
    host.must(f"xenstate debugger {victim} 1")
    # Loading is one attempt, the refusal to execute the next one.
    second = status(host)["attempt"] + 2
    host.must("rm -f /run/lab/refused")
    host.must(f"(until [ $(luquery status | sed -n 's/^attempt //p') -ge {second} ]; do "
              "usleep 50000; done; luquery reports; luquery status >/run/lab/refused; "
              f"xenstate debugger {victim} 0) >/run/lab/waits.out 2>&1 3>&- </dev/null & "
              "true")
    rc, out, err = xl(host, f"--wait=120 -v {GZ}")
    after = facts(host)
    lab.check(rc == 0 and
              host.run("grep -q '^last_op 3' /run/lab/refused")[0] == 0,
              "an update waits for its blocker to go", f"rc {rc} {out} {err}")
    build = build_id(path)[:12]
    lab.check(re.search(rf"^Xen \S+ \(build {build}\) replaced by Xen \S+ \(build "
                        rf"{build}\), 2 domains, \d+ MiB kept\nPaused [\d.]+ ms: freeze "
                        r"[\d.]+, save [^\n]*\n"
                        rf"Gap of d0: [\d.]+ ms\nGap of d{victim}: [\d.]+ ms$", out) and
              "Updating." in err,
              "it says what it did", f"{out} {err}")
    lab.check(after["updates"] == before["updates"] + 1 and
              after["previous"] == before["running"] and not after["is_loaded"] and
              after["times"]["paused"] > 0, "status: of the update", f"{after}")
    lab.check(g.must("cat /proc/sys/kernel/random/boot_id") == seen,
              "the guest is the same")


def again(lab, host, path):
    """The uncompressed image, a command line of one's own, what is printed in JSON."""
    before = facts(host)
    line = host.xen_cmdline() + " console_timestamps=boot"
    rc, out, err = xl(host, "--allow-loss=kexec-image,livepatch -j -c "
                      f"{shlex.quote(line)} {NEW}")
    told = parsed(out) if rc == 0 else NOTHING
    lab.check(rc == 0 and told["updates"] == before["updates"] + 1 and not err,
              "an update with -c and -j", f"rc {rc} {out} {err}")
    now = host.must("xl info xen_commandline")
    lab.check("console_timestamps=boot" in now and now.count("liveupdate=") == 1,
              "the new Xen has that command line", now)
    out = says(lab, host, "status in words", "--status", 0,
               rf"^running +Xen \S+ \(build {build_id(path)[:12]}\)")
    lab.check(re.search(rf"^updates +{told.get('updates')}$", out, re.M) and
              re.search(r"^loaded +nothing$", out, re.M) and
              re.search(r"^last +none$", out, re.M), "status: nothing yet in this Xen",
              out)
    lab.check(host.run("luquery check")[0] == 0 and not reports(host),
              "what was allowed to be lost is lost", f"{reports(host)}")
    out = says(lab, host, "status, verbose", "-s -v", 0, r"reads +0x\w+ HOST version")
    want = len(re.findall(r"^LU_RECORD\(", RECORDS.read_text(), re.M))
    lab.check(out.count("\nreads ") == want, f"{want} records", out)
    lab.check("live-update" in host.must("xl help"), "xl help has it")


def aborted_by_xl(lab, host):
    held = guest.Guest(host, "held")
    held.build()
    victim = held.domid()
    says(lab, host, "abort: nothing waits", "--abort", 1, "No update waits")
    host.must(PATIENT + ZOMBIE.replace("{v}", str(victim)))
    host.must(f"(xl live-update {GZ}; echo rc $?) >/run/lab/exec.out 2>&1 3>&- "
              "</dev/null & true")
    rc, out = host.run(UNTIL.replace("{}", "xl live-update -s | grep '^waiting '") +
                       "xl live-update --abort; " + UNTIL.replace(
                           "{}", "grep -q '^rc' /run/lab/exec.out") +
                       "cat /run/lab/exec.out", 200)
    lab.check(rc == 0 and "rc 1" in out and "exec: aborted" in out and
              "nothing was changed" in out, "abort: the other one is refused", out)
    host.must(NO_ZOMBIE.replace("{v}", str(victim)), 200)


def part_tool(lab, host, g, victim, path):
    for what, args in (("no image", ""), ("two images", f"{NEW} {GZ}"),
                       ("no such option", f"--no-such {NEW}"),
                       ("seconds that are none", f"--wait=x {NEW}"),
                       ("status and an image", f"--status {NEW}"),
                       ("two things at once", "--status --abort"),
                       ("a dump to two files", f"--dump={DUMP} {NEW}"),
                       ("status and dump", f"--status --dump={DUMP}"),
                       ("no name of a loss", f"--allow-loss=, {NEW}"),
                       ("losses and no update", "--status --allow-loss=livepatch"),
                       ("a line and no image", "-n -c x")):
        rc, out, err = xl(host, args)
        lab.check(rc == 2 and err + out, f"usage: {what}", f"rc {rc} {out}{err}")
    for name in ("nonsense", "debugger", "livepatch,crash"):
        wrong = name.split(",")[-1]
        says(lab, host, f"usage: {name} may not be lost", f"--allow-loss={name} {NEW}", 2,
             f"does not let '{wrong}' be lost, only: {' '.join(MAY_LOSE)}")
    seen = {"dom0": lab.witnesses(host, [("heartbeat", "{tsc}")]),
            "the guest": lab.witnesses(g, [("heartbeat", "{tsc}")])}
    inside = {0: seen["dom0"], victim: seen["the guest"]}
    without_gap(lab, seen, "dry runs", lambda: dry(lab, host, path))
    host.must(f"xenstate debugger {victim} 1")
    without_gap(lab, seen, "refusals", lambda: refused_by_xl(lab, host, victim))
    in_hypfs(lab, host, facts(host), build_id(path))
    host.must(f"xenstate debugger {victim} 0")
    for w in seen.values():
        w.window()
    waits(lab, host, g, victim, path)
    own_gaps(lab, facts(host), inside)
    in_hypfs(lab, host, facts(host), build_id(path))
    dumped(lab, host, facts(host))
    host.must(f"mv {DUMP} {EARLIER}")
    may_be_lost(lab, host)
    again(lab, host, path)
    dumped(lab, host, facts(host))
    differs(lab, host)
    dropped(lab, host)
    aborted_by_xl(lab, host)
    rc, out = load(host, NEW, host.xen_cmdline() + " console_timestamps=boot")
    lab.check(rc == 0 and facts(host)["is_loaded"], "kexec loads one", out)
    says(lab, host, "unload", "--unload", 0, "^$")
    lab.check(not facts(host)["is_loaded"], "it is gone")
    for who, w in seen.items():
        lab.verdicts(w.stop(), f"in {who}")


def part_images(lab, host, g, victim, path):
    bad = scenario.load("bad-input")
    own = {"no ELF file": "no ELF file", "an ELF file that is no kernel":
           "no ELF file for 32 bits", "a Xen too large for its slot":
           r"takes \d+ bytes, a slot has \d+"}
    for i, (name, _, want) in enumerate(bad.images(path)):
        says(lab, host, f"{name}: refused, in these words", f"/boot/bad{i}",
             3 if name in own else 1, own.get(name, want))
    says(lab, host, "half a file", "/boot/cut", 3, r"segment \d+ of the image is outside")
    says(lab, host, "no such file", "/boot/none", 3, r"/boot/none.*No such file")
    says(lab, host, "a directory", "/boot", 3, "no regular file")
    running = host.must("xl info xen_commandline").strip()
    for name, line, want in bad.lines(running):
        rc, out, err = xl(host, f"-c {shlex.quote(line)} {NEW}")
        lab.check(rc == 1 and re.search(want, err), f"command line with {name}: refused, "
                  "in these words", f"rc {rc} {out}{err}")
    lab.check(not facts(host)["is_loaded"], "nothing of all that is loaded")
    says(lab, host, "a good image after all", NEW, 0, "replaced by")


NEW, GZ = "/boot/xen-new", "/boot/xen-new.gz"


def run(lab):
    parts = {"query": part_query, "tool": part_tool, "images": part_images}
    wanted = lab.param("PARTS", PARTS).split(",")
    if not set(wanted) <= set(parts):
        raise LabError(f"PARTS: {','.join(wanted)}: want some of {PARTS}")
    path = lab.first_xen()
    files = {**guest.files(), **ours(), GZ: f"{path}.gz",
             **stream.files(),
             "/boot/payload": scenario.load("blockers").payload(lab.dir, path)}
    install(files, [path])
    if "images" in wanted:
        bad = scenario.load("bad-input").images(path)
        files.update({f"/boot/bad{i}": data for i, (_, data, _) in enumerate(bad)})
        files["/boot/cut"] = open(path, "rb").read()[:1 << 20]
    with lab.host(append="liveupdate=64M", files=files, mem=3072) as host:
        host.boot()
        host.must("xenstart")
        g = guest.Guest(host, "victim").create()
        for name in wanted:
            parts[name](lab, host, g, g.domid(), path)

# SPDX-License-Identifier: GPL-2.0-only
"""Updates at random moments while guests are made, changed and destroyed in dom0.

WORKERS (default 2) loops of guest/storm.sh in dom0 create, reconfigure and destroy a
guest each, with xl.  At UPDATES (20) moments, which SEED chooses (printed; another one
each time unless given), Xen is updated under them.  Each update either happens or is
refused by name; either way the operations of xl, the witnesses in dom0 and those in a
guest that nobody touches go on.  In the end no guest of the storm is left, not as a
zombie either, free memory is within BOUND MiB of what it was, and no log has an
error.  Images take turns as TO says.
"""

import random
import re

from lablib import devices, guest
from lablib.backends import TROUBLE
from lablib.place import LabError
from lablib.update import Updates, execute, install, load, next_xens, reasons

# What may stay behind in Xen's heap, in MiB: pages of slabs that were used in part
# before and are now.  A page left behind in each storm of guests would be more.
BOUND = 1

# Seconds of guest time within which an update comes after an operation of the storm.
WITHIN = {"icount": 0.5, "mt": 2.0}

# Errno values that tell the operator to try again.
EAGAIN, EBUSY, ENOSPC = 11, 16, 28

XEN_TROUBLE = re.compile(r"^.*(Xen WARN|Xen BUG|Assertion|audit: .*, were |"
                         r"not freed|refcount|general protection).*$", re.M)

CFG = """type = "pv"
kernel = "{kernel}"
ramdisk = "{ramdisk}"
memory = 160
vcpus = 2
"""


def names(said):
    """The distinct reasons in Xen's words, without numbers of domains and pages."""
    return sorted({re.sub(r"(0x)?[0-9a-f]*\d[0-9a-f]*", "N", name) for name in re.findall(
        r"live-update: (?:blocked by )?(?:d\d+: )?(.+) \(-\d+\)$", said, re.M)
        if not name.startswith("refused, nothing")})


def attempt(lab, host, name, path, ops, delay):
    """One update `delay` seconds after the storm has done `ops` operations in all.

    Returns True, or the names that refused it, or None when it neither happened nor
    was refused in the way it should be.
    """
    since = host.log.stat().st_size
    rc, out = load(host, path, host.xen_cmdline())
    if rc == 0:
        wait_until(host, f"[ $(cat /run/lab/storm.s? | grep -c '^ok ') -ge {ops} ]",
                   f"{ops} operations are done")
        rc, out = host.run(f"usleep {int(delay * 1e6)}; "
                           "kexec -x --exec-live-update 2>&1", 600)
    text = host.log.read_bytes()[since:].decode(errors="replace")
    banners = len(re.findall(r"Xen version \d", text))
    said = "\n".join(line.strip() for line in reasons(host, since))
    detail = f"rc {rc}, {banners} new Xens: {out.strip()}; {said}"
    if rc == 0:
        return True if lab.check(banners == 1, f"{name}: happened", detail) else None
    why = names(said)
    code = re.search(r"nothing was changed \(-(\d+)\)", said)
    good = banners == 0 and why and code and \
        int(code.group(1)) in (EAGAIN, EBUSY, ENOSPC)
    return why if lab.check(
        good, f"{name}: refused by name: {', '.join(why)}", detail) else None


def storm_log(host, worker):
    """(how many operations went well, those that did not, whether it has ended)."""
    log = f"/run/lab/storm.{worker}"
    good, ended, bad = host.must(
        f"grep -c '^ok ' {log}; grep -c '^end$' {log}; "
        f"grep -v '^ok \\|^end$' {log} | tail -n 5; true").split("\n", 2)
    return int(good), bad.strip(), ended == "1"


def free_memory(host):
    return int(host.must("xl info free_memory"))


def wait_until(host, script, what, limit=300):
    """Polls in dom0 until the script succeeds, in seconds of dom0's time."""
    rc, _ = host.run(f"end=$(($(date +%s) + {limit})); until {script}; do "
                     "[ $(date +%s) -gt $end ] && exit 1; usleep 200000; done",
                     4 * limit)
    if rc:
        raise LabError(f"waited in vain until {what}:\n"
                       + host.run("xl list 2>&1")[1])


def run(lab):
    count = lab.param("UPDATES", 20)
    seed = lab.param("SEED", 0) or random.SystemRandom().randrange(1, 1 << 30)
    workers = [f"s{n}" for n in range(lab.param("WORKERS", 2))]
    lab.say(f"SEED={seed}")
    dice = random.Random(seed)
    images = next_xens(lab, 1)
    files = guest.files()
    files["/boot/storm.cfg"] = CFG.format(kernel=guest.KERNEL,
                                          ramdisk=guest.RAMDISK).encode()
    paths = install(files, images)
    args = [a for n in range(len(workers))
            for a in devices.disk("nvme", lab.dir, n)]
    with lab.host(append="liveupdate=64M", files=files, devices=args,
                  mem=2560, dom0_mem=1280) as host:
        host.boot()
        host.must("xenstart && modprobe -a bridge xen-blkback xen-netback && "
                  "brctl addbr xenbr0 && ip addr add 10.9.0.1/24 dev xenbr0 && "
                  "ip link set xenbr0 up && cp /boot/storm.cfg /run/lab/storm.cfg")
        disks = devices.find_disks(host, range(len(workers)))
        steady = guest.Guest(host, "steady", vcpus=2).create()
        inside = lab.witnesses(steady, [("heartbeat", "{tsc}"), ("timers", ""),
                                        ("memory", "-m 8 -d 5"),
                                        ("fpu", "-d 5")])
        w = lab.witnesses(host, [("heartbeat", "{tsc}"), ("timers", ""),
                                 ("memory", "-m 8 -d 5")])
        # Free memory is compared between two moments after an update in peace.
        updates = Updates(lab, host, images, paths, w)
        if not updates.once():
            raise LabError("no update in peace, so none in the storm")
        free = free_memory(host)

        for n, worker in enumerate(workers):
            host.must(f"(setsid storm {worker} {n} {dice.randrange(1 << 30)} "
                      f"{disks[n]} >/dev/null 2>&1 3>&- </dev/null &)")
        happened, refused, did = 0, {}, dict.fromkeys(workers, 0)
        for n in range(1, count + 1):
            before, before_in = w.sample(), inside.sample()
            verdict = attempt(lab, host, f"moment {n}",
                              paths[updates.count % len(paths)],
                              sum(did.values()) + dice.randrange(3),
                              dice.uniform(0, WITHIN[lab.accel]))
            if verdict is None:
                break
            happened += verdict is True
            updates.count += verdict is True
            for name in verdict if verdict is not True else []:
                refused[name] = refused.get(name, 0) + 1
            lab.goes_on(w, before, f"moment {n}: dom0 goes on")
            lab.goes_on(inside, before_in, f"moment {n}: the steady guest goes on")
            for worker in workers:
                good, bad, _ = storm_log(host, worker)
                lab.check(not bad, f"moment {n}: {worker}: all of xl's operations "
                          f"succeed ({good - did[worker]} more)", bad)
                did[worker] = good

        host.must("touch /run/lab/storm.stop")
        for worker in workers:
            wait_until(host, f"grep -q '^end$' /run/lab/storm.{worker}",
                       f"{worker} has ended", 600)
            good, bad, _ = storm_log(host, worker)
            lab.check(good and not bad, f"{worker}: {good} operations, none failed",
                      bad)
        lab.say("operations: " + " ".join(host.must(
            "cat /run/lab/storm.s? | grep '^ok ' | sort | uniq -c | sort -rn"
        ).split()))
        wait_until(host, "[ $(xl list | tail -n +2 | wc -l) = 2 ]",
                   "only dom0 and the steady guest are left")
        lab.check(True, "no guest and no zombie of the storm is left")
        lab.check(happened, "some updates happened in the storm",
                  f"none of {count}")
        lab.say(f"of {count} updates {happened} happened; refused: " +
                (", ".join(f"{name} ({k})" for name, k in refused.items())
                 or "none"))

        # Each build has a frame table of its own size: back to the first's.
        before_in = inside.sample()
        while lab.check(updates.once(), "an update after the storm") and \
                updates.count % len(images) != 1 % len(images):
            pass
        lab.goes_on(inside, before_in, "and the steady guest goes on")
        now = free_memory(host)
        lab.check(abs(now - free) <= BOUND, "free memory is what it was",
                  f"{now} MiB, was {free} MiB")
        said = steady.trouble(TROUBLE)
        lab.check(not said, "nothing in the steady guest's log", said)
        _, said = host.run(f"dmesg | grep -E '{TROUBLE}'")
        lab.check(not said, "nothing in dom0's log", said)
        wrong = [m.group(0).strip() for m in XEN_TROUBLE.finditer(host.serial())]
        lab.check(not wrong, "nothing in Xen's log", "; ".join(wrong[:5]))
        lab.verdicts(inside.stop(), "in the steady guest")
        host.must("xl destroy steady")
        updates.finish()

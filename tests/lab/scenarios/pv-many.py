# SPDX-License-Identifier: GPL-2.0-only
"""Many small PV guests on two CPUs, many updates: nothing is used up.

GUESTS (default 16) guests of MEMORY MiB (default 160) each count slowly, UPDATES
(default 10) updates, of which every guest has to live through each.  From after the
first to after the last the host's free memory (once all of it has joined the heap),
every domain's event channels (lsevtchn) and grants in use (debug key g) have to stay
what they are.  TO: flavours that take turns as the new Xen.

Builds differ in the memory they need: free memory is compared with that after the
first update to the same one, and has to be the same to the page.
One thing that takes Xen's memory comes when chance wants it, and stays: a CPU's heap of
timers grows from 15 entries to 255, half a page, the first time that so many run there.
Each guest has a timer or two, where it ran last.  So before memory is looked at all guests
are made to run on one CPU after the other, from which all heaps grow; fewer than 16 guests
may or may not do that: memory may be otherwise by a page for each CPU then, and is looked
at after the first and last updates only.
"""

import re

from lablib import guest
from lablib.place import LabError
from lablib.toolstack import free, key
from lablib.update import Updates, install, next_xens
from lablib.witness import Together


def channels(host, domids):
    """{domid: its event channels, a line each}, dom0 first."""
    text = host.must(f"for d in 0 {' '.join(map(str, domids))}; do "
                     "echo = $d; lsevtchn $d; done")
    parts = re.split(r"^= (\d+)\n", text, flags=re.M)
    return {domid: lines.splitlines() for domid, lines in
            zip(parts[1::2], parts[2::2])}


def grants(host):
    """What the debug key g tells: frames, and each grant in use."""
    return key(host, "g").splitlines()


def ticking(host, domids):
    """Waits until all count on; returns the domids of those that do not."""
    paths = {f"/local/domain/{d}/data/tick": d for d in domids}
    out = host.must(
        f"at() {{ for p in {' '.join(paths)}; do "
        "echo $p $(xenstore read $p); done; }\n"
        "at >/run/ticks; i=0; while i=$((i + 1)); [ $i -lt 60 ]; do\n"
        "at | cat /run/ticks - | awk '{ if ($1 in t && $2 > t[$1]) ok[$1]; "
        "else if (!($1 in t)) t[$1] = $2 } "
        "END { for (p in t) if (!(p in ok)) print p }' >/run/behind\n"
        "[ -s /run/behind ] || exit 0; usleep 500000; done; cat /run/behind", 300)
    return [paths[p] for p in out.split()]


def owned(host, domids):
    """How many pages guests have, for a FAIL line: is it theirs or Xen's?"""
    text = host.must(f"for d in {' '.join(map(str, domids))}; do "
                     "domstate $d || exit 1; done")
    return sum(int(n) for n in re.findall(r"\bpages=(\d+)", text))


def timers(host, cpu):
    """How many timers are set on a CPU, by the debug key a."""
    _, _, mine = key(host, "a").partition(f"CPU{cpu:02}:")
    return mine.partition("CPU")[0].count("timer=")


def herd(host, domids):
    """Makes each CPU have a timer of every guest.

    A vCPU that sleeps has one set, on the CPU where it set it.  Having counted twice
    all of them have slept there beside each other.  Returns the domids of those that
    stop, and how many timers each CPU had at the end of that.
    """
    stopped, had = set(), []
    for cpu in (*range(int(host.must("xl info nr_cpus"))), -1):
        host.must(f"for d in {' '.join(map(str, domids))}; do "
                  f"xenstate affinity $d {cpu} || exit 1; done")
        for _ in range(2):
            stopped.update(ticking(host, domids))
        if cpu >= 0:
            had.append(timers(host, cpu))
    return stopped, had


def changes(was, now):
    """What differs between two lists of lines, for a FAIL line."""
    return f"gone: {[x for x in was if x not in now]}, " \
           f"new: {[x for x in now if x not in was]}"


def run(lab, kinds=(), wanted=(), more=(), dom0_mem=1024, tool="kexec"):
    """`kinds` are what the guests are, instead of PV all; `wanted` are witnesses in the
    first of each kind, and the first of them in the others, too; `more` are files that dom0
    needs besides; `tool` is what Updates takes."""
    count = lab.param("UPDATES", 10)
    images = next_xens(lab, count)
    memory = lab.param("MEMORY", 160)
    files = {**guest.files(), **dict(more)}
    paths = install(files, images)
    with lab.host(append="liveupdate=64M", files=files, dom0_mem=dom0_mem) as host:
        host.boot()
        host.must("xenstart")
        guests, seen = [], {}
        for n, kind in enumerate(kinds or ["pv"] * lab.param("GUESTS", 16)):
            g = guest.Guest(host, f"g{n}", kind, memory=memory).create()
            g.ticks()
            guests.append(g)
        # All are there before any of them works, which takes the emulator's time.
        kinds_seen = set()
        for g in guests if wanted else []:
            seen[f"{g.name} {g.kind} "] = lab.witnesses(
                g, wanted[:1] if g.kind in kinds_seen else wanted, 100)
            kinds_seen.add(g.kind)
        domids = [g.domid() for g in guests]
        boots = {g: g.must("cat /proc/sys/kernel/random/boot_id") for g in guests}
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, Together({"": w, **seen}), tool)
        freed, pages, first, turns = {}, {}, None, len(images)
        settles = len(guests) >= 16
        for n in range(1, count + 1):
            if not updates.once():
                raise LabError("no update took place")
            looked_at = settles or n <= turns or n > count - turns
            if looked_at:
                behind, had = herd(host, domids)
                lab.say(f"update {n}: timers on each CPU: {had}")
            else:
                behind = ticking(host, domids)
            lab.check(not behind, f"update {n}: all {len(guests)} guests go on",
                      f"d{behind} do not")
            updates.joined(n)
            if looked_at:
                # The last stream is of any size.
                host.must("luquery unload")
                freed[n], pages[n] = free(host), owned(host, domids)
            if n == 1:
                first = channels(host, domids), grants(host)
        slack = 0 if settles else 4 * int(host.must("xl info nr_cpus"))
        for n in [n for n in freed if n > turns]:
            was = (n - 1) % turns + 1
            lab.check(abs(freed[n] - freed[was]) <= slack,
                      f"update {n}: free memory is what it was",
                      f"{freed[n]} kB, was {freed[was]} kB; guests have "
                      f"{pages[n]} pages, had {pages[was]}")
        lab.say(f"free in the end: {freed[count]} kB")
        now = channels(host, domids), grants(host)
        for domid, was in first[0].items():
            lab.check(now[0][domid] == was and was,
                      f"d{domid}: its {len(was)} event channels are the same",
                      changes(was, now[0][domid]))
        lab.check(now[1] == first[1] and len(first[1]) > len(guests),
                  "all grants in use are the same", changes(first[1], now[1]))
        lab.say(f"{len(first[1])} lines of grants compared")
        for g in guests:
            lab.check(g.must("cat /proc/sys/kernel/random/boot_id") == boots[g],
                      f"{g.name} is the same guest")
        updates.finish()
        for g in guests:
            host.must(f"xl destroy {g.name}")
        lab.epilogue += updates.table()

# SPDX-License-Identifier: GPL-2.0-only
"""Guests on their way in or out: what an update waits for, refuses and carries.

A dead guest whose page a tool has mapped: the update waits as long as
liveupdate-wait says, then refuses and names guest and reason; when the tool lets go
in time, the update takes place.

A domain just created, with no vCPU and memory claimed, is still that, and its claim
goes with it.  A guest whose builder stands still meanwhile is built to its end under the
new Xen.  Built and not started (xl create -p) it is as it was and starts afterwards,
twice through, and the next guest gets the next domid.  TO: flavours that take turns as
the new Xen.
"""

import re

from lablib import guest
from lablib.update import Updates, execute, install, load, next_xens, reasons

HOLD = 400


def mapped(host, g):
    """Holds g's console page; returns what ends that."""
    host.must(f"d=$(xl domid {g.name}); mapguest $d "
              f"$(xenstore read /local/domain/$d/console/ring-ref) "
              ">/run/lab/mapguest.out 2>&1 3>&- & echo $! >/run/lab/mapguest.pid; "
              "for i in $(seq 300); do grep -q mapped /run/lab/mapguest.out && "
              "exit 0; usleep 100000; done; cat /run/lab/mapguest.out; exit 1")
    return "kill $(cat /run/lab/mapguest.pid)"


def uptime_ms(host):
    return 1000 * float(host.must("cut -d' ' -f1 /proc/uptime"))


def refused(lab, host, w, what, want):
    """An update with `want` for reason, when HOLD ms are over; dom0 goes on."""
    host.must(f"xl set-parameters liveupdate-wait={HOLD} 2>&1")
    before, since = w.sample(), host.log.stat().st_size
    start = uptime_ms(host)
    rc, said = execute(host)
    took = uptime_ms(host) - start
    text = "\n".join(reasons(host, since))
    lab.check(rc != 0 and re.search(want, text), f"refused for {what}",
              f"rc {rc}: {said}\n{text}")
    lab.check(took >= HOLD, f"{what}: but only when the time to wait was over",
              f"{took:.0f} ms of {HOLD}")
    lab.goes_on(w, before, f"{what}: dom0 goes on after that")


def waited(lab, host, updates, number, what, let_go):
    """An update for which `let_go`, a script, makes way after a second."""
    host.must("xl set-parameters liveupdate-wait=60000 2>&1")
    host.must(f"(usleep 1000000; {let_go}) >/dev/null 2>&1 3>&- </dev/null &")
    since = host.log.stat().st_size
    updates.once()
    text = "\n".join(reasons(host, since))
    lab.check(re.search(rf"waiting up to 60000 ms for d{number}\b", text),
              f"the update waited for {what}", text)


def dead_and_held(lab, host, updates, w, path):
    g = guest.Guest(host, "held").create()
    number = g.domid()
    let_go = mapped(host, g)
    host.must(f"xl destroy {g.name}")
    rc, said = load(host, path, updates.args)
    lab.check(rc == 0, "an image is loaded beside a dead guest", said)
    refused(lab, host, w, "a dead guest",
            rf"blocked by d{number}: destruction: \d+ pages are left, others have "
            r"mapped them \(-16\)")
    waited(lab, host, updates, number, "the tool to let go", let_go)
    host.must("for i in $(seq 100); do [ $(xl list | wc -l) = 2 ] && exit 0; "
              "usleep 100000; done; xl list; exit 1")
    return number


def newborn(lab, host, updates):
    """A domain without vCPUs, pages or a name that has claimed 16 MiB."""
    number = int(host.must("d=$(xenstate build) && "
                           "xenstate claim $d 4096 && echo $d"))

    def seen():
        claimed = host.must("xl info | awk '/outstanding_claims/ { print $3 }'")
        row = host.must(f"xl list | awk '$2 == {number} {{ print $3, $4, $5 }}'")
        return [claimed.strip(), *row.split()]

    # xl counts claimed memory as the domain's.
    want = ["16", "16", "0", "--p---"]
    lab.check(seen() == want, "there is a domain without vCPUs, memory claimed",
              str(seen()))
    updates.once()
    lab.check(seen() == want, "it is as it was, and so is its claim", str(seen()))
    host.must(f"xl destroy {number}")
    lab.check(seen() == ["0"], "its claim goes when it is destroyed", str(seen()))
    return number


def half_built(lab, host, updates):
    """A guest whose builder stands still during an update."""
    g = guest.Guest(host, "unborn", vcpus=2)
    g.half_build()
    since = host.log.stat().st_size
    updates.once()
    text = "\n".join(reasons(host, since))
    lab.check("waiting" not in text, "an update waits for no builder", text)
    g.finish_build()
    return g


def run(lab):
    images = next_xens(lab, 1)
    files = guest.files()
    paths = install(files, images)
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        host.must("xenstart")
        w = lab.witnesses(host, [("heartbeat", "{tsc}"), ("memory", "-m 8 -d 5")])
        updates = Updates(lab, host, images, paths, w)

        last = dead_and_held(lab, host, updates, w, paths[0])

        last = newborn(lab, host, updates)
        g = half_built(lab, host, updates)
        lab.check(g.domid() == last + 1, "the next guest has the next domid",
                  f"d{g.domid()} after d{last}")
        for n in range(2):
            updates.once()
            state = host.must(f"xl list {g.name} | awk 'NR == 2 {{ print $5, $6 }}'")
            lab.check(state.split() == ["--p---", "0.0"],
                      f"a guest that never ran still waits, update {n + 1}", state)
        host.must(f"xl unpause {g.name}")
        g.meet()
        lab.check(g.must("nproc").strip() == "2", "it starts then, with both vCPUs")
        host.must(f"xl destroy {g.name}")
        updates.finish()

# SPDX-License-Identifier: GPL-2.0-only
"""PV guests with nothing but memory and time: they live through the update.

GUESTS guests (default 2) with 1, 2, ... vCPUs run light witnesses, as dom0 does.
TO: flavours that take turns as the new Xen.
"""

from lablib import guest
from lablib.update import Updates, install, next_xens


def run(lab):
    count = lab.param("UPDATES", 3)
    images = next_xens(lab, count)
    files = guest.files()
    paths = install(files, images)
    duty = 20 if lab.accel == "mt" else 5
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        host.must("xenstart")
        guests, seen = [], {}
        for n in range(lab.param("GUESTS", 2)):
            g = guest.Guest(host, f"g{n}", vcpus=n + 1).create()
            guests.append(g)
            seen[g] = lab.witnesses(g, [
                ("heartbeat", "{tsc}"), ("memory", f"-m 8 -d {duty}"),
                ("fpu", f"-d {duty}"), ("timers", "")])
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, w)
        for n in range(count):
            before = {g: seen[g].sample() for g in guests}
            if not updates.once():
                break
            for g in guests:
                now = lab.goes_on(seen[g], before[g],
                                  f"update {n + 1}: {g.name} goes on")
                lab.figure(f"update {n + 1}: largest gap in {g.name}",
                           now["heartbeat"].get("max_ms", "?"))
        for g in guests:
            lab.verdicts(seen[g].stop(), f"in {g.name}")
        host.must("xl list 2>&1")
        for g in guests:
            host.must(f"xl destroy {g.name}")
        updates.finish()

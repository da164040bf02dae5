# SPDX-License-Identifier: GPL-2.0-only
"""PV guests with nothing but memory and time: they live through the update.

GUESTS guests (default 2) with 1, 2, ... vCPUs run light witnesses, as dom0 does.
TO: flavours that take turns as the new Xen.
"""

from lablib import guest
from lablib.update import Updates, install, next_xens
from lablib.witness import Together


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
            seen[f"{g.name} "] = lab.witnesses(g, [
                ("heartbeat", "{tsc}"), ("memory", f"-m 8 -d {duty}"),
                ("fpu", f"-d {duty}"), ("timers", "")])
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, Together({"": w, **seen}))
        updates.run(count)
        updates.finish()
        for g in guests:
            host.must(f"xl destroy {g.name}")
        lab.epilogue += updates.table()

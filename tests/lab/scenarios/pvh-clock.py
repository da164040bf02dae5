# SPDX-License-Identifier: GPL-2.0-only
"""Time in PVH guests: no clock runs backwards or steps by more than the gap.

A guest for each mode of the TSC (MODES, default default,native,always_emulate) and each
clock that Linux reads there (CLOCKS, default tsc,xen), all in one host, with the
witnesses of dom0-clock, which work each SLICE (default 100) ms. FLAVOUR is 4.17-lab, which
has what TCG needs to keep PVH guests healthy (docs/lab.md). TO: flavours that take turns as
the new Xen.
"""

from lablib import guest
from lablib.scenario import load
from lablib.update import Updates, install, next_xens
from lablib.witness import Together

# What domstate tells of each.
MODE = {"default": 0, "always_emulate": 1, "native": 2}


def run(lab):
    lab.for_hvm()
    count = lab.param("UPDATES", 2)
    modes = lab.param("MODES", ",".join(MODE)).split(",")
    clocks = lab.param("CLOCKS", "tsc,xen").split(",")
    linux = load("dom0-clock")
    images = next_xens(lab, count)
    files = guest.files()
    paths = install(files, images)
    with lab.host(append="liveupdate=64M" if count else "", files=files) as host:
        host.boot()
        host.must("xenstart")
        guests, seen = {}, {}
        for mode in modes:
            for clock in clocks:
                name = f"{mode.split('_')[-1]}-{clock}"
                g = guest.Guest(host, name, "pvh", config=f'tsc_mode = "{mode}"',
                                args=linux.trust(clock)).create()
                guests[name] = g
                now = linux.take(g, clock)
                lab.check(now == clock, f"{name} reads clock {clock}", now)
                said = host.must(f"domstate {g.domid()}")
                lab.check(f"tsc_mode={MODE[mode]} " in said + " ",
                          f"{name} has TSC mode {mode}", said)
                seen[f"{name} "] = lab.witnesses(g, [
                    ("heartbeat", "{tsc}"), ("timers", ""), ("clock", "-d 4")],
                    lab.param("SLICE", 100))
        w = Together({"": lab.witnesses(host, [("heartbeat", "{tsc}")]), **seen})
        before = w.sample()
        host.must(f"sleep {lab.param('SECONDS', 2)}", 1200)
        lab.goes_on(w, before, "every witness works before the first update")
        updates = Updates(lab, host, images, paths, w)
        updates.run(count)
        updates.finish()
        for g in guests.values():
            host.must(f"xl destroy {g.name}")
        lab.epilogue += updates.table()

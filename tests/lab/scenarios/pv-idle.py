# SPDX-License-Identifier: GPL-2.0-only
"""PV guests with nothing but memory and time: they live through the update.

Guests of VCPUS (default 1,2) run light witnesses, which work each SLICE (default 10) ms,
for SECONDS of their time (default 2) and through UPDATES, as dom0 does. TO: flavours that
take turns as the new Xen. ARGS and CFG are more options of the guests' kernel and lines of
their xl.cfg, with ; between.
ORDERS are failures of updates that come before, as in abort (freeze,jump), in a flavour of
the lab.
"""

from lablib import guest
from lablib.scenario import load
from lablib.update import Updates, install, next_xens
from lablib.witness import Together

LIGHT = [("heartbeat", "{tsc}"), ("memory", "-m 8 -d {duty}"), ("fpu", "-d {duty}"),
         ("timers", "")]


def run(lab, kind="pv", vcpus="1,2", wanted=LIGHT, dom0_mem=1024, more=()):
    """`more` are files that dom0 needs besides."""
    count = lab.param("UPDATES", 3)
    images = next_xens(lab, count)
    files = {**guest.files(), **dict(more)}
    paths = install(files, images)
    duty = lab.param("DUTY", 20 if lab.accel == "mt" else 5)
    wanted = [(name, args.replace("{duty}", str(duty))) for name, args in wanted]
    config = lab.param("CFG", "").replace(";", "\n")
    with lab.host(append="liveupdate=64M" if count else "", files=files,
                  dom0_mem=dom0_mem) as host:
        host.boot()
        host.must("xenstart")
        guests, seen = [], {}
        for n, number in enumerate(lab.param("VCPUS", vcpus).split(",")):
            g = guest.Guest(host, f"g{n}", kind, vcpus=int(number), config=config,
                            args=lab.param("ARGS", "")).create()
            guests.append(g)
            seen[f"{g.name} "] = lab.witnesses(g, wanted, lab.param("SLICE", 10))
        w = Together({"": lab.witnesses(host, [("heartbeat", "{tsc}")]), **seen})
        before = w.sample()
        host.must(f"sleep {lab.param('SECONDS', 2)}", 1200)
        lab.goes_on(w, before, "every witness works before the first update")
        abort = load("abort")
        for order in filter(None, lab.param("ORDERS", "").split(",")):
            before = w.sample()
            abort.failed_cleanly(lab, host, w, order, before,
                                 abort.attempt(lab, host, paths[0], order))
        updates = Updates(lab, host, images, paths, w)
        updates.run(count)
        updates.finish()
        for g in guests:
            host.must(f"xl destroy {g.name}")
        lab.epilogue += updates.table()

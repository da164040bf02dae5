# SPDX-License-Identifier: GPL-2.0-only
"""The live update itself: Xen is replaced under an otherwise idle dom0.

The toolstack's daemons run, light witnesses of every kind watch, and Xen is
replaced UPDATES times in a row (default 3).  Free memory of the host after the
last update must be what it was after the first.  Parameters: UPDATES, TO (flavour
of the new image, default the running one; a list with commas takes turns), TOOLS=0
(no xenstored), and those of every scenario.
"""

from lablib.update import Updates, install

WITNESSES = [("heartbeat", "{tsc}"), ("memory", "-m 16 -d 5"), ("fpu", "-d 5"),
             ("timers", ""), ("clock", "-d 5"), ("churn", "-n 64 -d 5")]


def run(lab):
    count = lab.param("UPDATES", 3)
    flavour = lab.param("FLAVOUR", "4.17")
    images = [lab.xen(f) for f in lab.param("TO", flavour).split(",")]
    if lab.param("XEN_NEW", ""):
        images = [lab.param("XEN_NEW", "")]
    tools = lab.param("TOOLS", 1)
    files = {}
    paths = install(files, images)
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        if tools:
            host.must("xenstart")
        w = lab.witnesses(host, WITNESSES)
        updates = Updates(lab, host, images, paths, w)
        free = []
        for _ in range(count):
            if not updates.once():
                break
            if tools:
                free.append(int(host.must("xl info free_memory")))
        if len(free) > 1:
            lab.check(free[-1] == free[0], "free memory is what it was",
                      f"{free} MiB after each update")
        updates.finish()

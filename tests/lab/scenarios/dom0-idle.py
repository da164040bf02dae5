# SPDX-License-Identifier: GPL-2.0-only
"""The live update itself: Xen is replaced under an otherwise idle dom0.

The toolstack's daemons run and light witnesses watch.  Free memory of the host
after the last update must be what it was after the first, and all of it must have
joined Xen's heap in the end.  LOAD=0 leaves only the
heartbeat, for figures; TOOLS=0 starts no xenstored.  Other parameters: see
lablib/update.py, sequence().
"""

from lablib.update import sequence

LIGHT = [("memory", "-m 16 -d 5"), ("fpu", "-d 5"), ("timers", ""),
         ("clock", "-d 5")]


def run(lab):
    load = LIGHT if lab.param("LOAD", 1) else []
    sequence(lab, [("heartbeat", "{tsc}")] + load,
             tools=bool(lab.param("TOOLS", 1)))

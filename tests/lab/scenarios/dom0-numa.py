# SPDX-License-Identifier: GPL-2.0-only
"""Updates on a host of two NUMA nodes.

Each node's free memory joins Xen's heap after each update, and is counted for
that node at once: what `xl info -n` tells of each node must stay what it was after
the first update.  Parameters: lablib/update.py, sequence().
"""

import re

from lablib.update import sequence

NODES = ["-object", "memory-backend-ram,id=m0,size=2048M",
         "-object", "memory-backend-ram,id=m1,size=2048M",
         "-numa", "node,nodeid=0,memdev=m0,cpus=0",
         "-numa", "node,nodeid=1,memdev=m1,cpus=1"]


def run(lab):
    def note(host):
        nodes.append(host.must("xl info -n | sed -n '/^numa_info/,$p'"))

    nodes = []
    sequence(lab, [("heartbeat", "{tsc}"), ("memory", "-m 16 -d 5")],
             tools=True, after=note, devices=NODES)
    free = [re.findall(r"^ +\d+: +\d+ +(\d+)", n, re.M) for n in nodes]
    lab.check(bool(free) and all(len(f) == 2 for f in free),
              "Xen sees two nodes", "; ".join(nodes))
    lab.check(free[1:] == free[:-1], "each node's free memory is what it was",
              f"{free} MiB after each update")

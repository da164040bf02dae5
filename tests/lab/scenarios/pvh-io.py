# SPDX-License-Identifier: GPL-2.0-only
"""Two PVH guests and a PV guest at work with each other: all that pv-io does and checks.

VCPUS (default 1,1,1) is for the three in this order. FLAVOUR is 4.17-lab, which has what
TCG needs to keep PVH guests healthy (docs/lab.md).
"""

from lablib.scenario import load


def run(lab):
    lab.params.setdefault("FLAVOUR", "4.17-lab")
    load("pv-io").run(lab, vcpus="1,1,1", kinds=("pvh", "pvh", "pv"))

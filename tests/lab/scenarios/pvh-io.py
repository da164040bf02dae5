# SPDX-License-Identifier: GPL-2.0-only
"""Two PVH guests and a PV guest at work with each other: all that pv-io does and checks.

VCPUS (default 1,1,1) is for the three in this order. More of them for PVH guests want an
emulator that keeps them healthy (docs/lab.md); FLAVOUR=4.17-lab has what TCG needs.
"""

from lablib.scenario import load


def run(lab):
    load("pv-io").run(lab, vcpus="1,1,1", kinds=("pvh", "pvh", "pv"))

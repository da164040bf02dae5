# SPDX-License-Identifier: GPL-2.0-only
"""Two PVH guests and a PV guest at work with each other: all that pv-io does and checks.

VCPUS (default 1,4,1) is for the three in this order; they work each SLICE (default 100)
ms, as the emulator has no more to give. FLAVOUR is 4.17-lab, which has what TCG needs
to keep PVH guests healthy (docs/lab.md).
"""

from lablib.scenario import load


def run(lab):
    lab.qemu = "10"
    lab.params.setdefault("FLAVOUR", "4.17-lab")
    lab.params.setdefault("TO", "4.17-shifted-lab,4.17-lab")
    load("pv-io").run(lab, vcpus="1,4,1", kinds=("pvh", "pvh", "pv"),
                      slice=100)

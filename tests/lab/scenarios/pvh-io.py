# SPDX-License-Identifier: GPL-2.0-only
"""Two PVH guests and a PV guest at work with each other: all that pv-io does and checks.

VCPUS (default 1,4,1) is for the three in this order; they work each SLICE (default 100)
ms, as the emulator has no more to give. FLAVOUR is 4.17-lab, which has what TCG needs
to keep PVH guests healthy (docs/lab.md).
"""

from lablib.scenario import load


def run(lab):
    lab.for_hvm(turns=True)
    load("pv-io").run(lab, vcpus="1,4,1", kinds=("pvh", "pvh", "pv"),
                      slice=100)

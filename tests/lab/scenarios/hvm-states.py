# SPDX-License-Identifier: GPL-2.0-only
"""PVH guests in the states that an operator meets: all that pv-states does and checks.

FLAVOUR is 4.17-lab, which has what TCG needs to keep PVH guests healthy (docs/lab.md).
"""

from lablib.scenario import load


def run(lab):
    lab.for_hvm(turns=True)
    load("pv-states").run(lab, kind="pvh")

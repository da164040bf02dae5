# SPDX-License-Identifier: GPL-2.0-only
"""Debian's xl on PVH guests: all that pv-tools does and checks.

FLAVOUR is 4.17-lab, which has what TCG needs to keep such guests healthy (docs/lab.md).
"""

from lablib.scenario import load


def run(lab):
    lab.for_hvm(turns=True)
    load("pv-tools").run(lab, kind="pvh")

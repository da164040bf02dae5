# SPDX-License-Identifier: GPL-2.0-only
"""Debian's xl on HVM guests, and the QEMU of each: all that pv-tools does and checks.

dom0 has room for six QEMUs and what is saved of two guests. FLAVOUR is 4.17-lab, which
has what TCG needs to keep such guests healthy (docs/lab.md).
"""

from lablib import devicemodel
from lablib.scenario import load


def run(lab):
    lab.for_hvm(turns=True)
    load("pv-tools").run(lab, kind="hvm", more=devicemodel.files(),
                         dom0_mem=devicemodel.DOM0_MEM + 768)

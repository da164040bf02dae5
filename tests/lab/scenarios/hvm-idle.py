# SPDX-License-Identifier: GPL-2.0-only
"""An HVM guest with nothing but memory and time, and QEMU in dom0 as its device model.

As pv-idle, whose parameters it has, with all witnesses that need no disk and no network.
SeaBIOS boots Debian's kernel from what QEMU was given; Linux then uses its drivers for
Xen. VCPUS is 1, FLAVOUR one of the lab's, as for PVH guests (docs/lab.md).
"""

from lablib import devicemodel
from lablib.scenario import load
from lablib.witness import ALONE


def run(lab):
    lab.for_hvm()
    load("pv-idle").run(
        lab, kind="hvm", vcpus="1", dom0_mem=devicemodel.DOM0_MEM,
        more=devicemodel.files(), wanted=ALONE)

# SPDX-License-Identifier: GPL-2.0-only
"""A PVH guest with nothing but memory and time.

As pv-idle, whose parameters it has, with all witnesses that need no device. A flavour of
the lab runs it, since on others the emulator does not keep such a guest healthy, nor more
than one vCPU (VCPUS) surely (docs/lab.md): UPDATES=0 tells what the lab itself does.
"""

from lablib.scenario import load
from lablib.witness import ALONE


def run(lab):
    lab.params.setdefault("FLAVOUR", "4.17-lab")
    load("pv-idle").run(lab, kind="pvh", vcpus="1", wanted=ALONE)

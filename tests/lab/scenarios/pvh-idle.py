# SPDX-License-Identifier: GPL-2.0-only
"""A PVH guest with nothing but memory and time.

As pv-idle, whose parameters it has, with all witnesses that need no device. One vCPU
(VCPUS), since not every emulator keeps more of them healthy (docs/lab.md): UPDATES=0
tells what the lab itself does to the guest.
"""

from lablib.scenario import load


def run(lab):
    load("pv-idle").run(lab, kind="pvh", vcpus="1", wanted=[
        ("heartbeat", "{tsc}"), ("memory", "-m 8 -d {duty}"), ("fpu", "-d {duty}"),
        ("timers", ""), ("clock", "-d {duty}"), ("churn", "-n 16 -d {duty}")])

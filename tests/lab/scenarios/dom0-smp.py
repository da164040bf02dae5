# SPDX-License-Identifier: GPL-2.0-only
"""More vCPUs: every CPU busy with registers, memory and clocks meanwhile.

VCPUS vCPUs on as many CPUs: 2 by default, 4 for the larger run.  Under icount only
2 are emulated fairly (docs/lab.md), so 4 wants ACCEL=mt.
"""

from lablib.place import LabError
from lablib.update import sequence


def run(lab):
    vcpus = lab.param("VCPUS", 2)
    if vcpus > 2 and lab.accel == "icount":
        raise LabError("more than 2 CPUs want ACCEL=mt")
    # The machine that emulates may have fewer CPUs than the one emulated.
    duty = lab.param("DUTY", 16 // vcpus if lab.accel == "mt" else 10)
    sequence(lab, [("heartbeat", "{tsc}"), ("fpu", f"-d {duty}"),
                   ("memory", f"-m 32 -d {duty}"), ("clock", f"-d {duty}"),
                   ("timers", ""), ("churn", f"-n 64 -d {duty}")],
             cpus=vcpus)

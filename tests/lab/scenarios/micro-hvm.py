# SPDX-License-Identifier: GPL-2.0-only
"""HVM micro-guests: what Xen emulates for a guest with a BIOS, set, updated, verified.

As micro-pvh, with the same kernel, which SeaBIOS boots from QEMU in dom0. TESTS: platform
is all timers that PVH guests do not have, viridian what Windows would use; some of
micro-pvh's are here again, as the ground is another.
"""

from lablib import devicemodel
from lablib.scenario import load

AGAIN = ("once-gap", "ticks", "hlt", "regs")

VIRIDIAN = """viridian = ["base", "freq", "time_ref_count", "reference_tsc",
    "hcall_remote_tlb_flush", "apic_assist", "crash_ctl", "synic", "stimer"]
cpus = '1'"""


def run(lab):
    pvh = load("micro-pvh")
    tests = {"platform": ("platform", {}, ""), "viridian": ("viridian", {}, "", VIRIDIAN),
             **{n: pvh.TESTS[n] for n in AGAIN}}
    pvh.run(lab, tests, "hvm", 64, devicemodel.files(), devicemodel.DOM0_MEM)

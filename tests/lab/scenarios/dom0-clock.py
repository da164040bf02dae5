# SPDX-License-Identifier: GPL-2.0-only
"""Time: no clock runs backwards or steps by more than the gap.

For each clock source of Xen (SOURCES, default hpet,acpi,pit) a host of its own for
each clock of dom0 (DOM0_SOURCES, default tsc,xen).  Under icount acpi is left out:
there stock Xen, without any update, once jumps ahead by three seconds with it.
"""

from lablib.place import LabError
from lablib.update import sequence

CURRENT = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def take(where, clock):
    """Has Linux on a host or in a guest take that clock; returns which one it has then."""
    return where.must(f"echo {clock} >{CURRENT}; cat {CURRENT}").strip()


def trust(clock):
    """The options of a kernel that is to take that clock."""
    # No emulated CPU has an invariant TSC, so Linux would not take it by itself.
    return "tsc=reliable" if clock == "tsc" else ""


def run(lab):
    duty = 40 if lab.accel == "mt" else 10
    sources = "hpet,acpi,pit" if lab.accel == "mt" else "hpet,pit"
    for source in lab.param("SOURCES", sources).split(","):
        for dom0_source in lab.param("DOM0_SOURCES", "tsc,xen").split(","):
            lab.say(f"Xen by {source}, dom0 by {dom0_source}")

            def setup(host):
                if "Platform timer is" not in host.serial():
                    raise LabError("Xen does not say what its clock is")
                now = take(host, dom0_source)
                lab.check(now == dom0_source, f"dom0 uses clock {dom0_source}",
                          f"{now}")

            sequence(lab, [("heartbeat", "{tsc}"), ("timers", ""),
                           ("clock", f"-d {duty}")],
                     setup=setup, append=f"clocksource={source}",
                     dom0_args=trust(dom0_source))

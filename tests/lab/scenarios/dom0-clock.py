# SPDX-License-Identifier: GPL-2.0-only
"""Time: no clock runs backwards or steps by more than the gap.

For each clock source of Xen (SOURCES, default hpet,acpi,pit) a host of its own for
each clock of dom0 (DOM0_SOURCES, default tsc,xen).  Under icount acpi is left out:
there stock Xen, without any update, once jumps ahead by three seconds with it.
"""

from lablib.place import LabError
from lablib.update import sequence

# No emulated CPU has an invariant TSC, so Linux would not take it by itself.
TRUST = "tsc=reliable"
CLOCKS = "/sys/devices/system/clocksource/clocksource0"


def run(lab):
    duty = 40 if lab.accel == "mt" else 10
    sources = "hpet,acpi,pit" if lab.accel == "mt" else "hpet,pit"
    for source in lab.param("SOURCES", sources).split(","):
        for dom0_source in lab.param("DOM0_SOURCES", "tsc,xen").split(","):
            lab.say(f"Xen by {source}, dom0 by {dom0_source}")

            def setup(host):
                if "Platform timer is" not in host.serial():
                    raise LabError("Xen does not say what its clock is")
                now = host.must(f"echo {dom0_source} "
                                f">{CLOCKS}/current_clocksource; "
                                f"cat {CLOCKS}/current_clocksource").strip()
                lab.check(now == dom0_source, f"dom0 uses clock {dom0_source}",
                          f"{now}")

            sequence(lab, [("heartbeat", "{tsc}"), ("timers", ""),
                           ("clock", f"-d {duty}")],
                     setup=setup, append=f"clocksource={source}",
                     dom0_args=TRUST if dom0_source == "tsc" else "")

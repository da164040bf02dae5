# SPDX-License-Identifier: GPL-2.0-only
"""Two builds with different internals: there and back again.

The default flavour is updated to "shifted" (other structures, other NR_CPUS, other
frame table, assertions on), that one to the default, and so on: nothing internal
may cross.
"""

from lablib.update import sequence


def run(lab):
    lab.params.setdefault("TO", "4.17-shifted,4.17")
    duty = 6 if lab.accel == "mt" else 5
    sequence(lab, [("heartbeat", "{tsc}"), ("memory", f"-m 16 -d {duty}"),
                   ("fpu", f"-d {duty}"), ("timers", ""),
                   ("clock", f"-d {duty}"), ("churn", f"-n 64 -d {duty}")],
             count=4, tools=True)

# SPDX-License-Identifier: GPL-2.0-only
"""Page tables: fork, exec, mmap, mremap and mprotect on every vCPU meanwhile.

Each of these is a change of page tables that Xen has validated and counted, so the
updates find page types in every state.  DUTY (default 50 under mt, 10 under icount)
is the share of each CPU that churn takes.
"""

from lablib.update import sequence


def run(lab):
    duty = lab.param("DUTY", 50 if lab.accel == "mt" else 10)
    sequence(lab, [("heartbeat", "{tsc}"), ("churn", f"-n 256 -d {duty}"),
                   ("churn", f"-n 16 -d {duty}", "churn-small"),
                   ("memory", "-m 32 -d 5")])

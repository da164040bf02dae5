# SPDX-License-Identifier: GPL-2.0-only
"""PV guests with kernels of other Debian releases: all that pv-io does and checks.

KERNELS, with commas, are the releases (default bullseye, trixie and forky: 5.10, 6.12
and what testing has), each one's kernel in a guest of its own with as many vCPUs as
VCPUS says (default 1,2,2: each one works all the time, and under icount the host's two
CPUs pay for all).  dom0 keeps its own kernel.  What the archive offers is fetched; a release
that it no longer has is a failure.
"""

from lablib.place import LabError
from lablib.scenario import load


def run(lab):
    suites = lab.param("KERNELS", "bullseye,trixie,forky").split(",")
    if len(set(suites)) < 2:
        raise LabError("KERNELS: want at least two releases")
    load("pv-io").run(lab, suites, vcpus="1,2,2", count=3)

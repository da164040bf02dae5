# SPDX-License-Identifier: GPL-2.0-only
"""PV, PVH and HVM guests beside each other, ten updates: all that pv-many does and checks.

KINDS (default four PV, four PVH, two HVM) are the guests in turn; each has a witness of
time at work, the first of each kind those of memory and registers, too. TOOL=xl has
`xl live-update` do it, and every stream is read and verified. FLAVOUR is 4.17-lab, which
has what TCG needs to keep PVH and HVM guests healthy (docs/lab.md).
"""

from lablib import devicemodel, stream
from lablib.scenario import load
from lablib.toolstack import ours

KINDS = "hvm,hvm,pvh,pvh,pvh,pvh,pv,pv,pv,pv"


def run(lab):
    lab.for_hvm(turns=True)
    lab.params.setdefault("MEM", "6144")
    tool = lab.param("TOOL", "kexec")
    more = {**devicemodel.files(), **({**ours(), **stream.files()} if tool == "xl" else {})}
    load("pv-many").run(
        lab, lab.param("KINDS", KINDS).split(","), [
            ("heartbeat", "{tsc}"), ("memory", "-m 8 -d 1"), ("fpu", "-d 1")],
        more, devicemodel.DOM0_MEM, tool)

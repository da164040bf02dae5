# SPDX-License-Identifier: GPL-2.0-only
"""A host at work whose Xen is replaced again and again, with a table at the end.

Two builds with different internals take turns (TO) under dom0 and three guests: an HVM
guest, whose device model is Debian's QEMU in dom0, a PVH and a PV guest, of 1, 1 and 2
vCPUs (VCPUS, in this order). Each of the four writes and reads a disk and has TCP streams
to the outside, the guests by dom0's backends, and two guests to the first; all of it is
checked. UPDATES is 3 by default; SLICE (default 50) is how often guests work, in ms.

QEMU 10 runs it, which shares the processor fairly between CPUs: what the table says
is what Xen costs. Flavours of the lab, which that QEMU needs for PVH and HVM guests, are
what is booted (FLAVOUR) and what takes turns (docs/lab.md).
"""

from lablib.scenario import load


def dom0(served, disk):
    return [("clock", "-d 2"), ("disk", f"-f {disk} -q 4 -d 2"),
            served.stream(served.outside, served.echo.port)]


def run(lab):
    lab.quiet = True
    lab.for_hvm(turns=True)
    load("pv-io").run(lab, vcpus="1,1,2", count=3, dom0=dom0, light=True,
                      kinds=("hvm", "pvh", "pv"), slice=50)
    if not lab.failed:
        lab.epilogue += ["", "No byte was wrong, no connection lost, and no kernel "
                         "logged an error."]

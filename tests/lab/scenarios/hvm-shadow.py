# SPDX-License-Identifier: GPL-2.0-only
"""Guests without hardware assisted paging: Xen walks shadows of their page tables.

As pv-idle, whose parameters it has, with all witnesses that need no disk and no network;
those of memory and processes keep page tables changing. KIND is pvh, or hvm, which was not
seen to boot Linux so far (docs/lab.md). FLAVOUR is one of the lab's, as for other guests
that are not PV. Updates that do not take place come first (ORDERS, default
freeze,jump): shadows are dropped and made again in the same Xen.
"""

from lablib import devicemodel
from lablib.scenario import load
from lablib.witness import ALONE


def run(lab):
    lab.for_hvm()
    lab.params["CFG"] = "hap = 0;" + lab.param("CFG", "")
    lab.params.setdefault("ORDERS", "freeze,jump")
    kind = lab.param("KIND", "pvh")
    more = devicemodel.files() if kind == "hvm" else {}
    load("pv-idle").run(lab, kind=kind, vcpus="1", wanted=ALONE, more=more,
                        dom0_mem=devicemodel.DOM0_MEM if more else 1024)

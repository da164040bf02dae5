# SPDX-License-Identifier: GPL-2.0-only
"""A stream or breadcrumb damaged in memory: the new Xen stops and says what.

Flips that break the checksum must be found by it; those that are sealed again make a
stream that is whole and says something wrong, which the check of that field, or of
the records' number and order, has to find.  No guest may run after that, so each
order takes a host of its own, which ends in a panic of the new Xen that names what
did not match.  Needs a flavour with fault injection (FLAVOUR, default 4.17-lab).
Parameter ORDERS: orders for lu-fault, with commas; records by number, as in
record=0x40000001:8.
"""

import re

from lablib.host import HostDied
from lablib.update import execute, install, load

# Order: what the new Xen must say.  Offsets are the specification's.
WANT = {
    "crumb": r"breadcrumb: checksum 0x",
    "record=0x40000001:8": r"stream is damaged: framing or checksum",
    "record=0x40000002:40": r"stream is damaged: framing or checksum",
    # Number, order, owner and length of records.
    "hide=0x40000010": r"TIME: 0 records, not 1",
    "hide=0x40000154": r"d0: AFFINITY 1: twice, out of order, or one is missing",
    "reseal=0x40000001:48": r"HOST: 0 domains, the stream has 1",
    "reseal=0x40000150:2": r"d0: VCPU_TIMER: 0 records, not \d",
    "reseal=0x40000004:10": r"CPUS 0: shorter than its counts say",
    # Fields: of the early boot, ...
    "reseal=0x40000003:12": r"M2P: reserved field set",
    "reseal=0x40000002:28": r"MEMORY: RAM 0x[0-9a-f]+\+0x1[0-9a-f]{8} of the old Xen",
    # ... and of domains.
    "reseal=0x40000100:71": r"d0: DOMAIN: vm_assist 0x1[0-9a-f]{14}",
    "reseal=0x40000120:28": r"d0: evtchn: \d+ entries",
    "reseal=0x40000150:24": r"d0: VCPU_TIMER 0: due -?\d+, period 1,",
    "reseal=0x40000162:570": r"d0: PV_VCPU 0: reserved out of range",
}


def run(lab):
    path = lab.first_xen("4.17-lab")
    files = {}
    paths = install(files, [path])
    for order in lab.param("ORDERS", ",".join(WANT)).split(","):
        want = WANT.get(order, r"live-update: .*")
        with lab.host(xen=path, append="liveupdate=64M", files=files) as host:
            host.boot()
            host.must(f"xenhypfs write /params/lu-fault {order}")
            rc, out = load(host, paths[0], host.xen_cmdline())
            lab.check(rc == 0, f"{order}: the image loads", out)
            since = host.log.stat().st_size
            try:
                rc, out = execute(host)
                lab.check(False, f"{order}: the new Xen stops",
                          f"dom0 runs, rc {rc}: {out}")
                continue
            except HostDied as e:
                lab.say(str(e))
            text = host.log.read_bytes()[since:].decode(errors="replace")
            lab.check(re.search(r"Xen version \d", text),
                      f"{order}: the new Xen was started")
            said = re.findall(r"live-update: .*", text)
            lab.check(re.search(r"live-update: .*", text.split("Panic on")[-1]),
                      f"{order}: the panic is live update's", text[-300:])
            lab.check(re.search(want, "\n".join(said)),
                      f"{order}: it names what does not match",
                      f"want /{want}/: " + "; ".join(said[-4:]))

# SPDX-License-Identifier: GPL-2.0-only
"""A stream or breadcrumb damaged in memory: the new Xen stops and says what.

No guest may run after that, so each order takes a host of its own, which ends in a
panic of the new Xen that names what did not match.  Needs a flavour with fault
injection (FLAVOUR, default 4.17-lab).  Parameter ORDERS: orders for lu-fault, with
commas; records by number, as in record=0x40000001:8.
"""

import re

from lablib.host import HostDied
from lablib.update import execute, install, load

ORDERS = "crumb,record=0x40000001:8,record=0x40000002:40"


def run(lab):
    path = lab.first_xen("4.17-lab")
    files = {}
    paths = install(files, [path])
    for order in lab.param("ORDERS", ORDERS).split(","):
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
            lab.check(re.search(r"live-update: .*", text.split("Panic on")[-1]),
                      f"{order}: the panic names what does not match",
                      text[-300:])

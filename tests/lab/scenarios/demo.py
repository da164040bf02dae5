# SPDX-License-Identifier: GPL-2.0-only
"""A host whose Xen is replaced again and again, with a table at the end.

Two builds with different internals take turns under a dom0 with witnesses of every
kind, over disk and network in use.  UPDATES is 4 by default.
"""

from lablib import devices
from lablib.echo import Echo
from lablib.update import sequence


def run(lab):
    lab.quiet = True
    lab.params.setdefault("TO", "4.17-shifted,4.17")
    args = devices.disk("nvme", lab.dir, 0) + devices.nic("e1000", 0)
    with Echo() as echo:
        def setup(host):
            disk = devices.find_disks(host, [0])[0]
            name, address = devices.configure_nics(host, [0])[0]
            return [("disk", f"-f {disk} -q 4 -d 5"),
                    ("net", f"-a {address} -p {echo.port} -i {name} -r 32")]

        sequence(lab, [("heartbeat", "{tsc}"), ("memory", "-m 16 -d 5"),
                       ("fpu", "-d 5"), ("timers", ""), ("clock", "-d 5"),
                       ("churn", "-n 64 -d 5")],
                 count=4, tools=True, setup=setup, devices=args)

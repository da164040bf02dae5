# SPDX-License-Identifier: GPL-2.0-only
"""Everything at once: page tables, disks, network, timers and clocks in one boot.

What dom0-churn, dom0-disk, dom0-net and dom0-clock do apart, for `make check`, where
a boot of each would take too long.
"""

from lablib import devices
from lablib.echo import Echo
from lablib.update import sequence


def run(lab):
    duty = 6 if lab.accel == "mt" else 5
    rate = 64 if lab.accel == "mt" else 32
    disks, nics = ["nvme", "ahci", "ide"], ["e1000", "e1000e"]
    args = [a for n, kind in enumerate(disks)
            for a in devices.disk(kind, lab.dir, n)]
    args += [a for n, kind in enumerate(nics) for a in devices.nic(kind, n)]
    with Echo() as echo:
        def setup(host):
            found = devices.find_disks(host, range(len(disks)))
            cards = devices.configure_nics(host, range(len(nics)))
            return [("disk", f"-f {found[n]} -q 4 -d {duty}", f"disk-{kind}")
                    for n, kind in enumerate(disks)] + \
                   [("net", f"-a {address} -p {echo.port} -i {name} -r {rate}",
                     f"net-{nics[n]}")
                    for n, (name, address) in cards.items()]

        sequence(lab, [("heartbeat", "{tsc}"), ("timers", ""),
                       ("clock", f"-d {duty}"), ("memory", f"-m 16 -d {duty}"),
                       ("churn", f"-n 64 -d {duty}")],
                 setup=setup, devices=args, tools=True)
        lab.check(echo.accepted == len(nics), "every connection was kept",
                  f"{echo.accepted} connections over {len(nics)} cards")

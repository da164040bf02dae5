# SPDX-License-Identifier: GPL-2.0-only
"""A host whose Xen is replaced again and again, with a table at the end.

Two builds with different internals take turns under a dom0 with witnesses of every
kind, over disk and network in use, and a PV guest (GUESTS, 0 or 1) with a disk that
dom0 serves.  UPDATES is 4 by default.
"""

from lablib import devices, guest
from lablib.echo import Echo
from lablib.update import sequence


def run(lab):
    lab.quiet = True
    lab.params.setdefault("TO", "4.17-shifted,4.17")
    with_guest = lab.param("GUESTS", 1)
    args = [a for n in range(1 + with_guest)
            for a in devices.disk("nvme", lab.dir, n)] + devices.nic("e1000", 0)
    with Echo() as echo:
        def setup(host):
            disk = devices.find_disks(host, [0])[0]
            name, address = devices.configure_nics(host, [0])[0]
            return [("disk", f"-f {disk} -q 4 -d 5"),
                    ("net", f"-a {address} -p {echo.port} -i {name} -r 32")]

        def beside(host):
            disk = devices.find_disks(host, [1])[1]
            host.must("modprobe xen-blkback")
            g = guest.Guest(host, "guest", vcpus=2, config=(
                "disk = ['format=raw,vdev=xvda,access=rw,backendtype=phy,"
                f"script=/bin/hotplug,target={disk}']")).create()
            return {"guest ": lab.witnesses(g, [
                ("heartbeat", "{tsc}"), ("memory", "-m 8 -d 5"), ("timers", ""),
                ("disk", "-f /dev/xvda -q 4 -d 5")])}

        sequence(lab, [("heartbeat", "{tsc}"), ("memory", "-m 16 -d 5"),
                       ("fpu", "-d 5"), ("timers", ""), ("clock", "-d 5"),
                       ("churn", "-n 64 -d 5")],
                 count=4, tools=True, setup=setup, devices=args,
                 files=guest.files(), beside=beside if with_guest else None)

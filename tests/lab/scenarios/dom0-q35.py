# SPDX-License-Identifier: GPL-2.0-only
"""A PCI Express machine: configuration space by MMCFG, NVMe and AHCI in use.

dom0 tells Xen of the MMCFG area once, when it boots; the next Xen must know it too,
which shows in dom0 finding devices' extended configuration space afterwards.
"""

from lablib import devices
from lablib.update import sequence

# Extended configuration space of the root bridge's devices: 4096 bytes each.
SPACE = "for d in /sys/bus/pci/devices/*; do wc -c <$d/config; done | sort -u"


def run(lab):
    kinds = ["nvme", "ahci"]
    duty = 50 if lab.accel == "mt" else 10
    args = [a for n, kind in enumerate(kinds)
            for a in devices.disk(kind, lab.dir, n)]

    def setup(host):
        lab.check("MCFG" in host.serial(), "Xen uses MMCFG")
        lab.say("sizes of configuration space: " +
                " ".join(host.must(SPACE).split()))
        found = devices.find_disks(host, range(len(kinds)))
        return [("disk", f"-f {found[n]} -q 4 -d {duty}", f"disk-{kind}")
                for n, kind in enumerate(kinds)]

    sequence(lab, [("heartbeat", "{tsc}")], setup=setup, devices=args,
             machine="q35")

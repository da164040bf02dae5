# SPDX-License-Identifier: GPL-2.0-only
"""Disks: checksummed writes and reads in flight on NVMe, AHCI and IDE.

That is MSI-X, MSI and wired edge-triggered interrupts.  DISKS is a list with commas
of the kinds to use.
"""

from lablib import devices
from lablib.update import sequence


def run(lab):
    kinds = lab.param("DISKS", "nvme,ahci,ide").split(",")
    duty = 50 if lab.accel == "mt" else 10
    args = [a for n, kind in enumerate(kinds)
            for a in devices.disk(kind, lab.dir, n)]

    def setup(host):
        found = devices.find_disks(host, range(len(kinds)))
        for line in devices.interrupts(host, "nvme|ahci|ata_piix|virtio"):
            lab.say(line.strip())
        return [("disk", f"-f {found[n]} -q {8 if kind == 'nvme' else 4} "
                 f"-d {duty}", f"disk-{kind}") for n, kind in enumerate(kinds)]

    sequence(lab, [("heartbeat", "{tsc}")], setup=setup, devices=args,
             machine=lab.param("MACHINE", "pc"))

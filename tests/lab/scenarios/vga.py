# SPDX-License-Identifier: GPL-2.0-only
"""The screen under dom0: a new Xen with console=vga must not touch it.

dom0 writes a pattern to VGA's text memory, updates Xen with console=com1,vga (vga is
Xen's default), and the pattern has to be there still, seen by dom0 and by the
machine.  Xen 4.17.5 fails to map text memory in video_init() and clears nothing
anyway; it is a Xen that has this mended on which the check can fail.  UPDATES, default
2; OPTIONS, more of Xen's, for example vga=keep.
"""

import re

from lablib.update import Updates, install

# Columns times rows times character and attribute.
SIZE = 80 * 25 * 2
TEXT = 0xb8000
PATTERN = "the screen of dom0\x1e"


def of_dom0(host):
    out = host.must(f"dd if=/dev/mem bs=4096 skip={TEXT // 4096} count=1 "
                    f"2>/dev/null | head -c {SIZE} | md5sum")
    return out.split()[0]


def of_machine(host):
    out = host.monitor("human-monitor-command",
                       **{"command-line": f"xp /{SIZE // 4}wx {TEXT:#x}"})
    return re.findall(r"0x([0-9a-f]{8})", out)


def run(lab):
    path = lab.first_xen()
    options = lab.param("OPTIONS", "")
    files = {"/pattern": (PATTERN * SIZE)[:SIZE].encode()}
    paths = install(files, [path])
    with lab.host(append=f"liveupdate=64M console=com1,vga {options}".strip(),
                  files=files) as host:
        host.boot()
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        host.must(f"dd if=/pattern of=/dev/mem bs=4096 seek={TEXT // 4096} "
                  "conv=notrunc 2>&1")
        wrote = host.must("md5sum </pattern").split()[0]
        lab.check(of_dom0(host) == wrote, "dom0 can write to the screen")
        before = of_machine(host)
        lab.check(len(before) == SIZE // 4 and before[0] == "20656874",
                  "the machine shows what dom0 wrote", str(before[:4]))
        updates = Updates(lab, host, [path], paths, w)
        for _ in range(lab.param("UPDATES", 2)):
            if not updates.once():
                break
            after = of_machine(host)
            lab.check(of_dom0(host) == wrote and after == before,
                      "the screen is as it was",
                      f"{sum(a != b for a, b in zip(after, before))} words of "
                      f"{len(before)} differ, from {after[0]}")
        updates.finish()

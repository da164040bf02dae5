# SPDX-License-Identifier: GPL-2.0-only
"""A host with a crash kernel: it is refused, lost by name, loaded again, and works.

Xen is booted with crashkernel=. A loaded crash image blocks the update, until it is
unloaded or may be lost. The memory that is set aside is where it was after each update,
and nobody else's: while an image lies there a guest takes all that Xen has, which is
scrubbed when it goes. Then Xen is made to crash: the kernel has to start, and to find in the dump's notes
the addresses of the Xen that crashed, not of one before. TO: flavours that take turns as
the next Xen (4.17-shifted,4.17).
"""

import re
import subprocess
import time

from lablib import guest
from lablib.place import BUILD
from lablib.toolstack import free, ours, until
from lablib.update import execute, install, load, next_xens, reasons
from lablib.xl import NOTHING_CHANGED, REFUSED, UPDATED, facts, xl

SIZE = 192 << 20
KERNEL, RAMDISK = "/boot/crash-kernel", "/boot/crash.gz"
# The image's init writes down what it finds, and ends the machine.
LINE = "console=ttyS0 nr_cpus=1 reset_devices rdinit=/init rootfstype=ramfs quiet lab.crash"
LOAD = f"kexec -p --initrd={RAMDISK} --command-line='{LINE}' {KERNEL} 2>&1"


def area(host):
    """Where the running Xen has its crash area, by its own words and kexec's."""
    said = re.findall(r"Kdump: .* at (0x[0-9a-f]+)|crash area (0x[0-9a-f]+)\+",
                      host.serial())
    size = host.must("kexec --print-ckr-size").strip()
    return int("".join(said[-1]), 16), int(size), len(said)


def all_taken(lab, host):
    """A guest has had all that Xen has left, and Xen has scrubbed it."""
    before = free(host)
    size = (before >> 10) - 32
    guest.Guest(host, "all", memory=size).build()
    lab.say(f"a guest has {size} MiB, {free(host)} KiB are left")
    host.must("xl destroy all")
    done = until(host, f"! xl domid all && [ $(xl info outstanding_claims) = 0 ] && "
                 f"[ $(xl info free_memory) -ge {before >> 10} ]", 300)
    lab.check(done, "all memory of Xen's has been a guest's, and is scrubbed")


def symbol(path, name):
    """The address of a symbol in the Xen of that path."""
    out = subprocess.run(["nm", f"{path}-syms"], check=True, capture_output=True,
                         text=True).stdout
    return int(re.search(rf"^([0-9a-f]+) . {name}$", out, re.M)[1], 16)


def crash(lab, host, path):
    """Ends the host: Xen crashes, and the kernel tells what it has found."""
    begun = len(host.serial())
    host.must("(sleep 1; xl debug-keys C) >/dev/null 2>&1 3>&- </dev/null &")
    limit, said = time.monotonic() + 240 * host.slow, None
    while not said and time.monotonic() < limit and host.proc.poll() is None:
        time.sleep(0.5)
        said = re.search(r"LAB: crash: (.*)", host.serial()[begun:])
    if not lab.check(said, "the crash kernel has started", host.serial()[begun:][-3000:]):
        return
    found = re.search(r"SYMBOL\(dom_xen\)=([0-9a-f]+)", said[1])
    want = symbol(path, "dom_xen")
    lab.check(found and int(found[1], 16) == want,
              "the dump has the addresses of the Xen that crashed",
              f"{said[1]}, want {want:#x}")


def run(lab):
    lab.params.setdefault("TO", "4.17-shifted,4.17")
    images = next_xens(lab, 2)
    files = {**guest.files(), **ours(),
             KERNEL: BUILD / "vmlinuz", RAMDISK: BUILD / "guest.cpio.gz"}
    paths = install(files, images)
    with lab.host(append=f"liveupdate=64M crashkernel={SIZE >> 20}M",
                  files=files) as host:
        host.boot()
        host.must("xenstart")
        first = area(host)
        lab.check(first[1] == SIZE, "memory is set aside for a crash kernel", f"{first}")
        w = lab.witnesses(host, [("heartbeat", "{tsc}"), ("memory", "-m 8 -d 5")])
        host.must(LOAD)
        for args in ("-n", ""):
            code, out, err = xl(host, f"{args} {paths[0]}")
            lab.check(code == REFUSED and "blocked by crash-image: " in err and
                      NOTHING_CHANGED in err, f"xl {args}: a loaded crash image blocks",
                      f"{code} {out}{err}")
        rc, out = load(host, paths[0], host.xen_cmdline())
        since = host.log.stat().st_size
        lab.check(rc == 0 and execute(host)[0] and
                  "blocked by crash-image: " in "\n".join(reasons(host, since)),
                  "kexec: a loaded crash image blocks", out)
        lose = "--allow-loss=crash-image"
        code, out, err = xl(host, f"-n {lose} {paths[0]}")
        lab.check(code == UPDATED and "will be lost: crash-image: " in out + err,
                  "xl -n: it may be lost by name", f"{code} {out}{err}")
        for n, (path, args) in enumerate(((paths[0], lose), (paths[1], "")), 1):
            before = w.sample()
            code, out, err = xl(host, f"{args} {path}")
            lab.check(code == UPDATED and facts(host)["updates"] == n,
                      f"update {n} is done: xl {args}", f"{code} {out}{err}")
            lab.goes_on(w, before, f"update {n}: dom0 goes on")
            lab.check(area(host) == (*first[:2], n + 1), f"update {n}: the memory is where "
                      "it was", f"{area(host)}, was {first}")
        rc, out = host.run(LOAD)
        lab.check(rc == 0, "a crash image can be loaded again", out)
        all_taken(lab, host)
        lab.verdicts(w.stop(), "in the end")
        crash(lab, host, images[1])

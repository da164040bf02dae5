# SPDX-License-Identifier: GPL-2.0-only
"""What dom0 needs to run HVM guests: Debian's QEMU for Xen, hvmloader, firmware.

Happy path:

    files = {**guest.files(), **devicemodel.files()}
    with lab.host(files=files, dom0_mem=devicemodel.DOM0_MEM) as host:
        ...
        guest.Guest(host, "one", "hvm").create()

It is 40 MiB of dom0's memory once unpacked, so only hosts that need it get it.  The
packages and where their files are is kept in the cache.

What can fail, as LabError: no network with an empty cache, a library that no package
has.
"""

import json
from pathlib import Path

from . import debs
from .place import BUILD, CACHE, locked
from .unpacked import Tree

PACKAGES = ("qemu-system-xen", "qemu-system-data", "seabios", "ipxe-qemu",
            "xen-utils-4.17")
# What a dom0 needs that runs it, in MiB.
DOM0_MEM = 1536
QEMU = "usr/libexec/xen-qemu-system-i386"
MULTIBOOT = "usr/share/qemu/multiboot_dma.bin"
# What QEMU and hvmloader load: the BIOS, that of the VGA card, and what boots a kernel
# given with -kernel.
DATA = ("usr/lib/xen-4.17/boot/hvmloader", "usr/share/seabios/bios-256k.bin",
        "usr/share/seabios/vgabios-stdvga.bin", "usr/share/qemu/linuxboot_dma.bin",
        "usr/share/qemu/linuxboot.bin", MULTIBOOT, "usr/share/qemu/kvmvapic.bin",
        "usr/share/qemu/keymaps/en-us", "usr/lib/ipxe/qemu/efi-e1000.rom")


def _fetch():
    print("lab: Debian's QEMU for Xen, for the cache", flush=True)
    versions = dict(line.split() for line in
                    (BUILD / "dom0.versions").read_text().splitlines())
    tree = Tree(debs.Packages(CACHE), prefer=versions["xen-utils-4.17"])
    for package in PACKAGES:
        tree.add(package)
    program = tree.find(QEMU)
    found = {QEMU: program, **{path: tree.find(path) for path in DATA}}
    # QEMU names the one by DMA, which Xen's machine type does not have.
    found[MULTIBOOT] = tree.find("usr/share/qemu/multiboot.bin")
    for soname, path in tree.libraries([program]).items():
        found[f"lib/x86_64-linux-gnu/{soname}"] = path.resolve()
    return {"/" + dest: str(path) for dest, path in found.items()}


def files():
    """{path in dom0: path here}, without the libraries that dom0 has anyway."""
    note = CACHE / "devicemodel.json"
    with locked(CACHE / "lock", f"what it puts into {CACHE}"):
        found = json.loads(note.read_text()) if note.exists() else {}
        if not {f"/{path}" for path in (QEMU, *DATA)} <= found.keys() or \
                not all(Path(p).exists() for p in found.values()):
            found = _fetch()
            part = note.with_name(note.name + ".part")
            part.write_text(json.dumps(found, indent=1))
            part.replace(note)
    return {dest: path for dest, path in found.items()
            if not (BUILD / "dom0" / dest[1:]).exists() and "ld-linux" not in dest}

# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernels: dom0's own, and those of other releases for guests.

Happy path: add() fetches and unpacks the package that linux-image-amd64 stands for,
pick() copies the modules that are wanted with those they need.  other("trixie",
directory) does both for another release of Debian and leaves vmlinuz and an archive
of modules, which a guest gets behind the lab's own (guest.Guest(kernel=...)).  Each
release has package lists of its own in the cache; dom0 stays what it is.

What can fail, as LabError: a release that the archive does not offer (any more), a
kernel without a module that is wanted.
"""

import lzma
import re
import shutil
import subprocess
from pathlib import Path

from . import cpio, debs
from .place import BUILD, CACHE, LabError, locked
from .unpacked import Tree

META = "linux-image-amd64"
GUEST_MODULES = ["xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev",
                 "xen-gntalloc", "xen-blkfront", "xen-netfront"]


# Since 6.16 an initcall for AMD's Zen reads a chipset register that a PV guest may
# not map, and panics: with any Xen, and no update.
ARGS = "initcall_blacklist=print_s5_reset_status_mmio"


class Kernel:
    """A release's kernel for guests: vmlinuz and modules are paths."""

    def __init__(self, suite, release, version, directory):
        self.suite, self.release, self.version = suite, release, version
        self.vmlinuz = directory / f"vmlinuz-{suite}"
        self.modules = directory / f"modules-{suite}.gz"


def add(apt, tree):
    """Adds the package that linux-image-amd64 stands for; returns its name."""
    trouble = f"no archive offers {META}"
    for version in apt.versions(META):
        for name in apt.depends(META, version):
            if not name.startswith("linux-image-"):
                continue
            try:
                tree.add(name)
                return name
            except LabError as e:
                trouble = str(e)
    raise LabError(trouble)


def found(roots, path):
    """The first of the places where an unpacked package has `path`."""
    for root in roots:
        for where in (root, root / "usr"):
            if (where / path).exists():
                return where / path
    raise LabError(f"none of {', '.join(r.name for r in roots)} has {path}")


def pick(roots, release, wanted, into, busybox):
    """Copies modules and what they need, uncompressed; has depmod make the indices.

    `roots` are unpacked packages.  Returns how many modules they are.
    """
    lib = Path("lib/modules") / release
    base = found(roots, lib / "kernel")
    files = {}
    for ko in base.rglob("*.ko*"):
        files[ko.name.split(".")[0].replace("-", "_")] = ko
    builtin = {Path(line).stem.replace("-", "_") for line in
               found(roots, lib / "modules.builtin").read_text().split()}
    taken, queue = {}, [m.replace("-", "_") for m in wanted]
    while queue:
        name = queue.pop(0)
        if name in taken or name in builtin:
            continue
        if name not in files:
            raise LabError(f"Linux {release} has no module {name}")
        data = files[name].read_bytes()
        taken[name] = lzma.decompress(data) if files[name].suffix == ".xz" \
            else data
        for key in (b"depends=", b"softdep=pre: "):
            for m in re.finditer(rb"\0" + key + rb"([^\0]*)\0", taken[name]):
                wants = re.split(r"[, ]+", m.group(1).decode())
                if key == b"depends=":
                    queue += [w.replace("-", "_") for w in wants if w]
                else:
                    queue += [w.replace("-", "_") for w in wants
                              if w.replace("-", "_") in files]
    for name, data in taken.items():
        dest = into / lib / "kernel" / files[name].relative_to(base)
        dest = dest.with_name(dest.name.removesuffix(".xz"))
        dest.parent.mkdir(parents=True, exist_ok=True)
        dest.write_bytes(data)
    res = subprocess.run([busybox, "depmod", "-b", into, release], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         check=False)
    if res.returncode:
        raise LabError("depmod failed:\n" + debs.last_words(res.stdout))
    return len(taken)


def other(suite, directory):
    """The kernel of another release of Debian, for guests, in `directory`."""
    with locked(CACHE / "lock", f"what it puts into {CACHE}"):
        apt = debs.Packages(CACHE, f"kernel-{suite}", release=suite)
        tree = Tree(apt)
        name = add(apt, tree)
        release = name.removeprefix("linux-image-")
        # Of some releases that package is empty and depends on others.
        for needed in apt.depends(name, tree.versions[name]):
            if needed.startswith("linux-") and needed.endswith(release):
                tree.add(needed)
    roots = list(tree.roots.values())
    kernel = Kernel(suite, release, tree.versions[name], directory)
    try:
        image = found(roots, f"boot/vmlinuz-{release}")
    except LabError:
        image = found(roots, f"lib/modules/{release}/vmlinuz")
    shutil.copyfile(image, kernel.vmlinuz)
    shutil.rmtree(directory / suite, ignore_errors=True)
    pick(roots, release, GUEST_MODULES, directory / suite,
         BUILD / "dom0/bin/busybox")
    archive = cpio.Archive()
    archive.tree(directory / suite)
    kernel.modules.write_bytes(archive.gz())
    print(f"  {name:32} {kernel.version}", flush=True)
    return kernel

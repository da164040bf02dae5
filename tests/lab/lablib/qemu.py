# SPDX-License-Identifier: GPL-2.0-only
"""Which QEMU runs what, and with which flags.

Two kinds of runs, because no QEMU is sound for both (docs/lab.md says how that
was found):

  icount  one thread, time is the instruction count: the same image gives the
          same figures.  Debian 12's QEMU 7.2.
  mt      one thread per CPU: real races.  QEMU 10 from Debian's backports,
          unpacked into the cache with libraries of its own.

Happy path: choose(accel) returns a Qemu whose argv(...) is the emulator with
the flags that belong to it.  choose(accel, "10") takes the backported one for icount
too.  LAB_QEMU=<program> or LAB_QEMU=10 overrides all that.

What can fail: the machine has no qemu-system-x86_64 (named, with the package),
or the backports cannot be fetched.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import debs
from .place import CACHE, LabError, locked
from .unpacked import Tree

ACCELS = ("icount", "mt")

# Libraries that must be the machine's own, since its loader is.
SYSTEM_LIBS = ("libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2",
               "libpthread.so.0", "libdl.so.2", "librt.so.1",
               "libresolv.so.2", "libutil.so.1")


@dataclass
class Qemu:
    program: str
    version: str
    accel: str
    env: dict = field(default_factory=dict)
    data: list = field(default_factory=list)

    @property
    def major(self):
        return int(self.version.split(".")[0])

    def cpu(self):
        # +svm,+npt: PVH guests.  -monitor: Xen's MWAIT idle gets a #GP.
        # -rdtscp: that of an SVM guest is reported as RDTSC.
        flags = "EPYC,+svm,+npt,-monitor,-rdtscp"
        if self.major < 10:
            # 7.2: with SMAP dom0 dies entering its first exception.
            flags += ",-smap,-smep"
        return flags

    def argv(self):
        out = [self.program]
        for d in self.data:
            out += ["-L", str(d)]
        if self.accel == "mt":
            return out + ["-accel", "tcg,thread=multi", "-cpu", self.cpu()]
        out += ["-accel", "tcg", "-icount", "shift=0,sleep=off",
                "-rtc", "base=2026-01-01T00:00:00,clock=vm",
                "-cpu", self.cpu()]
        # A 100 us virtual timer, nothing else: without it a spinning CPU
        # keeps the one it waits for from running.
        return out + ["-netdev", "hubport,id=tick,hubid=9", "-object",
                      "filter-buffer,id=tick0,netdev=tick,interval=100"]


def _version(program, env):
    try:
        res = subprocess.run([program, "--version"], text=True, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**os.environ, **env})
    except OSError as e:
        raise LabError(f"cannot run {program}: {e}") from e
    m = re.search(r"version (\d+\.\d+\.\d+)", res.stdout)
    if res.returncode or not m:
        raise LabError(f"{program} --version failed:\n{debs.last_words(res.stdout)}")
    return m.group(1)


def _unpack_backport():
    """Fetches and unpacks QEMU 10; returns what choose() needs of it."""
    print("lab: QEMU 10 from Debian's backports, for the cache", flush=True)
    tree = Tree(debs.Packages(CACHE, "backports", ["-backports"]))
    for package in ("qemu-system-x86", "qemu-system-data", "seabios",
                    "ipxe-qemu"):
        tree.prefer = next((v for v in tree.apt.versions(package)
                            if "~bpo12" in v), None)
        tree.add(package)
    tree.prefer = None
    program = tree.find("usr/bin/qemu-system-x86_64")
    libs = tree.libraries([program], leave=SYSTEM_LIBS)
    libdir = CACHE / "qemu-libs"
    libdir.mkdir(parents=True, exist_ok=True)
    for soname, path in libs.items():
        link = libdir / soname
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
    modules = program.parent.parent / "lib/x86_64-linux-gnu/qemu"
    return {"program": str(program),
            "env": {"LD_LIBRARY_PATH": str(libdir),
                    "QEMU_MODULE_DIR": str(modules)},
            "data": [str(root / sub) for root in tree.roots.values()
                     for sub in ("usr/share/qemu", "usr/share/seabios",
                                 "usr/lib/ipxe/qemu")
                     if (root / sub).is_dir()]}


def _backported():
    """(program, env, data directories) of the QEMU in the cache."""
    note = CACHE / "qemu-mt.json"
    with locked(CACHE / "lock", f"what it puts into {CACHE}"):
        found = json.loads(note.read_text()) if note.exists() else None
        if not found or not Path(found["program"]).exists():
            found = _unpack_backport()
            part = note.with_name(note.name + ".part")
            part.write_text(json.dumps(found, indent=1))
            part.replace(note)
    return found["program"], found["env"], found["data"]


def choose(accel, prefer=None):
    """The QEMU for runs of this kind ("icount" or "mt"); `prefer`: None or "10"."""
    if accel not in ACCELS:
        raise LabError(f"ACCEL={accel}: want one of {', '.join(ACCELS)}")
    program, env, data = os.environ.get("LAB_QEMU") or prefer, {}, []
    if program == "10" or (not program and accel == "mt"):
        program, env, data = _backported()
    if not program:
        program = shutil.which("qemu-system-x86_64")
        if not program:
            raise LabError("no qemu-system-x86_64 (package qemu-system-x86)")
    return Qemu(program, _version(program, env), accel, env, data)

# SPDX-License-Identifier: GPL-2.0-only
"""A disk with a Debian 12 server on it that has Xen: systemd, GRUB, Debian's packages.

Happy path: disk() returns the path of a raw image, made at the first call: mmdebstrap
installs PACKAGES and all that debootstrap does, FILES say what an operator would have
said by hand (address, password, console), mke2fs packs the tree into a partition, and
the installed Debian boots once, without Xen, to run its own grub-install and
update-grub.  Whoever boots it later does so from its boot sector, with a snapshot, so that
it stays as it was installed.  The image and the versions in it are kept in
build/lab/debian; it is made anew when this file changes.

What can fail, as LabError: no root (mmdebstrap mounts and changes root), no
network, a package the archive does not have, GRUB; the log is named.
"""

import hashlib
import json
import os
import shlex
import shutil
import struct
import subprocess
from pathlib import Path

from . import debs, qemu
from .host import XEN_ARGS, die_with_us
from .place import BUILD, CACHE, LabError, locked, shown

DIR = BUILD / "debian"
DISK = DIR / "disk.img"
SECTOR, START, MIB = 512, 2048, 4096

PACKAGES = (
    "linux-image-amd64", "grub-pc", "xen-system-amd64", "kexec-tools", "openssh-server",
    # What apt would have added to these, and mmdebstrap does not.
    "qemu-system-xen", "busybox", "zstd", "dbus", "libpam-systemd", "bridge-utils")

PASSWORD = "lab"
# That of QEMU's user network; the bridge is for guests.
ADDRESS, OUTSIDE = "10.0.2.15", "10.0.2.2"
GRUB_DONE = "LAB: GRUB is installed"
ONCE = "/root/install-grub"

FILES = {
    "etc/hostname": "dom0\n",
    # Debian's installer leaves it, and sshd logs an error without.
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 dom0\n",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/fstab": "LABEL=debian / ext4 errors=remount-ro 0 1\n",
    "etc/network/interfaces": f"""\
auto lo
iface lo inet loopback

auto xenbr0
iface xenbr0 inet static
    address {ADDRESS}/24
    gateway {OUTSIDE}
    bridge_ports regex en.*
    bridge_fd 0
    bridge_stp off
""",
    # All but dom0_max_vcpus is what each host of the lab has.
    "etc/default/grub.d/host.cfg": f"""\
GRUB_TIMEOUT=1
GRUB_CMDLINE_XEN="{XEN_ARGS} dom0_mem=1024M,max:1024M dom0_max_vcpus=2"
GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT="console=hvc0"
""",
    # In place of init, once.
    ONCE[1:]: f"""\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin
mount -o remount,rw /
grub-install /dev/sda && update-grub && rm {ONCE} && echo "{GRUB_DONE}"
sync
echo o >/proc/sysrq-trigger
sleep 60
""",
}


def attached(path, snapshot="on"):
    """QEMU arguments of the disk: SATA, as in the servers of old.

    With a snapshot what is written to it is gone with QEMU.
    """
    file = str(path).replace(",", ",,")
    return ["-drive", f"if=none,id=root,format=raw,file={file},"
            f"snapshot={snapshot}",
            "-device", "ich9-ahci,id=sata",
            "-device", "ide-hd,drive=root,bus=sata.0,bootindex=1"]


def _run(argv, log, what):
    with open(log, "ab") as out:
        res = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             check=False)
    if res.returncode:
        raise LabError(f"{what} failed ({shown(log)}):\n" + debs.last_words(
            log.read_text(errors="replace")))


def _tree(apt, work, log):
    """Has mmdebstrap install Debian; leaves the disk, the kernel and initrd in work."""
    files = work / "files"
    for path, text in FILES.items():
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text(text)
    (files / ONCE[1:]).chmod(0o755)
    # The system's own answer to how its mirrors are reached.
    known = subprocess.run(["apt-config", "dump"], text=True, check=True,
                           stdout=subprocess.PIPE).stdout
    (work / "apt.conf").write_text("".join(
        line + "\n" for line in known.splitlines() if line.startswith((
            "Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-"))) +
        'Acquire::Retries "3";\n')
    sources = [p for p in sorted((apt.dir / "sources.list.d").iterdir())
               if p.read_text().strip()]
    disk = work / DISK.name
    (work / "bare").mkdir()
    with open(disk, "wb") as f:
        f.truncate(MIB << 20)
    hook = f"""set -e
        cd {shlex.quote(str(work))}
        cp -r files/. "$1"
        chroot "$1" sh -c 'update-initramfs -c -k "$(ls /lib/modules)"'
        echo root:{PASSWORD} | chroot "$1" chpasswd
        chroot "$1" systemd-machine-id-setup
        chroot "$1" dpkg-query -W >versions
        chroot "$1" apt-get clean
        cp "$1"/boot/vmlinuz-* vmlinuz
        cp "$1"/boot/initrd.img-* initrd
        # Without what mmdebstrap has mounted below it.
        mount --bind "$1" bare
        trap "umount bare" EXIT
        /sbin/mke2fs -q -t ext4 -L debian -E offset={START * SECTOR} -d bare \
            {disk.name} {MIB - 2}M"""
    # What it writes need not outlive a loss of power.  An initrd takes its time: one,
    # when all is there, does, where the packages would make two.
    _run(["env", "INITRD=No", "mmdebstrap", "--variant=important",
          f"--include={','.join(PACKAGES)}", f"--aptopt={work / 'apt.conf'}",
          "--dpkgopt=force-unsafe-io", f"--customize-hook={hook}",
          debs.RELEASE, "/dev/null", *map(str, sources)], log, "mmdebstrap")
    # One partition, active, of Linux.
    with open(disk, "r+b") as f:
        f.seek(446)
        f.write(struct.pack("<B3sB3sII", 0x80, b"\xff" * 3, 0x83, b"\xff" * 3, START,
                            ((MIB - 2) << 20) // SECTOR))
        f.seek(510)
        f.write(b"\x55\xaa")


def _grub(work):
    """Boots it once, for GRUB to be installed by Debian's own programs."""
    serial, emulator = work / "grub.log", qemu.choose("mt")
    argv = emulator.argv() + [
        "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot", "-serial",
        f"file:{serial}", *attached(work / DISK.name, "off"),
        "-kernel", str(work / "vmlinuz"), "-initrd", str(work / "initrd"), "-append",
        f"root=LABEL=debian ro console=ttyS0 quiet init={ONCE}"]
    try:
        with open(work / "qemu.txt", "wb") as noise:
            subprocess.run(argv, env={**os.environ, **emulator.env}, check=True,
                           stdin=subprocess.DEVNULL, stdout=noise, stderr=noise,
                           timeout=900, preexec_fn=die_with_us)
    except (subprocess.SubprocessError, OSError) as e:
        raise LabError(f"Debian did not boot: {e}; see {shown(serial)}") from e
    said = serial.read_text(errors="replace")
    if GRUB_DONE not in said:
        raise LabError(f"GRUB was not installed, {shown(serial)}:\n" +
                       debs.last_words(said))


def _made_by(stamp, recipe):
    return stamp.exists() and stamp.read_text() == recipe


def disk():
    """The path of the image, which is made if need be."""
    recipe = hashlib.sha256(json.dumps(
        [FILES, PACKAGES, Path(__file__).read_text()]).encode()).hexdigest()
    stamp, work = DIR / "stamp", DIR / "work"
    with locked(BUILD / "debian.lock", "Debian's disk"):
        if DISK.exists() and _made_by(stamp, recipe):
            return DISK
        # What is installed but has not booted yet need not be installed again.
        if not _made_by(work / "stamp", recipe):
            if os.geteuid():
                raise LabError("installing a Debian needs root, once: run the scenario "
                               "as root until it has made its disk")
            if not shutil.which("mmdebstrap"):
                raise LabError("no mmdebstrap (make deps installs it)")
            print(f"lab: installs Debian on {shown(DISK)}, which takes some minutes",
                  flush=True)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            _tree(debs.Packages(CACHE), work, work / "mmdebstrap.log")
            (work / "stamp").write_text(recipe)
        _grub(work)
        (work / "versions").replace(DIR / "versions")
        stamp.unlink(missing_ok=True)
        (work / DISK.name).replace(DISK)
        stamp.write_text(recipe)
        (work / "stamp").unlink()
    return DISK

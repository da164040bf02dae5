# SPDX-License-Identifier: GPL-2.0-only
"""Disks and network cards for hosts, and how to find them again in dom0.

Happy path: disk() and nic() give QEMU arguments for Host(devices=...);
find_disks() and configure_nics() return the names Linux has given them.

What can fail: a device that Linux did not find; the error names it and shows what
it did find.
"""

import re

from .place import LabError

MIB = 1 << 20

# How each kind is attached, and which kind of interrupt Linux uses with it.
DISKS = {"nvme": "MSI-X", "ahci": "MSI", "ide": "wired, edge",
         "virtio-blk": "MSI-X"}
NICS = {"e1000": "wired, level", "e1000e": "MSI-X", "virtio-net": "MSI-X",
        "vmxnet3": "MSI-X", "rtl8139": "wired, level"}


def disk(kind, directory, number):
    """QEMU arguments of one disk; disks are told apart by their size."""
    if kind not in DISKS:
        raise LabError(f"disk {kind}: want one of {', '.join(DISKS)}")
    path = directory / f"disk{number}.img"
    directory.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(path, "wb") as f:
        f.truncate((64 + number) * MIB)
    name = f"disk{number}"
    file = str(path).replace(",", ",,")
    args = ["-drive", f"if=none,id={name},file={file},format=raw,"
            "cache=writeback"]
    if kind == "nvme":
        return args + ["-device", f"nvme,drive={name},serial={name}"]
    if kind == "virtio-blk":
        return args + ["-device", f"virtio-blk-pci,drive={name}"]
    if kind == "ide":
        return args + ["-device", f"ide-hd,drive={name},bus=ide.0"]
    return args + ["-device", f"ich9-ahci,id=ahci{number}",
                   "-device", f"ide-hd,drive={name},bus=ahci{number}.0"]


def find_disks(host, numbers):
    """{number: /dev/...} of disks made with disk()."""
    out = host.must("grep -H . /sys/block/*/size")
    sizes = {int(size) * 512: "/dev/" + name for name, size in
             re.findall(r"/sys/block/([^/]+)/size:(\d+)", out)}
    found = {n: sizes.get((64 + n) * MIB) for n in numbers}
    missing = [n for n, dev in found.items() if not dev]
    if missing:
        raise LabError(f"dom0 has not found disk {missing}; it has:\n{out}")
    return found


def nic(kind, number, forward=None):
    """QEMU arguments of one network card on a user-mode network of its own.

    `forward` is a TCP port of dom0 that this machine can reach: forwarded() tells how.
    """
    if kind not in NICS:
        raise LabError(f"network card {kind}: want one of {', '.join(NICS)}")
    model = "virtio-net-pci" if kind == "virtio-net" else kind
    return ["-netdev", f"user,id=net{number},net=10.0.{number + 2}.0/24,"
            "restrict=off" + (f",hostfwd=tcp:127.0.0.1:0-10.0.{number + 2}.15:{forward}"
                              if forward else ""),
            "-device", f"{model},netdev=net{number},romfile=,"
            f"mac=52:54:00:00:00:{number:02x}"]


def forwarded(host, port):
    """The port of this machine's loopback interface that leads to dom0's `port`."""
    said = host.monitor("human-monitor-command", **{"command-line": "info usernet"})
    m = re.search(rf"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+{port}\s", said)
    if not m:
        raise LabError(f"QEMU forwards nothing to port {port}:\n{said}")
    return int(m.group(1))


def configure_nics(host, numbers):
    """Brings cards made with nic() up; {number: (interface, outside address)}.

    The outside address is this machine's loopback interface, as the user-mode
    network shows it to the guest.
    """
    out = host.must("grep -H . /sys/class/net/*/address")
    found = {}
    for n in numbers:
        m = re.search(rf"/sys/class/net/([^/]+)/address:52:54:00:00:00:{n:02x}",
                      out)
        if not m:
            raise LabError(f"dom0 has not found network card {n}; it has:\n"
                           f"{out}")
        name = m.group(1)
        host.must(f"ip addr add 10.0.{n + 2}.15/24 dev {name} && "
                  f"ip link set {name} up")
        found[n] = (name, f"10.0.{n + 2}.2")
    for name, address in found.values():
        host.must(f"for i in 1 2 3 4 5 6 7 8 9 10; do "
                  f"ping -c 1 -W 5 -I {name} {address} >/dev/null && exit 0; "
                  f"done; echo no answer from {address} by {name}; exit 1")
    return found


def interrupts(host, pattern):
    """Lines of /proc/interrupts that match, for the log."""
    _, out = host.run(f"grep -E '{pattern}' /proc/interrupts")
    return out.splitlines()

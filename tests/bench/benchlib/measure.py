# SPDX-License-Identifier: GPL-2.0-only
"""One host measured: live updates, xl save and restore, a reboot by kexec.

Happy path: measure(lab, row, updates) boots the host that the row asks for and
returns its figures, in virtual ms.

What can fail, each a LabError: the host does not boot, an update is refused, a guest
is not the same after its restore, two clocks disagree on how long something took.
"""

import re
import shlex
from pathlib import Path

from lablib import devicemodel, guest
from lablib.place import BUILD, LabError
from lablib.update import Updates, install
from lablib.witness import Together

from .rows import KEXEC
from .table import mean

# Seconds by which the CMOS clock, which counts whole ones, may seem to be off.
CMOS_OFF = 2
# ms by which dom0's uptime, which counts hundredths of a second, may.
UPTIME_OFF = 20


def measure(lab, row, updates):
    """{"figures": {column: figure}, "xen": which one}, or {"kexec": figure}."""
    if row.kind == KEXEC:
        return reboot(lab, row)
    return update(lab, row, updates)


def commit(host):
    """The commit that the running Xen was built from, as the build says."""
    m = re.search(r"live-update:(\S+)", host.must("xl info xen_changeset"))
    return m.group(1) if m else "unknown"


def idle_guests(host, row):
    """Makes the row's guests, which do nothing."""
    host.must("xenstart")
    guests = [guest.Guest(host, f"g{n}", row.type, memory=row.memory)
              for n in range(row.guests)]
    for g in guests:
        g.build("", 300)
    for g in guests:
        g.meet(300)
    return guests


def machine(row):
    """Arguments for the host of a row, by its size.

    Neither QEMU nor Xen's boot may take what nothing uses.  After an update idle CPUs
    scrub free memory, and take it then: the host is gone before they get far.
    """
    if not row.sparse:
        return {"append": "liveupdate=64M"}
    return {"append": "liveupdate=64M bootscrub=0",
            "machine": "pc,memory-backend=ram",
            "devices": ["-object", "memory-backend-ram,id=ram,reserve=off,"
                        f"size={row.host}M"]}


def taken(host):
    """MiB of this machine that the host's QEMU has had at the most."""
    status = Path(f"/proc/{host.proc.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) >> 10


def update(lab, row, updates):
    image = lab.xen(row.flavour)
    files = {**(guest.files() if row.guests else {}),
             **(devicemodel.files() if row.type == "hvm" else {})}
    paths = install(files, [image])
    with lab.host(image, files=files, mem=row.host, dom0_mem=row.dom0,
                  **machine(row)) as host:
        host.boot()
        # The first guest tells what all of them see.
        guests = idle_guests(host, row) if row.guests else []
        seen = {f"{g.name} ": lab.witnesses(g, [("heartbeat", "-T")])
                for g in guests[:1]}
        w = Together({"": lab.witnesses(host, [("heartbeat", "-T")]), **seen})
        u = Updates(lab, host, [image], paths, w)
        if not u.run(updates) or lab.failed:
            raise LabError("an update failed")
        figures = phases(host.serial())
        figures["dom0"] = mean(u.gaps)
        for g in guests[:1]:
            figures["guest"] = mean([float(gaps[f"{g.name} heartbeat"])
                                     for _, _, gaps in u.rows[1:]])
            if row.saved:
                figures["saved"] = save_and_restore(host, row, g, seen[f"{g.name} "])
        lab.say(f"took {taken(host)} MiB of this machine, {row.needs} were thought of")
        xen = f"{u.rows[-1][0]} (commit {commit(host)})"
    return {"figures": figures, "xen": xen}


def phases(serial):
    """The pause and its phases as the new Xens sum them up, means of all."""
    pauses = [(total, dict(re.findall(r"(\w+) ([\d.]+)", rest)))
              for total, rest in
              re.findall(r"live-update: paused ([\d.]+) ms: (.*)", serial)]
    return {"pause": mean([float(total) for total, _ in pauses]),
            **{name: mean([float(each[name]) for _, each in pauses])
               for name in pauses[0][1]}}


def uptime_ms(host):
    return 1000 * float(host.must("cut -d' ' -f1 /proc/uptime"))


def save_and_restore(host, row, g, witnesses):
    """For how long the guest says it stood still in xl save and xl restore.

    The file is in dom0's memory, which grows for it: while a disk is waited for, an
    emulator that skips idle time makes up as much of it as it likes.
    """
    room = row.memory + row.memory // 8 + 128
    host.must(f"echo {(row.dom0 + room) << 10} >"
              "/sys/devices/system/xen_memory/xen_memory0/target_kb; i=0; "
              f"until [ $(xl list 0 | awk 'NR == 2 {{ print $3 }}') -ge "
              f"{row.dom0 + room - 1} ]; do usleep 100000; i=$((i+1)); "
              "[ $i -gt 600 ] && exit 1; done; mkdir -p /run/save && "
              f"mount -t tmpfs -o size={room}m save /run/save", 600)
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    was, before = g.must(boot_id), witnesses.sample()["heartbeat"]
    begun = uptime_ms(host)
    host.must(f"xl save {g.name} /run/save/{g.name} 2>&1 && "
              f"xl restore /run/save/{g.name} 2>&1", 3600)
    took = uptime_ms(host) - begun
    g.meet(300)
    now, after = g.must(boot_id), witnesses.sample()["heartbeat"]
    if now != was:
        raise LabError(f"{g.name} is another after its restore: {now}, was {was}")
    # Its monotonic clock stops while it is saved, this one does not.
    stood = float(after["max_real_ms"])
    if not float(before["max_real_ms"]) < stood <= took + UPTIME_OFF:
        raise LabError(f"{g.name} stood still for {stood} ms, it says; saving and "
                       f"restoring took {took:.0f} ms")
    return stood


def reboot(lab, row):
    """What a reboot by stock kexec takes, in virtual ms."""
    files = {"/boot/xen": lab.xen("4.17"), "/boot/vmlinuz": BUILD / "vmlinuz",
             "/boot/initrd": BUILD / "dom0.cpio.gz"}
    with lab.host(files=files, mem=row.host, dom0_mem=row.dom0) as host:
        host.boot()
        linux = host.must("cat /proc/cmdline").strip()
        host.must(f"kexec -l /boot/xen --command-line="
                  f"{shlex.quote(host.xen_cmdline())} "
                  f"--module={shlex.quote('/boot/vmlinuz ' + linux)} "
                  "--module=/boot/initrd 2>&1")
        was = host.must("cat /proc/sys/kernel/random/boot_id")
        host.mark()
        # In the background, so that the agent can say that it was started.
        host.must("setsid sh -c 'sleep 0.2; "
                  "echo LAB: kexec at tsc $(tsc) >/dev/console; "
                  "kexec -e' >/dev/null 2>&1 3>&- </dev/null &")
        begin = host.wait_for(r"LAB: kexec at tsc (\d+) (\d+)\s", 60, "kexec -e")
        end = host.wait_for(r"LAB: ready: .*/init at tsc (\d+) (\d+),", 150,
                            "dom0 to boot again")
        host.agent.hello(60 * host.slow)
        if host.must("cat /proc/sys/kernel/random/boot_id") == was:
            raise LabError("dom0 was not rebooted")
    took, seconds = (int(end.group(i)) - int(begin.group(i)) for i in (1, 2))
    if abs(took / 1e9 - seconds) > CMOS_OFF or not int(begin.group(2)):
        raise LabError(f"{took / 1e9:.1f} s by the time stamp counter, "
                       f"{seconds} s by the CMOS clock")
    return {"kexec": took / 1e6}

# SPDX-License-Identifier: GPL-2.0-only
"""HVM guests at work, with Debian's QEMU in dom0 as their device model.

Two guests that SeaBIOS boots, of one vCPU each. "emulated" has Linux's drivers for what
QEMU emulates: it writes and reads checksummed data on an IDE disk, has TCP streams over
an e1000, sends numbers over its serial line, and draws on a screen of 800x600, the
changes of which QEMU follows. "drivers" has Linux's drivers for Xen, and so a disk and a
card as a PV guest has; it prints on a VGA screen in text mode. Before each update in turn
the vCPU of "emulated" has nothing else to do, and computes without a pause.

After each update every byte has to be right, every connection kept, and the vCPUs that
had a request at QEMU when Xen was replaced are counted, from the stream that Xen keeps: of
all updates some have to have met one (WANT, default 1), and some "drivers" in HLT. The
screen has to show what was drawn last, before and after. In the end no number may be
missing, no kernel may have logged an error, and the guests can be destroyed. TO: flavours
that take turns as the new Xen; GUESTS: only one of the two; SLICE: how often the witnesses
in guests work, in ms (default: 10 in "emulated", 50 in "drivers"). Needs a flavour of the
lab and QEMU 10 (docs/lab.md).
"""

import re

from lablib import devicemodel, guest, stream
from lablib.backends import DOM0, PORT, Backends, device_args
from lablib.echo import Echo
from lablib.place import LabError
from lablib.update import Updates, install, next_xens
from lablib.witness import Together

# Linux's own names of the drivers, and what keeps those for Xen away.
EMULATED = "xen_emul_unplug=never vga=0x314"
MODULES = "ata_piix sd_mod e1000"
LINE, SCREEN = "/run/lab/serial", "/run/lab/screen"
PIXELS = 800 * 600
# With each number: a request to QEMU, or several, for each of them.
DOTS = "." * 60


class Emulated(Backends):
    """Backends whose guests use what QEMU emulates, if their name says so."""

    def config(self, n):
        if self.names[n] != "emulated":
            return super().config(n)
        # With a script of its own QEMU would not know where the disk is.
        return (f"disk = ['format=raw,vdev=hda,access=rw,backendtype=phy,"
                f"target={self.disks[n]}']\n"
                f"vif = ['type=ioemu,model=e1000,bridge=xenbr0,script=/bin/hotplug,"
                f"mac=00:16:3e:00:00:{n:02x}']\n"
                'serial = "pty"\n')


def talk(host, g):
    """The guest counts on its serial line, dom0 keeps what it hears."""
    host.must(f"tty=$(xenstore read /local/domain/{g.domid()}/serial/0/tty) && "
              f"(exec cat $tty >{LINE} 2>&1 3>&- </dev/null &)")
    g.must("stty -F /dev/ttyS0 raw -echo; (i=0; while i=$((i + 1)); do "
           f"echo line $i {DOTS} >/dev/ttyS0; usleep 100000; done "
           ">/dev/null 2>&1 &)")


def heard(lab, host):
    """Checks that each number was heard once, in its turn."""
    lines = host.must(f"tr -d '\\r' <{LINE}").splitlines()
    numbers = [int(m[1]) for line in lines[:-1]
               if (m := re.match(rf"line (\d+) {re.escape(DOTS)}$", line))]
    wrong = [(a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1]
    lab.check(len(numbers) > 20 and numbers[0] == 1 and not wrong and
              len(numbers) == len(lines) - 1,
              f"{len(numbers)} numbers came over the serial line, none missing",
              f"{wrong[:5]}; of {len(lines)} lines; {lines[:3]}")


def draw(host, g, letter):
    """Fills the guest's screen, of 16 bits for each pixel; returns what QEMU shows."""
    g.must(f"yes {letter} | tr -d '\\n' | head -c {2 * PIXELS} >/dev/fb0")
    return host.must(f"xl qemu-monitor-command {g.name} 'screendump {SCREEN}' && "
                     f"head -n 2 {SCREEN} && md5sum <{SCREEN}")


def spin(g):
    """A process of the guest computes without a pause, for long enough.

    Not for ever: a second in which nobody sleeps takes the emulator ten.
    """
    g.must("timeout 8 sh -c 'while :; do :; done' >/dev/null 2>&1 &")


def halted(host, g):
    """Whether the guest's vCPU was, when Xen was replaced."""
    flags = dict(stream.records(host, "HVM_VCPU"))[f"d{g.domid()}v0"]["flags"]
    return "BLOCKED" in flags


def in_flight(host):
    """The requests that were at QEMU when Xen was replaced, a text for each."""
    return [f"{who} {'reads' if 'READ' in f['flags'] else 'writes'} "
            f"{'port' if f['type'].startswith('0') else 'memory'} {f['addr']}"
            for who, f in stream.records(host, "HVM_IO") if not f["state"].startswith("0")]


def run(lab):
    lab.for_hvm()
    count = lab.param("UPDATES", 5)
    names = lab.param("GUESTS", "emulated,drivers").split(",")
    images = next_xens(lab, count)
    files = {**guest.files(), **devicemodel.files(), **stream.files()}
    paths = install(files, images)
    duty = lab.param("DUTY", 4)
    disks = range(len(names))
    met = []
    with Echo() as echo, lab.host(append="liveupdate=64M" if count else "", files=files,
                                  dom0_mem=devicemodel.DOM0_MEM,
                                  devices=device_args(lab, disks, "e1000e")) as host:
        host.boot()
        host.must("modprobe tun; mkdir -p /etc/xen/scripts && "
                  "ln -sf /bin/hotplug /etc/xen/scripts/block")
        served = Emulated(lab, host, echo, disks)
        served.names = names
        # All are there before any of them works, which takes the emulator's time.
        for n, name in enumerate(names):
            emulated = name == "emulated"
            served.create(n, kind="hvm", args=EMULATED if emulated else "",
                          modules=MODULES if emulated else "xen-netfront")
        seen, one = {}, None
        for name, g in zip(names, served.guests.values()):
            emulated = name == "emulated"
            if emulated:
                one = g
                talk(host, g)
                g.must("echo 0 >/sys/class/graphics/fbcon/cursor_blink; i=0; "
                       "until [ -b /dev/sda ]; do usleep 100000; i=$((i+1)); "
                       "[ $i -gt 300 ] && exit 1; done")
                shown = {letter: draw(host, g, letter) for letter in "ab"}
                lab.check("800 600" in shown["a"] and shown["a"] != shown["b"],
                          "QEMU shows what the guest draws", f"{shown}")
            else:
                g.must("(i=0; while i=$((i + 1)); do echo line $i; sleep 1; "
                       "done >/dev/tty0 2>&1 &)")
            seen[f"{name} "] = served.witnesses(g, duty, [
                ("timers", ""), ("memory", f"-m 8 -d {duty}"),
                served.stream(DOM0, PORT, "net-dom0")],
                disk="/dev/sda" if emulated else "/dev/xvda",
                slice=lab.param("SLICE", 10 if emulated else 50))
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        together = Together({"": w, **seen})
        before = together.sample()
        host.must(f"sleep {lab.param('SECONDS', 2)}", 1200)
        lab.goes_on(together, before, "every witness works before the first update")
        updates = Updates(lab, host, images, paths, together)
        idle = [g for g in served.guests.values() if g is not one]
        halts = 0
        for n in range(count):
            if one and n % 2:
                spin(one)
            if not updates.once():
                raise LabError(f"update {n + 1} did not take place")
            if one:
                was = halted(host, one)
                lab.check(not was or not n % 2, f"update {n + 1}: the vCPU of "
                          f"{one.name} was {'in HLT' if was else 'computing'}")
                again = {letter: draw(host, one, letter) for letter in "ab"}
                lab.check(again == shown, f"update {n + 1}: and it does on",
                          f"{again}, want {shown}")
            halts += sum(halted(host, g) for g in idle)
            found = in_flight(host)
            met += found
            lab.say(f"update {n + 1}: at QEMU: {', '.join(found) or 'nothing'}")
        if count:
            lab.check(len(met) >= lab.param("WANT", 1),
                      f"{len(met)} requests were at QEMU when Xen was replaced")
        if count and idle:
            lab.check(halts, f"at {halts} of {count} updates the vCPU of \"drivers\" was in "
                      "HLT")
        if one:
            heard(lab, host)
        updates.finish()
        served.verdicts()
        served.destroy()
        lab.epilogue += updates.table()

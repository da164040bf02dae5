# SPDX-License-Identifier: GPL-2.0-only
"""What must be refused is refused, says why, and changes nothing.

Images and command lines that cannot work are offered to a running host, one after
the other; each has to fail with a reason, in kexec's output or in Xen's log, and
after all of them a proper update has to succeed with the witnesses none the wiser.
Then hosts of their own: without liveupdate=, with nonsense in it, with a crash
kernel area (a blocker), with a guest (a blocker as long as guests are not carried).
PARTS chooses among load, none, nonsense, crashkernel, guest.
"""

import re
import struct

from lablib.place import BUILD, LabError
from lablib.update import Updates, execute, install, load, reasons

NOTE = struct.pack("<QQ", 0x556576694c6e6558, 0x7061436574616470)
TAIL = struct.pack("<Q", 0x446e456574616450)
# Offsets in the note, from docs/specs/live-update-stream.md.
VERSION, SIZE, NR_CPUS, NR_ENTRIES, ENTRIES = 16, 20, 36, 44, 88

PARTS = "load,none,nonsense,crashkernel,guest"


class Image:
    """Bytes of a hypervisor whose capability note can be falsified."""

    def __init__(self, path):
        self.data = open(path, "rb").read()
        self.at = self.data.find(NOTE)
        if self.at < 0:
            raise LabError(f"{path} has no capability note")
        self.entries, = struct.unpack_from("<I", self.data,
                                           self.at + NR_ENTRIES)

    def put(self, offset, fmt, value):
        out = bytearray(self.data)
        struct.pack_into(fmt, out, self.at + offset, value)
        return bytes(out)

    def entry(self, number, offset, fmt, value):
        return self.put(ENTRIES + 8 * number + offset, fmt, value)


def images(path):
    """(name, bytes, what must be said) for each image that is no good."""
    good = Image(path)
    last = good.entries - 1
    tail = ENTRIES + 8 * good.entries
    too_big = bytearray(good.data)
    # p_memsz of the first program header of an ELF32 file.
    phoff, = struct.unpack_from("<I", too_big, 28)
    struct.pack_into("<I", too_big, phoff + 20, 64 << 20)
    yield "no ELF file", b"#!/bin/sh\nexit 0\n" * 64, r"."
    yield "an ELF file that is no kernel", BUILD / "guest" / "heartbeat", r"."
    yield "a Xen without the note", good.put(0, "<Q", 0), \
        r"no capability note"
    yield "a note of another version", good.put(VERSION, "<I", 99), \
        r"capability note of version 99"
    yield "a note that lies about its size", good.put(SIZE, "<I", 80), \
        r"capability note of 80 bytes"
    yield "a note with too many entries", \
        good.put(NR_ENTRIES, "<I", 0x10000000), r"capability note of"
    yield "a note without its tail", good.put(tail, "<Q", 0), r"damaged"
    yield "a build for one CPU", good.put(NR_CPUS, "<I", 1), \
        r"holds 1 CPUs, the host has \d"
    yield "a Xen that lacks a record", good.entry(0, 0, "<I", 0x7ffffff0), \
        r"does not read record \S+"
    yield "a Xen with an older record table", good.entry(last, 6, "<H", 0), \
        r"reads record \S+ version"
    yield "a Xen too large for its slot", bytes(too_big), r"."


def lines(running):
    """(name, command line, what must be said) for each that is no good."""
    yield "' -- '", running + " -- x", r"' -- ' hides"
    for option in ("mem=2G", "maxcpus=1", "noapic", "nosmp",
                   "clocksource=pit"):
        yield option, f"{running} {option}", \
            rf"'{option}' is not what the running Xen has"
    yield "an option of the running Xen missing", \
        running.replace("spec-ctrl=eager-fpu=1", ""), \
        r"'spec-ctrl=eager-fpu=1' of the running Xen is missing"
    yield "4000 characters", running + " placeholder" * 330, r"."


def refused(lab, host, name, result, since, want):
    """One check: it failed and said what it should."""
    rc, out = result
    said = "\n".join([out.strip(), *reasons(host, since)])
    lab.check(rc != 0 and re.search(want, said), f"{name}: refused, and why",
              f"rc {rc}, want /{want}/: {said}")


def part_load(lab):
    path = lab.first_xen()
    cases = list(images(path))
    files = {f"/boot/bad{i}": data for i, (_, data, _) in enumerate(cases)}
    files["/boot/crash-kernel"] = BUILD / "vmlinuz"
    paths = install(files, [path])
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        w = lab.witnesses(host, [("heartbeat", "{tsc}"),
                                 ("memory", "-m 8 -d 5"), ("timers", "")])
        before = w.sample()
        running = host.xen_cmdline()
        size = host.log.stat().st_size
        refused(lab, host, "exec with nothing loaded", execute(host), size,
                r"No such file|no image is loaded")
        for i, (name, _, want) in enumerate(cases):
            size = host.log.stat().st_size
            refused(lab, host, name, load(host, f"/boot/bad{i}", running),
                    size, want)
        for name, line, want in lines(running):
            size = host.log.stat().st_size
            refused(lab, host, f"command line with {name}",
                    load(host, paths[0], line), size, want)
        size = host.log.stat().st_size
        refused(lab, host, "exec after only refused loads", execute(host),
                size, r"No such file|no image is loaded")
        lagging, _ = w.progress(before)
        lab.check(not lagging, "dom0 goes on after all refusals", str(lagging))
        updates = Updates(lab, host, [path], paths, w)
        lab.check(updates.once(), "a proper update works afterwards")
        updates.finish()


def part_none(lab):
    path = lab.first_xen()
    files = {}
    paths = install(files, [path])
    with lab.host(files=files) as host:
        host.boot()
        rc, out = load(host, paths[0], host.xen_cmdline())
        lab.check(rc != 0, "no liveupdate= at boot: load is refused", out)
        rc, out = execute(host)
        lab.check(rc != 0, "no liveupdate= at boot: exec is refused", out)


def part_nonsense(lab):
    for value in ("rubbish", "2M", "64M@0x1001000", "64M@0x140000000",
                  "64M@0x800000"):
        with lab.host(append=f"liveupdate={value}") as host:
            host.boot()
            said = re.findall(r"^.*liveupdate.*$",
                              host.serial().replace("Command line", ""), re.M)
            said = [s for s in said if "console=" not in s]
            lab.check(said, f"liveupdate={value}: the host boots and warns")
            lab.say("; ".join(said))


def part_crashkernel(lab):
    path = lab.first_xen()
    files = {}
    paths = install(files, [path])
    with lab.host(append="liveupdate=64M crashkernel=96M",
                  files=files) as host:
        host.boot()
        host.must(f"kexec --load-live-update --command-line='"
                  f"{host.xen_cmdline()}' {paths[0]}")
        size = host.log.stat().st_size
        refused(lab, host, "memory for a crash kernel", execute(host), size,
                r"blocked by .*crash")
        lab.check(host.run("true")[0] == 0, "dom0 goes on")


def part_guest(lab):
    path = lab.first_xen()
    files = {"/boot/vmlinuz": BUILD / "vmlinuz",
             "/etc/guest.cfg": b'name = "guest"\nkernel = "/boot/vmlinuz"\n'
                               b'memory = 64\nvcpus = 1\ntype = "pv"\n'}
    paths = install(files, [path])
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        host.must("xenstart")
        host.must("xl create -p /etc/guest.cfg")
        host.must(f"kexec --load-live-update --command-line='"
                  f"{host.xen_cmdline()}' {paths[0]}")
        size = host.log.stat().st_size
        refused(lab, host, "a guest", execute(host), size, r"blocked by d1")
        host.must("xl unpause guest && xl destroy guest && xl list")
        lab.check(True, "the guest can still be ended, dom0 goes on")


def run(lab):
    parts = {"load": part_load, "none": part_none, "nonsense": part_nonsense,
             "crashkernel": part_crashkernel, "guest": part_guest}
    for name in lab.param("PARTS", PARTS).split(","):
        if name not in parts:
            raise LabError(f"PARTS: {name}: want some of {PARTS}")
        parts[name](lab)

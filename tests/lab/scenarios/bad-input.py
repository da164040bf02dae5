# SPDX-License-Identifier: GPL-2.0-only
"""What must be refused is refused, says why, and changes nothing.

Images and command lines that cannot work are offered to a running host, one after
the other; each has to fail with a reason, in kexec's output or in Xen's log, and
after all of them a proper update has to succeed with the witnesses none the wiser.  Part
raw makes hypercalls that kexec-tools never would (guest/kexecraw.c).  Then hosts of
their own: without liveupdate=, with nonsense in it, with a debugger at a guest (a blocker),
with too little memory for the next Xen (needs flavour 4.17-shifted, whose frame table is
the larger), with a breadcrumb left over in memory by a reset.
PARTS chooses among load, raw, none, nonsense, guest, memory, stale.
"""

import re
import struct

from lablib import gdb
from lablib.place import BUILD, LabError
from lablib.update import Updates, execute, install, load, reasons

NOTE = struct.pack("<QQ", 0x556576694c6e6558, 0x7061436574616470)
TAIL = struct.pack("<Q", 0x446e456574616450)
# Offsets in the note, from docs/specs/live-update-stream.md.
VERSION, SIZE, NR_CPUS, FLAGS, NR_ENTRIES, HEADER = 16, 20, 36, 40, 44, 52
SCHEDULER, SCHEDULERS, MAX_PDX, XCR0, CPUID_BASIC, VIRIDIAN, PV_FEATURES = \
    88, 104, 112, 120, 128, 140, 144

# The breadcrumb's magic number, from the same specification.
CRUMB = struct.pack("<Q", 0x61647055657669)

PARTS = "load,raw,none,nonsense,guest,memory,stale"

# Hypercalls of guest/kexecraw.c by name, and what has to be said to each.
OUTSIDE = r"is neither in the region nor in the free slot"
RAW = {
    "type": r"Invalid argument",
    "arch": r"Invalid argument|Function not implemented",
    "none": r"0 images in the free slot",
    "many": r"Invalid argument",
    "entry": r"entry 0x100000 is outside the region",
    "entry-max": r"entry 0xf+ is outside the region",
    "page0": OUTSIDE, "low": OUTSIDE, "wrap": OUTSIDE, "huge": OUTSIDE,
    "running": OUTSIDE, "beyond": OUTSIDE,
    "odd": r"Cannot assign requested address",
    "longer": r"Invalid argument",
    "pointer": r"Bad address",
    "list": r"Bad address",
    "shifted": r"not at the start",
    "no-image": r"0 images in the free slot",
    "no-info": r"0 multiboot2 information blocks",
    "overlap": r"Invalid argument",
    "two-infos": r"2 multiboot2 information blocks",
    "total": r"0 multiboot2 information blocks",
    "tag-zero": r"0 multiboot2 information blocks",
    "tag-long": r"0 multiboot2 information blocks",
    "no-end": r"0 multiboot2 information blocks",
    "no-nul": r"0 multiboot2 information blocks",
    "module": r"1 multiboot modules; an update takes none",
    "other-region": r"the last liveupdate= is not 64M@",
    "other-size": r"the last liveupdate= is not 64M@",
    "rubbish": r"the last liveupdate= is not 64M@",
}


class Image:
    """Bytes of a hypervisor whose capability note can be falsified."""

    def __init__(self, path):
        self.data = open(path, "rb").read()
        self.at = self.data.find(NOTE)
        if self.at < 0:
            raise LabError(f"{path} has no capability note")
        self.entries, = struct.unpack_from("<I", self.data,
                                           self.at + NR_ENTRIES)
        # The table is behind the header, which may grow.
        self.table, = struct.unpack_from("<I", self.data, self.at + HEADER)

    def put(self, offset, fmt, value):
        out = bytearray(self.data)
        struct.pack_into(fmt, out, self.at + offset, value)
        return bytes(out)

    def entry(self, number, offset, fmt, value):
        return self.put(self.table + 8 * number + offset, fmt, value)


def images(path):
    """(name, bytes, what must be said) for each image that is no good."""
    good = Image(path)
    last = good.entries - 1
    tail = good.table + 8 * good.entries
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
    yield "a Xen with another default scheduler", \
        good.put(SCHEDULER, "16s", b"credit"), \
        r"scheduler credit2 is in use, the image's default is credit "
    yield "a Xen without the scheduler in use", \
        good.put(SCHEDULERS, "<I", 1 << 5), \
        r"the image has no scheduler credit2"
    yield "a Xen with a command line of its own", good.put(FLAGS, "<I", 2), \
        r"a command line is built into the image"
    yield "a Xen for little memory", good.put(MAX_PDX, "<Q", 1 << 18), \
        r"frame table has room for 0x40000 pages"
    yield "a Xen that knows less extended state", good.put(XCR0, "<Q", 0), \
        r"d0: image: it does not know the extended state"
    yield "a Xen with a shorter CPU policy", \
        good.put(CPUID_BASIC, "<I", 1), r"d0: image: its CPUID goes to 0x1,"
    yield "a Xen that offers fewer CPU features", \
        good.put(PV_FEATURES, "<I", 0), \
        r"d0: image: it does not support CPU features 0x[0-9a-f]+ of CPUID 1 EDX"
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


def nothing_changed(lab, host, name, path, paths, w, before):
    """After refusals: nothing is loaded, dom0 goes on, a proper update works."""
    size = host.log.stat().st_size
    refused(lab, host, name, execute(host), size,
            r"No such file|no image is loaded")
    lab.goes_on(w, before, "dom0 goes on after all refusals")
    updates = Updates(lab, host, [path], paths, w)
    lab.check(updates.once(), "a proper update works afterwards")
    updates.finish()


def part_load(lab):
    path = lab.first_xen()
    cases = list(images(path))
    files = {f"/boot/bad{i}": data for i, (_, data, _) in enumerate(cases)}
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
        nothing_changed(lab, host, "exec after only refused loads", path, paths,
                        w, before)


def part_raw(lab):
    path = lab.first_xen()
    files = {}
    paths = install(files, [path])
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        w = lab.witnesses(host, [("heartbeat", "{tsc}"),
                                 ("memory", "-m 8 -d 5")])
        before = w.sample()

        def raw(case):
            return host.run(f"kexecraw {paths[0]} {case} "
                            f"'xen {host.xen_cmdline()}' 2>&1")

        rc, out = raw("good")
        lab.check(rc == 0, "a sound image by hypercall: taken", out)
        for case, want in RAW.items():
            size = host.log.stat().st_size
            refused(lab, host, f"hypercall, {case}", raw(case), size, want)
        nothing_changed(lab, host, "exec after the last was refused", path, paths,
                        w, before)


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


def part_guest(lab):
    path = lab.first_xen()
    files = {"/boot/vmlinuz": BUILD / "vmlinuz",
             "/etc/guest.cfg": b'name = "guest"\nkernel = "/boot/vmlinuz"\n'
                               b'memory = 192\nvcpus = 1\ntype = "pvh"\n'}
    paths = install(files, [path])
    with lab.host(append="liveupdate=64M", files=files) as host:
        host.boot()
        host.must("xenstart")
        host.must("xl create -p /etc/guest.cfg && "
                  "xenstate debugger $(xl domid guest) 1")
        host.must(f"kexec --load-live-update --command-line='"
                  f"{host.xen_cmdline()}' {paths[0]}")
        size = host.log.stat().st_size
        refused(lab, host, "a guest with a debugger", execute(host), size,
                r"blocked by d1: debugger: ")
        # Not unpaused: without a root it may end by itself before it is destroyed.
        host.must("xl destroy guest && xl list")
        lab.check(True, "the guest can still be ended, dom0 goes on")


def part_memory(lab):
    small, large = lab.first_xen(), lab.xen("4.17-shifted")
    files = {}
    paths = install(files, [small, large])
    # All but 40 MiB to dom0: enough for a frame table of the same size, too little
    # for one twice as large.
    with lab.host(append="liveupdate=64M dom0_mem=-40M", files=files) as host:
        host.boot()
        w = lab.witnesses(host, [("heartbeat", "{tsc}"),
                                 ("memory", "-m 8 -d 5")])
        before = w.sample()
        rc, out = load(host, paths[1], host.xen_cmdline())
        lab.check(rc == 0, "full host: the larger Xen loads", out)
        size = host.log.stat().st_size
        refused(lab, host, "full host: no room for a larger frame table",
                execute(host), size, r"room: .*\d+ KiB[\s\S]*\(-12\)")
        said = "\n".join(reasons(host, size))
        lab.check("freezing" not in said, "refused before the freeze", said)
        lab.goes_on(w, before, "dom0 goes on")
        updates = Updates(lab, host, [small], paths, w)
        lab.check(updates.once(), "the Xen that fits replaces it afterwards")
        updates.finish()


def part_stale(lab):
    """As after a reset in the short time between breadcrumb and new Xen."""
    port = gdb.free_port()
    with lab.host(append="liveupdate=64M", gdb=port, reboot=True) as host:
        host.boot()
        at = re.search(r"live-update: region (0x[0-9a-f]+)\+", host.serial())
        region = int(at.group(1), 16)
        copy = host.dir / "crumb"
        gdb.poke(port, region, CRUMB)

        def crumb():
            host.monitor("pmemsave", val=region, size=8, filename=str(copy))
            return copy.read_bytes()

        lab.check(crumb() == CRUMB, "a breadcrumb is there")
        host.mark()
        host.monitor("system_reset")
        host.boot()
        said = host.log.read_bytes()[-40000:].decode(errors="replace")
        lab.check("live-update: update" not in said.split("Xen version")[-1],
                  "a stale breadcrumb: the host boots as ever")
        lab.check(crumb() != CRUMB, "a stale breadcrumb: nobody finds it later",
                  crumb().hex())


def run(lab):
    parts = {"load": part_load, "raw": part_raw, "none": part_none,
             "nonsense": part_nonsense, "guest": part_guest,
             "memory": part_memory, "stale": part_stale}
    for name in lab.param("PARTS", PARTS).split(","):
        if name not in parts:
            raise LabError(f"PARTS: {name}: want some of {PARTS}")
        parts[name](lab)

# SPDX-License-Identifier: GPL-2.0-only
"""PV guests at work: disks and network by dom0's backends, across the update.

Two guests, of 1 and 4 vCPUs (VCPUS, with commas).  Each writes and reads checksummed
data on a disk of its own (phy: on an NVMe disk of dom0) and has TCP streams to the
outside, to dom0 and to the first guest, over netfront, netback and a bridge.  dom0 has
witnesses too.  After each update every byte has to be right and every connection kept;
in the end no kernel may have logged an error, and the guests can be destroyed, under
whichever Xen.  TO: flavours that take turns as the new Xen.  SLICE (default 10): how
often each guest's witnesses work, in ms.
"""

from lablib import devicemodel, guest, kernels
from lablib.backends import DOM0, PORT, Backends, device_args
from lablib.echo import Echo
from lablib.place import LabError
from lablib.update import Updates, install, next_xens
from lablib.witness import Together


def run(lab, suites=("",), vcpus="1,4", count=5, dom0=None, light=False,
        kinds=("pv",), slice=10):
    """`suites` are the Debian releases whose kernels the guests take in turn, "" for
    dom0's own; `dom0(served, disk)` returns more witnesses for dom0, which has a disk
    of its own for them; `light`: guests do little besides disk and network; `kinds`:
    what the guests are, in turn; `slice`: what SLICE is by default.
    """
    count = lab.param("UPDATES", count)
    vcpus = [int(n) for n in lab.param("VCPUS", vcpus).split(",")]
    images = next_xens(lab, count)
    other = {s: kernels.other(s, lab.dir) for s in suites if s}
    hvm = "hvm" in kinds
    files = {**guest.files(other.values()), **(devicemodel.files() if hvm else {})}
    paths = install(files, images)
    slice = lab.param("SLICE", slice)
    duty = 6 if lab.accel == "mt" else 2 if light else 4
    disks = range(len(vcpus) + bool(dom0))
    with Echo() as echo, lab.host(append="liveupdate=64M", files=files,
                                  dom0_mem=devicemodel.DOM0_MEM if hvm else 1024,
                                  devices=device_args(lab, disks, "e1000e")) as host:
        host.boot()
        served = Backends(lab, host, echo, disks)
        # All are there before any of them works, which takes the emulator's time.
        for n, nr in enumerate(vcpus):
            kernel = other.get(suites[n % len(suites)])
            g = served.create(n, kind=kinds[n % len(kinds)], vcpus=nr,
                              kernel=kernel,
                              memory=256 if kernel else 160)
            if kernel:
                runs = g.must("uname -r").strip()
                lab.check(runs == kernel.release,
                          f"{g.name} runs Linux {kernel.release}", runs)
        seen = {}
        for g in served.guests.values():
            seen[f"{g.name} {g.kind} "] = served.witnesses(g, duty, [] if light else [
                ("timers", ""), ("memory", f"-m 8 -d {duty}"),
                ("churn", f"-n 16 -d {duty}"),
                served.stream(DOM0, PORT, "net-dom0")], slice=slice)
        more = dom0(served, served.disks[disks[-1]]) if dom0 else []
        w = lab.witnesses(host, [("heartbeat", "{tsc}"),
                                 ("memory", f"-m 8 -d {duty}"), *more])
        updates = Updates(lab, host, images, paths, Together({"": w, **seen}))
        if not updates.run(count):
            raise LabError("no update took place")
        updates.finish()
        served.verdicts()
        served.destroy()
        lab.epilogue += updates.table()

# SPDX-License-Identifier: GPL-2.0-only
"""An HVM guest that has gone to sleep (ACPI S3) before its Xen is replaced.

Linux suspends to RAM: QEMU, its device model, tells Xen, which resets what it emulates
and stops the domain with a count of its own, that no tool has. UPDATES (default 2; 0: none)
come, in each of which the stream has to say that the guest is asleep. Then xl wakes it, and
it is the same guest, with its memory and what it ran. It sleeps but once, since Linux does
not suspend a second time here, without any update either. TO: flavours that take turns as
the new Xen. Needs a flavour of the lab (docs/lab.md).
"""

from lablib import devicemodel, guest, stream
from lablib.place import LabError
from lablib.toolstack import until
from lablib.update import Updates, install, next_xens
from lablib.witness import Together

IDENTITY = "cat /proc/sys/kernel/random/boot_id; cat /run/lab/w/*.pid"


def asleep(host, g):
    return host.must(f"xenstate asleep {g.domid()}").strip()


def run(lab):
    lab.for_hvm()
    count = lab.param("UPDATES", 2)
    images = next_xens(lab, count)
    files = {**guest.files(), **devicemodel.files(), **stream.files()}
    paths = install(files, images)
    duty = lab.param("DUTY", 5)
    with lab.host(append="liveupdate=64M" if count else "", files=files,
                  dom0_mem=devicemodel.DOM0_MEM) as host:
        host.boot()
        host.must("xenstart")
        g = guest.Guest(host, "sleeper", "hvm").create()
        # A clock that stands still and one that does not: no witness of time is at work.
        w = lab.witnesses(g, [("memory", f"-m 8 -d {duty}"), ("fpu", f"-d {duty}")])
        was = g.must(IDENTITY)
        updates = Updates(lab, host, images, paths,
                          Together({"": lab.witnesses(host, [("heartbeat", "{tsc}")])}))

        lab.goes_on(w, w.sample(), "its witnesses work")
        g.must("(sleep 1; echo mem >/sys/power/state) >/dev/null 2>&1 &")
        lab.check(until(host, f"[ $(xenstate asleep {g.domid()}) = 3 ]", 120),
                  "it falls asleep", g.console())
        for n in range(1, count + 1):
            if not updates.once():
                raise LabError(f"update {n} did not take place")
            said = dict(stream.records(host, "HVM_DOMAIN"))[f"d{g.domid()}"]["flags"]
            lab.check("S3" in said, f"update {n}: it was carried asleep", said)
            lab.check(asleep(host, g) == "3", f"update {n}: it sleeps on")
        host.must(f"xl trigger {g.name} s3resume")
        g.there()
        lab.check(asleep(host, g) == "0", "xl wakes it, and it obeys")
        lab.goes_on(w, w.sample(), "its witnesses go on")
        now = g.must(IDENTITY)
        lab.check(now == was, "it is the same guest", f"{now}, was {was}")
        updates.finish()
        lab.verdicts(w.stop(), "in the end, of the guest")
        host.must(f"xl destroy {g.name}")
        lab.epilogue += updates.table()

# SPDX-License-Identifier: GPL-2.0-only
"""Device models: requests of PVH guests that are under way while Xen is replaced.

A PVH micro-guest for each line of TESTS (tests/guests/pvh/devices.c), and for each a
device model in dom0 (tests/lab/guest/devmodel.c) by real hypercalls, with servers of each
sort, and a page of the guest's of type HVMMEM_ioreq_server. Before an update each device
model holds a request: it says which. After the update it looks at its servers, and
answers. One is answered before, while its guest is paused, and one holds nothing: there
requests are under way all the time. Guest and devices then have to have counted the same,
each number in its turn. In the end the device models take everything back, and the
domains end.

TESTS: a selection, with commas (default all); TO: flavours that take turns as the new Xen;
UPDATES=0 holds, looks and answers without an update. Needs a flavour of the lab and QEMU 10
(docs/lab.md).
"""

from lablib import microguest
from lablib.update import Updates, install, next_xens

# In the order of devices.c.
KINDS = ("in", "out", "ins", "outs", "load", "store", "add", "movs", "cmps", "copy",
         "stos", "vector", "push", "watched")

# By name: kinds of instructions (none: all), and what becomes of a request.
TESTS = {
    "in": (["in"], "held"),
    "ins": (["ins"], "held"),
    "outs": (["outs"], "held"),
    "add": (["add"], "held"),
    "movs": (["movs", "cmps"], "held"),
    "vector": (["vector", "push"], "held"),
    "watched": (["watched"], "held"),
    "paused": ([], "answered"),
    "free": ([], "free"),
}

# With nine guests the host shall have time to sleep.
DELAY_US = 5000


class One:
    """A guest and its device model."""

    def __init__(self, lab, host, name):
        self.lab, self.host, self.name = lab, host, name
        kinds, self.what = TESTS[name]
        mask = sum(1 << KINDS.index(k) for k in kinds or KINDS)
        self.guest = microguest.MicroGuest(
            host, name, vcpus=1, memory=16, options=f"kinds={mask}",
            kind="pvh").create()
        self.out, self.pid = f"/run/lab/dm.{name}", f"/run/lab/dm.{name}.pid"
        host.must(f"devmodel {self.guest.domid()} {DELAY_US} >{self.out} 2>&1 3>&- & "
                  f"echo $! >{self.pid}")
        self.told = {}
        self.wait("ready")

    def wait(self, word):
        """For the next line that begins with it; returns that."""
        n = self.told[word] = self.told.get(word, 0) + 1
        rc, out = self.host.run(
            f"for i in $(seq 600); do [ $(grep -c '^{word}' {self.out}) -ge {n} ] && "
            f"break; usleep 50000; done; grep '^{word}' {self.out} | sed -n {n}p", 120)
        line = out.strip()
        self.lab.check(rc == 0 and line, f"{self.name}: the device model: {word}",
                       self.host.must(f"tail -n 3 {self.out}"))
        return line

    def signal(self, name):
        self.host.must(f"kill -{name} $(cat {self.pid})")

    def answer(self, when, verb):
        ok, values, said = self.guest.answer()
        self.lab.check(ok, f"{when}: {self.name}: {verb}", "; ".join(said))
        self.lab.say(f"{self.name}: {verb}: " + " ".join(
            f"{k}={v}" for k, v in values.items()))

    def hold(self):
        if self.what == "free":
            return
        self.signal("USR1")
        self.lab.say(f"{self.name}: {self.wait('held')}")
        if self.what == "answered":
            self.host.must(f"xl pause {self.name}")
            self.signal("USR2")
            self.wait("answered")

    def look(self):
        self.signal("HUP")
        self.wait("checked")

    def release(self):
        if self.what == "held":
            self.signal("USR2")
            self.wait("answered")
        elif self.what == "answered":
            self.host.must(f"xl unpause {self.name}")

    def finish(self):
        self.signal("TERM")
        self.lab.say(f"{self.name}: {self.wait('ended')}")
        bad = self.host.must(f"grep '^bad' {self.out}; true").strip()
        self.lab.check(not bad, f"{self.name}: the device model found nothing wrong",
                       bad)
        self.host.must(f"xl destroy {self.name}")


def run(lab):
    lab.for_hvm()
    count = lab.param("UPDATES", 2)
    wanted = lab.param("TESTS", ",".join(TESTS)).split(",")
    images = next_xens(lab, count)
    files = microguest.files()
    paths = install(files, images)
    with lab.host(append="liveupdate=64M guest_loglvl=none", files=files) as host:
        host.boot()
        host.must("xenstart")
        ones = [One(lab, host, name) for name in wanted]
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, images, paths, w)
        for n in range(count or 1):
            name = f"update {n + 1}"
            for one in ones:
                one.guest.post("set", "devices", seed=n + 1)
                one.answer(f"before {name}", "set")
            for one in ones:
                one.hold()
            if count and not updates.once():
                break
            for one in ones:
                one.look()
            for one in ones:
                one.release()
            for one in ones:
                one.guest.post("verify", "devices", seed=n + 1)
                one.answer(f"after {name}", "verify")
        for one in ones:
            one.finish()
        left = host.must("xl list | tail -n +3; true").strip()
        lab.check(not left, "no domain is left", left)
        updates.finish()

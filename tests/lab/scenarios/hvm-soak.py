# SPDX-License-Identifier: GPL-2.0-only
"""No update at all: PVH and HVM guests on a Xen left alone, and what the emulator does.

GUESTS (default pvh:1,hvm:1) are kinds and numbers of vCPUs, with options of xl
behind another colon (pvh:2:hap=0). They run all witnesses that need no device, as dom0
does, for ROUNDS times SECONDS; each guest is asked after each round, and one that has
failed is left out from then on. ARGS: more options of the guests' kernel. What guests
printed is in console.NAME next to the serial log. When a scenario with PVH or HVM guests
fails, this one tells whether the lab did it.
"""

from lablib import devicemodel, guest
from lablib.place import LabError
from lablib.witness import ALONE


class One:
    """A guest at work, or what became of it."""

    def __init__(self, lab, host, name, spec, wanted):
        kind, vcpus, *options = spec.split(":")
        self.lab, self.name, self.spec = lab, f"{name} ({spec})", spec
        self.guest = guest.Guest(host, name, kind, vcpus=int(vcpus),
                                 config="\n".join(options),
                                 args=lab.param("ARGS", ""))
        self.well = self.attempt("starts", lambda: self.start(wanted))

    def attempt(self, what, do):
        """One check: `do` returns nothing, or what is wrong."""
        try:
            wrong = do() or ""
        except LabError as e:
            wrong = str(e)[-1500:]
        return self.lab.check(not wrong, f"{self.name} {what}", wrong)

    def start(self, wanted):
        self.guest.create(60)
        self.w = self.lab.witnesses(self.guest, wanted)

    def asked(self, what):
        """Checks that its witnesses have worked since it was last asked."""
        def do():
            now = self.w.sample()
            wrong = [f"{t}: {f}" for t, f in now.items()
                     if f.get("ok") != "1" or "rc" in f]
            if hasattr(self, "before"):
                lagging, _ = self.w.progress(self.before)
                wrong += [f"{t} {x}" for t, x in lagging.items()]
            self.before = now
            self.lab.errors_of(self.w, [t for t, f in now.items()
                                        if f.get("ok") != "1"])
            return "; ".join(wrong)
        self.well = self.well and self.attempt(what, do)

    def end(self):
        def do():
            final = self.w.stop()
            return "; ".join(f"{t}: {f}" for t, f in final.items()
                             if f.get("ok") != "1" or f.get("rc") != "0") or \
                self.guest.trouble("BUG:|Oops|WARNING: CPU|rcu.*stall|invalid opcode|"
                                   "general protection|soft lockup")
        if self.well:
            self.attempt("found nothing wrong in the end", do)
        (self.lab.dir / f"console.{self.guest.name}").write_text(
            self.guest.console(2000))


def run(lab):
    specs = lab.param("GUESTS", "pvh:1,hvm:1").split(",")
    rounds, seconds = lab.param("ROUNDS", 2), lab.param("SECONDS", 10)
    duty = lab.param("DUTY", 10 if lab.accel == "mt" else 5)
    wanted = [(name, args.replace("{duty}", str(duty))) for name, args in ALONE]
    hvm = any(spec.startswith("hvm") for spec in specs)
    files = {**guest.files(), **(devicemodel.files() if hvm else {})}
    lab.qemu = "10"
    with lab.host(xen=lab.first_xen("4.17-off-lab"), files=files,
                  dom0_mem=devicemodel.DOM0_MEM if hvm else 1024) as host:
        host.boot()
        host.must("xenstart")
        all_of_them = [One(lab, host, f"g{n}", spec, wanted)
                       for n, spec in enumerate(specs)]
        w = lab.witnesses(host, wanted)
        before = w.sample()
        for n in range(rounds):
            host.must(f"sleep {seconds}", seconds * 60)
            for one in all_of_them:
                one.asked(f"is well after {(n + 1) * seconds} s")
            lab.goes_on(w, before, f"dom0 is well after {(n + 1) * seconds} s")
        for one in all_of_them:
            one.end()
        lab.verdicts(w.stop(), "in the end")

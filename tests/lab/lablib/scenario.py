# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario gets: its parameters, hosts, checks and figures.

Happy path: tests/lab/run makes one Lab per scenario and calls the scenario's
run(lab).  Each lab.check() prints a PASS or FAIL line at once (with lab.quiet, only
a FAIL line); figures are kept and printed as a table at the end.

What can fail: a failed check does not end the scenario, a LabError does (it
counts as one more failure).  A scenario that checks nothing has failed.
"""

import importlib.util
import time

from .host import Host
from .place import LAB, ROOT, LabError, RunDir
from .witness import Witnesses

SCENARIOS = LAB / "scenarios"

# Milliseconds that a heartbeat may be late without an update.  In mt they are of a
# machine that has other things to do.
GAP = {"icount": 150, "mt": 2000}


def load(name):
    path = SCENARIOS / f"{name}.py"
    if not path.is_file():
        raise LabError(f"no scenario {name}; there are: {', '.join(names())}")
    spec = importlib.util.spec_from_file_location(
        "scenario_" + name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names():
    return sorted(p.stem for p in SCENARIOS.glob("*.py"))


class Lab:
    """One run of one scenario.

    What it leaves is in `dir`, which is called `run_name`; close() lets others
    have it.  A scenario may set `quiet`, and `qemu` to what hosts prefer.
    """

    def __init__(self, name, accel, params, run_name=None):
        self.name, self.accel, self.params = name, accel, dict(params)
        self.run_dir = RunDir(run_name or name)
        self.dir = self.run_dir.path
        self.quiet = False
        self.qemu = None
        self.epilogue = []
        self.used = set()
        self.passed = self.failed = 0
        self.figures = []
        self.begin = time.monotonic()

    def param(self, key, default):
        """A parameter given as KEY=VALUE; has the type of the default."""
        self.used.add(key)
        if key not in self.params:
            return default
        try:
            return type(default)(self.params[key])
        except ValueError as e:
            raise LabError(f"{key}={self.params[key]}: {e}") from e

    def check(self, ok, what, detail=""):
        """One verdict, a PASS or FAIL line; returns whether it passed."""
        if ok:
            self.passed += 1
            if not self.quiet:
                print(f"PASS {self.name}: {what}", flush=True)
        else:
            self.failed += 1
            text = "; ".join(detail.strip().splitlines())
            text = f": {text}" if text else ""
            print(f"FAIL {self.name}: {what}{text}", flush=True)
        return bool(ok)

    def say(self, text):
        print(f"  {self.name}: {text}", flush=True)

    def figure(self, what, value, unit="ms"):
        """A measured value for the table at the end."""
        self.figures.append((what, value, unit))

    def xen(self, flavour):
        """The hypervisor of a flavour that `make dist` has built."""
        path = ROOT / "dist" / flavour / "boot" / "xen"
        if not path.is_file():
            raise LabError(f"{path} is missing: scripts/build-xen {flavour}")
        return path

    def first_xen(self, flavour="4.17"):
        """What hosts boot: XEN=<path>, else flavour FLAVOUR (or `flavour`)."""
        return self.param("XEN", "") or self.xen(self.param("FLAVOUR", flavour))

    def for_hvm(self, turns=False):
        """What is the default for hosts with PVH and HVM guests, healthy on nothing else.

        `turns`: the two builds of the lab take turns as the new Xen (docs/lab.md).
        """
        self.qemu = "10"
        self.params.setdefault("FLAVOUR", "4.17-lab")
        if turns:
            self.params.setdefault("TO", "4.17-shifted-lab,4.17-lab")

    def host(self, xen=None, make=Host, **kw):
        """A Host named after the scenario, of the run's accelerator.

        Boots first_xen() unless told otherwise.  What the command line says of
        CPUS, MEM, DOM0_MEM, CHANNEL and APPEND wins.
        """
        xen = xen or self.first_xen()
        kw["cpus"] = self.param("CPUS", kw.get("cpus", 2))
        kw["mem"] = self.param("MEM", kw.get("mem", 4096))
        kw["dom0_mem"] = self.param("DOM0_MEM", kw.get("dom0_mem", 1024))
        kw["channel"] = self.param("CHANNEL", kw.get("channel", "ttyS1"))
        kw["append"] = " ".join(filter(None, [kw.get("append", ""),
                                              self.param("APPEND", "")]))
        return make(self.name, xen, self.accel, directory=self.dir,
                    prefer=self.qemu, **kw)

    def witnesses(self, host, wanted, slice=10):
        """Starts [(name, args)] or [(name, args, tag)]; returns Witnesses.

        They work each `slice` ms: under icount guests that wake up more often than
        they need to are all that an emulated host has time for.
        """
        out = Witnesses(host)
        for name, args, *tag in wanted:
            out.start(name, f"{self.fit(args)} -s {slice}", *tag)
        return out

    def fit(self, args):
        """A witness' arguments, with {tsc} put in as the accelerator wants.

        Only under icount does the TSC keep its pace well enough to be compared.
        """
        return args.replace("{tsc}", "-T" if self.accel == "mt" else "")

    def verdicts(self, fields, when):
        """One check per witness from a sample or from stop()'s result."""
        for tag, f in fields.items():
            wrong = []
            if f.get("ok") != "1":
                wrong.append(f"errors={f.get('errors', '?')}")
            if f.get("rc", "0") != "0":
                wrong.append(f"exit code {f['rc']}")
            if "silent" in f:
                wrong.append("does not answer")
            self.check(not wrong, f"{tag} found nothing wrong {when}",
                       ", ".join(wrong))

    def goes_on(self, witnesses, before, what):
        """One check: all have worked since that sample, and found nothing wrong.

        Returns the sample it was told by.
        """
        lagging, now = witnesses.progress(before)
        bad = [t for t, f in now.items() if f.get("ok") != "1"]
        self.check(not lagging and not bad, what, f"{lagging} {bad}")
        self.errors_of(witnesses, bad)
        return now

    def no_gap(self, now, what):
        """One check: no heartbeat of that sample was late since its window() began."""
        gaps = {tag: float(f.get("gap_ms", "inf")) for tag, f in now.items()
                if tag.endswith("heartbeat")}
        self.check(gaps and all(gap < GAP[self.accel] for gap in gaps.values()), what,
                   ", ".join(f"{tag} {gap} ms" for tag, gap in gaps.items()))

    def errors_of(self, witnesses, tags):
        """Prints the ERROR lines of witnesses that have failed."""
        for tag in tags:
            for line in witnesses.output(tag, "^ERROR")[:8]:
                print(f"  | {line}", flush=True)

    def close(self):
        self.run_dir.release()

    def table(self):
        """Prints the figures and the epilogue, and how long it all took."""
        if self.figures and not self.quiet:
            width = max(len(w) for w, _, _ in self.figures)
            for what, value, unit in self.figures:
                print(f"  {what:{width}}  {value:>12} {unit}")
        if self.epilogue:
            print("\n".join(["", *(f"  {line}".rstrip()
                                   for line in self.epilogue), ""]))
        wall = time.monotonic() - self.begin
        print(f"  {self.name}: {self.passed} passed, {self.failed} failed, "
              f"{wall:.0f} s", flush=True)

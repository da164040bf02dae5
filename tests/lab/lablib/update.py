# SPDX-License-Identifier: GPL-2.0-only
"""A live update as an operator does it, and what every scenario checks of it.

Happy path: sequence() boots a host, starts witnesses and goes through a number of
updates; Updates.once() is one of them: it loads the next image with stock
kexec-tools, executes it, and checks that dom0 is the same dom0 (boot id, process
ids, uptime that only grew), that the Xen that runs is the one that was loaded
(build id), that every witness goes on, and what gap the heartbeat saw.  Images
take turns.

What can fail: kexec refuses (a failed check with its output and Xen's reason from
the serial log), or the host dies (HostDied, which ends the scenario).
"""

import re
import shlex
from math import nan
from statistics import median

from .place import LabError
from .witness import DIR, Together

# How long a witness may be late beyond the gap, in ms of guest time.  In mt
# guest time is wall time on a machine that has other things to do.
SLACK = {"icount": 500, "mt": 5000}

# Where dom0 has the last stream for a moment.
STREAM = "/run/lab/last-stream"

# With more updates than this a table sums them up.
MOST_COLUMNS = 6

JOINED = re.compile(r"live-update: (\d+) MiB of free memory joined the heap "
                    r"in (\d+) ms")


def build_id(path):
    """The GNU build id of an image, in hex.

    Found by its note header: the ELF that boots has no section table for it.
    """
    data = open(path, "rb").read()
    at = data.find(b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0")
    if at < 0:
        raise LabError(f"{path} has no GNU build id")
    return data[at + 16:at + 36].hex()


def install(files, images):
    """Adds images to the files of a host; returns their paths in dom0."""
    paths = []
    for i, image in enumerate(images):
        paths.append(f"/boot/xen-new{i if i else ''}")
        files[paths[-1]] = image
    return paths


def next_xens(lab, count):
    """What takes turns as the new Xen: XEN_NEW, a path, or TO, flavours with commas.

    By default the flavour that is booted; without updates none has to be built.
    """
    flavours = lab.param("TO", lab.param("FLAVOUR", "4.17")).split(",")
    given = lab.param("XEN_NEW", "")
    return [given] if given else [lab.xen(f) for f in flavours] \
        if count else []


def load(host, path, args, limit=120):
    """kexec --load-live-update; (exit code, output)."""
    return host.run(f"kexec --load-live-update --command-line="
                    f"{shlex.quote(args)} {path} 2>&1", limit)


def execute(host, limit=300):
    """kexec -x --exec-live-update; (exit code, output)."""
    return host.run("kexec -x --exec-live-update 2>&1", limit)


def reasons(host, since):
    """Xen's own words on a live update in serial.log after offset `since`."""
    text = host.log.read_bytes()[since:].decode(errors="replace")
    return re.findall(r"^.*live-update: .*$", text, re.M)


def gap_table(rows):
    """Lines for [(domain, witness, [ms as text of each update], errors)].

    Many updates are summed up, so that a line stays one.
    """
    head = [str(n + 1) for n in range(len(rows[0][2]))]
    if len(head) > MOST_COLUMNS:
        head = ["least", "median", "most"]
        summed = []
        for who, what, gaps, errors in rows:
            known = sorted((float(g) for g in gaps if g not in ("", "?"))) or [nan]
            summed.append((who, what, [f"{x:.1f}" for x in (
                known[0], median(known), known[-1])], errors))
        rows = summed
    body = [["domain", "witness", *head, "errors"],
            *([who, what, *gaps, errors] for who, what, gaps, errors in rows)]
    width = [max(map(len, column)) for column in zip(*body)]
    return ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w)
                      for i, (cell, w) in enumerate(zip(line, width))).rstrip()
            for line in body]


class Updates:
    """Live updates of one host, each checked."""

    def __init__(self, lab, host, images, paths, witnesses, tool="kexec"):
        """`tool` is kexec, or xl: ours, with xen-lu-stream (stream.files()) at hand."""
        self.lab, self.host, self.tool = lab, host, tool
        self.images, self.paths = images, paths
        self.witnesses = witnesses
        # As an operator does: the line of the running Xen again.  kexec-tools
        # append liveupdate=<size>@<address>.
        self.args = host.xen_cmdline()
        self.count = 0
        self.gaps = []
        # What Xen tells of each pause, ms; NaN: it says little.
        self.paused = []
        # For table(): what ran at first, then of each update what took over, the
        # pause it told of, and what each witness saw.
        self.rows = [(self._running(), "", {})]
        self.final = {}
        self.identity = self._identity()

    def _identity(self):
        out = self.host.must(
            "cat /proc/sys/kernel/random/boot_id; cat /run/lab/w/*.pid")
        return out.split()

    def _running(self):
        """The Xen that runs, as version and the start of its build id."""
        version, build = self.host.must(
            "xl info xen_version; xl info build_id").split()
        return f"{version} {build[:8]}"

    def _uptime(self):
        return float(self.host.must("cut -d' ' -f1 /proc/uptime"))

    def _gaps_since(self, uptime):
        """{cpu: longest gap in ms} that the heartbeat saw after that uptime."""
        out = self.host.must(
            f"awk -v t={uptime * 1000:.0f} '$1 == \"GAP\" {{ "
            "sub(\"cpu=\", \"\", $2); sub(\"at_ms=\", \"\", $3); "
            "sub(\"mono_ms=\", \"\", $4); "
            "if ($3 + 0 > t && $4 + 0 > m[$2]) m[$2] = $4 + 0 } "
            "END { for (c in m) print c, m[c] }' "
            f"{DIR}/heartbeat.out")
        return {int(cpu): float(ms) for cpu, ms in
                (line.split() for line in out.splitlines())}

    def _dmesg(self, name):
        """Xen's log goes on: each boot and each update once, in order."""
        if "loglvl=" in self.host.append:
            return
        # Not all of it: what comes back by the serial port holds up a vCPU.
        text = self.host.must("xl dmesg | grep -oE 'Xen version [0-9]|"
                              "live-update: update [0-9]+:'; true")
        seen = text.splitlines()
        want = [seen[0] if seen else "a boot"] * (self.count + 1)
        for n in range(self.count, 0, -1):
            want.insert(n + 1, f"live-update: update {n}:")
        self.lab.check(seen == want, f"{name}: xl dmesg goes on",
                       f"{seen}, want {want}")

    def _did(self, what, since, rc, out):
        """Checks that a step succeeded; a failure has the words of tool and Xen."""
        return self.lab.check(rc == 0, what,
                              "; ".join([out.strip(), *reasons(self.host, since)]))

    def _kexec(self, name, path, since):
        """Dom0's uptime just before, None if it did not take place."""
        if not self._did(f"{name}: kexec loads the image", since,
                         *load(self.host, path, self.args)):
            return None
        uptime = self._uptime()
        self.witnesses.window()
        done = self._did(f"{name}: kexec executes it", since, *execute(self.host))
        return uptime if done else None

    def _xl(self, name, path, since):
        """As _kexec(), in one step, and looks at the stream."""
        uptime = self._uptime()
        self.witnesses.window()
        if not self._did(f"{name}: xl live-update", since,
                         *self.host.run(f"xl live-update {path} 2>&1", 300)):
            return None
        self._did(f"{name}: its stream obeys all rules", since, *self.host.run(
            f"xl live-update --dump={STREAM} 2>&1 && xen-lu-stream -v {STREAM} 2>&1; "
            f"rc=$?; rm -f {STREAM}; exit $rc"))
        return uptime

    def once(self):
        """One update, checked; returns whether the update took place."""
        lab, host = self.lab, self.host
        which = self.count % len(self.images)
        self.count += 1
        name = f"update {self.count}"
        before = self.witnesses.sample()
        since = host.log.stat().st_size

        uptime = getattr(self, f"_{self.tool}")(name, self.paths[which], since)
        if uptime is None:
            return False

        text = host.log.read_bytes()[since:].decode(errors="replace")
        banners = len(re.findall(r"Xen version \d", text))
        # A Xen told to say little says nothing here either.
        if "loglvl=" not in host.append:
            lab.check(banners == 1, f"{name}: one new Xen started",
                      f"{banners} banners in the log")
        # A warning of Xen's: references that are not as they were.
        sums = re.findall(r"live-update: (.*audit: .*, were \d+)", text)
        lab.check(not sums, f"{name}: sums of references agree", "; ".join(sums))
        want = build_id(self.images[which])
        runs = host.must("xl info build_id").strip()
        lab.check(runs == want, f"{name}: the loaded Xen runs",
                  f"build id {runs}, want {want}")
        lab.check(self._identity() == self.identity,
                  f"{name}: same boot id, same processes",
                  f"{self._identity()}, were {self.identity}")
        self._dmesg(name)
        later = self._uptime()
        lab.check(later >= uptime, f"{name}: uptime grew",
                  f"{later} s, was {uptime} s")

        lagging, now = self.witnesses.progress(before)
        lab.check(not lagging, f"{name}: every witness goes on",
                  "; ".join(f"{t} {w}" for t, w in lagging.items()))
        bad = [t for t, f in now.items() if f.get("ok") != "1"]
        lab.check(not bad, f"{name}: no witness found anything wrong",
                  ", ".join(bad))
        lab.errors_of(self.witnesses, bad)

        if "heartbeat" in self.witnesses.names:
            gaps = self._gaps_since(uptime)
            self.gaps.append(max(gaps.values(), default=0.0))
            each = ", ".join(f"vCPU{c} {g:.1f}"
                             for c, g in sorted(gaps.items()))
            lab.figure(f"{name}: gap seen by the heartbeat",
                       f"{self.gaps[-1]:.3f}", f"ms ({each})")
        paused = re.search(r"live-update: paused ([\d.]+) ms",
                           "\n".join(reasons(host, since)))
        self.paused.append(float(paused.group(1)) if paused else nan)
        self.rows.append((self._running(), paused.group(1) if paused else "?",
                          {t: f"{float(f.get('gap_ms', 'nan')):.1f}"
                           for t, f in now.items()}))
        if lab.quiet:
            lab.say(f"{name}: {self.rows[-2][0]} replaced by "
                    f"{self.rows[-1][0]}, paused {self.rows[-1][1]} ms")
        else:
            for line in reasons(host, since):
                lab.say(line.strip())
        return True

    def table(self):
        """What happened: the Xens, the pauses, and what each witness saw."""
        mt = self.lab.accel == "mt"
        lines = ["The Xen that runs, after each update:", ""]
        lines += [f"{n or 'boot':>6}  {xen}"
                  for n, (xen, _, _) in enumerate(self.rows)]
        if len(self.rows) == 1:
            return lines
        tags = dict.fromkeys(t for _, _, gaps in self.rows for t in gaps)
        rows = [("all", "paused by Xen", [p for _, p, _ in self.rows[1:]], "")]
        for tag in tags:
            who, _, what = tag.rpartition(" ")
            rows.append((who or "dom0", what,
                         [gaps.get(tag, "") for _, _, gaps in self.rows[1:]],
                         self.final.get(tag, {}).get("errors", "?")))
        return lines + [
            "", "For how long domains stood still: what Xen tells, and what each "
            "witness saw of its", f"own work, in {'' if mt else 'virtual '}ms; and "
            "the errors that it found, in all:", "", *gap_table(rows)]

    def run(self, count):
        """`count` updates in a row; returns whether all took place."""
        return all(self.once() for _ in range(count))

    def joined(self, count):
        """Waits until the free memory of so many updates has joined the heap.

        Returns what Xen says of each, [(MiB, ms)].
        """
        while len(found := JOINED.findall(self.host.serial())) < count:
            self.host.wait_for(JOINED.pattern, 60)
        return found

    def finish(self):
        """Ends the witnesses and checks what they say, times included."""
        lab = self.lab
        final = self.final = self.witnesses.stop()
        lab.verdicts(final, "in the end")
        lab.errors_of(self.witnesses, [t for t, f in final.items()
                                       if f.get("ok") != "1"])
        gap = float(final.get("heartbeat", {}).get("max_ms", 0))
        allowed = gap + SLACK[lab.accel]
        if "timers" in final and gap:
            late = float(final["timers"].get("late_ms", "inf"))
            lab.check(late <= allowed, "no timer was later than the gap",
                      f"{late} ms, gap {gap} ms")
        if "clock" in final and gap:
            for key, value in final["clock"].items():
                if key.startswith("max_") and key.endswith("_ms"):
                    lab.check(float(value) <= allowed,
                              f"clock {key[4:-3]} stepped by no more than "
                              "the gap", f"{value} ms, gap {gap} ms")
        if self.gaps:
            lab.figure("largest gap", f"{max(self.gaps):.3f}")
        return final


def sequence(lab, wanted, count=3, tools=False, setup=None, after=None,
             beside=None, **host_kw):
    """Boots a host, starts witnesses, updates Xen `count` times.

    `wanted` are witnesses, as Lab.witnesses() takes them; `setup(host)` runs
    before they start and may return more of them; `beside(host)` returns those of
    guests, as Together() takes them.  With `tools` the toolstack's
    daemons run, and free memory is compared.  `after(host)` is called after each
    update.  The remaining arguments are Host's.
    Parameters of the command line: UPDATES instead of `count` (0: none, which
    tells what the lab itself does to the witnesses), TO, a list of flavours with
    commas that take turns as the new Xen (default: the one that is booted),
    XEN_NEW, a path instead, SETTLE, seconds before the first update.
    """
    count = lab.param("UPDATES", count)
    images = next_xens(lab, count)
    files = dict(host_kw.pop("files", None) or {})
    paths = install(files, images)
    if count:
        host_kw["append"] = " ".join(
            ["liveupdate=64M", host_kw.get("append", "")]).strip()
    with lab.host(files=files, **host_kw) as host:
        host.boot()
        if tools:
            host.must("xenstart")
        more = (setup(host) if setup else None) or []
        w = lab.witnesses(host, list(wanted) + more)
        if beside:
            w = Together({"": w, **beside(host)})
        lab.say("at work: " + ", ".join(w.names))
        before = w.sample()
        host.must(f"sleep {lab.param('SETTLE', 2)}", 300)
        lagging, now = w.progress(before)
        lab.check(not lagging, "every witness works before the first update",
                  "; ".join(f"{t} {x}" for t, x in lagging.items()))
        if "heartbeat" in now:
            lab.figure("largest gap before the first update",
                       now["heartbeat"].get("max_ms", "?"))
        updates = Updates(lab, host, images, paths, w)
        free = []
        for _ in range(count):
            if not updates.once():
                break
            if tools:
                # The last stream is of any size.
                free.append(int(host.must("luquery unload; xl info free_memory")))
            if after:
                after(host)
        # Each build has a frame table of its own size.
        turns = len(images)
        if len(free) > turns:
            lab.check(free[turns:] == free[:-turns],
                      "free memory is what it was",
                      f"{free} MiB after each update")
        if tools and count and "loglvl=" not in host.append:
            joined = updates.joined(len(free))
            lab.check(len(joined) == len(free),
                      "free memory joined the heap after each update",
                      f"{len(joined)} lines in the log")
            lab.say("joined the heap: " + ", ".join(
                f"{mib} MiB in {ms} ms" for mib, ms in joined))
        final = updates.finish()
        if updates.count:
            lab.epilogue += updates.table()
        return final

# SPDX-License-Identifier: GPL-2.0-only
"""The witness programs of guest/ as seen by a scenario.

Happy path:

    w = Witnesses(host)
    w.start("heartbeat")
    w.start("memory", "-m 64")
    before = w.sample()             # {"heartbeat": {"ok": "1", ...}, ...}
    ...
    lagging = w.progress(before)    # those that do nothing any more: none
    final = w.stop()                # fields of the last line, and "rc"

Witnesses run in the background of dom0, their output in /run/lab/w.  What can
fail: one that does not start, has died or does not answer; the error or the
sample names it.
"""

import re
import time

from .place import LabError

DIR = "/run/lab/w"

# Which field of the WITNESS line grows as long as the witness does its work,
# on every CPU where it has several.
PROGRESS = {"heartbeat": "beats", "memory": "passes", "fpu": "least",
            "timers": "least", "clock": "least", "churn": "least",
            "disk": "least", "net": "received"}

# All that need no device, for guests: Lab.witnesses() takes it once {duty} is put in.
ALONE = [("heartbeat", "{tsc}"), ("memory", "-m 8 -d {duty}"), ("fpu", "-d {duty}"),
         ("timers", ""), ("clock", "-d {duty}"), ("churn", "-n 16 -d {duty}")]


def parse(line):
    """The key=value fields of a WITNESS line."""
    return dict(re.findall(r"(\S+?)=(\S*)", line))


class Witnesses:
    """What has been started on one host, by tag."""

    def __init__(self, host):
        self.host = host
        self.names = {}
        host.must(f"mkdir -p {DIR}")

    def start(self, name, args="", tag=None):
        """Starts a witness program in the background."""
        tag = tag or name
        if tag in self.names:
            raise LabError(f"witness {tag} is running already")
        self.names[tag] = name
        # The shell around it waits for it, so that its exit code is known: all of it
        # as soon as the file is there.
        self.host.must(
            f"(setsid sh -c '{name} {args} & echo $! >{DIR}/{tag}.pid; "
            f"wait $!; echo $? >{DIR}/{tag}.rc.new; "
            f"mv {DIR}/{tag}.rc.new {DIR}/{tag}.rc') "
            f">{DIR}/{tag}.out 2>&1 3>&- </dev/null &\n"
            f"i=0; until [ -s {DIR}/{tag}.pid ]; do usleep 20000; "
            f"i=$((i+1)); [ $i -gt 500 ] && exit 1; done; sleep 0.2; "
            f"if [ -e {DIR}/{tag}.rc ]; then cat {DIR}/{tag}.out; exit 1; fi")

    def sample(self):
        """{tag: fields} of all witnesses; one that has ended has "rc" in it."""
        out = self.host.must("sample " + " ".join(self.names), 300)
        return {line.split()[0]: parse(line)
                for line in out.splitlines() if line.strip()}

    def window(self):
        """From now on: each witness' gap_ms starts anew."""
        # One that has ended is for progress() to tell.
        self.host.must(f"cd {DIR} && kill -USR2 $(cat "
                       + " ".join(f"{tag}.pid" for tag in self.names)
                       + ") 2>/dev/null; true")

    def progress(self, before, limit=120):
        """Waits until each witness has done work since the sample `before`.

        Returns ({tag: what is wrong}, last sample): empty when all go on.
        `limit` is in wall seconds, stretched by host.slow.
        """
        end = time.monotonic() + limit * self.host.slow
        while True:
            now, behind = self.sample(), {}
            for tag, name in self.names.items():
                key = PROGRESS[name]
                f = now.get(tag, {})
                if "rc" in f:
                    behind[tag] = f"ended with exit code {f['rc']}"
                elif "silent" in f:
                    behind[tag] = "does not answer"
                elif int(f.get(key, 0)) <= int(before[tag].get(key, 0)):
                    behind[tag] = f"stands still at {key}={f.get(key)}"
            waitable = all(t.startswith("stands") for t in behind.values())
            if not behind or not waitable or time.monotonic() > end:
                return behind, now
            time.sleep(1)

    def output(self, tag, pattern="."):
        """The lines of a witness' output that match, as a list."""
        _, out = self.host.run(f"grep -e '{pattern}' {DIR}/{tag}.out")
        return out.splitlines()

    def stop(self):
        """Ends all witnesses; returns {tag: fields}, "rc" among them."""
        out = self.host.must("\n".join(
            f"kill -TERM $(cat {DIR}/{tag}.pid) 2>/dev/null"
            for tag in self.names) + "\n" + "\n".join(
            f"i=0; until [ -e {DIR}/{tag}.rc ]; do usleep 50000; "
            f"i=$((i+1)); [ $i -gt 2400 ] && break; done; echo {tag} "
            f"$(grep ^WITNESS {DIR}/{tag}.out | tail -n 1) "
            f"rc=$(cat {DIR}/{tag}.rc 2>/dev/null || echo hangs)"
            for tag in self.names), 600)
        return {line.split()[0]: parse(line)
                for line in out.splitlines() if "rc=" in line}


class Together:
    """The witnesses of several domains as if they were one Witnesses.

    `parts` has for each what stands before its tags: "" for dom0's, "g0 ".
    """

    def __init__(self, parts):
        self.parts = parts
        self.names = {p + tag: name for p, w in parts.items()
                      for tag, name in w.names.items()}

    def sample(self):
        return {p + tag: fields for p, w in self.parts.items()
                for tag, fields in w.sample().items()}

    def window(self):
        for w in self.parts.values():
            w.window()

    def progress(self, before, limit=120):
        behind, now = {}, {}
        for p, w in self.parts.items():
            lag, seen = w.progress({tag: before[p + tag] for tag in w.names},
                                   limit)
            behind.update({p + tag: what for tag, what in lag.items()})
            now.update({p + tag: fields for tag, fields in seen.items()})
        return behind, now

    def output(self, tag, pattern="."):
        p = max((p for p in self.parts if tag.startswith(p)), key=len)
        return self.parts[p].output(tag.removeprefix(p), pattern)

    def stop(self):
        return {p + tag: fields for p, w in self.parts.items()
                for tag, fields in w.stop().items()}

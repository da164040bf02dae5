# SPDX-License-Identifier: GPL-2.0-only
"""No update at all: the lab and the witnesses themselves.

Boots Xen, runs every witness that needs no device for SECONDS of guest time and
expects them to find nothing; then runs each with its own fault injected and
expects it to be found.  When a witness fails in another scenario, this one tells
whether the lab did it.  Parameters: SECONDS (default 5), DUTY (percent of each
CPU, default 20), and those of every scenario.
"""

WITNESSES = [("heartbeat", "{tsc}"), ("memory", "-m 16"), ("fpu", ""),
             ("timers", ""), ("clock", ""), ("churn", "-n 64")]


def run(lab):
    seconds = lab.param("SECONDS", 5)
    duty = lab.param("DUTY", 20)
    with lab.host() as host:
        host.boot()
        rc, out = host.run("dmesg | grep -E 'BUG:|Oops:|WARNING: CPU'")
        lab.check(rc == 1, "dom0's kernel has nothing to complain about", out)
        wanted = [(n, f"-d {duty} {lab.fit(a)}") for n, a in WITNESSES]
        w = lab.witnesses(host, wanted)
        before = w.sample()
        host.must(f"sleep {seconds}", 300)
        lagging, _ = w.progress(before)
        lab.check(not lagging, "every witness works",
                  "; ".join(f"{t} {x}" for t, x in lagging.items()))
        final = w.stop()
        lab.verdicts(final, "on a Xen left alone")
        lab.errors_of(w, [t for t, f in final.items() if f.get("ok") != "1"])
        lab.figure("largest gap without an update",
                   final["heartbeat"].get("max_ms", "?"))
        for name, args in wanted:
            rc, out = host.run(f"{name} -b -t 3 {args}", 300)
            lab.check(rc == 1 and f"ERROR {name}" in out and "ok=0" in out,
                      f"{name} notices the fault injected into it",
                      f"rc {rc}: {out[-300:]}")

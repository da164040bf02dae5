# SPDX-License-Identifier: GPL-2.0-only
"""What dom0 pushed about P and C states, and what xenpm set, survives.

The CPUs are Intel's here, whose frequency driver takes states that are set over
an I/O port, which the emulator has.  dom0 pushes made-up states (guest/pminfo.c),
xenpm changes settings, then Xen is updated three times (UPDATES=n) and what xenpm
and the debug key c show must be what it was.  XEN_NEW=path is another new Xen: one
that does not read these records loses all of it.
"""

import re

from lablib.update import Updates, install

# -monitor: the emulator's MWAIT does not take what Xen wants of it.
CPU = "Nehalem,-monitor,-rdtscp"


def state(host):
    """What there is to be kept, as text: {what: lines}."""
    host.must("xl debug-keys c")
    dmesg = host.must("xl dmesg")
    idle = re.findall(r"==cpu\d+==|[* ]C\d+:\s+type\[C\d+\] latency\[ *\d+\]"
                      r"|method\[ *\w+\]", dmesg[dmesg.rindex("'c' pressed"):])
    out = {"C states": [line.lstrip("* ") for line in idle],
           "frequencies": host.must("xenpm get-cpufreq-para").splitlines(),
           "deepest C state": re.findall(
               r"Max .*", host.must("xenpm get-cpuidle-states 0")),
           "port of the P state": host.must(
               "dd if=/dev/port bs=1 skip=179 count=1 2>/dev/null | od -t x1"
           ).split()[1:2]}
    return out


def run(lab):
    image = lab.param("XEN_NEW", "") or lab.first_xen()
    files = {}
    paths = install(files, [image])
    with lab.host(files=files, devices=["-cpu", CPU],
                  append="liveupdate=64M lapic_timer_c2_ok") as host:
        host.boot()
        # C2 is a busy loop in the emulator: it is known, and not to be used.
        host.must("xenpm set-max-cstate 1")
        said = host.must(f"pminfo {host.cpus}")
        lab.check(said.count("ok") == 2 * host.cpus,
                  "Xen takes the P and C states", said)
        host.must("xenpm set-up-threshold 60 && xenpm set-sampling-rate 50000 && "
                  "xenpm set-scaling-maxfreq 1500000 && "
                  "xenpm set-scaling-governor userspace && "
                  "xenpm set-scaling-speed 1000000 && "
                  "xenpm set-sched-smt enable")
        first = state(host)
        for what, want in (("C states", ["C2:\ttype[C2] latency[ 90]"] * 2),
                           ("frequencies", ["current_governor     : userspace"]),
                           ("deepest C state", ["Max possible C-state: C1"]),
                           ("port of the P state", ["1e"])):
            lab.check(not set(want) - set(first[what]),
                      f"{what}: as they were set", f"{first[what]}")
        updates = Updates(lab, host, [image], paths,
                          lab.witnesses(host, [("heartbeat", "{tsc}")]))
        for n in range(1, lab.param("UPDATES", 3) + 1):
            if not updates.once():
                return
            now = state(host)
            for what, was in first.items():
                lab.check(now[what] == was, f"update {n}: {what}: as before",
                          f"{now[what]}, was {was}")
        # Shown of a governor that is in use only.
        host.must("xenpm set-scaling-governor ondemand")
        shown = host.must("xenpm get-cpufreq-para 0")
        for what in (r"sampling_rate .* cur \[50000\]", "up_threshold +: 60"):
            lab.check(re.search(what, shown), f"the governor has {what}", shown)
        updates.finish()

# SPDX-License-Identifier: GPL-2.0-only
"""What dom0's tools say of domains, as values to compare.

Happy path:

    domains(host)["g0"].state           # "-b----", as xl list has it
    vcpus(host, "g0")[1].hard           # "0", as xl vcpu-list has it
    all_vcpus(host)["g0"][1].hard
    shares(host)["g0"]                  # (weight, cap)
    states(host, {"g0": 3})["g0"]       # what domstate says: {"paused": 0, ...}
    until(host, "xl domid g0", 60)      # True once it succeeds
    key(host, "q")                      # what Xen prints at a debug key
    lab.host(files=ours())              # a host with our xl in place of Debian's

What can fail: a tool that ends with an error, or prints what is not understood:
LabError with what it said.
"""

import json
import re
import shlex
from collections import namedtuple

from .place import ROOT, LabError

Domain = namedtuple("Domain", "id memory vcpus state seconds")
Vcpu = namedtuple("Vcpu", "cpu state seconds hard soft")

STATE = re.compile(r"^(\S+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([-rbpscdwS?]{6})\s+([\d.]+)$")
VCPU = re.compile(r"^(\S+)\s+\d+\s+(\d+)\s+(\S+)\s+([-rbp]{3})\s+([\d.]+)\s+"
                  r"(\S+) / (\S+)$")


def ours(line="4.17"):
    """Our own xl and its libraries, over Debian's: files for a Host."""
    top = ROOT / "dist" / line / "usr" / "lib"
    files = {f"/usr/lib/xen-{line}/bin/{name}": top / f"xen-{line}" / "bin" / name
             for name in ("xl", "libxl-save-helper")}
    files.update({f"/lib/x86_64-linux-gnu/{name}.so.{line}":
                  top / "x86_64-linux-gnu" / f"{name}.so.{line}"
                  for name in ("libxenctrl", "libxenguest", "libxenlight",
                               "libxlutil")})
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise LabError(f"{missing[0]} is missing: scripts/build-tools {line}")
    return files


def domains(host):
    """{name: Domain} of all domains; "(null)" for one that has no name."""
    out = host.must("xl list").splitlines()[1:]
    found = {}
    for line in out:
        m = STATE.match(line.strip())
        if not m:
            raise LabError(f"xl list says: {line}")
        name, *rest = m.groups()
        found[name] = Domain(*(int(x) for x in rest[:3]), rest[3],
                             float(rest[4]))
    return found


def all_vcpus(host, name=""):
    """{name: {number: Vcpu}} of all domains, or of one."""
    out = host.must(f"xl vcpu-list {name}").splitlines()[1:]
    found = {}
    for line in out:
        m = VCPU.match(line.strip())
        if not m:
            raise LabError(f"xl vcpu-list says: {line}")
        whose, number, cpu, state, seconds, hard, soft = m.groups()
        found.setdefault(whose, {})[int(number)] = Vcpu(
            cpu, state, float(seconds), hard, soft)
    return found


def vcpus(host, name):
    """{number: Vcpu} of a domain."""
    return all_vcpus(host, name).get(name, {})


def shares(host):
    """{name: (weight, cap)} of all domains under credit2."""
    out = host.must("xl sched-credit2 | tail -n +3")
    return {name: (int(weight), int(cap)) for name, _, weight, cap in
            (line.split() for line in out.splitlines())}


def states(host, ids):
    """{name: {field: number}} for {name: domid}, from guest/domstate.c."""
    out = host.must("\n".join(f"domstate {n} || exit 1" for n in ids.values()))
    return {name: {k: int(v) for k, v in re.findall(r"(\S+)=(\d+)", line)}
            for name, line in zip(ids, out.splitlines(), strict=True)}


def config(host, name):
    """What xl list -l has of a domain."""
    try:
        return json.loads(host.must(f"xl list -l {name}"))[0]
    except (ValueError, IndexError) as e:
        raise LabError(f"xl list -l {name}: {e}") from e


def until(host, condition, limit=60):
    """Waits in dom0 until a shell command succeeds; returns whether it did.

    `limit` is in seconds of dom0.
    """
    rc, _ = host.run(
        f"end=$(($(cut -d. -f1 /proc/uptime) + {limit}))\n"
        f"until {condition}\ndo\n"
        f"[ $(cut -d. -f1 /proc/uptime) -gt $end ] && exit 99\n"
        "usleep 50000\ndone >/dev/null 2>&1", 300)
    return rc == 0


def key(host, which, only="."):
    """The lines matching `only` of what Xen prints at a debug key."""
    return host.must(
        f"n=$(xl dmesg | wc -l); xl debug-keys {which}; "
        f"xl dmesg | tail -n +$((n + 1)) | sed 's/^(XEN) //' | "
        f"grep -E {shlex.quote(only)}; true")


def free(host):
    """What is free in all of Xen's heaps together, in kB."""
    return sum(int(kb) for kb in
               re.findall(r" heap: (\d+)kB free", key(host, "m")))


def store(host, path):
    """A node of xenstore, "" if there is none."""
    return host.run(f"xenstore read {path} 2>/dev/null")[1].strip()

# SPDX-License-Identifier: GPL-2.0-only
"""An installed Debian as dom0, updated by ssh and in the README's words.

A Debian 12 server that has xen-system-amd64 boots from its disk, by GRUB, on Debian's own
Xen.  The commands of the README's chapter 'On a host of your own' install ours; after
the reboot guests with Debian's disk and network scripts are made by xl, and Xen is updated by
`xl live-update` while an ssh session stays open.  Nothing that systemd watches may
notice: same state of the system, same processes, nothing in the journal.

UPDATES: how many (2); TO: flavours that take turns as the next Xen (4.17-shifted,4.17).
"""

import json
import re

from lablib import backends, debian, guest
from lablib.debianhost import DebianHost
from lablib.echo import Echo
from lablib.place import LAB, ROOT, LabError
from lablib.update import build_id, reasons

CHAPTER = "On a host of your own"
NEW = "/boot/xen-new"
DIST = "dist/4.17"
# What Debian starts for Xen, in no service of its own.  It prefers oxenstored.
DAEMONS = ("oxenstored", "xenconsoled", "xen-qemu-system-i386")


def readme(heading, first):
    """The commands of one block of the README's chapter, found by how it begins."""
    text = (ROOT / "README.md").read_text()
    chapter = re.search(rf"^## {heading}$(.*?)^## ", text, re.M | re.S)
    for block in re.findall(r"(?:^    .*\n)+", chapter.group(1) if chapter else "", re.M):
        lines = [line[4:] for line in block.splitlines()]
        if lines[0].startswith(first):
            return lines
    raise LabError(f"the README's '{heading}' has no block that begins '{first}'")


def settled(host):
    """Waits until systemd has nothing left to start; returns its verdict."""
    return host.run("systemctl is-system-running --wait", 300)[1].strip()


def services(host):
    """{service: main process} of all that run; what runs but once is left out."""
    out = host.must("systemctl show '*.service' -p Id -p Type -p MainPID -p NRestarts")
    found = {}
    for part in out.split("\n\n"):
        f = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        if f.get("MainPID", "0") != "0" and f.get("Type") != "oneshot":
            found[f["Id"]] = (f["MainPID"], f["NRestarts"])
    return found


def daemons(host):
    return {name: host.run(f"pgrep -x {name[:15]}")[1].split() for name in DAEMONS}


def state(host, guests):
    """All that must be the same after an update."""
    return {
        "boot id of dom0": host.must("cat /proc/sys/kernel/random/boot_id").strip(),
        **{f"boot id of {g.name}":
           g.must("cat /proc/sys/kernel/random/boot_id").strip() for g in guests},
        "is-system-running": host.run("systemctl is-system-running")[1].strip(),
        "systemctl --failed": host.must("systemctl --failed --plain --no-legend").strip(),
        "processes": daemons(host), "domains": host.must("xl list | awk '{print $1, $2}'"),
    }


def install(lab, host):
    """What the README says, in its words, on a Debian that has Xen."""
    info = host.must("xl info")
    lab.check(re.search(r"^xen_version +: 4\.17", info, re.M) and
              host.run("xl live-update --status")[0] != 0,
              "by GRUB Debian's own Xen boots, which has no live update", info)
    lab.say(f"Debian's state: {settled(host)}")
    for path in ("boot/xen.gz", "usr"):
        source = ROOT / DIST / path
        if not source.exists():
            raise LabError(f"{source} is missing: make dist tools")
        host.must(f"mkdir -p {DIST}/boot")
        host.copy(source, f"{DIST}/{path}")
    before = daemons(host)
    lines = readme(CHAPTER, "cp dist/")
    lab.check(lines[-1] == "reboot", "the README ends with a reboot", lines[-1])
    script = "\n".join(lines[:-1])
    rc, out = host.run(f"set -ex\n{script}", 300)
    lab.check(rc == 0, "the README's commands install it", out)
    lab.check(daemons(host) == before, "no daemon of Debian's minds the new libraries",
              f"{daemons(host)}, were {before}")
    host.restart()


def booted(lab, host):
    runs, line = host.must("xl info build_id; xl info xen_commandline").splitlines()
    lab.check(runs == build_id(lab.first_xen()), "by GRUB our Xen boots", runs)
    lab.check("liveupdate=64M" in line.split(), "with its option", line)
    now = settled(host)
    lab.check(now == "running", "systemd has started all, and nothing failed",
              now + host.run("systemctl --failed; journalctl -b -p err --no-pager")[1])
    found = daemons(host)
    lab.check(all(found.values()), "Debian has started Xen's daemons by itself", f"{found}")
    rc, out = host.run("xl live-update --status")
    lab.check(rc == 0 and re.search(r"^updates +0$", out, re.M),
              "xl live-update is there, and has no update to tell of", out)


def start_guests(lab, host, echo):
    """Two guests with disk and network as Debian's scripts make them; (guests, witnesses)."""
    for path, source in guest.files().items():
        host.copy(source, path)
    # How a guest obeys (guest/domu.sh) needs this at the other end.
    host.copy(LAB / "guest/inguest.sh", "/usr/local/bin/inguest")
    host.must("cd /usr/local/bin && chmod 755 inguest && ln -sf /bin/busybox usleep && "
              "ln -sf /usr/lib/xen-4.17/bin/xenconsole .")
    made, at_work = [], []
    for n in range(2):
        image = f"/var/lib/g{n}.img"
        host.must(f"truncate -s 64M {image}")
        g = guest.Guest(host, f"g{n}", config=(
            f"disk = ['format=raw,vdev=xvda,access=rw,target={image}']\n"
            "vif = ['bridge=xenbr0']\n")).create()
        backends.connect(g, n, debian.OUTSIDE)
        made.append(g)
        at_work.append(lab.witnesses(g, [
            ("heartbeat", "{tsc}"), ("disk", "-f /dev/xvda -q 4 -d 5"),
            ("net", f"-a {debian.OUTSIDE} -p {echo.port} -r 32")]))
    return made, at_work


def update(lab, host, number, image, guests, at_work, session):
    """One update by xl over ssh, and what may not have changed."""
    name = f"update {number}"
    host.copy(image, NEW)
    before, ran = state(host, guests), services(host)
    seen = [w.sample() for w in at_work]
    cursor = host.must("journalctl -n 1 -q -o cat --show-cursor").split("cursor: ")[-1].strip()
    counted, since = session.ask(60 * host.slow), host.log.stat().st_size

    dry, act, tell = readme(CHAPTER, "xl live-update -n")
    rc, out = host.run(dry)
    lab.check(rc == 0 and "Nothing stands against" in out, f"{name}: {dry}", out)
    rc, out = host.run(act, 300)
    if not lab.check(rc == 0, f"{name}: {act}", "; ".join([out, *reasons(host, since)])):
        return False
    lab.say("; ".join(out.strip().splitlines()))
    rc, out = host.run(tell)
    lab.check(rc == 0 and re.search(rf"^updates +{number}$", out, re.M),
              f"{name}: {tell} tells of it", out)
    told = json.loads(host.must("xl live-update --status -j"))
    lab.check(told["running"]["build_id"] == build_id(image),
              f"{name}: the Xen that was given runs", f"{told}")

    session.ticked(60 * host.slow)
    went = session.ask(60 * host.slow)
    lab.check(went > counted and not session.verdict(),
              f"{name}: the ssh session is the same one, and has lost nothing",
              f"{session.verdict()}, from {counted} to {went}")
    lab.say(f"the session counted from {counted} to {went}")
    lab.check(host.console("systemctl is-active ssh xen") == 0,
              f"{name}: so is the shell on the serial console")
    for g, w, s in zip(guests, at_work, seen):
        lab.goes_on(w, s, f"{name}: {g.name} works on")
    now = state(host, guests)
    for what, was in before.items():
        lab.check(now[what] == was, f"{name}: {what} is what it was",
                  f"{now[what]}, was {was}")
    after = services(host)
    changed = {s: (p, after.get(s)) for s, p in ran.items() if after.get(s) != p}
    lab.check(ran and not changed, f"{name}: each service runs on", f"{changed}")
    lab.say(f"{len(ran)} services: {' '.join(ran)}")
    said = host.must(f"journalctl -q --no-pager -p err --after-cursor='{cursor}'").strip()
    lab.check(not said, f"{name}: no error in the journal", said)
    return True


def life_goes_on(lab, host, guests):
    """After all: a guest shuts down, and one starts, by Debian's scripts."""
    g = guests[-1]
    # The xl that watches over it destroys it when -w has seen it shut down.
    rc, out = host.run(f"xl shutdown -w {g.name} && while xl domid {g.name}; do sleep 1; done "
                       f"2>/dev/null && xl create /run/lab/{g.name}.cfg", 300)
    lab.check(rc == 0, "a guest is shut down and made again", out)
    g.meet()
    backends.connect(g, len(guests) - 1, debian.OUTSIDE)
    lab.check(True, "it has its network back")
    for g in guests:
        said = g.trouble(backends.TROUBLE)
        lab.check(not said, f"{g.name}: nothing in its log", said)


def run(lab):
    count = lab.param("UPDATES", 2)
    to = [lab.xen(f) for f in lab.param("TO", "4.17-shifted,4.17").split(",")]
    with Echo() as echo, lab.host(make=DebianHost) as host:
        host.boot()
        install(lab, host)
        booted(lab, host)
        guests, at_work = start_guests(lab, host, echo)
        with host.ssh.session() as session:
            for n in range(count):
                if not update(lab, host, n + 1, to[n % len(to)], guests, at_work, session):
                    break
            rc = session.close(60 * host.slow)
            lab.check(rc == 0, "the ssh session ends when it is told to", f"{rc}")
        for g, w in zip(guests, at_work):
            lab.verdicts(w.stop(), f"in {g.name}")
        lab.check(echo.accepted == len(guests), "no guest has lost its connection",
                  f"{echo.accepted} connections were made, {len(guests)} wanted")
        life_goes_on(lab, host, guests)

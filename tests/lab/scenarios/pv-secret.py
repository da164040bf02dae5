# SPDX-License-Identifier: GPL-2.0-only
"""What a guest kept secret is in no page that a domain created afterwards gets.

A guest fills memory and SSE registers with words of this run (guest/secret.c), with
bootscrub=BOOTSCRUB (0) on both command lines.  Then three times a domain takes all free memory,
and the machine's physical memory is looked through (QEMU's pmemsave) for what is in
its pages, before anything has run in it:

  refused   after an update that was refused with the stream written and sealed
  alive     after an update with the guest alive: old Xen, stream, new Xen's copies;
            once more when the stream, which Xen keeps for dom0, has been dropped
  dead      after an update right after the guest's death, while dom0 keeps every CPU
            from scrubbing; the first of these domains is a Linux, which looks itself

That finding nothing means something is checked too: the secret is seen in the guest,
by itself and from outside, and in Xen's private memory; and most pages that the dead
guest had are in the new domains.  Needs a flavour with fault injection (FLAVOUR, default
4.17-lab).  PARTS chooses among the three.
"""

import mmap
import random
import re

from lablib import guest
from lablib.place import LabError
from lablib.update import Updates, execute, install, load, reasons

PAGE = 4096
PARTS = "refused,alive,dead"
FILL = 96


class Secret:
    """Words of one run, and where they are in the machine's memory."""

    def __init__(self, lab, host):
        self.lab, self.host = lab, host
        dice = random.SystemRandom()
        words = [dice.getrandbits(64) for _ in range(10)]
        raw = b"".join(w.to_bytes(8, "little") for w in words)
        self.wanted = {"memory": raw[:16], "registers": raw[64:]}
        # Inverted, so that telling the guest does not spread them.
        self.words = " ".join(f"{w ^ (1 << 64) - 1:x}" for w in words)

    def pages(self):
        """{"memory": set of MFNs, "registers": set of MFNs} at this moment."""
        path = self.host.dir / "memory"
        self.host.monitor("stop")
        self.host.monitor("pmemsave", val=0, size=self.host.mem << 20,
                          filename=str(path))
        self.host.monitor("cont")
        found = {}
        with open(path, "rb") as f, \
                mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            for kind, text in self.wanted.items():
                found[kind], at = set(), memory.find(text)
                while at >= 0:
                    found[kind].add(at // PAGE)
                    at = memory.find(text, (at // PAGE + 1) * PAGE)
        path.unlink()
        return found


def ranges(text):
    """The MFNs of "<first> <count>" lines in hex."""
    out = set()
    for first, count in re.findall(r"^([0-9a-f]+) ([0-9a-f]+)$", text, re.M):
        out.update(range(int(first, 16), int(first, 16) + int(count, 16)))
    return out


def own(host, domid):
    # Xen would log each page of the machine that is not.
    return ranges(host.must("xl set-parameters guest_loglvl=none && "
                            f"xenstate own {domid}", 300))


def take(host):
    """A domain that takes what is free: (its domid, its MFNs)."""
    out = host.must("xenstate take", 300)
    return int(out.split()[0]), ranges(out)


def judge(lab, name, before, now, got):
    """`before` and `now` are Secret.pages(), `got` the MFNs of new domains."""
    for kind in before:
        held = before[kind] & got
        lab.say(f"{name}: {kind}: in {len(before[kind])} pages before, {len(held)} "
                f"of which a new domain got, in {len(now[kind])} now")
        lab.check(not now[kind] & got,
                  f"{name}: what was in {kind} is in no new domain's page",
                  f"in {len(now[kind] & got)} of its {len(got)} pages, as "
                  f"{min(now[kind] & got, default=0):#x}")


def part_refused(lab, host, updates, secret):
    before = secret.pages()
    host.must("xenhypfs write /params/lu-fault jump")
    since = host.log.stat().st_size
    rc, out = load(host, updates.paths[0], updates.args)
    rc = rc or execute(host)[0]
    host.must("xenhypfs write /params/lu-fault none")
    said = "\n".join(reasons(host, since))
    lab.check(rc and "nothing was changed" in said,
              "refused: an update that was sealed is refused", f"{out} {said}")
    domid, got = take(host)
    judge(lab, "refused", before, secret.pages(), got)
    host.must(f"xenstate end {domid}")


def part_alive(lab, host, updates, secret):
    before = secret.pages()
    lab.check(updates.once(), "alive: an update with the guest alive")
    domid, got = take(host)
    now = secret.pages()
    judge(lab, "alive", before, now, got)
    host.must(f"xenstate end {domid}")

    # The stream is kept for dom0; what it has must be gone when its pages are free.
    held = host.must("luquery status | sed -n 's/^dump_pages //p'")
    lab.check(int(held) > 0, "alive: the stream is still there", held)
    host.must("luquery unload")
    domid, got = take(host)
    later = secret.pages()
    judge(lab, "dropped", now, later, got)
    lab.check((now["registers"] - later["registers"]) & got,
              "dropped: pages that had the registers are in the new domain")
    host.must(f"xenstate end {domid}")


def part_dead(lab, host, updates, secret):
    which = updates.count % len(updates.paths)
    rc, out = load(host, updates.paths[which], updates.args)
    lab.check(rc == 0, "dead: the image loads", out)
    # CPUs that never idle scrub nothing.
    host.must("for i in 1 2; do (setsid taskset $i sh -c 'while :; do :; done' "
              ">/dev/null 2>&1 3>&- </dev/null & echo $! >/run/lab/busy$i); done; "
              "usleep 300000; kill -0 $(cat /run/lab/busy1) && "
              "kill -0 $(cat /run/lab/busy2) && xl destroy keeper")
    before = secret.pages()
    lab.check(len(before["memory"]) > FILL << 7,
              "dead: the dead guest's pages are not scrubbed yet",
              f"{len(before['memory'])} pages of {FILL << 8}")
    since = host.log.stat().st_size
    rc, out = execute(host)
    updates.count += 1
    lab.check(rc == 0, "dead: an update right after the guest's death",
              f"{out} {reasons(host, since)}")
    free = int(host.must("xl info free_memory"))
    heir = guest.Guest(host, "heir", memory=free - 32)
    heir.build(limit=300)
    domid, got = take(host)
    got |= own(host, host.must("xl domid heir").strip())
    judge(lab, "dead", before, secret.pages(), got)
    lab.check(len(before["memory"] & got) > FILL << 7,
              "dead: the domains got most of the dead guest's pages",
              f"{len(before['memory'] & got)} pages of {FILL << 8}")
    host.must(f"xenstate end {domid} && "
              "kill $(cat /run/lab/busy1 /run/lab/busy2) && xl unpause heir")
    heir.meet(300)
    seen = heir.must(f"secret find {secret.words}", 600)
    looked = int(re.search(r"looked=(\d+)", seen).group(1))
    lab.check("memory=0 registers=0" in seen and looked > (free - 64) << 7,
              f"dead: a Linux finds nothing in {looked} pages of its own", seen)
    host.must("xl destroy heir")


def run(lab):
    parts = {"refused": part_refused, "alive": part_alive, "dead": part_dead}
    wanted = lab.param("PARTS", PARTS).split(",")
    path = lab.first_xen("4.17-lab")
    scrub = lab.param("BOOTSCRUB", "0")
    files = guest.files()
    paths = install(files, [path])
    with lab.host(xen=path, append=f"liveupdate=64M bootscrub={scrub}", files=files,
                  mem=1536, dom0_mem=640) as host:
        host.boot()
        host.must("xenstart")
        w = lab.witnesses(host, [("heartbeat", "{tsc}")])
        updates = Updates(lab, host, [path], paths, w)
        secret = Secret(lab, host)
        keeper = guest.Guest(host, "keeper", vcpus=2,
                             memory=FILL + 128).create()
        keeper.must("(setsid secret keep "
                    f"{FILL} {secret.words} >/run/kept 2>&1 </dev/null &); i=0; "
                    "until grep -q kept /run/kept; do usleep 100000; i=$((i+1)); "
                    "[ $i -gt 600 ] && { cat /run/kept; exit 1; }; done; true", 300)

        seen = keeper.must(f"secret find {secret.words}", 600)
        found = re.search(r"memory=(\d+)", seen)
        lab.check(found and int(found.group(1)) > FILL << 7,
                  "the guest itself finds the secret in its memory", seen)
        its, now = own(host, host.must("xl domid keeper").strip()), secret.pages()
        lab.check(len(now["memory"] & its) > FILL << 7,
                  "the secret is in the guest's pages",
                  f"{len(now['memory'])} pages, {len(its)} of the guest")
        lab.check(not now["memory"] - its,
                  "what is in its memory is nowhere else",
                  f"in {len(now['memory'] - its)} more pages")
        lab.check(now["registers"] - its,
                  "what is in its registers is in Xen's private memory")
        lab.check(not (now["memory"] | now["registers"]) & own(host, 0),
                  "dom0 does not know the secret")

        for name in wanted:
            if name not in parts:
                raise LabError(f"PARTS: {name}: want some of {PARTS}")
            parts[name](lab, host, updates, secret)
        updates.finish()

# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages, fetched by apt's own client and unpacked without installing.

Happy path: Packages(CACHE) sets up an apt of its own (scripts/private_apt.py:
the system's Debian sources, nothing of the system touched), updates its package
lists once, and fetches .debs into the cache.  unpack() runs dpkg-deb -x.

What can fail, as LabError: no network (with apt's last words), a mirror that has
lost a single file (the next version of the package is tried and the replacement
is printed), lists that are too old for the archive (updated once and tried
again).
"""

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .place import ROOT, LabError

sys.path.insert(0, str(ROOT / "scripts"))
from private_apt import AptError, PrivateApt, last_words  # noqa: E402

RELEASE = "bookworm"


class Packages:
    """A private apt and the .debs fetched through it.

    `name` keeps the state of differing sets of suites apart; `extra` are suffixes
    of suites of the main archive to use besides, for instance "-backports";
    `release` is the release of Debian.
    Only packages of amd64 are looked at.
    """

    def __init__(self, cache, name="main", extra=(), release=RELEASE):
        self.archives = Path(cache) / "debs"
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        self.dir = Path(cache) / "apt" / name
        self.dir.mkdir(parents=True, exist_ok=True)
        with open(self.dir / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self.apt = PrivateApt(self.dir, release, extra=extra)
            except AptError as e:
                raise LabError(str(e)) from e
            if not list((self.dir / "lists").glob("*_Packages*")):
                self.update()

    def update(self):
        print("  apt: updating package lists", flush=True)
        try:
            self.apt.update()
        except AptError as e:
            raise LabError(str(e)) from e

    def versions(self, package):
        """All versions on offer, apt's candidate first; empty if unknown."""
        res = self.apt.run("apt-cache", "policy", package)
        table = re.findall(r"^ (?:\*\*\*|   ) (\S+) -?\d+$", res.stdout, re.M)
        m = re.search(r"Candidate: (\S+)", res.stdout)
        if m and m.group(1) in table:
            table.remove(m.group(1))
            table.insert(0, m.group(1))
        return table

    def fields(self, package, version):
        """The control fields of one version as a dict."""
        res = self.apt.run("apt-cache", "show", "--no-all-versions",
                           f"{package}={version}")
        fields, key = {}, None
        for line in res.stdout.splitlines():
            if line[:1] == " " and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                fields.setdefault(key, value.strip())
            elif not line and fields:
                break
        if not fields:
            raise LabError(f"apt knows no {package}={version}")
        return fields

    def depends(self, package, version):
        """Names in Depends and Pre-Depends, alternatives included."""
        f = self.fields(package, version)
        text = ", ".join(f.get(k, "") for k in ("Pre-Depends", "Depends"))
        return [re.split(r"[ (:]", alt.strip())[0]
                for group in text.split(",") for alt in group.split("|")
                if alt.strip()]

    def fetch(self, package, prefer=None):
        """Fetches a package; returns (path of the .deb, version).

        `prefer` is a version to take if the archive has it; otherwise apt's
        candidate, then the others in turn.
        """
        order = self.versions(package)
        if not order:
            self.update()
            order = self.versions(package)
        if not order:
            raise LabError(f"no archive offers the package {package}")
        if prefer in order:
            order.remove(prefer)
            order.insert(0, prefer)
        said = ""
        for attempt, version in enumerate(order):
            deb = self._fetch_one(package, version)
            if isinstance(deb, Path):
                if attempt:
                    print(f"  {package}: {order[0]} could not be fetched, "
                          f"took {version}", flush=True)
                return deb, version
            said = deb
        raise LabError(f"{package}: none of {', '.join(order)} could be "
                       f"fetched:\n{last_words(said)}")

    def _fetch_one(self, package, version):
        """The path of the .deb, or what apt said when it could not be had."""
        stem = f"{package}_{version.replace(':', '%3a')}_"
        for have in self.archives.glob(f"{package}_*.deb"):
            if have.name.startswith(stem):
                return have
        print(f"  fetching {package} {version}", flush=True)
        work = self.archives / "partial" / f"{package}-{version}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        res = self.apt.run("apt-get", "-q", "download",
                           f"{package}={version}", cwd=work)
        got = list(work.glob("*.deb"))
        if res.returncode or len(got) != 1:
            shutil.rmtree(work, ignore_errors=True)
            return res.stdout
        deb = self.archives / got[0].name
        got[0].replace(deb)
        work.rmdir()
        return deb


def unpack(deb, into):
    """Unpacks one .deb below the directory `into`."""
    into.mkdir(parents=True, exist_ok=True)
    res = subprocess.run(["dpkg-deb", "-x", deb, into], text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if res.returncode:
        raise LabError(f"dpkg-deb -x {deb} failed:\n{last_words(res.stdout)}")

# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages, fetched by apt's own client and unpacked without installing.

Happy path: Packages(CACHE) reads the system's deb entries, writes a sources
list of its own from those that are Debian archives, updates its own package
lists once, and fetches .debs into the cache.  unpack() runs dpkg-deb -x.

/etc/apt is read, never written, and root is not needed.  Proxies and other
settings in apt.conf stay in force.

What can fail: no network (the error carries apt's last lines), a mirror that
has lost a single file (the next version of the package is tried and the
replacement is printed), lists that are too old for the archive (updated once
and tried again).
"""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

from .place import LabError

RELEASE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FALLBACK = [("http://deb.debian.org/debian", RELEASE),
            ("http://deb.debian.org/debian", RELEASE + "-updates"),
            ("http://deb.debian.org/debian-security", RELEASE + "-security")]


def _deb822(text):
    """Yields (uri, suite) of each binary entry of a .sources file."""
    for stanza in re.split(r"\n\s*\n", text):
        fields, key = {}, None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in " \t" and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() == "no":
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite


def _oneline(text):
    """Yields (uri, suite) of each deb line of a .list file."""
    for line in text.splitlines():
        m = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", line)
        if m:
            yield m.group(1), m.group(2)


def system_entries(etc=Path("/etc/apt")):
    """The Debian archives this machine uses, as a list of (uri, suite).

    Third-party archives are left out: nothing of the lab comes from them.
    Falls back to deb.debian.org when the machine runs another release.
    """
    files = [etc / "sources.list"]
    parts = etc / "sources.list.d"
    if parts.is_dir():
        files += sorted(parts.iterdir())
    found = []
    for f in files:
        if not f.is_file():
            continue
        parse = _deb822 if f.suffix == ".sources" else _oneline
        for uri, suite in parse(f.read_text(errors="replace")):
            last = uri.rstrip("/").rsplit("/", 1)[-1]
            if last not in ("debian", "debian-security"):
                continue
            if not re.fullmatch(RELEASE + r"(-updates|-security)?", suite):
                continue
            if (uri, suite) not in found:
                found.append((uri, suite))
    if not any(suite == RELEASE for _, suite in found):
        return list(FALLBACK)
    return found


class Packages:
    """A private apt: own sources, own lists, own archive directory.

    `name` keeps the state of differing sets of suites apart; `extra` are
    suites added to the system's (for instance bookworm-backports), taken from
    the archive that serves the main suite.
    """

    def __init__(self, cache, name="main", extra=()):
        self.dir = Path(cache) / "apt" / name
        self.archives = Path(cache) / "debs"
        for d in (self.dir / "lists" / "partial", self.dir / "pkgcache",
                  self.archives / "partial"):
            d.mkdir(parents=True, exist_ok=True)
        entries = system_entries()
        base = next(uri for uri, suite in entries if suite == RELEASE)
        entries += [(base, suite) for suite in extra]
        text = "".join(f"deb [signed-by={KEYRING}] {uri} {suite} main\n"
                       for uri, suite in entries)
        self.sources = self.dir / "sources.list"
        changed = not self.sources.exists() or self.sources.read_text() != text
        if changed:
            self.sources.write_text(text)
        (self.dir / "status").touch()
        with open(self.dir / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if changed or not list((self.dir / "lists").glob("*_Packages*")):
                self.update()

    def _options(self):
        opts = {"Dir::Etc::sourcelist": self.sources,
                "Dir::Etc::sourceparts": "/dev/null",
                "Dir::State::lists": self.dir / "lists",
                "Dir::State::status": self.dir / "status",
                "Dir::Cache": self.dir / "pkgcache",
                # Container images switch these off, which makes each call slow.
                "Dir::Cache::pkgcache": "pkgcache.bin",
                "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
                "APT::Sandbox::User": "root",
                "APT::Architecture": "amd64",
                "Acquire::Languages": "none",
                "Acquire::Retries": "3"}
        return [a for k, v in opts.items() for a in ("-o", f"{k}={v}")]

    def _run(self, argv, cwd=None):
        return subprocess.run(argv[:1] + self._options() + argv[1:], cwd=cwd,
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)

    def update(self):
        print("  apt: updating package lists", flush=True)
        res = self._run(["apt-get", "-q", "update"])
        if res.returncode or not list((self.dir / "lists").glob("*_Packages*")):
            raise LabError("apt-get update failed:\n" + tail(res.stdout))

    def versions(self, package):
        """All versions on offer, apt's candidate first; empty if unknown."""
        res = self._run(["apt-cache", "policy", package])
        table = re.findall(r"^ (?:\*\*\*|   ) (\S+) -?\d+$", res.stdout, re.M)
        m = re.search(r"Candidate: (\S+)", res.stdout)
        if m and m.group(1) in table:
            table.remove(m.group(1))
            table.insert(0, m.group(1))
        return table

    def fields(self, package, version):
        """The control fields of one version as a dict."""
        res = self._run(["apt-cache", "show", "--no-all-versions",
                         f"{package}={version}"])
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
                       f"fetched:\n{tail(said)}")

    def _fetch_one(self, package, version):
        """The path of the .deb, or what apt said when it could not be had."""
        stem = f"{package}_{version.replace(':', '%3a')}_"
        for have in self.archives.glob(f"{package}_*.deb"):
            if have.name.startswith(stem):
                return have
        work = self.archives / "partial" / f"{package}-{version}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        res = self._run(["apt-get", "-q", "download", f"{package}={version}"],
                        cwd=work)
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
        raise LabError(f"dpkg-deb -x {deb} failed:\n{tail(res.stdout)}")


def tail(text, lines=15):
    """The last lines of a tool's output, for an error message."""
    return "\n".join(text.strip().splitlines()[-lines:])

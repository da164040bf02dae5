# SPDX-License-Identifier: GPL-2.0-only
"""apt's own client, with lists and cache of our own.

PrivateApt reads the package sources the system already trusts, writes a
private copy of Debian's among them below a directory of ours, as deb-src or
deb and for the Debian release that is wanted, and runs apt's programs against
that copy. /etc/apt and apt's state under /var are only read; keyrings,
Signed-By, proxies and transports stay what the administrator set. It works as
root and as a user.

    apt = PrivateApt(cache / "apt-src", "bookworm", types=("deb-src",))
    apt.update()
    for f in apt.source_uris("xen", "4.17.5+72-g01140da4e8-1"): ...
    apt.download(f.uri, path, sha256)

What can fail raises AptError, with apt's own last words in it: no Debian
source configured, no network, version not offered, file missing on the
mirror, wrong checksum. A source that cannot be read does not fail update() as
long as one can: whether the wanted version is there is asked afterwards.
"""
import collections
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

RELEASES = {"buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
            "oldoldstable", "oldstable", "stable", "testing", "unstable"}
HELPER = "/usr/lib/apt/apt-helper"
PAUSE = 3   # seconds before a failed download is tried again

SourceFile = collections.namedtuple("SourceFile", "uri name size")


class AptError(Exception):
    """Something apt was asked for did not work; str() is for the user."""


def sha256_of(path):
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def wanted_suites(uri, suite, components, release, extra=()):
    """The suites of release to ask for, given an entry of the system.

    None if the entry is no Debian archive. Mirrors have any host name, so it
    goes by the shape all of them share: a path ending in debian or
    debian-security, a suite named after a release, a component main. What
    slips through does no harm, see update(). A machine of another Debian
    release has the right mirrors too, so only the name is exchanged. Extra is
    what else to ask the main archive for, for instance ("-backports",).
    """
    match = re.fullmatch(r"(\w+)([-/].*)?", suite)
    if (not match or match.group(1) not in RELEASES or "main" not in components
            or not re.search(r"(^|/)debian(-security)?/?$", uri)):
        return []
    kind = match.group(2) or ""
    if kind == "":
        return [release + suffix for suffix in ("", *extra)]
    kind = "-security" if kind == "/updates" else kind
    return [release + kind] if kind in ("-updates", "-security") else []


def from_list(text, types, release, extra=()):
    """The private one-line entries for the text of a *.list file."""
    out = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)",
                         line)
        if not match:
            continue
        options, uri, suite, components = match.groups()
        out += [f"{kind} {options or ''}{uri} {ours} main"
                for ours in wanted_suites(uri, suite, components.split(),
                                          release, extra)
                for kind in types]
    return out


def stanza_fields(stanza):
    """A deb822 stanza as an ordered list of [name, value incl. more lines]."""
    fields = []
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in " \t" and fields:
            fields[-1][1] += "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            fields.append([name.strip(), value.strip()])
    return fields


def from_sources(text, types, release, extra=()):
    """The private deb822 stanzas for the text of a *.sources file."""
    out = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = stanza_fields(stanza)
        known = {name.lower(): value for name, value in fields}
        if (known.get("enabled", "yes").lower() in ("no", "false", "0")
                or "deb" not in known.get("types", "").split()):
            continue
        components = known.get("components", "").split()
        for uri in known.get("uris", "").split():
            suites = [ours for suite in known.get("suites", "").split()
                      for ours in wanted_suites(uri, suite, components,
                                                release, extra)]
            ours = {"types": " ".join(types), "uris": uri,
                    "suites": " ".join(dict.fromkeys(suites)),
                    "components": "main"}
            if suites:
                out.append("\n".join(f"{name}: {ours.get(name.lower(), value)}"
                                     for name, value in fields))
    return out


def system_entries(etc, *wanted):
    """Debian's entries below etc (/etc/apt) as (one-line, deb822) texts."""
    lists, stanzas = [], []
    parts = etc / "sources.list.d"
    found = sorted(parts.iterdir()) if parts.is_dir() else []
    for path in [etc / "sources.list"] + found:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".list":
            lists += from_list(text, *wanted)
        else:
            stanzas += from_sources(text, *wanted)
    return list(dict.fromkeys(lists)), list(dict.fromkeys(stanzas))


class PrivateApt:
    """apt below one directory; one user at a time, the caller locks."""

    def __init__(self, directory, release, types=("deb",), extra=(),
                 etc=pathlib.Path("/etc/apt")):
        self.dir = pathlib.Path(directory).resolve()
        if not shutil.which("apt-get") or not os.path.exists(HELPER):
            raise AptError("apt-get is not there: fetching needs a Debian")
        lists, stanzas = system_entries(etc, types, release, extra)
        if not lists and not stanzas:
            raise AptError(f"no Debian 'deb' entry found in {etc}/sources.list"
                           f" or {etc}/sources.list.d: do not know where to "
                           "fetch from")
        parts = self.dir / "sources.list.d"
        for made in (parts, self.dir / "lists" / "partial",
                     self.dir / "cache" / "archives" / "partial"):
            made.mkdir(parents=True, exist_ok=True)
        (parts / "system.list").write_text("\n".join(lists) + "\n")
        (parts / "system.sources").write_text("\n\n".join(stanzas) + "\n")
        (self.dir / "status").touch()
        # Read by apt after the system's files, so what is set there about
        # proxies and transports holds, but hooks that act on the system's
        # caches do not run. As root apt would switch to user _apt, which
        # cannot write below a home directory. Container images switch the
        # binary caches off, which makes each call slow.
        self.conf = self.dir / "apt.conf"
        self.conf.write_text(f"""\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{parts}";
Dir::State::lists "{self.dir}/lists";
Dir::State::status "{self.dir}/status";
Dir::Cache "{self.dir}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
""")

    def run(self, *argv, cwd=None):
        """Run an apt program; returns the CompletedProcess, output joined."""
        command = [argv[0], "-c", str(self.conf), *argv[1:]]
        return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace",
                              env={**os.environ, "LC_ALL": "C",
                                   "DEBIAN_FRONTEND": "noninteractive"})

    def update(self):
        """Fetch the package lists. One unreadable source is only reported."""
        done = self.run("apt-get", "update", "-q")
        if done.returncode:
            lists = [p for p in (self.dir / "lists").iterdir() if p.is_file()
                     and re.search(r"_(Sources|Packages)(\.\w+)?$", p.name)]
            if not lists:
                raise AptError("cannot fetch package lists; apt says:\n"
                               + last_words(done.stdout))
            print("apt could not read every source:\n"
                  + last_words(done.stdout), file=sys.stderr)

    def source_uris(self, package, version):
        """The files of exactly this version of a source package."""
        done = self.run("apt-get", "source", "--print-uris", "--only-source",
                        f"{package}={version}")
        found = [SourceFile(uri, name, int(size)) for uri, name, size in
                 re.findall(r"^'([^']+)' (\S+) (\d+)", done.stdout, re.M)]
        if done.returncode or not found:
            raise AptError(f"source package {package} {version} is not offered "
                           "by the Debian sources of this system; apt says:\n"
                           + last_words(done.stdout))
        return found

    def download(self, uri, path, sha256, attempts=3):
        """Fetch one file to path, only if its checksum is sha256."""
        part = path.with_name(path.name + ".part")
        for attempt in range(1, attempts + 1):
            part.unlink(missing_ok=True)
            done = self.run(HELPER, "download-file", uri, str(part))
            if done.returncode == 0 and part.exists():
                break
            if attempt < attempts:
                print(f"{path.name}: attempt {attempt} of {attempts} failed, "
                      f"trying again in {PAUSE} s", file=sys.stderr)
                time.sleep(PAUSE)
        else:
            part.unlink(missing_ok=True)
            raise AptError(f"{path.name}: cannot be fetched from {uri}; apt "
                           "says:\n" + last_words(done.stdout))
        got = sha256_of(part)
        if got != sha256:
            part.unlink()
            raise AptError(f"{path.name}: SHA-256 is {got}, wanted {sha256}; "
                           f"fetched from {uri}")
        os.replace(part, path)


def last_words(output, lines=12):
    """The tail of a program's output, indented, for an error message."""
    tail = [line for line in output.splitlines() if line.strip()][-lines:]
    return "\n".join("    " + line for line in tail) or "    (nothing)"

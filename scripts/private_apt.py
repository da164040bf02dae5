# SPDX-License-Identifier: GPL-2.0-only
"""apt's own client, with lists and cache of our own.

PrivateApt reads the package sources the system already trusts, writes a
private copy of Debian's among them (as deb-src, deb or both) below a directory
of ours, and runs apt-get and apt-helper against that copy. /etc/apt and apt's
state under /var are only read; keyrings, Signed-By, proxies and transports
stay what the administrator set. Works as root and as a user.

    apt = PrivateApt(cache / "apt", ("deb-src",))
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


def is_debian(uri, suite, components):
    """Whether a source entry is one of Debian's own archives or a mirror.

    Mirrors have any host name, so it goes by the shape all of them share: a
    path ending in debian or debian-security, a suite named after a release,
    and a component main. What slips through does no harm, see update().
    """
    release = re.split(r"[-/]", suite)[0]
    path = re.sub(r"^[a-z0-9+]+:", "", uri).rstrip("/")
    return (release in RELEASES and "main" in components
            and (re.search(r"(^|/)debian(-security)?(/|$)", path) is not None
                 or uri.startswith("mirror")))


def from_list(text, types):
    """The private one-line entries for the text of a *.list file."""
    out = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)",
                         line)
        if not match:
            continue
        options, uri, suite, components = match.groups()
        if is_debian(uri, suite, components.split()):
            out += [f"{kind} {options or ''}{uri} {suite} main"
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


def from_sources(text, types):
    """The private deb822 stanzas for the text of a *.sources file."""
    out = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = stanza_fields(stanza)
        known = {name.lower(): value for name, value in fields}
        if (known.get("enabled", "yes").lower() in ("no", "false", "0")
                or "deb" not in known.get("types", "").split()):
            continue
        uris = known.get("uris", "").split()
        components = known.get("components", "").split()
        suites = [s for s in known.get("suites", "").split()
                  if any(is_debian(u, s, components) for u in uris)]
        if not suites:
            continue
        ours = {"types": " ".join(types), "suites": " ".join(suites),
                "components": "main"}
        out.append("\n".join(f"{name}: {ours.get(name.lower(), value)}"
                             for name, value in fields))
    return out


def system_entries(etc, types):
    """Debian's entries below etc (/etc/apt) as (one-line, deb822) texts."""
    lists, stanzas = [], []
    parts = etc / "sources.list.d"
    found = sorted(parts.iterdir()) if parts.is_dir() else []
    for path in [etc / "sources.list"] + found:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".list":
            lists += from_list(text, types)
        else:
            stanzas += from_sources(text, types)
    return lists, stanzas


class PrivateApt:
    """apt below one directory; one user at a time, the caller locks."""

    def __init__(self, directory, types, etc=pathlib.Path("/etc/apt")):
        self.dir = pathlib.Path(directory).resolve()
        if not shutil.which("apt-get") or not os.path.exists(HELPER):
            raise AptError("apt-get is not there: this needs Debian 12, or "
                           "XEN_SRC=dir with a source tree you have")
        lists, stanzas = system_entries(etc, types)
        if not lists and not stanzas:
            raise AptError(f"no Debian 'deb' entry found in {etc}/sources.list"
                           f" or {etc}/sources.list.d: do not know where to "
                           "fetch from")
        for sub in ("sources.list.d", "lists/partial", "cache/archives/partial"):
            (self.dir / sub).mkdir(parents=True, exist_ok=True)
        parts = self.dir / "sources.list.d"
        (parts / "system.list").write_text("\n".join(lists) + "\n")
        (parts / "system.sources").write_text("\n\n".join(stanzas) + "\n")
        # Read by apt after the system's files, so what is set there about
        # proxies and transports holds, but hooks that act on the system's
        # caches do not run. apt would switch to user _apt as root, which
        # cannot write below a home directory.
        self.conf = self.dir / "apt.conf"
        self.conf.write_text(f"""\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{parts}";
Dir::State::lists "{self.dir}/lists";
Dir::Cache "{self.dir}/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
""")

    def run(self, *argv):
        """Run an apt program; returns the CompletedProcess, output joined."""
        command = [argv[0], "-c", str(self.conf), *argv[1:]]
        return subprocess.run(command, stdin=subprocess.DEVNULL,
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
                      "trying again in 3 s", file=sys.stderr)
                time.sleep(3)
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

# SPDX-License-Identifier: GPL-2.0-only
"""Pristine Xen source trees, from the pins in Config.mk.

get_xen("4.17") returns a tree in build/src: it looks up what Config.mk pins,
fetches the two tarballs of Debian's source package file by file through
PrivateApt into ${XDG_CACHE_HOME:-~/.cache}/xen-liveupdate/src, verifies them,
unpacks, applies Debian's patch series. A stamp beside the tree says what it
was made from: a second call does nothing. With XEN_SRC=dir in the environment
it is that tree, if it is of the wanted line of Xen.

XenSourceError says what is wrong: a file that is missing on the mirror, a
checksum that differs, a patch that does not apply. No half-made tree is left.
"""
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from private_apt import AptError, PrivateApt, sha256_of

TOP = pathlib.Path(__file__).resolve().parent.parent


class XenSourceError(Exception):
    """No tree can be delivered; str() says why."""


def say(text):
    print("get-xen: " + text, file=sys.stderr, flush=True)


def cache_dir():
    """Where downloads stay between clones."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "xen-liveupdate"


def config_values(path):
    """The NAME := value lines of a Config.mk."""
    return dict(re.findall(r"^(\w+)\s*:?=\s*(\S+)", path.read_text(), re.M))


def pinned_files(version, config):
    """(Debian's release, its version, {file: SHA-256} that the build needs)."""
    prefix = f"XEN_{version.replace('.', '_')}_"
    missing = [prefix + name for name in ("RELEASE", "VERSION", "ORIG_SHA256",
               "DEBIAN_SHA256") if prefix + name not in config]
    if missing:
        raise XenSourceError(f"Config.mk pins no Xen {version}: no "
                          + ", ".join(missing))
    debian = config[prefix + "VERSION"]
    upstream = debian.rpartition("-")[0]
    return config[prefix + "RELEASE"], debian, {
        f"xen_{upstream}.orig.tar.xz": config[prefix + "ORIG_SHA256"],
        f"xen_{debian}.debian.tar.xz": config[prefix + "DEBIAN_SHA256"],
    }


def tree_version(tree):
    """MAJOR.MINOR as xen/Makefile of a Xen source tree says it."""
    makefile = tree / "xen" / "Makefile"
    if not makefile.is_file():
        raise XenSourceError(f"{tree} is no Xen source tree: no xen/Makefile")
    text = makefile.read_text()
    numbers = [re.search(rf"^export {name}\s*:?=\s*(\d+)", text, re.M)
               for name in ("XEN_VERSION", "XEN_SUBVERSION")]
    if not all(numbers):
        raise XenSourceError(f"{makefile} sets no XEN_VERSION, XEN_SUBVERSION")
    return ".".join(match.group(1) for match in numbers)


def fetch(release, debian, wanted, directory):
    """See that every wanted file is in directory with its checksum."""
    lacking = {}
    for name, sha256 in wanted.items():
        path = directory / name
        if path.exists() and sha256_of(path) == sha256:
            continue
        if path.exists():
            say(f"{name} in the cache is damaged, fetching it again")
        lacking[name] = sha256
    if not lacking:
        return
    by_hand = (f"To go on without the mirror, put the file into {directory} "
               "(snapshot.debian.org keeps every version), or set XEN_SRC=dir "
               "to a source tree you have.")
    try:
        apt = PrivateApt(directory.parent / f"apt-src-{release}", release,
                         types=("deb-src",))
        say("fetching Debian's lists of source packages")
        apt.update()
        uris = {f.name: f for f in apt.source_uris("xen", debian)}
        for name, sha256 in lacking.items():
            if name not in uris:
                raise AptError(f"{name}: not among the files of xen {debian}: "
                               + ", ".join(sorted(uris)))
            say(f"fetching {name} ({uris[name].size / 1e6:.1f} MB)")
            apt.download(uris[name].uri, directory / name, sha256)
    except AptError as error:
        raise XenSourceError(f"{error}\n{by_hand}") from None


def unpack(archive, into):
    """Unpack a tarball as the current user, whoever its members belong to."""
    try:
        tar = tarfile.open(archive)
    except tarfile.TarError as error:
        raise XenSourceError(f"{archive}: {error}") from None
    with tar:
        members = tar.getmembers()
        for member in members:
            member.uid, member.gid = os.getuid(), os.getgid()
            member.uname = member.gname = ""
        tar.extractall(into, members=members)


def apply_series(tree):
    """Apply debian/patches/series to the tree; returns how many."""
    if not shutil.which("patch"):
        raise XenSourceError("the program 'patch' is missing: run 'make deps'")
    patches = tree / "debian" / "patches"
    names = [line.split("#")[0].split()[0]
             for line in (patches / "series").read_text().splitlines()
             if line.split("#")[0].strip()]
    for name in names:
        if not (patches / name).is_file():
            raise XenSourceError(f"patch {name} is in the series but not there")
        done = subprocess.run(
            ["patch", "-p1", "-F0", "-t", "-N", "-s", "-E",
             "--no-backup-if-mismatch", "-i", str(patches / name)],
            cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace")
        if done.returncode:
            raise XenSourceError(f"patch {name} does not apply:\n{done.stdout}")
    return len(names)


def make_tree(archives, tree):
    """Unpack the two archives (source, packaging) to tree and patch it."""
    with tempfile.TemporaryDirectory(dir=tree.parent,
                                     prefix=f".{tree.name}-") as temporary:
        orig, packaging = archives
        unpack(orig, temporary)
        tops = os.listdir(temporary)
        if len(tops) != 1:
            raise XenSourceError(f"{orig.name}: one directory expected at its "
                              f"top, found {len(tops)}")
        new = pathlib.Path(temporary) / tops[0]
        unpack(packaging, new)
        count = apply_series(new)
        if tree.exists():
            shutil.rmtree(tree)
        os.rename(new, tree)
    return count


def get_xen(version, build=TOP / "build", config=TOP / "Config.mk"):
    """Deliver the tree of a line of Xen; returns its path."""
    own = os.environ.get("XEN_SRC")
    if own:
        tree = pathlib.Path(own).resolve()
        found = tree_version(tree)
        if found != version:
            raise XenSourceError(f"XEN_SRC={own} is Xen {found}, wanted {version}")
        say(f"using {tree}")
        return tree

    release, debian, wanted = pinned_files(version, config_values(config))
    tree = build / "src" / version
    stamp = build / "src" / f"{version}.stamp"
    made_from = json.dumps({"version": debian, "files": wanted}, indent=1)
    tree.parent.mkdir(parents=True, exist_ok=True)
    directory = cache_dir() / "src"
    directory.mkdir(parents=True, exist_ok=True)
    # Two makes at once must not unpack over, or fetch beside, each other.
    with open(tree.parent / ".lock", "w") as one_tree:
        wait_for(one_tree, "build/src")
        if tree.is_dir() and stamp.exists() and stamp.read_text() == made_from:
            return tree
        with open(directory / ".lock", "w") as one_cache:
            wait_for(one_cache, str(directory))
            fetch(release, debian, wanted, directory)
        say(f"unpacking xen {debian}")
        stamp.unlink(missing_ok=True)
        count = make_tree([directory / name for name in wanted], tree)
        stamp.write_text(made_from)
        say(f"{tree.relative_to(build.parent)} is xen {debian}, "
            f"{count} Debian patches applied")
    return tree


def wait_for(handle, what):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another run to be done with {what}")
        fcntl.flock(handle, fcntl.LOCK_EX)

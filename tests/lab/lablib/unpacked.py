# SPDX-License-Identifier: GPL-2.0-only
"""Packages unpacked into the cache, and the libraries their programs need.

Happy path: Tree(apt).add(package) for each package wanted, find() for their
files, libraries() for the closure of shared libraries, which adds the packages
that have them.

What can fail: a file or a library that no package offers; the error names it.
"""

import re
import shutil
from pathlib import Path

from . import elf
from .debs import unpack
from .place import CACHE, LabError


class Tree:
    """Packages unpacked side by side, and what is taken from them.

    `prefer` is a version to take of each package that has it.
    """

    def __init__(self, apt, prefer=None):
        self.apt = apt
        self.prefer = prefer
        self.versions = {}
        self.roots = {}

    def add(self, package):
        """Fetches and unpacks a package unless that is done; returns its root."""
        if package in self.roots:
            return self.roots[package]
        deb, version = self.apt.fetch(package, self.prefer)
        root = CACHE / "unpacked" / deb.name.removesuffix(".deb")
        if not root.exists():
            part = root.with_name(root.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            unpack(deb, part)
            part.rename(root)
        self.versions[package] = version
        self.roots[package] = root
        return root

    def find(self, path):
        """The file `path` (relative to /) of whichever package has it."""
        for root in self.roots.values():
            if (root / path).is_file():
                return root / path
        raise LabError(f"none of the packages has {path}")

    def library(self, soname):
        """The file of a shared library among the packages, or None."""
        for root in self.roots.values():
            for where in ("usr/lib", "lib"):
                for sub in ("x86_64-linux-gnu/", ""):
                    path = root / where / (sub + soname)
                    if path.exists():
                        return path
        return None

    def libraries(self, programs, extra=(), leave=()):
        """{soname: file} of all the programs need, fetching packages for it.

        `extra` are sonames wanted besides, `leave` ones not to look for.  Looks
        only where Debian says: in the dependencies of the package that the
        needing file is from.
        """
        found, queue = {}, [(p, p) for p in programs]
        queue += [(None, name) for name in extra]
        while queue:
            needer, what = queue.pop(0)
            if isinstance(what, Path):
                names = elf.needed(what) or []
                queue += [(what, n) for n in names if n not in found]
                continue
            if what in found or what in leave:
                continue
            path = self.library(what)
            if path is None:
                path = self._search(needer, what)
            found[what] = path
            queue.append((path, path))
        return found

    def _search(self, needer, soname):
        owner = next((p for p, r in self.roots.items()
                      if needer and needer.is_relative_to(r)), None)
        names = self.apt.depends(owner, self.versions[owner]) if owner else []
        # The package is usually called like the library: try those first.
        stem = re.sub(r"[^a-z0-9]", "", soname.split(".so")[0].lower())
        names.sort(key=lambda n: stem not in re.sub(r"[^a-z0-9]", "", n))
        for name in names:
            if not name.startswith(("lib", "zlib")) or \
                    not self.apt.versions(name):
                continue
            self.add(name)
            path = self.library(soname)
            if path:
                return path
        raise LabError(f"no package that {owner or 'the image'} depends on "
                       f"has {soname}")

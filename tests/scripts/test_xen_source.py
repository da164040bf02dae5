# SPDX-License-Identifier: GPL-2.0-only
"""scripts/xen_source.py against an archive of our own, through the real apt.

A small Debian archive with a source package called xen (a makefile, a file, a
patch for it) is made in a temporary directory and pinned in a Config.mk there.
First the path that works, then each thing that can be wrong with an archive,
a cache or a package: the error must name it, and no tree may be left.
"""
import contextlib
import hashlib
import io
import os
import pathlib
import tarfile
import tempfile
import unittest
from unittest import mock

import scripts_under_test  # noqa: F401, sets the module path
import private_apt
import xen_source

VERSION = "4.17.9-1"
ORIG = "xen_4.17.9.orig.tar.xz"
DEBIAN = f"xen_{VERSION}.debian.tar.xz"
MAKEFILE = "export XEN_VERSION       = 4\nexport XEN_SUBVERSION    = 17\n"
PATCH = "--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-hello\n+goodbye\n"


def tarball(path, files):
    with tarfile.open(path, "w:xz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            member.uid = member.gid = 12345
            tar.addfile(member, io.BytesIO(text.encode()))


class Archive(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.pool = self.dir / "debian" / "pool"
        self.index = self.dir / "debian" / "dists/bookworm/main/source"
        for made in (self.pool, self.index, self.dir / "etc"):
            made.mkdir(parents=True)
        (self.dir / "etc" / "sources.list").write_text(
            f"deb [trusted=yes] copy:{self.dir}/debian bookworm main\n")
        self.build = self.dir / "top" / "build"
        self.cache = self.dir / "cache" / "xen-liveupdate" / "src"
        self.package(PATCH)
        real = private_apt.PrivateApt
        for patcher in (
                mock.patch.dict(os.environ,
                                {"XDG_CACHE_HOME": str(self.dir / "cache")}),
                mock.patch.object(private_apt, "PAUSE", 0),
                mock.patch.object(
                    xen_source, "PrivateApt",
                    lambda *a, **k: real(*a, etc=self.dir / "etc", **k))):
            patcher.start()
            self.addCleanup(patcher.stop)
        os.environ.pop("XEN_SRC", None)

    def package(self, patch, series="first.patch  # why\n"):
        """Make the package, offer it in the archive and pin it."""
        tarball(self.pool / ORIG, {"xen-4.17.9/xen/Makefile": MAKEFILE,
                                   "xen-4.17.9/greeting": "hello\n"})
        tarball(self.pool / DEBIAN, {"debian/patches/series": series,
                                     "debian/patches/first.patch": patch})
        (self.pool / f"xen_{VERSION}.dsc").write_text("not read by anybody\n")
        self.offer()
        self.pin()

    def sums(self):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(self.pool.iterdir())}

    def offer(self, version=VERSION):
        lines = [f" {sha256} {(self.pool / name).stat().st_size} {name}"
                 for name, sha256 in self.sums().items()]
        (self.index / "Sources").write_text(
            f"Package: xen\nBinary: xen-utils-4.17\nVersion: {version}\n"
            "Format: 3.0 (quilt)\nArchitecture: any\nDirectory: pool\n"
            "Checksums-Sha256:\n" + "\n".join(lines) + "\n\n")
        index = (self.index / "Sources").read_bytes()
        (self.dir / "debian/dists/bookworm/Release").write_text(
            "Suite: bookworm\nCodename: bookworm\nComponents: main\n"
            "Architectures: amd64\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
            f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} "
            "main/source/Sources\n")

    def pin(self):
        sums = self.sums()
        self.config = self.dir / "Config.mk"
        self.config.write_text(
            f"XEN_4_17_RELEASE := bookworm\nXEN_4_17_VERSION := {VERSION}\n"
            f"XEN_4_17_ORIG_SHA256 := {sums[ORIG]}\n"
            f"XEN_4_17_DEBIAN_SHA256 := {sums[DEBIAN]}\n")

    def get(self, version="4.17"):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            tree = xen_source.get_xen(version, self.build, self.config)
        self.said = said.getvalue()
        return tree

    def refused(self, *texts):
        with self.assertRaises(xen_source.XenSourceError) as caught:
            self.get()
        for text in texts:
            self.assertIn(text, str(caught.exception))
        self.assertFalse((self.build / "src" / "4.17").exists())
        # Nothing half made, hidden or not.
        self.assertEqual([p.name for p in (self.build / "src").iterdir()
                          if p.is_dir()], [])

    def test_fetch_verify_unpack_patch(self):
        tree = self.get()
        self.assertEqual((tree / "greeting").read_text(), "goodbye\n")
        self.assertEqual((tree / "greeting").stat().st_uid, os.getuid())
        self.assertEqual(sorted(p.name for p in self.cache.glob("xen_*")),
                         [DEBIAN, ORIG])

    def test_second_run_does_nothing(self):
        tree = self.get()
        (tree / "greeting").write_text("still mine\n")
        self.get()
        self.assertEqual((tree / "greeting").read_text(), "still mine\n")
        self.assertEqual(self.said, "")

    def test_cache_needs_no_archive(self):
        self.get()
        (self.build / "src" / "4.17.stamp").unlink()
        (self.dir / "debian").rename(self.dir / "gone")
        self.assertEqual((self.get() / "greeting").read_text(), "goodbye\n")
        self.assertNotIn("fetching", self.said)

    def test_another_pin_makes_another_tree(self):
        self.get()
        self.package(PATCH.replace("goodbye", "see you"))
        self.assertEqual((self.get() / "greeting").read_text(), "see you\n")
        self.assertIn(f"{DEBIAN} in the cache is damaged", self.said)

    def test_dsc_is_not_needed(self):
        (self.pool / f"xen_{VERSION}.dsc").unlink()
        self.get()

    def test_file_missing_on_the_mirror(self):
        (self.pool / ORIG).unlink()
        self.refused(f"{ORIG}: cannot be fetched", "/pool/" + ORIG,
                     str(self.cache), "XEN_SRC=dir")

    def test_version_not_offered(self):
        self.offer("4.17.10-1")
        self.refused(f"xen {VERSION} is not offered", "XEN_SRC=dir")

    def test_other_content_on_the_mirror(self):
        tarball(self.pool / ORIG, {"xen-4.17.9/greeting": "tampered\n"})
        self.offer()
        self.refused(f"{ORIG}: SHA-256 is ", "wanted")
        self.assertEqual(list(self.cache.glob("xen_*orig*")), [])

    def test_patch_does_not_apply(self):
        self.package(PATCH.replace("-hello", "-hallo"))
        self.refused("patch first.patch does not apply")

    def test_patch_of_the_series_is_missing(self):
        self.package(PATCH, "second.patch\n")
        self.refused("patch second.patch is in the series but not there")

    def test_no_such_pin(self):
        with self.assertRaisesRegex(xen_source.XenSourceError,
                                    "Config.mk pins no Xen 4.16"):
            self.get("4.16")

    def test_own_tree(self):
        tree = self.get()
        with mock.patch.dict(os.environ, {"XEN_SRC": str(tree)}):
            self.config.write_text("")
            self.assertEqual(self.get(), tree)
            (tree / "xen/Makefile").write_text(MAKEFILE.replace("17", "20"))
            with self.assertRaisesRegex(xen_source.XenSourceError,
                                        "is Xen 4.20, wanted 4.17"):
                self.get()
        with mock.patch.dict(os.environ, {"XEN_SRC": str(self.dir)}):
            with self.assertRaisesRegex(xen_source.XenSourceError,
                                        "is no Xen source tree"):
                self.get()


if __name__ == "__main__":
    unittest.main()

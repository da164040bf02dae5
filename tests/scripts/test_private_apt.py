# SPDX-License-Identifier: GPL-2.0-only
"""scripts/private_apt.py: which of the system's sources become ours.

Texts as they stand in /etc/apt of real machines go in, the private entries
come out; third-party archives, disabled entries and comments must not.
"""
import pathlib
import tempfile
import unittest

import scripts_under_test  # noqa: F401, sets the module path
import private_apt

SRC = ("deb-src",), "bookworm"


class OneLine(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(
            private_apt.from_list(
                "deb http://mirror.example/debian bookworm main contrib\n"
                "deb-src http://mirror.example/debian bookworm main\n", *SRC),
            ["deb-src http://mirror.example/debian bookworm main"])

    def test_options_stay(self):
        self.assertEqual(
            private_apt.from_list(
                "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm "
                "main # mine\n", *SRC),
            ["deb-src [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm "
             "main"])

    def test_others_stay_out(self):
        self.assertEqual(private_apt.from_list(
            "# deb http://m/debian bookworm main\n"
            "deb http://cloud.example/apt cloud-sdk-bookworm main\n"
            "deb http://docker.example/linux/debian bookworm stable\n"
            "deb http://m/debian bookworm contrib\n"
            "deb http://m/ubuntu jammy main\n"
            "deb http://m/debian ./\n"
            "nonsense\n", *SRC), [])

    def test_another_release_knows_the_mirrors(self):
        self.assertEqual(
            private_apt.from_list(
                "deb http://m/debian/ trixie main\n"
                "deb http://m/debian trixie-backports main\n"
                "deb http://m/debian-security trixie-security main\n"
                "deb http://m/debian-security buster/updates main\n", *SRC),
            ["deb-src http://m/debian/ bookworm main",
             "deb-src http://m/debian-security bookworm-security main",
             "deb-src http://m/debian-security bookworm-security main"])

    def test_types_and_extra(self):
        self.assertEqual(
            private_apt.from_list("deb http://m/debian stable main\n",
                                  ("deb", "deb-src"), "bookworm",
                                  ("-backports",)),
            ["deb http://m/debian bookworm main",
             "deb-src http://m/debian bookworm main",
             "deb http://m/debian bookworm-backports main",
             "deb-src http://m/debian bookworm-backports main"])


class Deb822(unittest.TestCase):
    def test_keeps_the_key(self):
        out = private_apt.from_sources(
            "Types: deb deb-src\n"
            "# a comment\n"
            "URIs: http://m/debian\n"
            "Suites: bookworm bookworm-updates bookworm-proposed-updates\n"
            "Components: main non-free-firmware\n"
            "Signed-By:\n"
            " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
            " .\n"
            " abc\n", *SRC)
        self.assertEqual(out, [
            "Types: deb-src\nURIs: http://m/debian\n"
            "Suites: bookworm bookworm-updates\nComponents: main\n"
            "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc"])

    def test_two_mirrors_one_of_them_debian(self):
        out = private_apt.from_sources(
            "Types: deb\nURIs: http://m/debian http://m/other\n"
            "Suites: bookworm\nComponents: main\n", *SRC)
        self.assertEqual(len(out), 1)
        self.assertIn("URIs: http://m/debian\n", out[0])

    def test_others_stay_out(self):
        self.assertEqual(private_apt.from_sources(
            "Types: deb\nEnabled: no\nURIs: http://m/debian\n"
            "Suites: bookworm\nComponents: main\n"
            "\n"
            "Types: deb-src\nURIs: http://m/debian\n"
            "Suites: bookworm\nComponents: main\n"
            "\n"
            "Types: deb\nURIs: https://node.example/node_20.x\n"
            "Suites: nodistro\nComponents: main\n", *SRC), [])


class Private(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.etc = self.dir / "etc"
        (self.etc / "sources.list.d").mkdir(parents=True)

    def test_no_source(self):
        (self.etc / "sources.list.d" / "x.list.disabled").write_text(
            "deb http://m/debian bookworm main\n")
        with self.assertRaisesRegex(private_apt.AptError, "no Debian 'deb'"):
            private_apt.PrivateApt(self.dir / "apt", "bookworm", etc=self.etc)

    def test_unreachable(self):
        (self.etc / "sources.list").write_text(
            f"deb [trusted=yes] copy:{self.dir}/nowhere/debian bookworm main\n")
        apt = private_apt.PrivateApt(self.dir / "apt", "bookworm",
                                     etc=self.etc)
        with self.assertRaisesRegex(private_apt.AptError,
                                    r"(?s)cannot fetch package lists.*nowhere"):
            apt.update()


if __name__ == "__main__":
    unittest.main()

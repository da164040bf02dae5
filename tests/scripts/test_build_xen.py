# SPDX-License-Identifier: GPL-2.0-only
"""scripts/build-xen: the table of flavours and what is asked of Kconfig.

The building itself is a suite of scripts/check of its own.
"""
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from scripts_under_test import load

build_xen = load("build-xen")


class Tables(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    def write(self, name, text):
        (self.dir / name).write_text(text)
        return self.dir / name

    def test_flavours(self):
        table = build_xen.read_flavours(self.write(
            "flavours", "# comment\n4.17 4.17 - base\n"
            "4.17-x 4.17 shifted base debug # why\n"))
        self.assertEqual(table["4.17"].variants, [])
        self.assertEqual(table["4.17-x"].variants, ["shifted"])
        self.assertEqual(table["4.17-x"].fragments, ["base", "debug"])

    def test_flavours_of_the_repository(self):
        for flavour in build_xen.read_flavours().values():
            self.assertTrue(flavour.name.startswith(flavour.source))
            self.assertTrue(build_xen.read_fragments(flavour.fragments))

    def test_bad_flavours(self):
        for text in ("4.17 4.17 -\n", "a b - c\na b - c\n"):
            with self.assertRaisesRegex(build_xen.BuildError, "flavours:[12]:"):
                build_xen.read_flavours(self.write("flavours", text))

    def test_later_fragment_wins(self):
        self.write("a.config", "# why\nCONFIG_A=y\nCONFIG_B=4\n")
        self.write("b.config", "CONFIG_A=n\n")
        self.assertEqual(build_xen.read_fragments(["a", "b"], self.dir),
                         {"CONFIG_B": "4", "CONFIG_A": "n"})

    def test_bad_fragment(self):
        self.write("a.config", "CONFIG_A=y\nCONFIG B\n")
        with self.assertRaisesRegex(build_xen.BuildError, r"a.config:2:"):
            build_xen.read_fragments(["a"], self.dir)

    def test_refused_options(self):
        config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=64\n"
        self.assertEqual(build_xen.refused_options(
            {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": "64",
             "CONFIG_GONE": "n"}, config), [])
        refused = build_xen.refused_options(
            {"CONFIG_A": "n", "CONFIG_B": "y", "CONFIG_C": "8",
             "CONFIG_D": "y"}, config)
        self.assertEqual([text.split("=")[0] for text in refused],
                         ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_D"])


class EndOfLog(unittest.TestCase):
    def test_errors_further_up(self):
        log = "\n".join(["a.c:1:2: error: nonsense"]
                        + [f"  CC  {n}.o" for n in range(99)])
        shown = build_xen.end_of_log(log).splitlines()
        self.assertIn("a.c:1:2: error: nonsense", shown[0])
        self.assertEqual(len(shown), 42)

    def test_errors_at_the_end_come_once(self):
        self.assertEqual(build_xen.end_of_log("a\nb: error: c\n"),
                         "    a\n    b: error: c")


class Environment(unittest.TestCase):
    def test_nothing_of_the_machine(self):
        flavour = build_xen.read_flavours()["4.17-debug"]
        with mock.patch.dict(os.environ, {"MAKEFLAGS": "-n", "CFLAGS": "-O0",
                                          "XEN_CONFIG_EXPERT": "y",
                                          "SOURCE_DATE_EPOCH": "86400"}):
            _, environment = build_xen.build_environment(
                flavour, pathlib.Path("/tree"), "1-1")
        for name in ("MAKEFLAGS", "CFLAGS", "XEN_CONFIG_EXPERT"):
            self.assertNotIn(name, environment)
        self.assertEqual(environment["XEN_BUILD_DATE"],
                         "Fri Jan 02 00:00:00 UTC 1970")
        self.assertEqual(environment["XEN_VENDORVERSION"], "-lu-debug")


class CommandLine(unittest.TestCase):
    def test_unknown_flavour(self):
        with mock.patch("builtins.print") as printed:
            self.assertEqual(build_xen.main(["build-xen", "4.17-nope"]), 1)
        self.assertIn("no flavour 4.17-nope", printed.call_args[0][0])


if __name__ == "__main__":
    unittest.main()

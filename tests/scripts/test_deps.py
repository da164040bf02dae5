# SPDX-License-Identifier: GPL-2.0-only
"""scripts/deps: the list of packages reads as it is meant."""
import re
import unittest

from scripts_under_test import load

deps = load("deps")


class Packages(unittest.TestCase):
    def test_comments(self):
        self.assertEqual(deps.read_packages("# list\n\nflex   # Kconfig\nbison"),
                         ["flex", "bison"])

    def test_two_on_a_line(self):
        with self.assertRaisesRegex(SystemExit, ":2: .*flex bison"):
            deps.read_packages("patch\nflex bison\n")

    def test_the_list(self):
        text = deps.LIST.read_text()
        names = deps.read_packages(text)
        self.assertEqual(sorted(set(names)), sorted(names), "a name twice")
        for name in names:
            self.assertRegex(name, r"^[a-z0-9][a-z0-9.+-]+$")
            self.assertTrue(re.search(rf"^{re.escape(name)}\s+# \S", text,
                                      re.M), f"{name}: no comment what for")

    def test_installed_knows_dpkg(self):
        self.assertIn("dpkg", deps.installed())


if __name__ == "__main__":
    unittest.main()

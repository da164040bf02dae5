# SPDX-License-Identifier: GPL-2.0-only
"""tests/bench/run: how figures become rows, slopes and a comparison."""
import contextlib
import io
import unittest

from scripts_under_test import load

bench = load("../tests/bench/run")


class Slope(unittest.TestCase):
    def test_line(self):
        self.assertAlmostEqual(bench.slope([(0.5, 30), (1, 55), (2, 105)]), 50)

    def test_one_point_has_none(self):
        self.assertIsNone(bench.slope([(1, 55)]))
        self.assertIsNone(bench.slope([(1, 55), (1, 56)]))
        self.assertIsNone(bench.slope([]))


ROWS = {(512, 4096): {"pause": 100.0, "gap": 120.0},
        (1024, 4096): {"pause": 150.0, "gap": 180.0},
        (2048, 4096): {"pause": 250.0, "gap": 300.0},
        (1024, 16384): {"pause": 270.0, "gap": 300.0}}


class Table(unittest.TestCase):
    def said(self, rows, kexec):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            bench.report(rows, kexec)
        return said.getvalue().splitlines()

    def test_growth_compares_what_differs_in_one_memory_only(self):
        for grows, fixed, pause, gap in ((0, 1, 100, 120), (1, 0, 10, 10)):
            got = bench.growth(ROWS, grows, fixed)
            self.assertAlmostEqual(got["pause"], pause)
            self.assertAlmostEqual(got["gap"], gap)

    def test_one_row_has_no_growth(self):
        self.assertIsNone(bench.growth({(512, 4096): {"pause": 1.0}}, 0, 1))

    def test_report(self):
        lines = self.said(ROWS, 18000.0)
        self.assertEqual([s.split() for s in lines[:7]], [
            ["dom0", "MiB", "host", "MiB", "pause", "gap"],
            ["512", "4096", "100.0", "120.0"],
            ["1024", "4096", "150.0", "180.0"],
            ["2048", "4096", "250.0", "300.0"],
            ["1024", "16384", "270.0", "300.0"],
            ["per", "GiB", "of", "dom0", "100.0", "120.0"],
            ["per", "GiB", "of", "host", "10.0", "10.0"]])
        self.assertEqual({len(s) for s in lines[:7]}, {13 + 13 + 2 * 9})
        self.assertIn("18000 ms", "\n".join(lines))
        self.assertIn("100 times the gap", "\n".join(lines))

    def test_nothing_measured(self):
        self.assertEqual(self.said({}, None), [])

    def test_only_the_reboot(self):
        lines = self.said({}, 18000.0)
        self.assertTrue(lines[0].startswith("Reboot by kexec"), lines)
        self.assertNotIn("times the gap", "".join(lines))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-only
"""tests/bench: names of rows, how figures become tables, what runs side by side."""
import os
import sys
import unittest
from unittest import mock

from scripts_under_test import TOP

sys.path[:0] = [str(TOP / "tests" / "bench"), str(TOP / "tests" / "lab")]
from benchlib import measure, pool, rows, table  # noqa: E402


class Names(unittest.TestCase):
    def test_default_is_valid_and_each_row_once(self):
        parsed = [rows.parse(name) for name in rows.DEFAULT]
        self.assertEqual(len(set(parsed)), len(rows.DEFAULT))

    def test_sizes(self):
        row = rows.parse("guests=16")
        self.assertEqual((row.guests, row.host), (16, 4096))
        self.assertLess(row.guests * row.memory + row.dom0, row.host)
        self.assertFalse(row.saved)
        self.assertEqual(rows.parse("512/16384").host, 16384)

    def test_a_guest_and_its_save_fit_the_host(self):
        for memory in (256, 1024, 2048, 4096, 8192):
            row = rows.parse(f"guest={memory}")
            file = memory * 9 / 8 + 128 if row.saved else 0
            self.assertLess(memory + row.dom0 + file + 256, row.host, row)
            self.assertLessEqual(row.host, memory + 6144)

    def test_nonsense(self):
        for name in ("guests=0", "guest=", "1024", "kexec=1", "1/2/3"):
            self.assertRaises(ValueError, rows.parse, name)


class Slope(unittest.TestCase):
    def test_line(self):
        self.assertAlmostEqual(table.slope([(0.5, 30), (1, 55), (2, 105)]), 50)

    def test_one_point_has_none(self):
        self.assertIsNone(table.slope([(1, 55)]))
        self.assertIsNone(table.slope([(1, 55), (1, 56)]))
        self.assertIsNone(table.slope([]))


DOM0 = {rows.parse(name): figures for name, figures in {
    "512/4096": {"pause": 100.0, "dom0": 120.0},
    "1024/4096": {"pause": 150.0, "dom0": 180.0},
    "2048/4096": {"pause": 250.0, "dom0": 300.0},
    "1024/16384": {"pause": 270.0, "dom0": 300.0}}.items()}
GUESTS = {rows.parse(name): figures for name, figures in {
    "guests=16": {"pause": 100.0, "dom0": 150.0, "guest": 171.0},
    "guests=1": {"pause": 70.0, "dom0": 120.0, "guest": 81.0}}.items()}
GUEST = {rows.parse(name): figures for name, figures in {
    "guest=256": {"pause": 70.0, "dom0": 80.0, "guest": 90.0, "saved": 1700.0},
    "guest=4096": {"pause": 115.0, "dom0": 125.0, "guest": 135.0},
    "guest=8192": {"pause": 1000.0, "dom0": 1000.0, "guest": 1000.0}}.items()}


class Table(unittest.TestCase):
    def test_growth_compares_what_differs_in_one_size_only(self):
        for grows, fixed, pause, gap in (("dom0", "host", 100, 120),
                                         ("host", "dom0", 10, 10)):
            got = table.growth(DOM0, grows, fixed, 1024)
            self.assertAlmostEqual(got["pause"], pause)
            self.assertAlmostEqual(got["dom0"], gap)

    def test_one_row_has_no_growth(self):
        self.assertIsNone(table.growth({rows.parse("512/4096"): {"pause": 1.0}},
                                       "dom0", "host"))

    def test_report(self):
        lines = table.report({**DOM0, **GUESTS, **GUEST}, 18000.0)
        self.assertEqual([s.split() for s in lines[2:9]], [
            ["dom0", "MiB", "host", "MiB", "pause", "dom0", "sees"],
            ["512", "4096", "100.0", "120.0"],
            ["1024", "4096", "150.0", "180.0"],
            ["2048", "4096", "250.0", "300.0"],
            ["1024", "16384", "270.0", "300.0"],
            ["per", "GiB", "of", "dom0", "100.0", "120.0"],
            ["per", "GiB", "of", "host", "10.0", "10.0"]])
        self.assertEqual(len({len(s) for s in lines[2:9]}), 1)
        text = [s.split() for s in lines]
        self.assertIn(["1", "4096", "70.0", "120.0", "81.0"], text)
        self.assertIn(["per", "guest", "2.0", "2.0", "6.0"], text)
        self.assertIn(["256", "6144", "70.0", "80.0", "90.0", "1700.0"], text)
        self.assertIn(["4096", "6144", "115.0", "125.0", "135.0", "-"], text)
        self.assertIn(["per", "GiB", "of", "guest", "12.0", "12.0", "12.0", "-"], text)
        self.assertIn("18000 from kexec -e", "\n".join(lines))
        self.assertIn("100 times what dom0 sees", "\n".join(lines))

    def test_nothing_measured(self):
        self.assertEqual(table.report({}, None), [])

    def test_only_the_reboot(self):
        lines = table.report({}, 18000.0)
        self.assertTrue(lines[0].startswith("A reboot by kexec"), lines)
        self.assertNotIn("times what", "".join(lines))


class Phases(unittest.TestCase):
    def test_means(self):
        got = measure.phases(
            "(XEN) live-update: paused 60.0 ms: freeze 0.0, save 20.0, boot 40.0\n"
            "(XEN) live-update: paused 70.0 ms: freeze 0.0, save 26.0, boot 44.0\n")
        self.assertEqual(got, {"pause": 65.0, "freeze": 0.0, "save": 23.0,
                               "boot": 42.0})


class Counting(pool.Pool):
    most = 0

    def _start(self, row):
        super()._start(row)
        self.most = max(self.most, len(self.running))


class SideBySide(unittest.TestCase):
    """Pool, with memory as this test says it is."""

    def run_rows(self, names, free, jobs=2, work=lambda row: (row.name, "")):
        # What is running has taken nothing yet, so that all of it is counted.
        with mock.patch.object(pool, "available", lambda: free + pool.SPARE), \
                mock.patch.object(pool, "resident", lambda pid: 0):
            self.pool = Counting(work, jobs)
            return list(self.pool.run([rows.parse(n) for n in names]))

    def overlap(self, free, jobs=2):
        """How many of three hosts of 4 GiB run at a time."""
        names = ["512/4096", "1024/4096", "2048/4096"]
        got = self.run_rows(names, free, jobs)
        self.assertEqual(sorted(found for _, found, _ in got), sorted(names))
        return self.pool.most

    def test_as_many_as_fit(self):
        self.assertEqual(self.overlap(2 * 5120), 2)
        self.assertEqual(self.overlap(2 * 5120 - 1), 1)
        self.assertEqual(self.overlap(100000), 2)
        self.assertEqual(self.overlap(100000, jobs=3), 3)

    def test_too_large_is_told_and_the_rest_runs(self):
        got = {row.name: (found, why) for row, found, why in
               self.run_rows(["guest=8192", "1024/4096"], 8000)}
        self.assertEqual(got["1024/4096"], ("1024/4096", ""))
        found, why = got["guest=8192"]
        self.assertIsNone(found)
        self.assertIsInstance(why, pool.TooLarge)
        self.assertIn("wants 11264 MiB", why)

    def test_a_process_that_dies_is_a_failure(self):
        def work(row):
            os._exit(3)

        (_, found, why), = self.run_rows(["1024/4096"], 8000, work=work)
        self.assertEqual((found, why), (None, "its process has died"))

    def test_memory_of_this_process(self):
        self.assertGreater(pool.resident(os.getpid()), 5)
        self.assertGreater(pool.available(), 0)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-only
"""tests/bench: names of rows, how figures become tables, what runs side by side."""
import os
import signal
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

    def test_pvh_and_hvm_guests(self):
        for memory in (256, 1024, 4096):
            pv, pvh, hvm = (rows.parse(f"{kind}={memory}")
                            for kind in ("guest", "pvh", "hvm"))
            self.assertEqual({row.host for row in (pv, pvh, hvm)}, {6144})
            self.assertEqual([row.type for row in (pv, pvh, hvm)], ["pv", "pvh", "hvm"])
            self.assertEqual([row.flavour for row in (pv, pvh, hvm)],
                             ["4.17", "4.17-lab", "4.17-lab"])
            self.assertFalse(pvh.saved or hvm.saved)
            self.assertLess(memory + hvm.dom0, hvm.host)
        # QEMU runs there.
        self.assertGreater(hvm.dom0, pvh.dom0)

    def test_a_host_of_its_own_size(self):
        row = rows.parse("pvh=2048/4096")
        self.assertEqual((row.memory, row.host, row.sparse), (2048, 4096, False))
        self.assertEqual(row.needs, 4096 + rows.QEMU)

    def test_large_hosts_need_less_than_they_have(self):
        for name in ("1024/16384", "1024/65536", "pvh=8192/16384", "pvh=32768/65536"):
            row = rows.parse(name)
            self.assertTrue(row.sparse, name)
            self.assertLess(row.needs, row.host, name)
            # Xen's frame table, 8 MiB per GiB, and the next Xen's.
            self.assertGreater(row.needs, row.dom0 + row.host // 64, name)
        self.assertLess(rows.parse("1024/65536").needs,
                        rows.parse("pvh=32768/65536").needs)

    def test_nonsense(self):
        for name in ("guests=0", "guest=", "1024", "kexec=1", "1/2/3", "pvh=0",
                     "pvh=1/", "guests=4/4096", "hvm"):
            self.assertRaises(ValueError, rows.parse, name)


class Slopes(unittest.TestCase):
    def test_line(self):
        got, = table.slopes([((0.5,), 30), ((1,), 55), ((2,), 105)])
        self.assertAlmostEqual(got, 50)

    def test_one_point_has_none(self):
        self.assertEqual(table.slopes([((1,), 55)]), [None])
        self.assertEqual(table.slopes([((1,), 55), ((1,), 56)]), [None])
        self.assertEqual(table.slopes([]), [])

    def test_least_squares(self):
        # One is off by what the others share between them: the line stays.
        got, = table.slopes([((1,), 10), ((2,), 20 + 6), ((3,), 30)])
        self.assertAlmostEqual(got, 10)

    def test_plane(self):
        points = [((x, y), 7 + 3 * x + 0.25 * y)
                  for x, y in ((1, 4), (2, 4), (8, 16), (32, 64))]
        for got, want in zip(table.slopes(points), (3, 0.25)):
            self.assertAlmostEqual(got, want)

    def test_what_is_the_same_everywhere_does_not_grow(self):
        self.assertEqual(table.slopes([((1, 4), 10), ((2, 4), 12)]), [2, None])

    def test_what_cannot_be_told_apart(self):
        half = [((x, 2 * x), 5 * x) for x in (2, 8, 32)]
        self.assertEqual(table.slopes(half), [None, None])
        self.assertEqual(table.slopes([((1, 4), 10), ((2, 8), 12)]), [None, None])


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
PVH = {rows.parse(name): {"pause": 40.0 + 8 * guest + 2 * host}
       for name, guest, host in (("pvh=1024", 1, 6), ("pvh=4096", 4, 6),
                                 ("pvh=32768/65536", 32, 64))}


class Table(unittest.TestCase):
    def test_growth_compares_what_differs_in_one_size_only(self):
        got = table.growth(DOM0, ("dom0", "host"))
        for grows, pause, gap in (("dom0", 100, 120), ("host", 10, 10)):
            self.assertAlmostEqual(got[grows]["pause"], pause)
            self.assertAlmostEqual(got[grows]["dom0"], gap)

    def test_one_row_has_no_growth(self):
        self.assertEqual(table.growth({rows.parse("512/4096"): {"pause": 1.0}},
                                      ("dom0", "host")), {})

    def test_report(self):
        lines = table.report({**PVH, **DOM0, **GUESTS, **GUEST}, 18000.0)
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
        self.assertIn(["32768", "65536", "424.0"], text)
        self.assertEqual(text[-4:-2], [["per", "GiB", "of", "guest", "8.0"],
                                       ["per", "GiB", "of", "host", "2.0"]])
        # Of the PV guests' hosts only one is larger.
        self.assertEqual(sum("of host" in s for s in lines), 2)
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

    def test_a_sparse_row_that_takes_too_much_is_ended(self):
        with mock.patch.object(pool, "available", lambda: 100000), \
                mock.patch.object(pool, "resident", lambda pid: 50000):
            (_, found, why), = pool.Pool(lambda row: signal.pause(), 1).run(
                [rows.parse("1024/65536")])
            self.assertIsNone(found)
            self.assertIn("took 50000 MiB", why)
            # Another's memory is all there.
            normal = pool.Pool(None, 1)
            normal.running = {0: (rows.parse("1024/4096"), mock.Mock())}
            normal._bound()
            normal.running[0][1].kill.assert_not_called()

    def test_memory_of_this_process(self):
        self.assertGreater(pool.resident(os.getpid()), 5)
        self.assertGreater(pool.available(), 0)


if __name__ == "__main__":
    unittest.main()

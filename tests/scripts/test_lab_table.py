# SPDX-License-Identifier: GPL-2.0-only
"""tests/lab: the table of updates, and what a quiet run does not hide."""
import contextlib
import io
import pathlib
import sys
import tempfile
import types
import unittest
from unittest import mock

from scripts_under_test import TOP

sys.path.insert(0, str(TOP / "tests" / "lab"))
from lablib import place  # noqa: E402
from lablib.scenario import Lab  # noqa: E402
from lablib.update import Updates  # noqa: E402


class Table(unittest.TestCase):
    def table(self, rows, accel="icount", final=()):
        updates = Updates.__new__(Updates)
        updates.lab = types.SimpleNamespace(accel=accel)
        updates.rows, updates.final = rows, dict(final)
        return updates.table()

    def test_columns_line_up(self):
        lines = self.table([
            ("4.17.5-lu 0123abcd", "", {}),
            ("4.17.5-lu-shifted 89ab4567", "210.1",
             {"heartbeat": "272.3", "g1 net-g0": "9.0"}),
            ("4.17.5-lu 0123abcd", "1210.0", {"heartbeat": "5.0"})],
            final={"heartbeat": {"errors": "0"}, "g1 net-g0": {"errors": "12"}})
        self.assertEqual(lines[2:5], ["  boot  4.17.5-lu 0123abcd",
                                      "     1  4.17.5-lu-shifted 89ab4567",
                                      "     2  4.17.5-lu 0123abcd"])
        self.assertIn("in virtual ms;", " ".join(lines))
        self.assertEqual(lines[-4:], [
            "domain  witness            1       2  errors",
            "all     paused by Xen  210.1  1210.0",
            "dom0    heartbeat      272.3     5.0       0",
            "g1      net-g0           9.0              12"])

    def test_many_updates_are_summed_up(self):
        rows = [("4.17.5-lu 0123abcd", "", {})] + [
            ("4.17.5-lu 0123abcd", f"{n}.0", {"heartbeat": f"{n}.5"})
            for n in (7, 1, 2, 3, 40, 5, 6)]
        self.assertEqual([line.split() for line in self.table(rows, "mt")[-3:]], [
            ["domain", "witness", "least", "median", "most", "errors"],
            ["all", "paused", "by", "Xen", "1.0", "5.0", "40.0"],
            ["dom0", "heartbeat", "1.5", "5.5", "40.5", "?"]])

    def test_no_update_took_place(self):
        lines = self.table([("4.17.5-lu 0123abcd", "", {})], "mt")
        self.assertEqual(lines[-1].split(), ["boot", "4.17.5-lu", "0123abcd"])


class Quiet(unittest.TestCase):
    def test_failures_are_told(self):
        with tempfile.TemporaryDirectory() as temporary, \
                mock.patch.object(place, "RUNS", pathlib.Path(temporary)), \
                contextlib.redirect_stdout(io.StringIO()) as said:
            lab = Lab("idle", "icount", {})
            lab.quiet = True
            lab.check(True, "this is well")
            lab.check(False, "this is not", "because")
            lab.table()
            lab.close()
        self.assertNotIn("this is well", said.getvalue())
        self.assertIn("FAIL idle: this is not: because", said.getvalue())
        self.assertIn("1 passed, 1 failed", said.getvalue())


if __name__ == "__main__":
    unittest.main()

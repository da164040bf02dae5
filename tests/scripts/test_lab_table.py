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
    def table(self, rows, accel="icount"):
        updates = Updates.__new__(Updates)
        updates.lab = types.SimpleNamespace(accel=accel)
        updates.rows = rows
        return updates.table()

    def test_columns_line_up(self):
        lines = self.table([
            ("4.17.5-lu 0123abcd", "", {}),
            ("4.17.5-lu-shifted 89ab4567", "210.1",
             {"heartbeat": "272.3", "net": "9.0"}),
            ("4.17.5-lu 0123abcd", "1210.0", {"heartbeat": "5.0"})])
        self.assertIn("in virtual ms:", lines[1])
        self.assertEqual(lines[-4:], [
            "update  Xen                         paused  heartbeat  net",
            "        4.17.5-lu 0123abcd",
            "     1  4.17.5-lu-shifted 89ab4567   210.1      272.3  9.0",
            "     2  4.17.5-lu 0123abcd          1210.0        5.0"])

    def test_no_update_took_place(self):
        lines = self.table([("4.17.5-lu 0123abcd", "", {})], "mt")
        self.assertIn("in ms:", lines[1])
        self.assertEqual(lines[-1].split(), ["4.17.5-lu", "0123abcd"])


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

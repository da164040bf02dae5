# SPDX-License-Identifier: GPL-2.0-only
"""scripts/check: what counts as passed, and that nothing broken does.

Counting is tested on outputs as the suites print them; running, on suites
that are one shell command each.
"""
import contextlib
import io
import pathlib
import tempfile
import unittest
from unittest import mock

from scripts_under_test import load

check = load("check")

RAN = "Ran {} in 0.1s\n\n{}\n"


class Count(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(check.count("PASS a\nnoise PASS\nFAIL b: why\n"
                                     "PASSED\nFAIL: not ours\nSKIP c\n"),
                         (1, 1, 1))

    def test_unittest(self):
        for ran, closing, counted in (
                ("7 tests", "OK", (7, 0, 0)),
                ("1 test", "OK (skipped=1)", (0, 0, 1)),
                ("7 tests", "FAILED (failures=2, errors=1)", (4, 3, 0)),
                ("7 tests", "OK (expected failures=1, skipped=2)", (5, 0, 2)),
                ("3 tests", "FAILED (unexpected successes=1)", (2, 1, 0)),
                ("0 tests", "FAILED (errors=1)", (0, 1, 0))):
            self.assertEqual(check.count(RAN.format(ran, closing)), counted)

    def test_two_runs_add_up(self):
        self.assertEqual(check.count(RAN.format("2 tests", "OK")
                                     + RAN.format("3 tests", "OK")), (5, 0, 0))


class Verdict(unittest.TestCase):
    def test_good(self):
        self.assertEqual(check.verdict("PASS a\n", 0), (1, 0, 0, ""))

    def test_status_without_a_fail(self):
        passed, failed, _, why = check.verdict("PASS a\n", 2)
        self.assertEqual((passed, failed), (1, 1))
        self.assertIn("exit status 2", why)

    def test_fail_with_status_0(self):
        self.assertEqual(check.verdict("FAIL a\n", 0)[1], 1)

    def test_nothing_ran(self):
        self.assertEqual(check.verdict("all is well\n", 0)[1], 1)

    def test_out_of_time(self):
        self.assertEqual(check.verdict("PASS a\nFAIL b\n", "out of time")[1:],
                         (2, 0, "out of time"))


class Run(unittest.TestCase):
    def suite(self, name, command, kind="check", minutes=1, needs=()):
        return check.Suite(name, kind, minutes, needs, ["sh", "-c", command])

    def check(self, suites, *arguments):
        with tempfile.TemporaryDirectory() as temporary:
            logs = pathlib.Path(temporary) / "build" / "check"
            with mock.patch.multiple(check, SUITES=suites, LOGS=logs,
                                     TOP=pathlib.Path(temporary)), \
                    contextlib.redirect_stdout(io.StringIO()) as said:
                status = check.main(["check", *arguments])
            total = (logs / "total").read_text()
        self.said = said.getvalue()
        self.assertTrue(self.said.endswith(total))
        return status, total.strip()

    def test_all_pass(self):
        self.assertEqual(self.check([self.suite("a", "echo PASS a"),
                                     self.suite("b", "echo PASS b")]),
                         (0, "2 passed, 0 failed"))

    def test_failure_goes_on_and_shows_the_tail(self):
        self.assertEqual(
            self.check([self.suite("a", "echo because; exit 3"),
                        self.suite("b", "echo PASS b")]),
            (1, "1 passed, 1 failed"))
        self.assertIn("because", self.said)

    def test_needs(self):
        self.assertEqual(
            self.check([self.suite("a", "echo FAIL a"),
                        self.suite("b", "echo PASS b", needs=("a",))]),
            (1, "0 passed, 2 failed"))
        self.assertIn("not run: a failed", self.said)

    def test_out_of_time(self):
        self.assertEqual(
            self.check([self.suite("a", "echo PASS a; sleep 60",
                                   minutes=0.002)]),
            (1, "1 passed, 1 failed"))
        self.assertIn("out of time", self.said)

    def test_kinds(self):
        suites = [self.suite("a", "echo PASS a"),
                  self.suite("b", "echo PASS b", kind="check-all")]
        self.assertEqual(self.check(suites)[1], "1 passed, 0 failed")
        self.assertEqual(self.check(suites, "--all")[1], "2 passed, 0 failed")
        self.assertEqual(self.check(suites, "b")[1], "1 passed, 0 failed")

    def test_no_suite_is_no_success(self):
        self.assertEqual(self.check([])[0], 1)

    def test_unknown_suite(self):
        with self.assertRaisesRegex(SystemExit, "no suite or option nope"):
            self.check([], "nope")

    def test_command_missing(self):
        gone = check.Suite("a", "check", 1, (), ["/no/such/program"])
        self.assertEqual(self.check([gone]), (1, "0 passed, 1 failed"))
        self.assertIn("cannot be run", self.said)


if __name__ == "__main__":
    unittest.main()

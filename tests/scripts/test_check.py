# SPDX-License-Identifier: GPL-2.0-only
"""scripts/check: what counts as passed, what runs when, and that all of it ends.

Counting is tested on outputs as the suites print them; running, on suites
that are one shell command each; being interrupted, on a check of its own.
"""
import contextlib
import fcntl
import io
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
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
    def suite(self, name, command, kind="check", minutes=1, needs=(), cpus=1):
        return check.Suite(name, kind, minutes, cpus, needs,
                           ["sh", "-c", command])

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

    def test_what_failed_is_told_in_the_end(self):
        self.check([self.suite("a", "echo FAIL first: why; seq 100; echo FAIL last"),
                    self.suite("b", "exit 3"), self.suite("c", "echo PASS c")])
        end = self.said.split(" suites, ")[1].splitlines()[1:]
        self.assertEqual(end, ["  failed: a: FAIL first: why", "  failed: a: FAIL last",
                               "  failed: b: exit status 3 and no FAIL",
                               "1 passed, 3 failed"])

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

    def test_what_is_asked_for_brings_its_needs(self):
        suites = [self.suite("a", "echo PASS a", kind="check-all"),
                  self.suite("b", "echo PASS b", needs=("a",)),
                  self.suite("c", "echo PASS c"),
                  self.suite("d", "echo PASS d", needs=("b",))]
        self.assertEqual(self.check(suites, "d")[1], "3 passed, 0 failed")
        self.assertNotIn("ok    c", self.said)

    def test_a_failure_passes_down_the_needs(self):
        self.assertEqual(
            self.check([self.suite("a", "echo FAIL a"),
                        self.suite("b", "echo PASS b", needs=("a",)),
                        self.suite("c", "echo PASS c", needs=("b",))]),
            (1, "0 passed, 3 failed"))
        self.assertIn("not run: b failed", self.said)

    def test_no_suite_is_no_success(self):
        self.assertEqual(self.check([])[0], 1)

    def test_unknown_suite(self):
        with self.assertRaisesRegex(SystemExit, "no suite nope"):
            self.check([], "nope")

    def test_command_missing(self):
        gone = check.Suite("a", "check", 1, 1, (), ["/no/such/program"])
        self.assertEqual(self.check([gone]), (1, "0 passed, 1 failed"))
        self.assertIn("cannot be run", self.said)

    def began_and_ended(self):
        """["+a", "-a", ...] as the last check said it."""
        return [("+" if words[0] == "...." else "-") + words[1].rstrip(":")
                for words in map(str.split, self.said.splitlines())
                if words[0] in ("....", "ok", "FAIL")]

    def meet(self, mine, others):
        """A command that passes only while the suite `others` is running."""
        return (f"touch {mine}; for i in $(seq 200); do [ -e {others} ] && "
                f"{{ echo PASS {mine}; exit; }}; sleep 0.05; done; "
                f"echo FAIL {mine}")

    def test_two_at_a_time(self):
        self.assertEqual(
            self.check([self.suite("a", self.meet("a", "b")),
                        self.suite("b", self.meet("b", "a"))], "--jobs", "2"),
            (0, "2 passed, 0 failed"))
        self.assertEqual(self.began_and_ended()[:2], ["+a", "+b"])

    def test_one_at_a_time_in_order(self):
        self.assertEqual(
            self.check([self.suite("a", "[ ! -e b ] && echo PASS a"),
                        self.suite("b", "touch b; echo PASS b")],
                       "--jobs", "1"), (0, "2 passed, 0 failed"))
        self.assertEqual(self.began_and_ended(), ["+a", "-a", "+b", "-b"])

    def test_weight(self):
        """One of all CPUs, or of more than there are, runs alone."""
        for cpus in (check.ALL_CPUS, 3, 7):
            alone = ("[ ! -e busy ] && touch busy && sleep 0.2 && rm busy && "
                     "echo PASS")
            self.assertEqual(
                self.check([self.suite("a", alone), self.suite("b", alone, cpus=cpus),
                            self.suite("c", alone, cpus=cpus)],
                           "--jobs", "3"), (0, "3 passed, 0 failed"))
            self.assertEqual(self.began_and_ended(),
                             ["+a", "-a", "+b", "-b", "+c", "-c"])

    def test_a_light_one_does_not_overtake_a_heavy_one(self):
        self.assertEqual(
            self.check([self.suite("a", "sleep 0.2; echo PASS a"),
                        self.suite("b", "echo PASS b", cpus=2),
                        self.suite("c", "echo PASS c")], "--jobs", "2"),
            (0, "3 passed, 0 failed"))
        self.assertEqual(self.began_and_ended(),
                         ["+a", "-a", "+b", "-b", "+c", "-c"])

    def test_needs_are_waited_for(self):
        self.assertEqual(
            self.check([self.suite("b", "[ -e a ] && echo PASS b", needs=("a",)),
                        self.suite("a", "sleep 0.2; touch a; echo PASS a"),
                        self.suite("c", "echo PASS c")], "--jobs", "3"),
            (0, "3 passed, 0 failed"))
        self.assertEqual(self.began_and_ended()[:2], ["+a", "+c"])

    def test_a_hanging_one_does_not_hold_the_others(self):
        self.assertEqual(
            self.check([self.suite("a", "sleep 60", minutes=0.003),
                        self.suite("b", "echo PASS b"),
                        self.suite("c", "echo PASS c")], "--jobs", "2"),
            (1, "2 passed, 1 failed"))
        self.assertEqual(self.began_and_ended()[-1], "-a")

    def test_what_a_suite_leaves_running_ends_with_it(self):
        with tempfile.TemporaryDirectory() as temporary:
            pid = pathlib.Path(temporary) / "pid"
            self.check([self.suite("a", f"sleep 60 & echo $! >{pid}; "
                                        "echo PASS a")])
            self.assertTrue(gone(int(pid.read_text())))

    def test_says_what_is_still_running(self):
        with mock.patch.object(check, "QUIET", 0.1):
            self.check([self.suite("a", "sleep 0.4; echo PASS a")])
        self.assertIn("still running: a (0 s)", self.said)

    def test_jobs_make_sense(self):
        with self.assertRaisesRegex(SystemExit, "--jobs 0: want 1 or more"):
            self.check([], "--jobs", "0")

    def test_one_check_at_a_time(self):
        with tempfile.TemporaryDirectory() as temporary:
            logs = pathlib.Path(temporary)
            with mock.patch.multiple(check, SUITES=[], LOGS=logs), \
                    open(logs / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                with self.assertRaisesRegex(SystemExit, "another check is"):
                    check.main(["check"])


class Table(unittest.TestCase):
    def test_the_table(self):
        seen = set()
        for suite in check.SUITES:
            self.assertNotIn(suite.name, seen)
            self.assertIn(suite.kind, ("check", "check-all"))
            self.assertLessEqual(set(suite.needs), seen,
                                 f"{suite.name} needs one that stands below")
            seen.add(suite.name)


def gone(pid):
    """Whether a process ends within two seconds; a zombie has ended."""
    for _ in range(100):
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        if state.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


class Interrupt(unittest.TestCase):
    """A check in a process of its own, with two suites that never end."""

    def interrupt(self, number):
        with tempfile.TemporaryDirectory() as temporary:
            top = pathlib.Path(temporary)
            driver = (
                "import pathlib, signal, sys\n"
                "from scripts_under_test import load\n"
                "check = load('check')\n"
                "check.TOP = pathlib.Path(sys.argv[1])\n"
                "check.LOGS = check.TOP / 'build' / 'check'\n"
                "check.SUITES = [check.Suite(n, 'check', 1, 1, (), ['sh', '-c',"
                " f'sleep 60 & echo $! >{n}.part; mv {n}.part {n}.pid; wait'])"
                " for n in 'ab']\n"
                # A test in the background was told to ignore it.
                "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
                "signal.signal(signal.SIGTERM, check.interrupted)\n"
                "sys.exit(check.main(['check', '--jobs', '2']))\n")
            child = subprocess.Popen(
                [sys.executable, "-c", driver, temporary],
                cwd=pathlib.Path(__file__).parent, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            pids = [top / "a.pid", top / "b.pid"]
            end = time.monotonic() + 30
            while not all(p.exists() for p in pids):
                self.assertLess(time.monotonic(), end, "suites did not start")
                time.sleep(0.02)
            child.send_signal(number)
            said, _ = child.communicate(timeout=30)
            self.assertEqual(child.returncode, 130, said)
            self.assertIn("check: interrupted", said)
            self.assertFalse((top / "build" / "check" / "total").exists())
            for p in pids:
                self.assertTrue(gone(int(p.read_text())), p.name)

    def test_control_c(self):
        self.interrupt(signal.SIGINT)

    def test_sigterm(self):
        self.interrupt(signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-only
"""tests/lab: the session that must not be lost, here of a shell without ssh before it."""
import pathlib
import re
import sys
import tempfile
import types
import unittest

from scripts_under_test import TOP

sys.path.insert(0, str(TOP / "tests" / "lab"))
from lablib import scenario  # noqa: E402
from lablib.place import LabError  # noqa: E402
from lablib.ssh import Session, Ssh  # noqa: E402

# Seconds, of a machine that is busy.
LIMIT = 120


def session():
    return Session(types.SimpleNamespace(command=["bash", "-c"], check=lambda: None))


class Sessions(unittest.TestCase):
    def test_counts_and_ends(self):
        with session() as s:
            first = s.ask(LIMIT)
            s.ticked(LIMIT)
            self.assertGreater(s.ask(LIMIT), first + 1)
            self.assertIsNone(s.verdict())
            self.assertEqual(s.close(LIMIT), 0)
            self.assertIn("has ended", s.verdict())

    def test_a_lost_line_is_noticed(self):
        with session() as s:
            for _ in range(3):
                s.ask(LIMIT)
            del s.lines[1]
            self.assertIn("gap", s.verdict())

    def test_another_shell_is_noticed(self):
        with session() as s, session() as other:
            for each in (s, s, other, other):
                each.ask(LIMIT)
            s.lines[1] = re.sub(r"^\d+", other.lines[1].split()[0], s.lines[1])
            self.assertIn("more than one", s.verdict())

    def test_a_dead_shell_is_noticed(self):
        with session() as s:
            s.ask(LIMIT)
            s.proc.kill()
            s.proc.wait()
            with self.assertRaises(LabError):
                s.ask(LIMIT)
            self.assertIn("has ended", s.verdict())


class Keys(unittest.TestCase):
    def test_a_directory_has_a_key_of_its_own(self):
        with tempfile.TemporaryDirectory() as one:
            old = Ssh(pathlib.Path(one), 1, lambda: None).key
            self.assertTrue(old.startswith("ssh-ed25519 "))
            self.assertNotEqual(Ssh(pathlib.Path(one), 1, lambda: None).key, old)


class Readme(unittest.TestCase):
    def test_has_the_commands_that_are_run(self):
        module = scenario.load("debian-dom0")
        self.assertEqual(module.readme(module.CHAPTER, "cp dist/")[-1], "reboot")
        self.assertEqual(len(module.readme(module.CHAPTER, "xl live-update -n")), 3)
        with self.assertRaises(LabError):
            module.readme(module.CHAPTER, "no such command")


if __name__ == "__main__":
    unittest.main()

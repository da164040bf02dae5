# SPDX-License-Identifier: GPL-2.0-only
"""tests/lab/lablib/place.py: two runs at a time do not share what must be apart."""
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

from scripts_under_test import TOP

sys.path.insert(0, str(TOP / "tests" / "lab"))
from lablib import place  # noqa: E402


class Directories(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = pathlib.Path(temporary.name)
        patch = mock.patch.object(place, "RUNS", self.top)
        patch.start()
        self.addCleanup(patch.stop)

    def take(self, name):
        taken = place.RunDir(name)
        self.addCleanup(taken.release)
        return taken

    def test_one_after_the_other_share(self):
        first = self.take("idle")
        self.assertEqual(first.path, self.top / "idle")
        (first.path / "serial.log").write_text("kept")
        first.release()
        self.assertEqual(self.take("idle").path, first.path)
        self.assertEqual((first.path / "serial.log").read_text(), "kept")

    def test_two_at_a_time_do_not(self):
        paths = [self.take("idle").path.name for _ in range(3)]
        self.assertEqual(paths, ["idle", "idle-2", "idle-3"])
        self.assertEqual(self.take("churn").path.name, "churn")

    def test_all_in_use(self):
        with mock.patch.object(place.RunDir, "MOST", 1):
            self.take("idle")
            with self.assertRaisesRegex(place.LabError, "idle.*all in use"):
                place.RunDir("idle")

    def test_a_child_does_not_keep_the_lock(self):
        """QEMU outlives a killed driver for a moment: its lock must not."""
        first = self.take("idle")
        with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
            first.release()
            self.assertEqual(self.take("idle").path, first.path)
            child.kill()


class Locked(unittest.TestCase):
    def test_waits_and_says_so(self):
        with tempfile.TemporaryDirectory() as temporary:
            lock = pathlib.Path(temporary) / "deeper" / "lock"
            order = []

            def second():
                with place.locked(lock, "the image"):
                    order.append("second")

            with contextlib.redirect_stdout(io.StringIO()) as said:
                thread = threading.Thread(target=second)
                with place.locked(lock, "the image"):
                    thread.start()
                    while not said.getvalue():
                        thread.join(0.01)
                    order.append("first")
                thread.join()
            self.assertEqual(order, ["first", "second"])
            self.assertIn("until another run has made the image",
                          said.getvalue())


if __name__ == "__main__":
    unittest.main()

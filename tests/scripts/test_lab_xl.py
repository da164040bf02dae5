# SPDX-License-Identifier: GPL-2.0-only
"""tests/lab: what xl live-update says in text and in JSON is read as the same."""
import sys
import unittest

from scripts_under_test import TOP

sys.path.insert(0, str(TOP / "tests" / "lab"))
from lablib import xl  # noqa: E402
from lablib.place import LabError  # noqa: E402

TEXT = """\
blocked by d1: debugger: an attached debugger (Device or resource busy; may pass by itself)
blocked by some CPUs are not in Pool-0 (xl cpupool-list -c) (Operation not supported)
room: the new Xen needs 20 KiB, free or private are 7 KiB (Cannot allocate memory)
Refused, nothing was changed.
"""
REPORTS = [
    {"domid": 1, "blocker": True, "transient": True, "error": 16,
     "text": "debugger: an attached debugger"},
    {"domid": -1, "blocker": True, "error": 95,
     "text": "some CPUs are not in Pool-0 (xl cpupool-list -c)"},
    {"domid": -1, "error": 12,
     "text": "room: the new Xen needs 20 KiB, free or private are 7 KiB"},
]


class Words(unittest.TestCase):
    def test_text_and_json_are_the_same(self):
        found = xl.blocked(TEXT)
        self.assertEqual(found, xl.reported({"reports": REPORTS}))
        self.assertEqual(len(found), 2)

    def test_what_is_no_blocker_is_a_reason(self):
        self.assertEqual([code for _, _, code in xl.reasons_in(TEXT)], [16, 95, 12])

    def test_dom0_is_left_out_of_json(self):
        self.assertEqual(xl.reported({"reports": [
            {"blocker": True, "error": 95, "text": "x"}]}), {("d0", "x", 95)})

    def test_wrong_about_passing(self):
        wrong = TEXT.replace("; may pass by itself", "")
        self.assertEqual(len(xl.blocked(wrong)), 1)
        self.assertEqual(len(xl.reported({"reports": [
            {**REPORTS[0], "transient": False}, REPORTS[1]]})), 1)

    def test_no_json(self):
        with self.assertRaises(LabError):
            xl.parsed("blocked")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""scripts/build-tools: what is asked of configure, what goes where."""
import pathlib
import re
import subprocess
import unittest

from scripts_under_test import load

build_tools = load("build-tools")
TOP = pathlib.Path(__file__).resolve().parent.parent.parent

# What bash asks the completion, and what it has to answer.
COMPLETE = """
COMP_WORDS=(xl live-update {word}); COMP_CWORD=2
xl() {{ exit 9; }}
complete() {{ :; }}
. {file}
_xl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class Tools(unittest.TestCase):
    def test_paths_are_debians(self):
        files, links = build_tools.products("4.17", pathlib.Path("/t"))
        self.assertEqual(files["usr/lib/xen-4.17/bin/xl"],
                         pathlib.Path("/t/tools/xl/xl"))
        self.assertEqual(
            links["usr/lib/x86_64-linux-gnu/libxenlight.so.4.17"],
            "libxenlight.so.4.17.0")
        # A library without its link, or the other way round, would be Debian's.
        self.assertEqual({path + ".0" for path in links},
                         {path for path in files if ".so." in path})

    def test_no_library_with_a_stable_abi(self):
        files, _ = build_tools.products("4.17", pathlib.Path("/t"))
        self.assertFalse([f for f in files if ".so.1" in f or "xenstore" in f])

    def test_configure_knows_the_release(self):
        self.assertIn("--with-libexec-leaf-dir=xen-4.20", build_tools.options("4.20"))

    def test_nothing_of_this_machine(self):
        env = build_tools.environment(pathlib.Path("/t"))
        self.assertLessEqual(set(env), {
            "PATH", "HOME", "TMPDIR", "LC_ALL", "SOURCE_DATE_EPOCH", "WGET", "GIT",
            "EXTRA_CFLAGS_XEN_TOOLS"})

    def test_usage(self):
        self.assertEqual(build_tools.main(["build-tools"]), 2)

    def test_manual_page(self):
        done = subprocess.run(
            ["podchecker", "-warnings", TOP / "docs/man/xl-live-update.1.pod"],
            capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("WARNING", done.stderr)

    def test_manual_page_has_each_option(self):
        row = (TOP / "grafts/tools/xl/xl_cmdtable.c.graft").read_text()
        page = (TOP / "docs/man/xl-live-update.1.pod").read_text()
        options = set(re.findall(r"--[a-z]+", row))
        self.assertGreater(len(options), 6)
        for option in options:
            self.assertIn(f"B<{option}", page)

    @unittest.skipUnless((TOP / "dist/4.17/usr").exists(), "make tools was not run")
    def test_completion(self):
        file = TOP / "dist/4.17/usr/share/bash-completion/completions/xl"
        for word, want in (("--st", ["--status "]), ("--c", ["--cmdline="]),
                           ("/boot", [""])):
            done = subprocess.run(["bash", "-c", COMPLETE.format(word=word, file=file)],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.stdout.split("\n")[:-1], want, done.stderr)


if __name__ == "__main__":
    unittest.main()

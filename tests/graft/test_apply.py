# SPDX-License-Identifier: GPL-2.0-only
"""What apply writes, what it leaves alone, and what it takes back."""

import json
import os
import stat
import subprocess
import unittest

from graft_case import ENGINE_C, ENGINE_H, GraftCase, snapshot

GRAFT = '''\
    graft a (t)
      in function warm_up, after call open_valve
    | x();
    '''


def counts(out):
    """(written, put back, removed) of what apply printed."""
    words = out.split(';')[1].split()
    return int(words[0]), int(words[2]), int(words[5])


class Apply(GraftCase):
    def test_a_tree_without_grafts_is_a_copy(self):
        (self.xen / '.git').mkdir()
        self.file('.git/HEAD', 'x\n')
        self.apply()
        built = snapshot(self.build)
        del built['.graft.json']
        wanted = snapshot(self.xen)
        del wanted['.git/HEAD']
        self.assertEqual(built, wanted)

    def test_own_files_are_copied_and_other_directories_are_not(self):
        self.file('xen/common/lu/lu.c', 'ours\n', self.own)
        tool = self.file('tools/lu/run', '#!/bin/sh\n', self.own)
        tool.chmod(0o755)
        self.file('docs/man/lu.pod', 'ours\n', self.own)
        self.file('scripts/x', 'ours\n', self.own)
        self.apply()
        self.assertEqual((self.build / 'xen/common/lu/lu.c').read_text(),
                         'ours\n')
        self.assertEqual((self.build / 'tools/lu/run').stat().st_mode & 0o777,
                         0o755)
        for name in ('docs', 'scripts', 'grafts'):
            self.assertFalse((self.build / name).exists(), name)

    def test_files_ignored_by_git_are_not_copied(self):
        subprocess.run(['git', 'init', '-q', str(self.own)], check=True)
        self.file('.gitignore', '*.o\n', self.own)
        self.file('xen/lu.c', 'ours\n', self.own)
        self.file('xen/lu.o', 'object\n', self.own)
        self.apply()
        self.assertTrue((self.build / 'xen/lu.c').exists())
        self.assertFalse((self.build / 'xen/lu.o').exists())

    def test_a_second_run_writes_nothing(self):
        self.graft(GRAFT)
        self.file('xen/common/lu.c', 'ours\n', self.own)
        self.assertEqual(counts(self.apply()), (2, 0, 0))
        before = {path: os.stat(self.build / path).st_mtime_ns
                  for path in snapshot(self.build)}
        self.assertEqual(counts(self.apply()), (0, 0, 0))
        self.assertEqual({path: os.stat(self.build / path).st_mtime_ns
                          for path in snapshot(self.build)}, before)

    def test_only_what_changed_is_written(self):
        self.graft(GRAFT)
        self.graft('''\
            graft b (t)
              in file, after define KEYS
            | #define LU 1
            ''', 'xen/include/engine.h')
        self.assertEqual(counts(self.apply()), (2, 0, 0))
        self.graft(GRAFT.replace('x()', 'y()'))
        self.assertEqual(counts(self.apply()), (1, 0, 0))
        text = (self.build / 'xen/common/engine.c').read_text()
        self.assertIn('    y();\n', text)
        self.assertNotIn('x();', text)

    def test_a_file_changed_by_hand_is_made_right(self):
        self.graft(GRAFT)
        first = self.applied()
        (self.build / 'xen/common/engine.c').write_text('broken\n')
        self.assertEqual(counts(self.apply()), (1, 0, 0))
        self.assertEqual(self.applied(), first)

    def test_a_graft_removed_puts_the_file_back(self):
        path = self.graft(GRAFT)
        self.file('xen/common/lu/lu.c', 'ours\n', self.own)
        self.apply()
        path.unlink()
        (self.own / 'xen/common/lu/lu.c').unlink()
        self.assertEqual(counts(self.apply()), (0, 1, 1))
        self.assertEqual((self.build / 'xen/common/engine.c').read_text(),
                         ENGINE_C)
        self.assertFalse((self.build / 'xen/common/lu').exists())
        self.assertEqual(counts(self.apply()), (0, 0, 0))
        built = snapshot(self.build)
        del built['.graft.json']
        self.assertEqual(built, snapshot(self.xen))

    def test_what_a_build_made_is_kept(self):
        source = self.file('xen/common/lu/lu.c', 'ours\n', self.own)
        self.apply()
        self.file('xen/common/lu/lu.o', 'object\n', self.build)
        self.file('xen/common/engine.o', 'object\n', self.build)
        source.unlink()
        self.apply()
        self.assertTrue((self.build / 'xen/common/lu/lu.o').exists())
        self.assertTrue((self.build / 'xen/common/engine.o').exists())

    def test_mode_is_kept(self):
        (self.xen / 'xen/common/engine.c').chmod(0o755)
        (self.xen / 'xen/include/engine.h').chmod(0o444)
        self.graft(GRAFT)
        self.graft('graft a (t)\n  in file, at end\n| #define LU 1\n',
                   'xen/include/engine.h')
        self.apply()

        def mode(name):
            return stat.S_IMODE((self.build / name).stat().st_mode)
        self.assertEqual(mode('xen/common/engine.c'), 0o755)
        # Readable only, but the build must be able to refresh it.
        self.assertEqual(mode('xen/include/engine.h'), 0o644)
        self.assertEqual(counts(self.apply()), (0, 0, 0))

    def test_a_hard_linked_tree_is_not_written_through(self):
        self.apply()
        built = self.build / 'xen/common/engine.c'
        built.unlink()
        os.link(self.xen / 'xen/common/engine.c', built)
        self.graft(GRAFT)
        self.assertIn('x();', self.applied())
        self.assertEqual((self.xen / 'xen/common/engine.c').read_text(),
                         ENGINE_C)

    def test_line_ends_and_encoding_are_kept(self):
        for name, data in (('crlf.c', ENGINE_C.replace('\n', '\r\n').encode()),
                           ('latin.c', b'/* \xe9\xff */\n' +
                            ENGINE_C.encode())):
            with self.subTest(name):
                self.file('xen/common/' + name, data)
                path = self.graft(GRAFT, 'xen/common/' + name)
                self.apply()
                end = b'\r\n' if name == 'crlf.c' else b'\n'
                call = b'    open_valve(e);' + end
                self.assertEqual(
                    (self.build / 'xen/common' / name).read_bytes(),
                    data.replace(call, call + b'    x();' + end))
                path.unlink()

    def test_variant_adds_grafts_and_takes_them_back(self):
        self.graft(GRAFT)
        self.graft('''\
            graft moved (t)
              in function unloved, at start
            | moved();
            ''', grafts='grafts.shifted')
        self.assertEqual(counts(self.apply('--variant', 'shifted')),
                         (1, 0, 0))
        text = (self.build / 'xen/common/engine.c').read_text()
        self.assertIn('    x();\n', text)
        self.assertIn('    moved();\n', text)
        self.apply()
        text = (self.build / 'xen/common/engine.c').read_text()
        self.assertIn('    x();\n', text)
        self.assertNotIn('moved', text)

    def test_an_interrupted_copy_is_made_again(self):
        self.file('xen/stale', 'half\n', self.top / 'build.partial')
        self.graft(GRAFT)
        self.apply()
        self.assertFalse((self.top / 'build.partial').exists())
        self.assertFalse((self.build / 'xen/stale').exists())

    def test_an_own_file_removed_by_hand_stays_removed(self):
        source = self.file('xen/lu.c', 'ours\n', self.own)
        self.apply()
        source.unlink()
        (self.build / 'xen/lu.c').unlink()
        self.assertEqual(counts(self.apply()), (0, 0, 0))

    def test_check_shows_where_grafts_land(self):
        self.graft(GRAFT)
        status, out, _ = self.run_tool('check', '-v')
        self.assertEqual(status, 0)
        line = ENGINE_C.split('\n').index('    open_valve(e);') + 2
        self.assertIn('xen/common/engine.c:%d: a '
                      '(grafts/xen/common/engine.c.graft:1)' % line, out)
        self.assertIn('fit Xen 4.17.9', out)
        self.assertFalse(self.build.exists())


class Refused(GraftCase):
    """Output directories that apply leaves alone."""

    def refused(self, *words, out=None):
        before = snapshot(self.top)
        status, _, err = self.run_tool('apply', '--out', out or self.build)
        self.assertEqual(status, 1)
        for word in words:
            self.assertIn(str(word), err)
        self.assertEqual(snapshot(self.top), before)

    def test_made_by_something_else(self):
        self.file('x', 'precious\n', self.build)
        self.refused(self.build, 'was not made by graft apply')

    def test_made_from_another_tree(self):
        self.apply()
        old = self.xen
        self.xen = self.top / 'other'
        old.rename(self.xen)
        self.graft(GRAFT)
        self.refused('was made from %s (4.17.9), not from %s (4.17.9)'
                     % (old, self.xen))

    def test_made_from_another_version(self):
        self.apply()
        self.file('xen/Makefile', 'XEN_VERSION = 4\nXEN_SUBVERSION = 18\n')
        self.graft(GRAFT)
        self.refused('(4.17.9), not from', '(4.18)')

    def test_broken_record(self):
        self.apply()
        record = self.build / '.graft.json'
        good = json.loads(record.read_text())
        for text in ('{', '[]', '{}',
                     json.dumps(dict(good, files=['../own/precious'])),
                     json.dumps(dict(good, files=['/etc/passwd']))):
            with self.subTest(text):
                record.write_text(text)
                self.refused(record, 'cannot read')

    def test_inside_each_other(self):
        self.refused('one is inside the other', out=self.xen / 'build')
        self.refused('one is inside the other', out=self.xen)
        self.refused('one is inside the other', out=self.top)

    def test_failing_graft_leaves_the_built_tree_alone(self):
        self.graft(GRAFT)
        self.apply()
        self.graft(GRAFT + '''
    graft b (t)
      in function warm_up, after call nowhere
    | x();
    ''')
        self.refused("graft 'b'", 'nothing written')


class Headers(GraftCase):
    def test_the_pristine_header_is_what_is_put_back(self):
        path = self.graft('graft a (t)\n  in file, after define KEYS\n'
                          '| #define LU 1\n', 'xen/include/engine.h')
        self.assertIn('LU', self.applied('xen/include/engine.h'))
        path.unlink()
        self.assertEqual(self.applied('xen/include/engine.h'), ENGINE_H)


if __name__ == '__main__':
    unittest.main()

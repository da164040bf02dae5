# SPDX-License-Identifier: GPL-2.0-only
"""The exported series: git am gives the tree that apply gives."""

import shutil
import unittest

from graft_case import GraftCase, git, snapshot

SERIES = '''\
# The order of the patches.
first toy: prepare the engine :: xen/common/lu/.*
second toy: use it :: tools/lu/.* xen/include/lu\\.h
third toy: nothing of its own
'''


class Export(GraftCase):
    def setUp(self):
        super().setUp()
        self.out = self.top / 'series'
        self.file('grafts/series', SERIES, self.own)
        self.file('grafts/second.txt', 'Because it is there.\n', self.own)
        self.graft('''\
            graft a (first)
              in function warm_up, after call open_valve
            | one();

            graft b (second)
              in function warm_up, after call open_valve
            | two();

            graft c (second)
              in function warm_up, replace call turn_key
            | lu_turn_key($args)
            ''')
        self.graft('graft d (third)\n  in file, after define KEYS\n'
                   '| #define LU 1\n', 'xen/include/engine.h')
        self.file('xen/common/lu/lu.c', 'ours\n', self.own)
        self.file('xen/include/lu.h', 'ours too\n', self.own)
        self.file('tools/lu/run', '#!/bin/sh\n', self.own).chmod(0o755)

    def export(self):
        status, out, err = self.run_tool('export', '--out', self.out)
        self.assertEqual((status, err), (0, ''))
        return out

    def patches(self):
        return sorted(path.name for path in self.out.iterdir())

    def refused(self, *words):
        before = snapshot(self.top)
        status, _, err = self.run_tool('export', '--out', self.out)
        self.assertEqual(status, 1)
        for word in words:
            self.assertIn(str(word), err)
        self.assertEqual(snapshot(self.top), before)

    def test_git_am_gives_the_tree_of_apply(self):
        self.assertIn('3 patches', self.export())
        self.assertEqual(self.patches(),
                         ['0001-toy-prepare-the-engine.patch',
                          '0002-toy-use-it.patch',
                          '0003-toy-nothing-of-its-own.patch'])
        self.apply()
        tree = self.top / 'am'
        shutil.copytree(self.xen, tree)
        git(tree, 'init', '-q')
        git(tree, 'add', '-A')
        git(tree, 'commit', '-q', '-m', 'pristine')
        git(tree, 'am', '-q', *[str(self.out / name)
                                for name in self.patches()])
        self.assertEqual(git(tree, 'log', '--format=%s', '-3'),
                         'toy: nothing of its own\ntoy: use it\n'
                         'toy: prepare the engine\n')
        self.assertEqual(git(tree, 'log', '--format=%b', '-1', 'HEAD~1'),
                         'Because it is there.\n\n')
        shutil.rmtree(tree / '.git')
        built = snapshot(self.build)
        del built['.graft.json']
        self.assertEqual(snapshot(tree), built)
        self.assertIn('    one();\n    two();\n',
                      (tree / 'xen/common/engine.c').read_text())

    def test_each_patch_has_its_own_topic(self):
        self.export()
        first, second, third = [(self.out / name).read_text()
                                for name in self.patches()]
        self.assertIn('+    one();', first)
        self.assertIn('xen/common/lu/lu.c', first)
        self.assertNotIn('+    two();', first)
        self.assertIn('+    two();', second)
        self.assertIn('tools/lu/run', second)
        self.assertNotIn('+    one();', second)
        self.assertIn('+#define LU 1', third)
        for patch in (first, second, third):
            self.assertIn('From: A Tester <tester@example.org>', patch)
            self.assertNotIn('Signed-off-by', patch)

    def test_again_replaces_the_series(self):
        self.export()
        self.file('grafts/series', SERIES.replace('use it', 'use them'),
                  self.own)
        self.export()
        self.assertEqual(self.patches()[1], '0002-toy-use-them.patch')
        self.assertEqual(len(self.patches()), 3)

    def test_a_topic_with_nothing_for_this_version_is_left_out(self):
        self.file('grafts/series', SERIES + 'later toy: later\n', self.own)
        self.graft('graft l (later)\n  in file, at end\n'
                   '  when xen >= 4.20  # a reason\n| x\n', 'xen/later.c')
        out = self.export()
        self.assertIn("topic 'later' has nothing for Xen 4.17.9", out)
        self.assertEqual(len(self.patches()), 3)

    def test_topic_that_is_not_in_the_series(self):
        self.graft('graft e (forth)\n  in file, at end\n| #define LU2 1\n',
                   'xen/include/engine.h')
        self.refused("grafts/xen/include/engine.h.graft:1: graft 'e': topic "
                     "'forth' is not in the series")

    def test_own_file_no_patch_names(self):
        self.file('xen/lonely.c', 'ours\n', self.own)
        self.refused('xen/lonely.c: own file that no patch of the series '
                     'names')

    def test_graft_that_does_not_fit(self):
        self.graft('graft e (third)\n  in file, after define NIX\n| x\n',
                   'xen/include/engine.h')
        self.refused("graft 'e': 'define NIX'", 'matches 0 times')

    def test_bad_series(self):
        for line, message in (('alone', 'series:6: cannot read: alone'),
                              ('x subject :: (', "'(' is no regular"),
                              ('first again', "topic 'first' is already at "
                               'grafts/series:2')):
            with self.subTest(line):
                self.file('grafts/series', SERIES + '\n' + line + '\n',
                          self.own)
                self.refused('grafts/series:6', message)

    def test_no_series(self):
        (self.grafts / 'series').unlink()
        self.refused('grafts/series: cannot read')

    def test_directory_with_other_files(self):
        self.file('precious', 'x\n', self.out)
        self.refused('holds more than patches (precious)')

    def test_directory_that_git_would_commit(self):
        git(self.top, 'init', '-q')
        self.refused('git does not ignore it')
        self.file('.gitignore', '/series/\n', self.top)
        self.assertIn('3 patches', self.export())

    def test_directory_inside_the_pristine_tree(self):
        self.out = self.xen / 'series'
        self.refused('is inside the pristine tree')


if __name__ == '__main__':
    unittest.main()

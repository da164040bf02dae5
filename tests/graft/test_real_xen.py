# SPDX-License-Identifier: GPL-2.0-only
"""Grafts on a real Xen: the examples beside this file, and the product's own.

The tree is that of XEN_SRC, or build/src/4.17 (make fetch).  Without either
these tests are skipped.  What they can catch: a construct of Xen that the
made-up trees of the other tests do not have.
"""

import json
import os
import pathlib
import shutil
import unittest

from graft_case import TOP, GraftCase, git

XEN = pathlib.Path(os.environ.get('XEN_SRC') or TOP / 'build/src/4.17')
EXAMPLES = pathlib.Path(__file__).resolve().parent / 'examples'


@unittest.skipUnless((XEN / 'xen/Makefile').exists(),
                     'no Xen source in %s' % XEN)
class RealXen(GraftCase):
    def setUp(self):
        super().setUp()
        self.xen = XEN
        self.grafts = EXAMPLES
        self.file('xen/common/liveupdate/lu.c', '/* ours */\n', self.own)

    def run_ok(self, *args):
        status, out, err = self.run_tool(*args)
        self.assertEqual((status, err), (0, ''))
        return out

    def line_after(self, path, anchor):
        """The line that follows the one line of PATH holding ANCHOR."""
        lines = (self.build / path).read_text().split('\n')
        found = [number for number, line in enumerate(lines)
                 if anchor in line]
        self.assertEqual(len(found), 1, anchor)
        return lines[found[0] + 1]

    def test_examples_land_where_they_should(self):
        out = self.run_ok('apply', '--out', self.build)
        self.assertIn('20 grafts in 12 files, 1 own files; 13 written', out)
        for path, anchor, following in (
                ('xen/arch/x86/setup.c', '    init_idle_domain();',
                 '    lu_early_init();'),
                ('xen/arch/x86/setup.c', 'dom0 = lu_restore_domains();',
                 '    else'),
                ('xen/common/kexec.c', 'case KEXEC_CMD_liveupdate:',
                 '        ret = lu_op(uarg);'),
                ('xen/include/xen/sched.h', '    struct lu_domain *lu;',
                 '#endif'),
                ('xen/arch/x86/x86_64/kexec_reloc.S', '.Llu_relocated',
                 '        call    relocate_pages'),
                ('tools/xl/Makefile', 'xl_flask.o',
                 'XL_OBJS += xl_liveupdate.o')):
            lines = (self.build / path).read_text().split('\n')
            self.assertTrue(
                any(anchor in line and lines[number + 1] == following
                    for number, line in enumerate(lines[:-1])),
                '%s: no %r below %r' % (path, following, anchor))
        self.assertIn('0 written, 0 put back, 0 removed',
                      self.run_ok('apply', '--out', self.build))

    def test_examples_hold_no_line_of_xen(self):
        self.run_ok('lint')

    def series(self, *options):
        """Exports a series, and checks that git am makes of it what apply makes."""
        out = self.top / 'series'
        said = self.run_ok('export', *options, '--out', out)
        self.run_ok('apply', *options, '--out', self.build)
        record = json.loads((self.build / '.graft.json').read_text())
        tree = self.top / 'am'
        for name in record['files']:
            if (self.xen / name).exists():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.xen / name, tree / name)
        git(tree, 'init', '-q')
        git(tree, 'add', '-A')
        git(tree, 'commit', '-q', '-m', 'pristine')
        git(tree, 'am', '-q', *sorted(map(str, out.iterdir())))
        for name in record['files']:
            self.assertEqual((tree / name).read_bytes(),
                             (self.build / name).read_bytes(), name)
        return said

    def test_the_series_gives_the_tree_of_apply(self):
        self.assertIn('5 patches', self.series())

    def test_a_trap_of_init_boot_pages(self):
        # Its first statement is below an #ifdef; see docs/grafts.md.
        self.grafts = self.own / 'grafts'
        self.graft('graft a (t)\n  in function init_boot_pages, at start\n'
                   '| x();\n', 'xen/common/page_alloc.c')
        status, _, err = self.run_tool('check')
        self.assertEqual(status, 1)
        self.assertRegex(err, r"page_alloc\.c\.graft:1: graft 'a': "
                         r'page_alloc\.c:\d+ is inside an #if that does not '
                         'cover all of init_boot_pages')

    def own_variants(self):
        """Options for each set of grafts of this repository."""
        if not (TOP / 'grafts').is_dir():
            self.skipTest('no grafts in %s' % TOP)
        self.grafts, self.own = TOP / 'grafts', TOP
        yield ()
        for path in sorted(TOP.glob('grafts.*/')):
            yield ('--variant', path.name.split('.', 1)[1])

    def test_the_grafts_of_this_repository_fit(self):
        for options in self.own_variants():
            with self.subTest(options):
                self.run_ok('check', *options)

    def test_the_grafts_of_this_repository_hold_no_line_of_xen(self):
        for options in self.own_variants():
            with self.subTest(options):
                self.run_ok('lint', *options)

    def test_the_series_of_this_repository_gives_the_tree_of_apply(self):
        self.series(*next(self.own_variants()))


if __name__ == '__main__':
    unittest.main()

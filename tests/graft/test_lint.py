# SPDX-License-Identifier: GPL-2.0-only
"""lint finds lines of the grafted file among the grafts' own text."""

import unittest

from graft_case import ENGINE_C, GraftCase

C = 'grafts/xen/common/engine.c.graft'


class Lint(GraftCase):
    def lint(self):
        status, out, err = self.run_tool('lint')
        self.assertFalse(self.build.exists())
        return status, out + err

    def graft_of(self, *lines):
        self.graft('graft a (t)\n  in function warm_up, at start\n' +
                   ''.join('| %s\n' % line for line in lines))

    def test_own_text_is_clean(self):
        self.graft_of('lu_open(e, 4);', 'break;', 'return 0;')
        status, out = self.lint()
        self.assertEqual(status, 0, out)
        self.assertIn('no line of 4 tokens or more is in Xen', out)

    def test_line_of_the_file(self):
        self.graft_of('lu();', 'e->heat=degrees;')
        status, out = self.lint()
        number = ENGINE_C.split('\n').index('        e->heat = degrees;') + 1
        self.assertEqual(status, 1)
        self.assertIn(C + ":4: graft 'a': 'e->heat=degrees;' is a line of "
                      'xen/common/engine.c (line %d)' % number, out)

    def test_four_tokens_are_found_and_three_are_not(self):
        self.file('xen/common/few.c', 'void f(void)\n{\n    x = 1;\n'
                  '    y++;\n    z();\n}\n')
        for line, status in (('x = 1;', 1), ('y++;', 0), ('z();', 1)):
            with self.subTest(line):
                self.graft('graft a (t)\n  in function f, at start\n| %s\n'
                           % line, 'xen/common/few.c')
                self.assertEqual(self.lint()[0], status)

    def test_comments_do_not_hide_a_line(self):
        self.graft_of('open_valve(e); /* our own remark */',
                      '/* Open before anything else. */')
        status, out = self.lint()
        self.assertEqual(status, 1)
        self.assertIn(C + ':3: ', out)
        self.assertIn(C + ':4: ', out)

    def test_when_wants_a_reason(self):
        text = ('graft %s (t)\n  in file, at end\n%s| lu\n\n')
        self.graft(text % ('a', '  when xen >= 4.17\n') +
                   text % ('b', '  when xen >= 4.17  # a reason\n') +
                   text % ('c', '  # a reason\n  when xen >= 4.17\n'))
        status, out = self.lint()
        self.assertEqual(status, 1)
        self.assertIn(C + ":3: graft 'a': 'when' without a comment", out)
        self.assertNotIn("graft 'b'", out)
        self.assertNotIn("graft 'c'", out)

    def test_too_many_is_a_remark(self):
        self.graft(''.join('graft g%d (t)\n  in file, at end\n| lu\n\n'
                           % number for number in range(41)))
        status, out = self.lint()
        self.assertEqual(status, 0)
        self.assertIn('41 grafts are more than 40', out)


if __name__ == '__main__':
    unittest.main()

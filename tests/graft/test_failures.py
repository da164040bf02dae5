# SPDX-License-Identifier: GPL-2.0-only
"""Grafts that do not fit: each is named, and nothing is written.

fails() also checks the exit status, that no tree was made, and that the
source tree is as it was.
"""

import unittest

from graft_case import ENGINE_C, GraftCase

C = 'grafts/xen/common/engine.c.graft'


def line_of(text, source=ENGINE_C):
    """The number of the one line of SOURCE that holds TEXT."""
    found = [number for number, line in enumerate(source.split('\n'), 1)
             if text in line]
    assert len(found) == 1, (text, found)
    return found[0]


class Counts(GraftCase):
    def test_call_not_there(self):
        self.graft('''\
            # a comment
            graft early (t)
              in function warm_up, after call start_motor
            | x();
            ''')
        self.fails(C + ":2: graft 'early': 'call start_motor' in function "
                   'warm_up matches 0 times, wanted 1')

    def test_call_there_twice_names_the_lines(self):
        self.graft('''\
            graft twice (t)
              in function warm_up, after call start_engine
            | x();
            ''')
        self.fails(C + ":1: graft 'twice': 'call start_engine' in function "
                   'warm_up matches 2 times, wanted 1 (engine.c:%d,%d)'
                   % (line_of('start_engine(e, 1)'),
                      line_of('start_engine(e, 3)')))

    def test_wrong_number_of_matches(self):
        self.graft('''\
            graft three (t)
              in function warm_up, after call start_engine #1 of 3
            | x();

            graft each (t)
              in function warm_up, replace call start_engine, each of 1
            | x()
            ''')
        err = self.fails(":1: graft 'three': 'call start_engine'",
                         'matches 2 times, wanted 3')
        self.assertIn(":5: graft 'each': 'call start_engine' in function "
                      'warm_up matches 2 times, wanted 1', err)

    def test_return_without_a_count(self):
        self.graft('''\
            graft r (t)
              in function warm_up, before return
            | x();
            ''')
        self.fails(":1: graft 'r': 'return' in function warm_up matches 2 "
                   'times, wanted 1')

    def test_every_failure_is_listed(self):
        self.graft('''\
            graft one (t)
              in function nowhere, after call a
            | x();

            graft good (t)
              in function warm_up, after call open_valve
            | x();

            graft two (t)
              in struct nothing, at end
            | x();
            ''')
        self.graft('''\
            graft three (t)
              in file, after define NOTHING
            | #define X
            ''', 'xen/include/engine.h')
        err = self.fails(C + ":1: graft 'one': function nowhere found 0 times "
                         'in xen/common/engine.c, wanted 1')
        self.assertIn(C + ":9: graft 'two': struct nothing found 0 times in "
                      'xen/common/engine.c', err)
        self.assertIn("engine.h.graft:1: graft 'three': 'define NOTHING' in "
                      'file xen/include/engine.h matches 0 times, wanted 1',
                      err)
        self.assertNotIn("'good'", err)
        self.assertIn('3 failures', err)

    def test_every_place_that_is_missing(self):
        cases = (('file', 'decl nix'), ('function shift', 'case NIX'),
                 ('struct engine', 'field nix'), ('enum gear', 'field nix'),
                 ('file', 'include <nix.h>'), ('function shift', 'label nix'),
                 ('function shift', 'assign nix'))
        self.graft(''.join('graft g%d (t)\n  in %s, before %s\n| x\n\n'
                           % (number, scope, place)
                           for number, (scope, place) in enumerate(cases)))
        self.graft('''\
            graft i (t)
              in asm turn, before insn nix spin
            | x
            ''', 'xen/arch/loop.S')
        self.graft('''\
            graft k (t)
              in file, before config NIX
            | x
            ''', 'xen/common/Kconfig')
        self.graft('''\
            graft l (t)
              in file, sorted into list nix-
            | nix-y += x.o
            ''', 'xen/common/Makefile')
        err = self.fails("graft 'i': 'insn nix spin' in asm turn matches 0")
        for number, (scope, place) in enumerate(cases):
            where = 'file xen/common/engine.c' if scope == 'file' else scope
            self.assertIn("%s:%d: graft 'g%d': '%s' in %s matches 0 times, "
                          'wanted 1' % (C, 4 * number + 1, number, place,
                                        where), err)
        self.assertIn("'config NIX' in file xen/common/Kconfig matches 0", err)
        self.assertIn("'list nix-' in file xen/common/Makefile matches 0", err)

    def test_every_scope_that_is_missing(self):
        for scope in ('function', 'struct', 'enum', 'array', 'asm'):
            with self.subTest(scope):
                self.graft('graft a (t)\n  in %s nix, at end\n| x;\n' % scope)
                self.fails(C + ":1: graft 'a': %s nix found 0 times in "
                           'xen/common/engine.c, wanted 1' % scope)

    def test_text_that_is_no_code(self):
        self.graft('''\
            graft comment (t)
              in file, after call start_engine, each of 4
            | x();

            graft macro (t)
              in function warm_up, after call stop_engine
            | x();
            ''')
        err = self.fails("graft 'comment'", 'matches 2 times, wanted 4')
        self.assertIn("graft 'macro': 'call stop_engine' in function warm_up "
                      'matches 0 times', err)

    def test_a_prototype_is_no_function(self):
        self.graft('''\
            graft a (t)
              in function fuel_left, at start
            | x();
            ''')
        self.fails("graft 'a': function fuel_left found 0 times")

    def test_a_macro_without_semicolon_is_no_prototype(self):
        self.file('xen/common/macro.c', 'int a;\nDECLARE_TOY(a)\n')
        self.graft('''\
            graft a (t)
              in file, after decl DECLARE_TOY
            | x;
            ''', 'xen/common/macro.c')
        self.fails("graft 'a': 'decl DECLARE_TOY' in file xen/common/macro.c "
                   'matches 0 times')

    def test_a_function_is_no_prototype(self):
        self.graft('''\
            graft a (t)
              in file, after decl unloved
            | x();
            ''')
        self.fails("graft 'a': 'decl unloved' in file xen/common/engine.c "
                   'matches 0 times')

    def test_functions_of_the_same_name(self):
        self.file('xen/common/two.c', 'int f(void)\n{\n    a();\n}\n\n'
                  'int f(void)\n{\n    b();\n}\n')
        self.graft('''\
            graft a (t)
              in function f, at start
            | x();
            ''', 'xen/common/two.c')
        self.fails("two.c.graft:1: graft 'a': function f found 2 times in "
                   'xen/common/two.c, wanted 1 (two.c:1,6)')


class Code(GraftCase):
    ADVICE = 'the call is in a condition, or is the whole body of an ' \
        "if/else/loop without braces; use 'replace statement with'"

    def test_call_in_a_condition(self):
        for function, call in (('warm_up', 'check_oil'),
                               ('unloved', 'wait_for #1 of 2'),
                               ('unloved', 'wait_for #2 of 2'),
                               ('find_engine', 'for_each_engine')):
            with self.subTest(call):
                self.graft('graft a (t)\n  in function %s, after call %s\n'
                           '| x();\n' % (function, call))
                self.fails(C + ":1: graft 'a': engine.c:", self.ADVICE)

    def test_call_that_is_a_whole_body(self):
        for operator in ('before', 'after'):
            for function, call in (('warm_up', 'add_oil'),
                                   ('unloved', 'tick #1 of 2')):
                with self.subTest(operator=operator, call=call):
                    self.graft('graft a (t)\n  in function %s, %s call %s\n'
                               '| x();\n' % (function, operator, call))
                    self.fails(C + ":1: graft 'a': engine.c:", self.ADVICE)

    def test_replace_statement_of_a_condition(self):
        self.graft('''\
            graft a (t)
              in function warm_up, replace statement with call check_oil
            | $stmt
            ''')
        self.fails(":1: graft 'a': engine.c:%d the call is in a condition"
                   % line_of('check_oil'), "use 'replace' for the call alone")

    def test_statement_that_shares_its_line(self):
        self.file('xen/common/dense.c',
                  'void f(void)\n{\n    a(); b();\n}\n')
        for operator in ('before call b', 'after call a',
                         'replace statement with call a'):
            with self.subTest(operator):
                self.graft('graft g (t)\n  in function f, %s\n| x();\n'
                           % operator, 'xen/common/dense.c')
                self.fails("dense.c.graft:1: graft 'g': dense.c:3: 'call ",
                           'shares its line with other code')

    def test_case_that_falls_through(self):
        self.graft('''\
            graft after (t)
              in function shift, after case GEAR_HIGH
            | case GEAR_LU:
            |     break;

            graft before (t)
              in function shift, before case 3
            | case GEAR_LU:
            |     break;

            graft between (t)
              in function shift, after case 3
            | case GEAR_LU:
            |     break;
            ''')
        three = line_of('    case 3:')
        err = self.fails(C + ":1: graft 'after': engine.c:%d falls through "
                         'into the case at engine.c:%d'
                         % (line_of('higher(e)'), three))
        self.assertIn(":6: graft 'before': engine.c:%d falls through into the "
                      'case at engine.c:%d' % (line_of('higher(e)'), three),
                      err)
        self.assertIn(":11: graft 'between': engine.c:%d falls through into "
                      'the case at engine.c:%d' % (three, three + 1), err)

    def test_if_that_does_not_cover_the_scope(self):
        self.graft('''\
            graft a (t)
              in function find_engine, after call boost
            | x();

            graft b (t)
              in function find_engine, at start
            | x();

            graft c (t)
              in function find_engine, replace call boost
            | x()
            ''')
        boost = line_of('boost(number)')
        tail = 'is inside an #if that does not cover all of find_engine'
        err = self.fails(C + ":1: graft 'a': engine.c:%d %s"
                         % (boost + 1, tail))
        for name in ("'b'", "'c'"):
            self.assertIn('graft %s: engine.c:%d %s' % (name, boost, tail),
                          err)

    def test_if_rule_in_assembler(self):
        self.file('xen/arch/cond.S', 'f:\n#ifdef A\n        nop\n#endif\n'
                  '        ret\n')
        self.graft('''\
            graft a (t)
              in asm f, after insn nop
            | hlt
            ''', 'xen/arch/cond.S')
        self.fails("graft 'a': cond.S:4 is inside an #if that does not cover "
                   'all of f')

    def test_if_rule_tells_the_branches_apart(self):
        self.file('xen/arch/cond.S', '#ifdef A\nf:\n        nop\n#else\n'
                  '        hlt\n#endif\n')
        self.graft('''\
            graft a (t)
              in asm f, before insn hlt
            | nop
            ''', 'xen/arch/cond.S')
        self.fails("graft 'a': cond.S:5 is inside an #if that does not cover "
                   'all of f')

    def test_else_without_its_if(self):
        self.file('xen/common/torn.c', '''\
void f(void)
{
    a();
    else
        b();
}
''')
        self.graft('''\
            graft a (t)
              in function f, before call b
            | x();
            ''', 'xen/common/torn.c')
        self.fails("torn.c.graft:1: graft 'a': cannot follow the statements "
                   'of function f at torn.c:4; cpp branches?')

    def test_if_rule_is_not_for_file_scope(self):
        self.graft('''\
            graft a (t)
              in file, after call boost
            | x();
            ''')
        self.assertIn('boost(number);\n    x();\n', self.applied())

    def test_function_whose_braces_do_not_pair(self):
        self.file('xen/common/torn.c', '''\
void f(void)
{
#ifdef A
    if ( a ) {
#else
    if ( b ) {
#endif
        c();
    }
}

void g(void)
{
    d();
}
''')
        self.graft('''\
            graft a (t)
              in function f, after call c
            | x();
            ''', 'xen/common/torn.c')
        self.fails("torn.c.graft:1: graft 'a': function f: the brace that "
                   'closes it (torn.c:', 'is not in column 0; cpp branches?')

    def test_end_of_a_function_that_has_returned(self):
        self.graft('''\
            graft a (t)
              in function warm_up, at end
            | x();
            ''')
        self.fails(C + ":1: graft 'a': engine.c:", 'nothing at the end of '
                   'function warm_up is reached')

    def test_array_without_a_last_comma(self):
        self.file('xen/common/list.c', 'int a[] = {\n    1,\n    2\n};\n'
                  'enum e {\n    x,\n    y\n};\n')
        self.graft('''\
            graft a (t)
              in array a, at end
            | 3,

            graft e (t)
              in enum e, at end
            | z,
            ''', 'xen/common/list.c')
        err = self.fails("graft 'a': list.c:4: the last entry of array a has "
                         'no comma after it')
        self.assertIn("graft 'e': list.c:8: the last entry of enum e has no "
                      'comma after it', err)

    def test_array_on_one_line(self):
        self.graft('''\
            graft a (t)
              in array name_of, at start
            | "x",
            ''')
        self.fails(C + ":1: graft 'a': engine.c:%d:" % line_of('name_of'),
                   'shares its line')

    def test_list_line_above_an_assignment(self):
        self.file('xen/common/late.mk', 'obj-y += b.o\nobj-y := c.o\n')
        self.graft('''\
            graft a (t)
              in file, sorted into list obj-
            | obj-y += a.o

            graft b (t)
              in file, sorted into list obj-
            | obj-$(CONFIG_LU) += bb.o

            graft other (t)
              in file, sorted into list obj-
            | obj-lu += a.o
            ''', 'xen/common/late.mk')
        err = self.fails("late.mk.graft:1: graft 'a': 'obj-y += a.o' would "
                         'land above the assignment at late.mk:2')
        self.assertIn(":5: graft 'b': 'obj-$(CONFIG_LU) += bb.o' would land "
                      'above the assignment at late.mk:2', err)
        self.assertNotIn("graft 'other'", err)


class Expect(GraftCase):
    def test_order_holds(self):
        self.graft('''\
            graft a (t)
              in function warm_up, after call open_valve
              expect before call turn_key
              expect after call engine_of
              expect before call start_engine #1 of 2
            | x();
            ''')
        self.assertIn('open_valve(e);\n    x();\n', self.applied())

    def test_order_does_not_hold(self):
        self.graft('''\
            graft a (t)
              in function warm_up, after call open_valve
              expect before call engine_of
            | x();

            graft b (t)
              in function warm_up, after call open_valve
              expect after call turn_key
            | x();
            ''')
        err = self.fails(C + ":1: graft 'a': expected to be before 'call "
                         "engine_of' (engine.c:%d)" % line_of('engine_of'),
                         'is placed at engine.c:%d'
                         % (line_of('open_valve') + 1))
        self.assertIn(":6: graft 'b': expected to be after 'call turn_key' "
                      '(engine.c:%d)' % line_of('turn_key'), err)

    def test_what_is_expected_must_be_there(self):
        self.graft('''\
            graft a (t)
              in function warm_up, after call open_valve
              expect before call nowhere
            | x();
            ''')
        self.fails(C + ":1: graft 'a': 'call nowhere' in function warm_up "
                   'matches 0 times, wanted 1')


class Overlap(GraftCase):
    def test_two_grafts_on_one_call(self):
        self.graft('''\
            graft a (t)
              in function warm_up, replace call turn_key
            | x($args)

            graft b (t)
              in function warm_up, replace statement with call turn_key
            | $stmt
            ''')
        self.fails(C + ":1: graft 'a': overlaps graft 'b' (" + C + ':5) at '
                   'engine.c:%d' % line_of('turn_key'))

    def test_insert_into_a_replaced_statement(self):
        self.file('xen/common/deep.c', '''\
void f(void)
{
    run(({
        a();
        b();
    }));
}
''')
        self.graft('''\
            graft a (t)
              in function f, replace statement with call run
            | $stmt

            graft b (t)
              in function f, replace call b
            | x()
            ''', 'xen/common/deep.c')
        self.fails("graft 'a': overlaps graft 'b'")

    def test_neighbours_do_not_overlap(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace statement with call open_valve
            | lu_open(e);

            graft b (t)
              in function warm_up, after call open_valve
            | y();

            graft c (t)
              in function warm_up, replace call start_engine #2 of 2
            | lu_start($args)
            ''', ('    open_valve(e);\n', '    lu_open(e);\n    y();\n'),
            ('    start_engine(e, 3)', '    lu_start(e, 3)'))


class When(GraftCase):
    GRAFT = '''\
        graft old (t)
          in function warm_up, after call open_valve
          when xen < 4.20  # a reason
        | old();

        graft new (t)
          in function warm_up, after call open_valve
          when xen >= 4.20  # a reason
        | new();
        '''

    def test_old(self):
        self.graft(self.GRAFT)
        out = self.apply()
        text = (self.build / 'xen/common/engine.c').read_text()
        self.assertIn('    old();\n', text)
        self.assertNotIn('new();', text)
        self.assertIn('1 grafts are not for Xen 4.17', out)

    def test_new(self):
        self.file('xen/Makefile', 'export XEN_VERSION = 4\n'
                  'export XEN_SUBVERSION = 20\n')
        self.graft(self.GRAFT)
        text = self.applied()
        self.assertIn('    new();\n', text)
        self.assertNotIn('old();', text)

    def test_the_next_major_version(self):
        self.file('xen/Makefile', 'XEN_VERSION = 5\nXEN_SUBVERSION = 0\n')
        self.graft(self.GRAFT)
        self.assertIn('    new();\n', self.applied())

    def test_a_graft_that_does_not_hold_may_miss_its_file(self):
        self.graft('''\
            graft a (t)
              in file, at end
              when xen >= 4.20
            | x
            ''', 'xen/common/later.c')
        self.apply()

    def test_no_version(self):
        self.file('xen/Makefile', 'all:\n')
        self.graft(self.GRAFT)
        self.fails('xen/Makefile: no XEN_VERSION and XEN_SUBVERSION')

    def test_no_xen(self):
        (self.xen / 'xen/Makefile').unlink()
        self.graft(self.GRAFT)
        self.fails('not a Xen tree', 'xen/Makefile')


class Files(GraftCase):
    def test_no_such_file(self):
        self.graft('''\
            graft a (t)
              in file, at end
            | x
            ''', 'xen/common/gone.c')
        self.fails("grafts/xen/common/gone.c.graft:1: graft 'a': "
                   'xen/common/gone.c: no such file in this tree')

    def test_a_directory_or_a_link_is_no_file(self):
        (self.xen / 'xen/common/link.c').symlink_to('engine.c')
        for name in ('xen/common/link.c', 'xen/common'):
            self.graft('graft a (t)\n  in file, at end\n| x\n', name)
        err = self.fails("graft 'a': xen/common: not a regular file")
        self.assertIn("graft 'a': xen/common/link.c: not a regular file", err)

    def test_own_file_clashes(self):
        self.file('xen/common/engine.c', 'ours\n', self.own)
        self.file('xen/common/Kconfig/lu.c', 'ours\n', self.own)
        err = self.fails('xen/common/engine.c: own file clashes with the file '
                         'of that name')
        self.assertIn('xen/common/Kconfig/lu.c: own file clashes with '
                      'xen/common/Kconfig, which is no directory', err)

    def test_own_link(self):
        (self.own / 'xen').mkdir()
        (self.own / 'xen/link.c').symlink_to('/etc/passwd')
        self.fails('xen/link.c: own file is not a regular file')

    def test_no_graft_directory(self):
        self.fails('grafts.nix: no such directory',
                   options=('--variant', 'nix'))


class Format(GraftCase):
    """Lines that are no part of the format, by file and line."""

    def bad(self, text, *words):
        self.graft(text)
        return self.fails(*words)

    def test_lines_that_cannot_be_read(self):
        cases = (
            ('afer call open_valve', 'unknown operator'),
            ('after cal open_valve', 'unknown place'),
            ('after call', "'call' wants 1 name(s), not 0"),
            ('after call a b', "'call' wants 1 name(s), not 2"),
            ('after', "'after' wants a place"),
            ('at end call x', "'at end' takes no place"),
            ('after return', "'after return' is not possible"),
            ('replace case 3', "'replace case' is not possible"),
            ('replace all with call x', "unknown place 'all with call x'"),
            ('sorted into call x', "'sorted into call' is not possible"),
            ('after define X', "'define' has no place in scope 'function'"),
            ('after call x #3 of 2', "count '#3 of 2' makes no sense"),
            ('after call x #0 of 2', "count '#0 of 2' makes no sense"),
            ('after call x, each of 0', "makes no sense"),
            ('after line "x = 1;"', 'unknown place'),
        )
        for text, message in cases:
            with self.subTest(text):
                self.bad('\n\ngraft a (t)\n  in function warm_up, %s\n| x();\n'
                         % text, C + ":4: graft 'a': cannot read: in function "
                         'warm_up, ' + text, message)

    def test_scopes_that_cannot_be_read(self):
        for text, message in (('in funktion f, at end', 'unknown scope'),
                              ('in function, at end', 'wants one name'),
                              ('in function f g, at end', 'wants one name'),
                              ('in file f, at end', 'wants no name'),
                              ('in function f #2 of 1, at end', 'no sense'),
                              ('in function f', "no ', OPERATOR'")):
            with self.subTest(text):
                self.bad('graft a (t)\n  %s\n| x();\n' % text,
                         C + ":2: graft 'a': cannot read: " + text, message)

    def test_other_lines(self):
        head = 'graft a (t)\n  in function warm_up, at start\n'
        cases = (
            (head + 'what is this\n| x\n', ':3: ', 'not part of a graft'),
            (head + 'in file, at end\n| x\n', ':3: ', 'not part of a graft'),
            (head + '  in file, at end\n| x\n', ':3: ', "a second 'in' line"),
            (head + '|x\n', ':3: ', "'|' is followed by neither"),
            ('| x\n' + head + '| x\n', ':1: ', "before any 'graft' line"),
            ('  in file, at end\n| x\n', ':1: ', 'not part of a graft'),
            ('graft a\n', ':1: ', 'not part of a graft'),
            (head + '| x\n  when xen < 4.20\n', ':4: ',
             "'when' after the graft's own text"),
            (head + '  when xen > 4.20\n| x\n', ':3: ', "'when' wants"),
            (head + '  when 4.20\n| x\n', ':3: ', "'when' wants"),
            (head + '  expect call x\n| x\n', ':3: ', "'expect' wants"),
            (head + '  expect after call x, each of 2\n| x\n', ':3: ',
             "'expect' cannot use 'each of'"),
        )
        for text, where, message in cases:
            with self.subTest(text):
                self.bad(text, C + where, message)

    def test_grafts_that_miss_something(self):
        head = 'graft a (t)\n  in function warm_up, '
        cases = (
            ('graft a (t)\n| x\n', "has no 'in SCOPE"),
            (head + 'at start\n', 'has no text of its own'),
            (head + 'after call open_valve\n| $call\n',
             "'$call' is only for 'replace'"),
            (head + 'replace call open_valve\n| $stmt\n',
             "'$stmt' is only for 'replace statement with'"),
            (head + 'replace statement with call open_valve\n| x; $stmt\n',
             "'$stmt' wants a line of its own"),
            (head + 'replace statement with call open_valve\n| $stmt\n'
             '| $stmt\n', "'$stmt' may be used once only"),
            ('graft a (t)\n  in file, sorted into list obj-\n| a\n| b\n',
             'wants exactly one line'),
        )
        for text, message in cases:
            with self.subTest(text):
                self.bad(text, C + ":1: graft 'a': ", message)

    def test_name_given_twice(self):
        self.bad('graft a (t)\n  in file, at end\n| x\n\n'
                 'graft a (t)\n  in file, at end\n| y\n',
                 C + ":5: graft 'a' is already at line 1")

    def test_bad_lines_of_several_files_are_all_listed(self):
        self.graft('nonsense\n', 'xen/include/engine.h')
        err = self.bad('nonsense\n\nmore nonsense\n', C + ':1: ')
        self.assertIn(C + ':3: ', err)
        self.assertIn('engine.h.graft:1: ', err)

    def test_file_that_is_no_text(self):
        self.file('grafts/xen/common/engine.c.graft', b'\xff\xfe\x00',
                  self.own)
        self.fails(C + ': cannot read')


class CommandLine(GraftCase):
    def test_wrong_options(self):
        for options in ((), ('--out',), ('--out', 'x', '--nix')):
            status, _, err = self.run_tool('apply', *options)
            self.assertEqual(status, 1)
            self.assertIn('usage:', err)
        self.assertEqual(self.run_tool('nix')[0], 1)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-only
"""Where each operator puts a graft, and what the result looks like."""

import unittest

from graft_case import GraftCase


class Statements(GraftCase):
    def test_before_call_goes_above_the_comment_of_the_statement(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, before call open_valve
            | look();
            ''', ('    /* Open before', '    look();\n    /* Open before'))

    def test_after_call_takes_the_whole_statement(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, after call start_engine #1 of 2
            | if ( rc )
            |     return rc;
            |
            ''', ('start_engine(e, 1));\n',
                  'start_engine(e, 1));\n    if ( rc )\n        return rc;\n'
                  '\n'))

    def test_after_call_goes_below_a_comment_on_its_line(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, after call start_engine #2 of 2
            | cool();
            ''', ('/* last one */\n', '/* last one */\n    cool();\n'))

    def test_each_of(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace call start_engine, each of 2
            | lu_start($args, 9)
            ''', ('start_engine(e, 1)', 'lu_start(e, 1, 9)'),
            ('    start_engine(e, 3)', '    lu_start(e, 3, 9)'))

    def test_call_in_a_block_gets_its_indentation(self):
        self.becomes('''\
            graft a (t)
              in function unloved, before call tick #2 of 2
            | tock();
            ''', ('    do {\n', '    do {\n        tock();\n'))

    def test_call_in_file_scope_finds_its_function(self):
        self.becomes('''\
            graft a (t)
              in file, after call open_valve
            | look();
            ''', ('    open_valve(e);\n', '    open_valve(e);\n    look();\n'))

    def test_preprocessor_lines_stay_in_column_0(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, after call open_valve
            | #ifdef CONFIG_X
            | look();
            | #endif
            ''', ('    open_valve(e);\n', '    open_valve(e);\n#ifdef CONFIG_X'
                  '\n    look();\n#endif\n'))

    def test_before_return(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, before return #2 of 2
            | rc += 1;
            ''', ('    return rc;\n', '    rc += 1;\n    return rc;\n'))

    def test_replace_return(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace statement with return #2 of 2
            | return rc ?: more();
            ''', ('    return rc;\n', '    return rc ?: more();\n'))

    def test_assign_beside_and_compound(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, after assign e->ready
            | seen();

            graft b (t)
              in function warm_up, before assign rc
            | unseen();
            ''', ('|= 1;\n', '|= 1;\n        seen();\n'),
            ('    rc = turn_key', '    unseen();\n    rc = turn_key'))

    def test_label(self):
        self.becomes('''\
            graft a (t)
              in function find_engine, after label out
            | done();

            graft b (t)
              in function find_engine, before label out
            | nearly_done();
            ''', (' out:\n', '    nearly_done();\n out:\n    done();\n'))

    def test_call_below_a_label_made_by_a_macro(self):
        self.file('xen/common/steps.c', '''\
void f(void)
{
    STEP(one):
        go();
}
''')
        self.becomes('''\
            graft a (t)
              in function f, before call go
            | lu();
            ''', ('        go();\n', '        lu();\n        go();\n'),
            target='xen/common/steps.c')


class Replacing(GraftCase):
    def test_call_realigns_the_lines_of_its_arguments(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace call turn_key
            | lu_turn_the_key(&lu, $args)
            ''', ('''\
    rc = turn_key(e,
                  degrees,
                  start_engine(e, 1));
''', '''\
    rc = lu_turn_the_key(&lu, e,
                              degrees,
                              start_engine(e, 1));
'''))

    def test_call_moves_left_too(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace call turn_key
            | turn($args)
            ''', ('''\
    rc = turn_key(e,
                  degrees,
                  start_engine(e, 1));
''', '''\
    rc = turn(e,
              degrees,
              start_engine(e, 1));
'''))

    def test_call_in_a_condition(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace call check_oil
            | (lu_on() || $call)
            ''', ('( check_oil(e) )', '( (lu_on() || check_oil(e)) )'))

    def test_statement_moves_and_keeps_its_shape(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace statement with call turn_key
            | if ( lu_on() )
            |     rc = lu_key();
            | else
            |     $stmt
            ''', ('''\
    rc = turn_key(e,
                  degrees,
                  start_engine(e, 1));
''', '''\
    if ( lu_on() )
        rc = lu_key();
    else
        rc = turn_key(e,
                      degrees,
                      start_engine(e, 1));
'''))

    def test_body_of_an_unbraced_if_gets_braces(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, replace statement with call add_oil
            | if ( !lu_on() )
            |     $stmt
            ''', ('''\
    if ( check_oil(e) )
        add_oil(e);
''', '''\
    if ( check_oil(e) )
    {
        if ( !lu_on() )
            add_oil(e);
    }
'''))

    def test_own_dollar_signs_in_upstream_text_are_left_alone(self):
        self.file('xen/common/money.c',
                  'void f(void)\n{\n    pay("$args", $call);\n}\n')
        self.becomes('''\
            graft a (t)
              in function f, replace call pay
            | lu_pay($args, $args)
            ''', ('pay("$args", $call)',
                  'lu_pay("$args", $call, "$args", $call)'),
            target='xen/common/money.c')


class Cases(GraftCase):
    def test_before_separates_as_upstream_does(self):
        self.becomes('''\
            graft a (t)
              in function shift, before case default
            | case GEAR_LU:
            |     break;
            ''', ('    default:\n',
                  '    case GEAR_LU:\n        break;\n\n    default:\n'))

    def test_after_separates_as_upstream_does(self):
        self.becomes('''\
            graft a (t)
              in function shift, after case GEAR_LOW
            | case GEAR_LU:
            |     break;
            ''', ('        lower(e);\n        break;\n',
                  '        lower(e);\n        break;\n\n'
                  '    case GEAR_LU:\n        break;\n'))

    def test_last_case(self):
        self.becomes('''\
            graft a (t)
              in function shift, after case default
            | case GEAR_LU:
            |     break;
            ''', ('        return -1;\n', '        return -1;\n\n'
                  '    case GEAR_LU:\n        break;\n'))

    def test_no_blank_line_where_upstream_has_none(self):
        self.file('xen/common/tight.c', '''\
int f(int a)
{
    switch ( a )
    {
    case A:
        return 1;
    case B:
        return 2;
    }
}
''')
        self.becomes('''\
            graft a (t)
              in function f, after case A
            | case LU:
            |     return 3;

            graft b (t)
              in function f, before case A
            | case LU2:
            |     return 4;
            ''', ('    case A:\n        return 1;\n', '''\
    case LU2:
        return 4;
    case A:
        return 1;
    case LU:
        return 3;
'''), target='xen/common/tight.c')


class Scopes(GraftCase):
    def test_start_of_a_function_is_after_its_declarations(self):
        self.becomes('''\
            graft a (t)
              in function warm_up, at start
            | first();
            ''', ('    /* Open before', '    first();\n    /* Open before'))

    def test_end_of_a_function(self):
        self.becomes('''\
            graft a (t)
              in function unloved, at end
            | last();
            ''', ('    } while ( wait_for(2) );\n',
                  '    } while ( wait_for(2) );\n    last();\n'))

    def test_a_function_with_words_before_and_lines_of_arguments(self):
        self.becomes('''\
            graft a (t)
              in function shift, before call both
            | lu();
            ''', ('        both(e);\n', '        lu();\n        both(e);\n'))

    def test_a_function_that_returns_a_pointer(self):
        self.becomes('''\
            graft a (t)
              in function find_engine, before call look_again
            | lu();
            ''', ('    look_again', '    lu();\n    look_again'))

    def test_alternative_names(self):
        self.becomes('''\
            graft a (t)
              in function old_shift|shift, before call both
            | lu();
            ''', ('        both(e);\n', '        lu();\n        both(e);\n'))

    def test_one_of_two_functions_of_a_name(self):
        self.file('xen/common/two.c', '''\
#ifdef A
int f(int a)
{
    return a;
}
#else
int f(int a)
{
    return a + 1;
}
#endif
''')
        self.becomes('''\
            graft a (t)
              in function f #2 of 2, at start
            | lu();
            ''', ('    return a + 1;', '    lu();\n    return a + 1;'),
            target='xen/common/two.c')

    def test_struct(self):
        self.becomes('''\
            graft a (t)
              in struct engine, at start
            | int first;

            graft b (t)
              in struct engine, at end
            |
            | #ifdef CONFIG_LU
            | struct lu *lu;
            | #endif
            ''', ('struct engine {\n', 'struct engine {\n    int first;\n'),
            ('    char plate[8];\n', '    char plate[8];\n\n#ifdef CONFIG_LU\n'
             '    struct lu *lu;\n#endif\n'))

    def test_a_struct_with_an_attribute_after_it(self):
        self.file('xen/common/page.h',
                  'struct page {\n    int a;\n} __aligned(PAGE_SIZE);\n')
        self.becomes('''\
            graft a (t)
              in struct page, at end
            | int b;
            ''', ('    int a;\n', '    int a;\n    int b;\n'),
            target='xen/common/page.h')

    def test_fields(self):
        self.becomes('''\
            graft a (t)
              in struct engine, before field heat
            | int a;

            graft b (t)
              in struct engine, after field ready
            | int b;

            graft c (t)
              in struct engine, after field wheel
            | int c;

            graft d (t)
              in struct engine, after field horn
            | int d;

            graft e (t)
              in struct engine, after field plate
            | int e;

            graft f (t)
              in struct engine, before field right
            | int f;
            ''', ('    /* How hot', '    int a;\n    /* How hot'),
            ('ready:1;\n', 'ready:1;\n    int b;\n'),
            ('    } wheel;\n', '    } wheel;\n    int c;\n'),
            ('tone);\n', 'tone);\n    int d;\n'),
            ('plate[8];\n', 'plate[8];\n    int e;\n'),
            ('        int left', '        int f;\n        int left'))

    def test_enum(self):
        self.becomes('''\
            graft a (t)
              in enum gear, at end
            | gear_lu,

            graft b (t)
              in enum gear, after field gear_low
            | gear_mid,
            ''', ('    gear_low,\n    gear_high,\n',
                  '    gear_low,\n    gear_mid,\n    gear_high,\n'
                  '    gear_lu,\n'))

    def test_array(self):
        self.becomes('''\
            graft a (t)
              in array lever, at end
            | [2] = 3,
            ''', ('    [1] = 2,\n', '    [1] = 2,\n    [2] = 3,\n'))

    def test_end_of_file_is_above_the_editor_footer(self):
        self.becomes('''\
            graft a (t)
              in file, at end
            |
            | #include "lu.c"
            ''', ('\n/*\n * Local variables', '\n#include "lu.c"\n\n'
                  '/*\n * Local variables'))

    def test_end_of_a_header_is_inside_its_guard(self):
        self.becomes('''\
            graft a (t)
              in file, at end
            | #define LU 1
            |
            ''', ('#endif /*', '#define LU 1\n\n#endif /*'),
            target='xen/include/engine.h')

    def test_start_of_a_header_is_inside_its_guard(self):
        self.becomes('''\
            graft a (t)
              in file, at start
            | #define LU 1
            ''', ('#define TOY_ENGINE_H\n',
                  '#define TOY_ENGINE_H\n#define LU 1\n'),
            target='xen/include/engine.h')

    def test_start_of_a_file_is_after_its_first_comment(self):
        self.becomes('''\
            graft a (t)
              in file, at start
            | #define LU 1
            ''', ('is no call. */\n', 'is no call. */\n#define LU 1\n'))

    def test_end_of_a_file_without_newline(self):
        self.file('xen/common/short.c', 'int a;')
        self.becomes('''\
            graft a (t)
              in file, at end
            | int b;
            ''', ('int a;', 'int a;\nint b;'), target='xen/common/short.c')


class FileItems(GraftCase):
    def test_include_define_decl(self):
        self.becomes('''\
            graft a (t)
              in file, after include <toy/engine.h>
            | #include <toy/lu.h>

            graft b (t)
              in file, after define GEAR_HIGH
            | #define GEAR_LU 3

            graft c (t)
              in file, after define WIDE
            | #define NARROW 1

            graft d (t)
              in file, after decl fuel_left
            | int lu_fuel(void);

            graft e (t)
              in file, before decl warm_up
            | int lu_warm(void);
            ''', ('<toy/engine.h>\n', '<toy/engine.h>\n#include <toy/lu.h>\n'),
            ('goes on */\n', 'goes on */\n#define GEAR_LU 3\n'),
            ('while ( 0 )\n', 'while ( 0 )\n#define NARROW 1\n'),
            ('unsigned int side);\n',
             'unsigned int side);\nint lu_fuel(void);\n'),
            ('int warm_up(int degrees);',
             'int lu_warm(void);\nint warm_up(int degrees);'))

    def test_assembler(self):
        self.becomes('''\
            graft a (t)
              in asm turn, before insn call spin
            | testq   $FLAG_LU, %rax
            | jnz     .Llu

            graft b (t)
              in asm turn, after insn call spin
            | .Llu:

            graft c (t)
              in asm turn, after label .Lagain
            | nop

            graft d (t)
              in asm spin, before insn ret
            | nop
            ''', ('        call    spin\n        testq', '''\
        testq   $FLAG_LU, %rax
        jnz     .Llu
        call    spin
.Llu:
        testq'''), ('.Lagain:\n', '.Lagain:\n        nop\n'),
            ('        ret\nEND', '        nop\n        ret\nEND'),
            target='xen/arch/loop.S')

    def test_insn_in_file_scope(self):
        self.becomes('''\
            graft a (t)
              in file, after insn testq FLAG_TURN
            | nop
            ''', ('FLAG_TURN, %rax\n', 'FLAG_TURN, %rax\n        nop\n'),
            target='xen/arch/loop.S')

    def test_linker_script(self):
        self.becomes('''\
            graft a (t)
              in file, after insn *(.text)
            | *(.lu)

            graft b (t)
              in file, before assign _end
            | _lu = .;
            ''', ('       *(.text)\n', '       *(.text)\n       *(.lu)\n'),
            ('  _end = .;\n', '  _lu = .;\n  _end = .;\n'),
            target='xen/arch/toy.lds.S')

    def test_sorted_into_the_first_run(self):
        self.becomes('''\
            graft a (t)
              in file, sorted into list obj-
            | obj-$(CONFIG_LU) += liveupdate/
            ''', ('gamma.o\n', 'gamma.o\nobj-$(CONFIG_LU) += liveupdate/\n'),
            target='xen/common/Makefile')

    def test_sorted_into_the_head_of_a_list(self):
        self.becomes('''\
            graft a (t)
              in file, sorted into list obj-
            | obj-y += aaa.o
            ''', ('obj-y += alpha.o\n', 'obj-y += aaa.o\nobj-y += alpha.o\n'),
            target='xen/common/Makefile')

    def test_kconfig(self):
        self.becomes('''\
            graft a (t)
              in file, after config TURBO
            | source "common/lu/Kconfig"
            ''', ('walk.\n\n', 'walk.\n\nsource "common/lu/Kconfig"\n\n'),
            target='xen/common/Kconfig')

    def test_kconfig_before(self):
        self.becomes('''\
            graft a (t)
              in file, before config HORN
            | source "common/lu/Kconfig"
            ''', ('config HORN', 'source "common/lu/Kconfig"\n\nconfig HORN'),
            target='xen/common/Kconfig')

    def test_order_of_grafts_at_one_place(self):
        self.becomes('''\
            graft below (t)
              in function warm_up, before assign e->ready
            | second();

            graft above (t)
              in function warm_up, after assign e->heat
            | first();

            graft above2 (t)
              in function warm_up, after assign e->heat
            | first_too();
            ''', ('        e->ready', '        first();\n        first_too();\n'
                  '        second();\n        e->ready'))


if __name__ == '__main__':
    unittest.main()

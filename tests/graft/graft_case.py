# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of scripts/graft share: made-up trees to graft into.

Each test gets a directory with a small tree in the shape of Xen's (all of it
text of our own), a place for grafts and own files, and runs the tool as its
users do.  applied() is the happy path.  fails() is the other one: it wants
exit status 1, the named words in one line, no output tree and an untouched
source tree, from check and from apply.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = TOP / 'scripts' / 'graft'

MAKEFILE = '''\
# A makefile of a made-up tree.
export XEN_VERSION       = %d
export XEN_SUBVERSION    = %d
export XEN_EXTRAVERSION ?= .9$(XEN_VENDORVERSION)
'''

ENGINE_C = '''\
/* engine.c: a made-up engine. start_engine(0) in a comment is no call. */
#include <toy/engine.h>
#include <toy/wheel.h>

#define GEAR_LOW  1
#define GEAR_HIGH 2 /* a comment that
                     * goes on */
#define WIDE(x) do { \\
        stop_engine(x); \\
    } while ( 0 )

int warm_up(int degrees);
static int fuel_left(const struct tank *tank,
                     unsigned int side);

struct tank;

static int lever[] = {
    [0] = 1,
    [1] = 2,
};

static const char *const name_of[] = { "low", "high" };

enum gear {
    gear_low,
    gear_high,
};

struct engine {
    /* How hot it is. */
    int heat;
    unsigned int ready:1;
    struct {
        int left, right;
    } wheel;
    void (*horn)(int tone);
    char plate[8];
};

static int warm_up_twice = 1;

int warm_up(int degrees)
{
    struct engine *e = engine_of(degrees);
    int rc;

    /* Open before anything else. */
    open_valve(e);

    if ( e->heat )
        return 0;

    if ( check_oil(e) )
        add_oil(e);
    else
    {
        e->heat = degrees;
        e->ready |= 1;
    }

    rc = turn_key(e,
                  degrees,
                  start_engine(e, 1));
    log_line("start_engine(2) in a string is no call");
    start_engine(e, 3); /* last one */

    return rc;
}

static int __init cf_check
shift(struct engine *e,
      int where)
{
    switch ( where )
    {
    case GEAR_LOW:
        lower(e);
        break;

    case GEAR_HIGH:
        higher(e);
        /* fallthrough */
    case 3:
    case 4:
        both(e);
        break;

    default:
        return -1;
    }

    return 0;
}

struct engine *__init find_engine(int number)
{
    struct engine *e = NULL;

#ifdef CONFIG_TURBO
    boost(number);
#endif
    for_each_engine ( e )
        if ( e->heat == number )
            goto out;

    look_again(number);

 out:
    put_key(e);
    return e;
}

void unloved(void)
{
    while ( wait_for(1) )
        tick();
    do {
        tick();
    } while ( wait_for(2) );
}

/*
 * Local variables:
 * mode: C
 * End:
 */
'''

ENGINE_H = '''\
/* engine.h: what there is to know. */
#ifndef TOY_ENGINE_H
#define TOY_ENGINE_H

#define KEYS 3

int warm_up(int degrees);

#endif /* TOY_ENGINE_H */
'''

LOOP_S = '''\
/* loop.S: call spin in a comment is no instruction
        call    spin
 */
#include <toy/asm.h>

ENTRY(turn)
        movq    %rdi, %rax
        call    spin
        testq   $FLAG_TURN, %rax
.Lagain:
        jnz     .Lagain
        call    stop
        ret

spin:
        call    stop
        ret
END(spin)
'''

LINKER_S = '''\
SECTIONS
{
  _start = .;
  .text : {
       *(.text)
  }
  _end = .;
}
'''

LIST_MK = '''\
obj-y += alpha.o
obj-$(CONFIG_GAMMA) += gamma.o
obj-y += omega/

extra-y := more.o
obj-y += zeta.o
'''

KCONFIG = '''\
menu "Toys"

config TURBO
\tbool "Turbo"
\thelp
\t  Goes faster.

\t  If unsure, walk.

config HORN
\tbool

endmenu
'''


def snapshot(root):
    """{path: (mode, content)} of all files below ROOT."""
    return {str(path.relative_to(root)): (path.stat().st_mode,
                                          path.read_bytes())
            for path in pathlib.Path(root).rglob('*') if path.is_file()}


def git(where, *args):
    """Runs git on its own, whoever the user is; returns what it printed."""
    done = subprocess.run(
        ('git', '-c', 'user.name=T', '-c', 'user.email=t@example.org',
         '-c', 'core.excludesFile=/dev/null') + args, cwd=where, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


class GraftCase(unittest.TestCase):
    """A test with a tree in self.xen and grafts in self.grafts."""

    maxDiff = None

    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix='graft-test-'))
        self.addCleanup(shutil.rmtree, self.top)
        self.xen = self.top / 'src'
        self.own = self.top / 'own'
        self.grafts = self.own / 'grafts'
        self.build = self.top / 'build'
        self.grafts.mkdir(parents=True)
        self.file('xen/Makefile', MAKEFILE % (4, 17))
        self.file('xen/common/engine.c', ENGINE_C)
        self.file('xen/include/engine.h', ENGINE_H)
        self.file('xen/arch/loop.S', LOOP_S)
        self.file('xen/arch/toy.lds.S', LINKER_S)
        self.file('xen/common/Makefile', LIST_MK)
        self.file('xen/common/Kconfig', KCONFIG)

    def file(self, path, text, root=None):
        """Write a file of the tree (or below ROOT)."""
        path = (root or self.xen) / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def graft(self, text, target='xen/common/engine.c', grafts='grafts'):
        """Write the grafts of one file; line 1 of TEXT is its line 1."""
        return self.file('%s/%s.graft' % (grafts, target),
                         textwrap.dedent(text), self.own)

    def run_tool(self, command, *options):
        """(exit status, standard output, standard error)."""
        # A made-up author, so that export works on any machine.
        env = dict(os.environ, GIT_AUTHOR_NAME='A Tester',
                   GIT_AUTHOR_EMAIL='tester@example.org')
        done = subprocess.run(
            [sys.executable, str(TOOL), command, '--xen', str(self.xen),
             '--grafts', str(self.grafts), '--own', str(self.own)] +
            [str(option) for option in options],
            cwd=self.top, env=env, capture_output=True, text=True,
            check=False)
        self.assertNotIn('Traceback', done.stderr)
        return done.returncode, done.stdout, done.stderr

    def apply(self, *options):
        """Apply; gives what it printed."""
        before = snapshot(self.xen)
        status, out, err = self.run_tool('apply', '--out', self.build,
                                         *options)
        self.assertEqual((status, err), (0, ''))
        self.assertEqual(snapshot(self.xen), before)
        return out

    def applied(self, target='xen/common/engine.c'):
        """Apply; gives the new text of TARGET."""
        self.apply()
        return (self.build / target).read_text()

    def becomes(self, graft, *changes, target='xen/common/engine.c'):
        """The grafts in GRAFT make each (old, new) of CHANGES, no more."""
        self.graft(graft, target)
        wanted = (self.xen / target).read_text()
        for old, new in changes:
            self.assertEqual(wanted.count(old), 1, 'test text: ' + old)
            wanted = wanted.replace(old, new)
        self.assertEqual(self.applied(target), wanted)

    def fails(self, *words, options=()):
        """check and apply fail with one line that holds all of WORDS."""
        before = snapshot(self.xen)
        for command in ('check', 'apply'):
            extra = ('--out', self.build) if command == 'apply' else ()
            status, out, err = self.run_tool(command, *extra, *options)
            self.assertEqual(status, 1, out + err)
            self.assertIn('nothing written', err)
            self.assertTrue(any(all(word in line for word in words)
                                for line in err.split('\n')),
                            'no line with %s in:\n%s' % (words, err))
        self.assertFalse(self.build.exists(), 'something was written')
        self.assertEqual(snapshot(self.xen), before)
        return err

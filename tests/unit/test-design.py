#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The design document against the code: blockers, free options.

Usage: test-design.py

Every blocker of the code must have its row in docs/designs/live-update.md, word for
word and with its errno, and every row its blocker; a scenario that is said to have seen
it must name it. So must the options of the
command line that an update may change, and what may be lost.
"""

import sys

from design_text import (DESIGN, ROOT, blockers, documented, expects, free_options,
                         losses)
from spec_text import Checks


def names(items):
    return ', '.join(repr(i) for i in sorted(items))


def main():
    checks = Checks()
    code, (table, free, lost) = blockers(), documented()
    named, called = losses()

    checks.check('design/blockers-found', len(code) < 40 and f'only {len(code)} in the code')
    checks.check('design/every-blocker-has-its-row', names(set(code) - set(table)))
    checks.check('design/every-row-has-its-blocker', names(set(table) - set(code)))
    checks.check('design/errnos', '; '.join(
        f'{m!r}: {table[m][0]}, the code has {e}' for m, e in code.items()
        if e and m in table and table[m][0] != e))
    checks.check('design/seen-in', '; '.join(
        f'{m!r}: {seen}' for m, (_, seen) in table.items()
        if not (seen.startswith('no: ') or expects(seen.strip('`'), m))))

    checks.check('design/free-options', names(set(free or []) ^ set(free_options())))

    manual = (ROOT / 'docs/man/xl-live-update.1.pod').read_text()
    checks.check('design/losses', lost != named and f'{lost}, the code has {named}')
    checks.check('design/losses-are-blockers', '; '.join(
        f'{name}: its blocker is {of!r}' for name, of in called.items() if of != name))
    checks.check('design/losses-in-the-manual', names(
        n for n in named if f'=item B<{n}>' not in manual))

    for path in (DESIGN, ROOT / 'docs/misc/live-update-command-line.md', ROOT / 'README.md'):
        long = [n for n, line in enumerate(path.read_text().splitlines(), 1)
                if len(line) > 90 and not line.startswith(('|', '    '))]
        checks.check(f'design/lines/{path.name}', long and f'too long: {long}')

    return checks.sum()


if __name__ == '__main__':
    sys.exit(main())

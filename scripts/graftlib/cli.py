# SPDX-License-Identifier: GPL-2.0-only
"""The command line of scripts/graft.

Happy path: one command, exit status 0 and one line that says what was done.
On any failure: every failing graft, own file or option on standard error,
exit status 1, and nothing written.
"""

import argparse
import os
import sys

from . import apply as graft_apply, export as graft_export
from . import lint as graft_lint
from .format import Failure
from .plan import Plan


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(1, '%s: %s\n' % (self.prog, message))


def _options(repository):
    parser = _Parser(prog='graft', description='Carries inserts into Xen '
                     'without carrying text of Xen (docs/grafts.md).')
    commands = parser.add_subparsers(dest='command', required=True,
                                     parser_class=_Parser)
    for name, text in (('check', 'locate every graft, write nothing'),
                       ('apply', 'make or refresh a grafted tree'),
                       ('export', 'write the grafts as a series of patches'),
                       ('lint', 'report graft lines that are lines of Xen')):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument('--xen', required=True, metavar='SRC',
                             help='pristine Xen tree; never written')
        command.add_argument('--grafts', metavar='DIR',
                             default=os.path.join(repository, 'grafts'),
                             help='the grafts (default: %(default)s)')
        command.add_argument('--own', metavar='DIR', default=repository,
                             help='root of the own files '
                             '(default: %(default)s)')
        command.add_argument('--variant', metavar='NAME', action='append',
                             default=[], help='also use the grafts of '
                             'GRAFTS.NAME; may be repeated')
        if name == 'check':
            command.add_argument('-v', '--verbose', action='store_true',
                                 help='show where every graft lands')
        elif name != 'lint':
            command.add_argument('--out', required=True, metavar='DIR',
                                 help='the directory to write')
    return parser


def _places(plan):
    for target, edits in sorted(plan.edits.items()):
        for edit in sorted(edits, key=lambda e: (e.start, e.side)):
            print('%s:%d: %s (%s)' % (target,
                                      plan.texts[target].line(edit.start),
                                      edit.graft.name, edit.graft.id))


def _run(options):
    plan = Plan(options.xen, options.grafts, options.own, options.variant)
    what = '%d grafts in %d files, %d own files' % (
        len(plan.active), len(plan.edits), len(plan.own_files))
    if plan.dropped:
        what += ' (%d grafts are not for Xen %d.%d)' % (
            (len(plan.dropped),) + plan.version)
    if options.command == 'check':
        if options.verbose:
            _places(plan)
        print('graft check: %s fit Xen %s' % (what, plan.full_version))
    elif options.command == 'apply':
        counts = graft_apply.apply(plan, options.out)
        print('graft apply: %s; %d written, %d put back, %d removed in %s'
              % (what, counts['written'], counts['put back'],
                 counts['removed'], options.out))
    elif options.command == 'export':
        done, empty = graft_export.export(plan, options.out)
        for topic in empty:
            print("graft export: topic '%s' has nothing for Xen %s"
                  % (topic, plan.full_version))
        print('graft export: %s; %d patches in %s'
              % (what, len(done), options.out))
    else:
        failures, notes = graft_lint.lint(plan)
        for note in notes:
            print('graft lint: %s' % note)
        if failures:
            raise Failure(failures)
        print('graft lint: %s; no line of %d tokens or more is in Xen'
              % (what, graft_lint.LEAST))


def main(repository, arguments=None):
    """Run the command in ARGUMENTS; gives the exit status.

    REPOSITORY is the root of the repository this tool belongs to.
    """
    options = _options(repository).parse_args(arguments)
    try:
        _run(options)
    except Failure as failure:
        for line in failure.lines:
            print(line, file=sys.stderr)
        print('graft %s: %d failure%s%s'
              % (options.command, len(failure.lines),
                 '' if len(failure.lines) == 1 else 's',
                 '' if options.command == 'lint' else ', nothing written'),
              file=sys.stderr)
        return 1
    except OSError as error:
        print('graft %s: %s' % (options.command, error), file=sys.stderr)
        return 1
    return 0

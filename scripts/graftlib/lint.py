# SPDX-License-Identifier: GPL-2.0-only
"""Looks for lines of Xen among the grafts' own text.

Happy path: every line of every body is split into tokens and looked up among
the lines of the file it is grafted into; nothing is found.

What it reports: a line of LEAST tokens or more that the file has too, with or
without its comment; a 'when' without a comment that says why.  Shorter lines
('break;') are left to the reader, so a clean lint is no proof.
"""

import re

LEAST = 4
MANY_GRAFTS = 40
MANY_WHENS = 3

_TOKEN = re.compile(r'[A-Za-z_]\w*|\d\w*|"(?:\\.|[^"\\])*"'
                    r'|->|<<=?|>>=?|&&|\|\||[-+*/%&|^=!<>]=|\+\+|--|\.\.\.'
                    r'|\S')
_COMMENT = re.compile(r'/\*.*?(?:\*/|$)|//.*$')


def tokens(line):
    return tuple(_TOKEN.findall(line))


def _forms(line):
    """The token sequences LINE is compared by: as it is, without comment."""
    return {form for form in (tokens(line), tokens(_COMMENT.sub(' ', line)))
            if len(form) >= LEAST}


def _reasoned(path, number):
    """True if line NUMBER of PATH, or the line above it, has a comment."""
    with open(path, encoding='utf-8') as stream:
        lines = [''] + stream.read().split('\n')
    return bool(re.search(r'\s#\s', lines[number])) or \
        lines[number - 1].lstrip().startswith('#')


def lint(plan):
    """(failures, notes) about PLAN's grafts, each a list of lines."""
    failures, notes = [], []
    lines = {}
    for graft in plan.active:
        text = plan.texts[graft.target]
        if graft.target not in lines:
            held = lines[graft.target] = {}
            for number, line in enumerate(text.text.split('\n'), 1):
                for form in _forms(line):
                    held.setdefault(form, []).append(number)
        for number, line in zip(graft.body_lines, graft.body):
            for form in sorted(_forms(line), key=len, reverse=True):
                same = lines[graft.target].get(form)
                if same:
                    failures.append(
                        "%s:%d: graft '%s': '%s' is a line of %s (line %s)"
                        % (graft.source, number, graft.name, line.strip(),
                           graft.target, ', '.join(map(str, same))))
                    break
    for graft in plan.grafts:
        for number in graft.when_lines:
            if not _reasoned(graft.path, number):
                failures.append("%s:%d: graft '%s': 'when' without a comment "
                                'that says why'
                                % (graft.source, number, graft.name))
    if len(plan.grafts) > MANY_GRAFTS:
        notes.append('%d grafts are more than %d; can Xen offer a mechanism '
                     'instead?' % (len(plan.grafts), MANY_GRAFTS))
    whens = sum(bool(graft.when) for graft in plan.grafts)
    if whens > MANY_WHENS:
        notes.append("%d grafts with 'when' are more than %d"
                     % (whens, MANY_WHENS))
    return failures, notes

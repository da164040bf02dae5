# SPDX-License-Identifier: GPL-2.0-only
"""Reads .graft files.

Happy path: read_grafts(DIR) finds every *.graft below DIR; the path below DIR
without the suffix is the file of Xen it applies to.  Each file becomes Graft
objects in the order written.

What can fail: a line that is no part of the format, a graft that misses its
'in' line or its body, a combination that makes no sense ('sorted into' a
call), a name given twice.  Every such line is reported with file and line;
reading goes on, so that all of them are reported at once.
"""

import os
import re

SCOPES = ('file', 'function', 'struct', 'enum', 'array', 'asm')

# place: (scopes it may be in, how many words name it)
PLACES = {
    'call':    (('file', 'function'), (1, 1)),
    'decl':    (('file',), (1, 1)),
    'case':    (('function',), (1, 1)),
    'field':   (('struct', 'enum'), (1, 1)),
    'define':  (('file',), (1, 1)),
    'include': (('file',), (1, 1)),
    'label':   (('file', 'function', 'asm'), (1, 1)),
    'insn':    (('file', 'asm'), (1, 2)),
    'config':  (('file',), (1, 1)),
    'list':    (('file',), (1, 1)),
    'return':  (('function',), (0, 0)),
    'assign':  (('file', 'function', 'asm'), (1, 1)),
}

_BESIDE = ('call', 'decl', 'case', 'field', 'define', 'include', 'label',
           'insn', 'config', 'assign')
OPERATORS = {
    'before': _BESIDE + ('return',),
    'after': _BESIDE,
    'replace': ('call',),
    'replace statement with': ('call', 'assign', 'return'),
    'sorted into': ('list',),
    'at start': (),
    'at end': (),
}
_WORDS = {'$call': ('replace',), '$args': ('replace',),
          '$stmt': ('replace statement with',)}

_GRAFT = re.compile(r'graft\s+([\w.-]+)\s+\(([\w.-]+)\)$')
_COUNT = re.compile(r'\s+#(\d+)\s+of\s+(\d+)$|\s*,\s*each\s+of\s+(\d+)$')
_SCOPE_COUNT = re.compile(r'\s+#(\d+)\s+of\s+(\d+)\s*$')
_WHEN = re.compile(r'xen\s*(>=|<)\s*(\d+)\.(\d+)$')
_REMARK = re.compile(r'\s+#\s.*$|\s+#$')
_BODY_WORD = re.compile(r'\$(?:call|args|stmt)\b')


class Failure(Exception):
    """What went wrong, as lines to print."""

    def __init__(self, lines):
        self.lines = [lines] if isinstance(lines, str) else list(lines)
        Exception.__init__(self, '\n'.join(self.lines))


class Place:
    """A place and how many of its matches are wanted.

    WANT is ('one', 1, 1), ('pick', N, M) or ('each', N, N).
    """

    def __init__(self, kind, words, want):
        self.kind = kind
        self.words = words
        self.want = want

    def __str__(self):
        return ' '.join((self.kind,) + tuple(self.words))


class Graft:
    """One graft.

    PATH is its file, SOURCE the file's name in messages; ID is 'source:line'
    of its first line.
    """

    def __init__(self, path, source, line, name, topic, target):
        self.path = path
        self.source = source
        self.line = line
        self.name = name
        self.topic = topic
        self.target = target
        self.scope = None
        self.scope_name = ''
        self.scope_want = (1, 1)
        self.operator = None
        self.place = None
        self.when = []
        self.when_lines = []
        self.expect = []
        self.body = []
        self.body_lines = []

    @property
    def id(self):
        return '%s:%d' % (self.source, self.line)

    def failure(self, message):
        return "%s: graft '%s': %s" % (self.id, self.name, message)

    def scope_text(self):
        return (self.scope + ' ' + self.scope_name).strip()

    def holds(self, version):
        """True if every 'when' holds for VERSION, a (major, minor) pair."""
        return all(version >= other if sign == '>=' else version < other
                   for sign, other in self.when)


class _Bad(Exception):
    """What is wrong with the line being read."""


def _read_place(words):
    count = _COUNT.search(words)
    want = ('one', 1, 1)
    if count:
        words = words[:count.start()]
        if count.group(3):
            want = ('each', int(count.group(3)), int(count.group(3)))
        else:
            want = ('pick', int(count.group(1)), int(count.group(2)))
        if not 1 <= want[1] <= want[2]:
            raise _Bad("count '%s' makes no sense" % count.group().strip())
    kind, *names = words.split()
    if kind not in PLACES:
        raise _Bad("unknown place '%s'" % words)
    low, high = PLACES[kind][1]
    if not low <= len(names) <= high:
        raise _Bad("'%s' wants %s name(s), not %d"
                   % (kind, low if low == high else '%d to %d' % (low, high),
                      len(names)))
    return Place(kind, tuple(names), want)


def _read_in(graft, line):
    if graft.operator:
        raise _Bad("a second 'in' line")
    scope, comma, rest = line.partition(',')
    count = _SCOPE_COUNT.search(scope)
    if count:
        scope = scope[:count.start()]
        graft.scope_want = int(count.group(1)), int(count.group(2))
        if not 1 <= graft.scope_want[0] <= graft.scope_want[1]:
            raise _Bad("count '%s' makes no sense" % count.group().strip())
    kind, *names = scope.split() or ['']
    if kind not in SCOPES:
        raise _Bad("unknown scope '%s'" % scope.strip())
    if len(names) != (kind != 'file'):
        raise _Bad("scope '%s' wants %s" %
                   (kind, 'no name' if kind == 'file' else 'one name'))
    rest = ' '.join(rest.split())
    operator = next((op for op in sorted(OPERATORS, key=len, reverse=True)
                     if (rest + ' ').startswith(op + ' ')), None)
    if operator is None:
        raise _Bad("unknown operator in '%s'" % rest if comma else
                   "no ', OPERATOR' after the scope")
    words = rest[len(operator):].strip()
    place = None
    if OPERATORS[operator]:
        if not words:
            raise _Bad("'%s' wants a place" % operator)
        place = _read_place(words)
        if place.kind not in OPERATORS[operator]:
            raise _Bad("'%s %s' is not possible" % (operator, place.kind))
        if kind not in PLACES[place.kind][0]:
            raise _Bad("'%s' has no place in scope '%s'" % (place.kind, kind))
    elif words:
        raise _Bad("'%s' takes no place" % operator)
    graft.scope, graft.scope_name = kind, ' '.join(names)
    graft.operator, graft.place = operator, place


def _read_expect(graft, line):
    side, _, words = ' '.join(line.split()).partition(' ')
    if side not in ('before', 'after') or not words:
        raise _Bad("'expect' wants 'before PLACE' or 'after PLACE'")
    place = _read_place(words)
    if place.want[0] == 'each':
        raise _Bad("'expect' cannot use 'each of'")
    graft.expect.append((side, place))


def _read_when(graft, line, number):
    found = _WHEN.match(line)
    if not found:
        raise _Bad("'when' wants 'xen >= X.Y' or 'xen < X.Y'")
    graft.when.append((found.group(1),
                       (int(found.group(2)), int(found.group(3)))))
    graft.when_lines.append(number)


def _finish(graft, failures):
    """Report what GRAFT misses as a whole."""
    def bad(message):
        failures.append(graft.failure(message))

    if not graft.operator:
        bad("has no 'in SCOPE, OPERATOR PLACE' line")
        return
    if not graft.body:
        bad("has no text of its own")
        return
    for _, place in graft.expect:
        if graft.scope not in PLACES[place.kind][0] and graft.scope != 'file':
            bad("'expect': '%s' has no place in scope '%s'"
                % (place.kind, graft.scope))
    used = {word for line in graft.body for word in _BODY_WORD.findall(line)}
    for word in sorted(used):
        if graft.operator not in _WORDS[word]:
            bad("'%s' is only for '%s'" % (word, _WORDS[word][0]))
    if graft.operator == 'replace statement with':
        if sum(line.strip() == '$stmt' for line in graft.body) > 1:
            bad("'$stmt' may be used once only")
        if any('$stmt' in line and line.strip() != '$stmt'
               for line in graft.body):
            bad("'$stmt' wants a line of its own")
    if graft.operator == 'sorted into' and len(graft.body) != 1:
        bad("'sorted into' wants exactly one line of its own")


def read_file(path, source, target, failures):
    """The grafts of one file; adds what is wrong to FAILURES."""
    grafts, names = [], {}
    try:
        with open(path, encoding='utf-8') as stream:
            lines = stream.read().split('\n')
    except (OSError, UnicodeDecodeError) as error:
        failures.append('%s: cannot read: %s' % (source, error))
        return grafts
    graft = None
    for number, line in enumerate(lines, 1):
        def bad(message, number=number):
            failures.append('%s:%d: %s' % (source, number, message))

        text = line.strip()
        if line.startswith('|'):
            if graft is None:
                bad("own text before any 'graft' line")
            elif line != '|' and not line.startswith('| '):
                bad("'|' is followed by neither a blank nor the line's end")
            else:
                graft.body.append(line[2:].rstrip())
                graft.body_lines.append(number)
            continue
        if not text or text.startswith('#'):
            continue
        text = _REMARK.sub('', text)
        found = _GRAFT.match(text) if not line[0].isspace() else None
        if found:
            graft = Graft(path, source, number, *found.groups(), target)
            if graft.name in names:
                bad("graft '%s' is already at line %d"
                    % (graft.name, names[graft.name]))
            names.setdefault(graft.name, number)
            grafts.append(graft)
            continue
        word, _, rest = text.partition(' ')
        try:
            if graft is None or not line[0].isspace() or \
               word not in ('in', 'when', 'expect'):
                raise _Bad('not part of a graft')
            if graft.body:
                raise _Bad("'%s' after the graft's own text" % word)
            if word == 'in':
                _read_in(graft, rest)
            elif word == 'when':
                _read_when(graft, rest.strip(), number)
            else:
                _read_expect(graft, rest)
        except _Bad as error:
            bad("%scannot read: %s: %s"
                % ("graft '%s': " % graft.name if graft else '', text, error))
    broken = any(line.startswith(source + ':') for line in failures)
    for graft in grafts:
        if not broken:
            _finish(graft, failures)
    return grafts


def read_grafts(directory, shown):
    """All grafts below DIRECTORY; SHOWN is its name in messages.

    Raises Failure with every bad line found.
    """
    if not os.path.isdir(directory):
        raise Failure('%s: no such directory' % shown)
    grafts, failures = [], []
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            if not name.endswith('.graft'):
                continue
            path = os.path.join(folder, name)
            target = os.path.relpath(path, directory)
            source = os.path.join(shown, target)
            grafts += read_file(path, source, target[:-len('.graft')],
                                failures)
    if failures:
        raise Failure(failures)
    return grafts

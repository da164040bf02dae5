# SPDX-License-Identifier: GPL-2.0-only
"""Finds scopes and places in a Text.

Happy path: find_scope() gives the one Scope a graft names; find_places()
gives the Matches of its place inside that scope, as many as the graft wants.

What can fail: a scope that is not there exactly once, a place that does not
match as often as wanted, a function whose braces do not pair.  Each raises
Missed with a message naming what was looked for and the lines that matched.
"""

import re

from . import statements


class Missed(Exception):
    """A scope or a place that is not as the graft wants it."""


class Scope:
    """Where to look: text[start:end], inside the brackets of the scope.

    OPEN and CLOSE are the brackets, or None in scopes without any.
    """

    def __init__(self, name, start, end, brackets=None):
        self.name = name
        self.start = start
        self.end = end
        self.open, self.close = brackets or (None, None)


class Match:
    """A found place: text[start:end].  ARGS is '(' and ')' of a call."""

    def __init__(self, start, end, args=None, node=None, body=None):
        self.start = start
        self.end = end
        self.args = args
        self.node = node
        self.body = body


def _names(names):
    """A pattern for NAMES, alternatives being separated by '|'."""
    return '(?:%s)' % '|'.join(re.escape(name) for name in names.split('|'))


def _whole(names):
    return r'(?<![\w.$])%s(?![\w.$])' % _names(names)


class Finder:
    """Looks things up in one Text; keeps what it parsed."""

    def __init__(self, text):
        self.text = text
        self._bodies = {}
        self._items = None

    # Scopes.

    def find_scope(self, kind, name, want=(1, 1)):
        """The scope KIND NAME; WANT is (N, M): the N-th of exactly M."""
        text = self.text
        if kind == 'file':
            return Scope('file', 0, len(text.text))
        found = getattr(self, '_scope_' + kind)(name)
        if len(found) != want[1]:
            lines = text.lines_of([start for start, _, _ in found])
            raise Missed('%s %s found %d times in %s, wanted %d%s'
                         % (kind, name, len(found), text.path, want[1],
                            ' (%s)' % lines if lines else ''))
        _, first, last = found[want[0] - 1]
        full = '%s %s' % (kind, name)
        if kind == 'asm':
            return Scope(full, first, last)
        if kind == 'function' and text.column(last):
            raise Missed('%s: the brace that closes it (%s) is not in column '
                         '0; cpp branches?' % (full, text.lines_of([last])))
        return Scope(full, first + 1, last, (first, last))

    def _scope_function(self, name):
        shadow, found = self.text.shadow, []
        for head in re.finditer(r'\b%s\s*\(' % _names(name), shadow):
            line = shadow[self.text.line_start(head.start()):head.start()]
            first = shadow[self.text.line_start(head.start())]
            if '=' in line or not (first.isalpha() or first in '_*'):
                continue
            close = self.text.match(head.end() - 1)
            if close < 0:
                continue
            brace = re.compile(
                r'\s*(?:[A-Za-z_]\w*\b\s*(?:\((?:[^();]|\([^();]*\))*\)\s*)?)*'
                r'\{').match(shadow, close + 1)
            if not brace:
                continue
            first = brace.end() - 1
            last = self.text.match(first)
            if last < 0:
                # Let the caller complain about the closing brace.
                last = self._last_of_indented(first)
            if self.text.line(first) != self.text.line(last):
                found.append((head.start(), first, last))
        return found

    def _last_of_indented(self, first):
        """A position that is not in column 0, after the brace at FIRST."""
        end = self.text.shadow.find('\n}', first)
        end = end if end >= 0 else len(self.text.shadow) - 1
        while end > first and not self.text.column(end):
            end -= 1
        return end

    def _scope_struct(self, name, word='struct'):
        found = []
        for head in re.finditer(r'\b%s\s+(?:__\w+\s+)*%s\s*\{'
                                % (word, _names(name)), self.text.shadow):
            close = self.text.match(head.end() - 1)
            if close >= 0:
                found.append((head.start(), head.end() - 1, close))
        return found

    def _scope_enum(self, name):
        return self._scope_struct(name, 'enum')

    def _scope_array(self, name):
        found = []
        for head in re.finditer(r'\b%s\s*((?:\[[^\]]*\]\s*)+)(?:\w+\b\s*'
                                r'(?:\([^()]*\)\s*)?)*=\s*\{' % _names(name),
                                self.text.shadow):
            close = self.text.match(head.end() - 1)
            if close >= 0:
                found.append((head.start(), head.end() - 1, close))
        return found

    def _scope_asm(self, name):
        bare, found = self.text.bare, []
        heads = re.compile(
            r'(?m)^(?:(?:ENTRY|GLOBAL|FUNC|FUNC_LOCAL|DATA|DATA_LOCAL)'
            r'\s*\(\s*%s\s*[,)]|%s:)' % (_names(name), _names(name)))
        ends = re.compile(r'(?m)^(?:ENTRY|FUNC|FUNC_LOCAL|END)\s*\(')
        for head in heads.finditer(bare):
            first = self.text.next_line(head.start())
            end = ends.search(bare, first)
            found.append((head.start(), first,
                          end.start() if end else len(bare)))
        return found

    # Statements.

    def body_of(self, scope, pos):
        """The statements of the function that holds POS, or None."""
        if scope.open is not None:
            span = scope.open, scope.close
        else:
            if self._items is None:
                self._items = statements.top_items(self.text)
            span = next((body for start, end, body in self._items
                         if start <= pos < end), None)
            if span is None:
                return None
        if span not in self._bodies:
            try:
                self._bodies[span] = statements.Body(self.text, *span)
            except statements.Unreadable as error:
                raise Missed('cannot follow the statements of %s at %s; '
                             'cpp branches?'
                             % (scope.name, self.text.lines_of([error.pos])))
        return self._bodies[span]

    def item_at(self, pos):
        """(start, end) of the top-level item without a body at POS."""
        if self._items is None:
            self._items = statements.top_items(self.text)
        return next(((start, end) for start, end, body in self._items
                     if start <= pos < end and body is None), None)

    # Places.

    def find_places(self, scope, place):
        """The matches of PLACE in SCOPE that the graft asked for."""
        found = getattr(self, '_place_' + place.kind)(scope, *place.words)
        how, number, wanted = place.want
        if len(found) != wanted:
            lines = self.text.lines_of([match.start for match in found])
            raise Missed("'%s' in %s matches %d times, wanted %d%s"
                         % (place, self._where(scope), len(found), wanted,
                            ' (%s)' % lines if lines else ''))
        return [found[number - 1]] if how == 'pick' else found

    def _where(self, scope):
        return scope.name if scope.open is not None or \
            scope.name != 'file' else 'file ' + self.text.path

    def _search(self, pattern, scope, view=None):
        view = self.text.shadow if view is None else view
        return re.compile(pattern).finditer(view, scope.start, scope.end)

    def _place_call(self, scope, name):
        found = []
        for head in self._search(r'\b%s\s*\(' % _names(name), scope):
            close = self.text.match(head.end() - 1)
            if close < 0:
                raise Missed("the brackets of '%s' at %s do not pair"
                             % (name, self.text.lines_of([head.start()])))
            found.append(Match(head.start(), close + 1,
                               (head.end() - 1, close)))
        return found

    def _place_decl(self, scope, name):
        found = []
        for match in self._place_call(scope, name):
            item = self.item_at(match.start)
            if item and self.text.shadow[item[1] - 1] == ';':
                found.append(Match(*item))
        return found

    def _place_case(self, scope, name):
        label = r'default' if name == 'default' else \
            r'case[ \t]+%s' % _names(name)
        return [Match(found.start(1), found.end())
                for found in self._search(r'(?m)^[ \t]*(%s)\s*:' % label,
                                          scope)]

    def _place_label(self, scope, name):
        if self.text.kind == 'asm':
            return [Match(found.start(), found.end()) for found in
                    self._search(r'(?m)^(?:%s:|(?:LABEL|LABEL_LOCAL)\s*\(\s*'
                                 r'%s\s*[,)].*)' % (_names(name),
                                                    _names(name)),
                                 scope, self.text.bare)]
        return [Match(found.start(1), found.end())
                for found in self._search(r'(?m)^[ \t]*(%s)[ \t]*:(?!:)'
                                          % _names(name), scope)]

    def _place_insn(self, scope, mnemonic, symbol=None):
        found = []
        for line in self._search(r'(?m)^[ \t]*(?:[\w.$]+:[ \t]*)?(%s)(?=\s|$)'
                                 r'([^\n;]*)' % re.escape(mnemonic), scope,
                                 self.text.bare):
            if symbol is None or re.search(
                    r'(?<![\w.])%s(?![\w.])' % re.escape(symbol),
                    line.group(2)):
                found.append(Match(line.start(1), line.end()))
        return found

    def _place_define(self, scope, name):
        found = []
        pattern = re.compile(r'[ \t]*#[ \t]*define[ \t]+%s(?!\w)'
                             % _names(name))
        for start, end, word in self.text.directives:
            if scope.start <= start < scope.end and word == 'define' and \
               pattern.match(self.text.bare, start):
                found.append(Match(start, end))
        return found

    def _place_include(self, scope, name):
        pattern = re.compile(r'[ \t]*#[ \t]*include[ \t]+%s' % _names(name))
        return [Match(start, end) for start, end, word in self.text.directives
                if scope.start <= start < scope.end and word == 'include' and
                pattern.match(self.text.text, start)]

    def _place_config(self, scope, name):
        found = []
        for head in self._search(r'(?m)^([ \t]*)(?:menu)?config[ \t]+%s'
                                 r'[ \t]*$' % _names(name), scope):
            end = last = self.text.next_line(head.start())
            while end < scope.end:
                line = self.text.text[end:self.text.next_line(end)]
                if line.strip() and \
                   len(self.text.indent(end)) <= len(head.group(1)):
                    break
                end = self.text.next_line(end)
                last = end if line.strip() else last
            found.append(Match(head.start(), last - 1))
        return found

    def _place_list(self, scope, name):
        """The lines of the first unbroken run of NAME's list, as one match."""
        runs = list_lines(self.text, scope, name)
        if not runs:
            return []
        last = 0
        while last + 1 < len(runs) and runs[last].end == runs[last + 1].start:
            last += 1
        return [Match(runs[0].start, runs[last].end)]

    def _statements(self, scope, wanted):
        body = self.body_of(scope, scope.start)
        return [Match(node.start, node.end, node=node, body=body)
                for node in body.nodes() if node.kind == 'simple' and
                wanted.match(self.text.shadow, node.start, node.end)]

    def _place_return(self, scope):
        return self._statements(scope, re.compile(r'return\b'))

    def _place_assign(self, scope, name):
        parts = [r'\s*'.join(re.escape(token) for token in
                             re.findall(r'->|\w+|\S', alternative))
                 for alternative in name.split('|')]
        sign = r'\s*(?:<<|>>|[-+*/%&|^])?=(?!=)'
        pattern = '(?:%s)%s' % ('|'.join(parts), sign)
        if self.text.kind == 'asm':
            return [Match(found.start(1), found.end()) for found in
                    self._search(r'(?m)^[ \t]*(%s)[^\n]*' % pattern, scope,
                                 self.text.bare)]
        if scope.open is None:
            raise Missed("'assign' in a C file wants a function as scope")
        return self._statements(scope, re.compile(pattern))

    def _place_field(self, scope, name):
        if scope.name.startswith('enum'):
            return self._enumerators(scope, name)
        shadow, found = self.text.shadow, []
        for word in self._search(r'\b%s\b(?=\s*(?:[;,:)\[]|__\w))'
                                 % _names(name), scope):
            if re.search(r'\b(?:struct|union|enum)\s+$',
                         shadow[scope.start:word.start()]):
                continue
            start = self._member_start(scope, word.start())
            end = self._member_end(scope, word.end())
            if start is not None and end is not None:
                found.append(Match(start, end))
        return found

    def _member_start(self, scope, pos):
        """The start of the member whose name stands at POS, else None."""
        shadow, depth = self.text.shadow, 0
        inner = 0
        for here in range(pos - 1, scope.start - 2, -1):
            char = shadow[here]
            if char in ')]}':
                depth += 1
                inner += char == '}'
            elif char in '([{':
                if depth == 0 and char == '{':
                    break
                if depth == 0:
                    # Inside '(*name)': fine, but not inside an argument list.
                    if not re.match(r'\(\s*\*[\s*\w]*$', shadow[here:pos]):
                        return None
                else:
                    depth -= 1
            elif char == ';' and depth == 0:
                break
        else:
            return None
        start = re.compile(r'\s*').match(shadow, here + 1).end()
        return start

    def _member_end(self, scope, pos):
        shadow, depth = self.text.shadow, 0
        for here in range(pos, scope.end):
            char = shadow[here]
            if char in '([{':
                depth += 1
            elif char in ')]}':
                depth -= 1
            elif char == ';' and depth <= 0:
                return here + 1
        return None

    def _enumerators(self, scope, name):
        shadow, found = self.text.shadow, []
        for word in self._search(r'(?:(?<=[{,])|(?<=[{,]\s))\s*\b(%s)\b'
                                 % _names(name), scope):
            comma = shadow.find(',', word.end(), scope.end)
            end = comma + 1 if comma >= 0 else \
                scope.start + len(shadow[scope.start:scope.end].rstrip())
            found.append(Match(word.start(1), end))
        return found


def list_lines(text, scope, name):
    """Matches, whole logical lines, that assign to a list called NAME..."""
    pattern = re.compile(r'[ \t]*%s[^\s=+:?#]*[ \t]*(?:\+=|::?=|\?=|=)'
                         % _names(name))
    found, pos = [], scope.start
    while pos < scope.end:
        end = text.next_line(pos)
        while text.text[pos:end].rstrip('\n').endswith('\\') and \
                end < len(text.text):
            end = text.next_line(end)
        if pattern.match(text.text, pos, end):
            found.append(Match(pos, end))
        pos = end
    return found

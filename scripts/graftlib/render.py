# SPDX-License-Identifier: GPL-2.0-only
"""Turns grafts into edits of one file, and edits into the new text.

Happy path: edits_of(finder, graft) locates a graft and gives its Edits;
join(text, edits) gives the file's new text.  Upstream's own text is moved,
never quoted: a body names it as $call, $args or $stmt.

What can fail, each with a Missed that says where: no such place (locate.py),
a call in a condition, a case that falls through into the next, a place inside
an #if that does not cover the scope, two edits that overlap.
"""

import re

from .locate import Missed, list_lines

_ASM_LABEL = re.compile(r'[\w.$]+:')


class Edit:
    """Replaces text[start:end] by NEW; start == end is an insertion.

    SIDE orders insertions at the same position: 0 belongs to what is above,
    1 to what is below.
    """

    def __init__(self, graft, start, end, new, side=0):
        self.graft = graft
        self.start = start
        self.end = end
        self.new = new
        self.side = side


def overlaps(edits):
    """Pairs of edits that want the same text, or text inside the other."""
    found = []
    for number, one in enumerate(edits):
        for two in edits[number + 1:]:
            if one.start < two.end and two.start < one.end:
                found.append((one, two))
    return found


def join(text, edits):
    """The text of the file with EDITS done."""
    parts, pos = [], 0
    for edit in sorted(edits, key=lambda e: (e.start, e.side)):
        parts += [text.text[pos:edit.start], edit.new]
        pos = edit.end
    parts.append(text.text[pos:])
    return ''.join(parts)


def edits_of(finder, graft):
    """The edits GRAFT makes to the finder's text."""
    scope = finder.find_scope(graft.scope, graft.scope_name, graft.scope_want)
    maker = _Maker(finder, graft, scope)
    edits = maker.make()
    if scope.name != 'file' and finder.text.directives:
        for edit in edits:
            if finder.text.nest(edit.start) != finder.text.nest(scope.start):
                raise Missed('%s is inside an #if that does not cover all of '
                             '%s' % (finder.text.lines_of([edit.start]),
                                     graft.scope_name))
    for side, place in graft.expect:
        for match in finder.find_places(scope, place):
            for edit in edits:
                if (edit.start <= match.start) != (side == 'before'):
                    raise Missed("expected to be %s '%s' (%s), but is placed "
                                 'at %s' % (side, place,
                                            finder.text.lines_of(
                                                [match.start]),
                                            finder.text.lines_of(
                                                [edit.start])))
    return edits


def _shift(block, by):
    """BLOCK with every line but the first moved by BY columns."""
    lines = block.split('\n')
    for number, line in enumerate(lines[1:], 1):
        if not line.strip() or line.startswith('#') or not by:
            continue
        if by > 0:
            if not line[0].isspace():
                continue
            lines[number] = ' ' * by + line if line[0] == ' ' else \
                line[:len(line) - len(line.lstrip())] + ' ' * by + \
                line.lstrip()
        else:
            spare = len(line) - len(line.lstrip(' '))
            lines[number] = line[min(-by, spare):]
    return '\n'.join(lines)


class _Maker:
    """Makes the edits of one graft."""

    def __init__(self, finder, graft, scope):
        self.finder = finder
        self.text = finder.text
        self.graft = graft
        self.scope = scope

    def make(self):
        operator, place = self.graft.operator, self.graft.place
        if place is None:
            return [self._at_start() if operator == 'at start'
                    else self._at_end()]
        matches = self.finder.find_places(self.scope, place)
        if operator == 'sorted into':
            return [self._sorted(matches[0])]
        if operator == 'replace':
            return [self._replace_call(match) for match in matches]
        if operator == 'replace statement with':
            return [self._replace_statement(match) for match in matches]
        return [self._beside(match) for match in matches]

    # The graft's own text.

    def _lines(self, indent):
        """The body, one string per line, indented with INDENT."""
        lines = []
        for line in self.graft.body:
            if not line:
                lines.append('')
            elif line.startswith('#') or (self.text.kind == 'asm' and
                                          _ASM_LABEL.match(line)):
                lines.append(line)
            else:
                lines.append(indent + line)
        return lines

    def _insert(self, pos, indent, side, blank_above=False,
                blank_below=False):
        lines = self._lines(indent)
        if blank_above:
            lines.insert(0, '')
        if blank_below:
            lines.append('')
        new = '\n'.join(lines) + '\n'
        if pos == len(self.text.text) and pos and \
           self.text.text[pos - 1] != '\n':
            new = '\n' + new[:-1]
        return Edit(self.graft, pos, pos, new, side)

    def _first_indent(self, pos, end, default):
        """The indentation of the first code line from POS on."""
        view = self.text.shadow
        while pos < end:
            following = self.text.next_line(pos)
            line = view[pos:following]
            if line.strip() and line[0] in ' \t' and \
               not line.lstrip().startswith(('#', '}')):
                return self.text.indent(pos)
            pos = following
        return default

    # before, after

    def _beside(self, match):
        kind = self.graft.place.kind
        before = self.graft.operator == 'before'
        if kind == 'case':
            return self._beside_case(match, before)
        if kind in ('call', 'assign', 'return') and \
           not (kind == 'assign' and self.text.kind == 'asm'):
            match = self._statement_of(match, "use 'replace statement with'")
        start, end = match.start, match.end
        if not self.text.starts_line(start) and \
           not (kind == 'insn' and not before):
            self._shares(start)
        if not self.text.ends_line(end):
            self._shares(end)
        if kind == 'label':
            indent = self._first_indent(self.text.next_line(end),
                                        self.scope.end,
                                        ' ' * (8 if self.text.kind == 'asm'
                                               else 4))
        else:
            indent = self.text.indent(start)
        if kind == 'config':
            return self._beside_config(start, end, indent, before)
        if before:
            pos = self.text.line_start(start) if kind in ('insn', 'include') \
                else self.text.item_start(start)
            return self._insert(pos, indent, 1)
        return self._insert(self.text.item_end(end - 1), indent, 0)

    def _shares(self, pos):
        raise Missed("%s: '%s' shares its line with other code"
                     % (self.text.lines_of([pos]), self.graft.place))

    def _beside_config(self, start, end, indent, before):
        if before:
            return self._insert(self.text.item_start(start), indent, 1,
                                blank_below=True)
        return self._insert(self.text.next_line(end - 1), indent, 0,
                            blank_above=True)

    def _statement_of(self, match, advice):
        """The whole simple statement that holds MATCH."""
        body = match.body or self.finder.body_of(self.scope, match.start)
        where = self.text.lines_of([match.start])
        if body is None:
            item = self.finder.item_at(match.start)
            if item is None:
                raise Missed("%s: '%s' is in no statement"
                             % (where, self.graft.place))
            match.start, match.end = item
            return match
        node = match.node or body.at(match.start)
        what = self.graft.place.kind
        what = {'call': 'call', 'assign': 'assignment'}.get(what, what)
        if node.kind != 'simple' or (node.unbraced and advice):
            raise Missed('%s the %s is in a condition, or is the whole body of '
                         'an if/else/loop without braces; %s'
                         % (where, what,
                            advice or "use 'replace' for the call alone"))
        match.start, match.end = node.start, node.end
        match.node, match.body = node, body
        return match

    def _beside_case(self, match, before):
        body = self.finder.body_of(self.scope, match.start)
        node = body.at(match.start)
        if node.kind != 'case' or node.start != match.start:
            raise Missed("%s: '%s' is not a label of a switch statement"
                         % (self.text.lines_of([match.start]),
                            self.graft.place))
        nodes = node.siblings()
        index = nodes.index(node)
        labels = [n for n in nodes if n.kind == 'case']
        number = labels.index(node)
        following = labels[number + 1] if number + 1 < len(labels) else None
        if before:
            pos = self.text.item_start(node.start)
            if index and not body.ends_flow(nodes[index - 1]):
                self._falls(nodes[index - 1], node)
            blank = self._blank_above(labels, number or 1)
            return self._insert(pos, self.text.indent(node.start), 1,
                                blank_below=blank)
        last = nodes[(nodes.index(following) if following else len(nodes)) - 1]
        if following and not body.ends_flow(last):
            self._falls(last, following)
        if last is node:
            raise Missed('%s: %s has no body'
                         % (self.text.lines_of([node.start]),
                            self.graft.place))
        if not following and not body.ends_flow(last):
            raise Missed('%s: %s runs out of the switch without break, so '
                         'nothing can follow it'
                         % (self.text.lines_of([node.start]),
                            self.graft.place))
        if not self.text.ends_line(last.end):
            self._shares(last.end)
        blank = self._blank_above(labels, number + 1 if following else number)
        return self._insert(self.text.item_end(last.end - 1),
                            self.text.indent(node.start), 0,
                            blank_above=blank)

    def _falls(self, node, label):
        raise Missed('%s falls through into the case at %s'
                     % (self.text.lines_of([node.start]),
                        self.text.lines_of([label.start])))

    def _blank_above(self, labels, number):
        """True if upstream has a blank line above label NUMBER."""
        if not 0 < number < len(labels):
            return False
        pos = self.text.item_start(labels[number].start)
        above = self.text.text[self.text.line_start(pos - 1):pos]
        return not above.strip()

    # replace

    def _replace_call(self, match):
        text = self.text
        call = text.text[match.start:match.end]
        args = text.text[match.args[0] + 1:match.args[1]]
        indent = text.indent(match.start)
        lines = self._lines(indent)
        lines[0] = self.graft.body[0]
        new = '\n'.join(lines)
        start_column = text.column(match.start)

        def fill(pattern, value, old_column, new):
            while True:
                found = re.search(pattern, new)
                if not found:
                    return new
                above = new.rfind('\n', 0, found.start()) + 1
                column = found.start() - above + \
                    (start_column if above == 0 else 0)
                new = new[:found.start()] + \
                    _shift(value, column - old_column) + new[found.end():]

        # A placeholder inside upstream's own text must not be filled again.
        new = fill(r'\$args\b', args.replace('$', '\0'),
                   text.column(match.args[0] + 1), new)
        new = fill(r'\$call\b', call.replace('$', '\0'), start_column, new)
        return Edit(self.graft, match.start, match.end, new.replace('\0', '$'))

    def _replace_statement(self, match):
        text = self.text
        match = self._statement_of(match, None)
        if not text.starts_line(match.start):
            self._shares(match.start)
        if not text.ends_line(match.end):
            self._shares(match.end)
        start = text.line_start(match.start)
        indent = text.indent(match.start)
        statement = text.text[match.start:match.end]
        lines = self._lines(indent)
        for number, line in enumerate(lines):
            if line.strip() == '$stmt':
                lead = line[:line.index('$stmt')]
                lines[number] = lead + _shift(statement,
                                              len(lead) - len(indent))
        if match.node is not None and match.node.unbraced and len(lines) > 1:
            outer = text.indent(match.node.parent.start)
            lines = [outer + '{'] + lines + [outer + '}']
        return Edit(self.graft, start, match.end, '\n'.join(lines))

    # sorted into

    def _sorted(self, run):
        own = self.graft.body[0].split()
        if not own:
            raise Missed("'sorted into' wants a line that is not empty")
        key = own[-1]
        lines = list_lines(self.text, self.scope, self.graft.place.words[0])
        pos = run.start
        for line in lines:
            if line.end > run.end:
                break
            words = self.text.text[line.start:line.end] \
                .replace('\\\n', ' ').split('#')[0].split()
            if words and words[-1] <= key:
                pos = line.end
        name = _list_name(self.graft.body[0])
        for line in lines:
            words = self.text.text[line.start:line.end]
            if line.start >= pos and _list_name(words) == name and \
               re.match(r'[^+?=]*:?=', words):
                raise Missed("'%s' would land above the assignment at %s, "
                             'which undoes it'
                             % (self.graft.body[0].strip(),
                                self.text.lines_of([line.start])))
        return self._insert(pos, self.text.indent(run.start), 0)

    # at start, at end

    def _at_start(self):
        text, scope = self.text, self.scope
        if scope.name == 'file':
            guard = text.guard()
            pos = guard[0] if guard else 0
            while not guard and any(
                    start == pos or not text.text[pos:start].strip()
                    for start, _ in text.comments if start >= pos):
                start, end = next(span for span in text.comments
                                  if span[0] >= pos)
                pos = text.next_line(end - 1)
            return self._insert(pos, '', 0)
        if scope.open is None:
            return self._insert(scope.start,
                                self._first_indent(scope.start, scope.end,
                                                   ' ' * 8), 0)
        if not text.ends_line(scope.start):
            self._shares(scope.start)
        opening = text.item_end(scope.open)
        if self.graft.scope != 'function':
            return self._insert(opening, self._member_indent(), 0)
        body = self.finder.body_of(scope, scope.start)
        first = next((node for node in body.root.children
                      if not body.is_declaration(node)), None)
        if first is None:
            return self._insert(text.line_start(scope.close),
                                self._member_indent(), 1)
        if not text.starts_line(first.start):
            self._shares(first.start)
        indent = self._member_indent() if first.kind == 'label' else \
            text.indent(first.start)
        return self._insert(text.item_start(first.start), indent, 1)

    def _member_indent(self):
        return self._first_indent(self.text.next_line(self.scope.open),
                                  self.scope.close, ' ' * 4)

    def _at_end(self):
        text, scope = self.text, self.scope
        if scope.name == 'file':
            return self._insert(self._file_end(), '', 0)
        if scope.open is None:
            return self._insert(scope.end,
                                self._first_indent(scope.start, scope.end,
                                                   ' ' * 8), 0)
        where = text.lines_of([scope.close])
        if not text.starts_line(scope.close):
            self._shares(scope.close)
        if self.graft.scope in ('array', 'enum'):
            held = text.shadow[scope.start:scope.close].rstrip()
            if held and held[-1] != ',':
                raise Missed('%s: the last entry of %s has no comma after it'
                             % (where, scope.name))
        if self.graft.scope == 'function':
            body = self.finder.body_of(scope, scope.start)
            nodes = body.root.children
            if nodes and body.ends_flow(nodes[-1]) and \
               not re.match(r'\w+\s*:', next(filter(None, self.graft.body),
                                             '')):
                raise Missed('%s: nothing at the end of %s is reached, it '
                             'ends with return or goto' % (where, scope.name))
        return self._insert(text.line_start(scope.close),
                            self._member_indent(), 1)

    def _file_end(self):
        text = self.text
        end = len(text.text)
        footer = next((start for start, stop in text.comments
                       if 'Local variables' in text.text[start:stop] and
                       not text.bare[stop:].strip()), None)
        if footer is not None:
            end = text.line_start(footer)
            # Leave the blank line above the footer to the footer.
            while end and not text.text[text.line_start(end - 1):end].strip():
                end = text.line_start(end - 1)
        guard = text.guard() if text.kind == 'c' else None
        if guard and guard[1] < end:
            end = guard[1]
        return end


def _list_name(line):
    """The variable a makefile line assigns to, with $(...) taken as y."""
    return re.sub(r'\$\([^)]*\)', 'y',
                  re.split(r'[\s:+?]*=', line.strip(), maxsplit=1)[0])

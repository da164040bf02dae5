# SPDX-License-Identifier: GPL-2.0-only
"""One upstream file in memory, and views of it that can be searched safely.

Happy path: Text(path, bytes) decodes the file and builds views of the same
length as the text, so that a position means the same place in all of them:

  text    the file itself
  bare    comments and the insides of strings blanked
  shadow  as bare, and in C files preprocessor lines blanked too

C files are searched on the shadow, so a name in a comment, a string or a
macro is never taken for code.  encode() gives bytes back with the encoding
and the line ends of the original.

What can fail: nothing here for odd input.  Bytes that are not UTF-8 survive
the round trip, and unbalanced brackets make match() return -1, which the
callers report.
"""

import bisect
import os
import re

_C_TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
                       r"|'(?:\\.|[^'\\\n])*'", re.S)
_ASM_TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
_HASH_TOKENS = re.compile(r'(?m)^[ \t]*#[^\n]*')
_DIRECTIVE = re.compile(r'(?m)^[ \t]*#[ \t]*([a-z]*)(?:\\\n|[^\n])*')
_NOT_EOL = re.compile(r'[^\n]')
_OPENING = {'(': ')', '[': ']', '{': '}'}
_BRACKET = re.compile(r'[][(){}]')


def kind_of(path):
    """The kind of file PATH is: 'c', 'asm', 'make', 'kconfig' or 'other'."""
    name = os.path.basename(path)
    if name.endswith(('.c', '.h')):
        return 'c'
    if name.endswith(('.S', '.s', '.lds')):
        return 'asm'
    if name.startswith('Kconfig'):
        return 'kconfig'
    if name.startswith(('Makefile', 'Kbuild')) or name.endswith('.mk'):
        return 'make'
    return 'other'


def _blank(match):
    """Spaces for MATCH; a string keeps its quotes so it is still a token."""
    found = match.group()
    if found[0] in '"\'':
        return found[0] + ' ' * (len(found) - 2) + found[0]
    return _NOT_EOL.sub(' ', found)


class Text:
    """A file of the pristine tree.  PATH is relative to the tree's root."""

    def __init__(self, path, data):
        self.path = path
        self.kind = kind_of(path)
        text = data.decode('utf-8', 'surrogateescape')
        ends = text.count('\n')
        self.crlf = ends > 0 and text.count('\r\n') == ends
        if self.crlf:
            text = text.replace('\r\n', '\n')
        self.text = text
        self._starts = [0]
        self._starts += [m.end() for m in re.finditer('\n', text)]

        self.comments = []
        if self.kind in ('c', 'asm'):
            tokens = _C_TOKENS if self.kind == 'c' else _ASM_TOKENS
            self.comments = [m.span() for m in tokens.finditer(text)
                             if m.group()[0] == '/']
            self.bare = tokens.sub(_blank, text)
        else:
            self.comments = [m.span() for m in _HASH_TOKENS.finditer(text)]
            self.bare = text
        self.shadow = self.bare
        self.directives = []
        if self.kind in ('c', 'asm'):
            self._nest_starts, self._nests = [0], [()]
            self._read_directives()
        if self.kind == 'c':
            self.shadow = _DIRECTIVE.sub(_blank, self.bare)

    def encode(self, text=None):
        """TEXT (default: the file's own) as bytes, as the file was encoded."""
        text = self.text if text is None else text
        if self.crlf:
            text = text.replace('\n', '\r\n')
        return text.encode('utf-8', 'surrogateescape')

    # Lines.

    def line(self, pos):
        """The number, from 1, of the line that holds POS."""
        return bisect.bisect_right(self._starts, pos)

    def line_start(self, pos):
        return self._starts[self.line(pos) - 1]

    def next_line(self, pos):
        """The start of the line after the one that holds POS."""
        number = self.line(pos)
        if number < len(self._starts):
            return self._starts[number]
        return len(self.text)

    def indent(self, pos):
        """The white space that starts the line of POS."""
        return re.compile(r'[ \t]*').match(self.text,
                                           self.line_start(pos)).group()

    def column(self, pos):
        return pos - self.line_start(pos)

    def starts_line(self, pos):
        """True if only white space stands before POS on its line."""
        return not self.text[self.line_start(pos):pos].strip()

    def ends_line(self, pos):
        """True if nothing but white space and comments follows POS."""
        return not self.bare[pos:self.item_end(pos)].strip()

    def item_end(self, pos):
        """The start of the line after POS, past a comment begun on its line."""
        end = self.next_line(pos)
        while True:
            for start, stop in self.comments:
                if start < end < stop:
                    end = self.next_line(stop - 1)
                    break
            else:
                return end

    def item_start(self, pos):
        """The start of POS's line, or of the comment right above it."""
        start = self.line_start(pos)
        while True:
            for first, last in self.comments:
                if self.next_line(last - 1) == start and first < start and \
                   self.starts_line(first) and \
                   not self.text[last:start].strip():
                    start = self.line_start(first)
                    break
            else:
                return start

    def lines_of(self, positions):
        """'file.c:3,7' for error messages; '' when there is no position."""
        if not positions:
            return ''
        numbers = ','.join(str(self.line(pos)) for pos in positions)
        return '%s:%s' % (os.path.basename(self.path), numbers)

    # Preprocessor.

    def _read_directives(self):
        stack = []
        for found in _DIRECTIVE.finditer(self.bare):
            word = found.group(1)
            self.directives.append((found.start(), found.end(), word))
            if word in ('if', 'ifdef', 'ifndef'):
                stack.append((found.start(), 0))
            elif word in ('else', 'elif') and stack:
                stack[-1] = (stack[-1][0], stack[-1][1] + 1)
            elif word == 'endif' and stack:
                stack.pop()
            else:
                continue
            self._nest_starts.append(found.end())
            self._nests.append(tuple(stack))

    def nest(self, pos):
        """The #if branches open at POS, outermost first."""
        at = bisect.bisect_right(self._nest_starts, pos) - 1
        return self._nests[at]

    def guard(self):
        """(end of '#define GUARD' line, start of its '#endif'), or None."""
        heads = self.directives[:2]
        if [word for _, _, word in heads] != ['ifndef', 'define']:
            return None
        names = [self.bare[start:end].split()[-1] if number == 0 else
                 (self.bare[start:end].split('define', 1)[1].split() or [''])[0]
                 for number, (start, end, _) in enumerate(heads)]
        last = self.directives[-1]
        if names[0] != names[1] or last[2] != 'endif' or \
           self.nest(last[1]) or self.bare[last[1]:].strip() or \
           any(not self.nest(end) for _, end, _ in self.directives[:-1]):
            return None
        return self.next_line(heads[1][1] - 1), self.line_start(last[0])

    # Brackets.

    def match(self, pos, limit=None):
        """The position of the bracket closing the one at POS, or -1."""
        limit = len(self.shadow) if limit is None else limit
        stack = []
        for found in _BRACKET.finditer(self.shadow, pos, limit):
            char = found.group()
            if char in _OPENING:
                stack.append(_OPENING[char])
            elif not stack or stack.pop() != char:
                return -1
            if not stack:
                return found.start()
        return -1

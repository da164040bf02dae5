# SPDX-License-Identifier: GPL-2.0-only
"""Splits C into top-level items, and a function's body into statements.

Happy path: Body(text, open, close) reads the shadow of one function body into
a tree of Node; at(pos) gives the innermost node.  This is no C parser: it
knows control statements, blocks and labels, and takes everything else up to
its ';' as one simple statement.  top_items() does the same for the text
outside of functions.

What can fail: brackets that do not pair inside the body (both branches of an
#if opening a block, say) raise Unreadable with the position, and no graft is
placed there.
"""

import re

_WORD = re.compile(r'[A-Za-z_]\w*')
_SPACE = re.compile(r'\s*')
_STOP = re.compile(r'[;(){}\[\]]')
_HEADS = ('if', 'while', 'for', 'switch')
_TYPE_WORDS = ('auto|bool|char|const|double|enum|extern|float|int|long|'
               'register|short|signed|static|struct|typedef|union|unsigned|'
               'void|volatile')
_DECLARATION = re.compile(
    r'(?:%s)\b'
    r'|(?:DECLARE|DEFINE)_\w+\s*\('
    r'|[A-Za-z_]\w*(?:\s+|\s*\*[\s*]*)(?:const\s+|\w+\s+)*'
    r'[A-Za-z_]\w*\s*(?:[;=,\[]|__)' % _TYPE_WORDS)
_DECLARED = re.compile(r'[ \t]*\**[ \t]*[A-Za-z_]\w*\s*[;=,\[]')
_NOT_DECLARATION = re.compile(r'(?:return|goto|break|continue|asm|__asm__|'
                              r'else|case|default|sizeof)\b')


class Unreadable(Exception):
    """The code at POS cannot be split into statements."""

    def __init__(self, pos):
        Exception.__init__(self, pos)
        self.pos = pos


class Node:
    """A statement.  KIND: block, if, loop, switch, do, case, label, simple."""

    def __init__(self, kind, start, parent, unbraced=False):
        self.kind = kind
        self.start = start
        self.end = start
        self.parent = parent
        self.unbraced = unbraced
        self.children = []
        if parent is not None:
            parent.children.append(self)

    def siblings(self):
        return self.parent.children if self.parent else [self]


class Body:
    """The statements between the braces at OPEN and CLOSE of TEXT."""

    def __init__(self, text, start, close):
        self.text = text
        self.shadow = text.shadow
        self.close = close
        self.root = Node('block', start, None)
        self._block(self.root, start)

    def nodes(self, node=None):
        """All nodes, in the order of the text."""
        for child in (node or self.root).children:
            yield child
            yield from self.nodes(child) if child.children else ()

    def at(self, pos):
        """The innermost node that covers POS."""
        node = self.root
        while True:
            for child in node.children:
                if child.start <= pos < child.end:
                    node = child
                    break
            else:
                return node

    def is_declaration(self, node):
        if node.kind != 'simple' or \
           _NOT_DECLARATION.match(self.shadow, node.start):
            return False
        if _DECLARATION.match(self.shadow, node.start, node.end):
            return True
        # XEN_GUEST_HANDLE(type) name;
        paren = self._skip(node.start + len(self._word(node.start)))
        return paren > node.start and self.shadow[paren] == '(' and \
            bool(_DECLARED.match(self.shadow, self._group(paren), node.end))

    def ends_flow(self, node):
        """True if control cannot run from NODE into what follows it."""
        if node.kind == 'simple':
            word = self._word(node.start)
            return word in ('break', 'return', 'goto', 'continue', 'BUG',
                            'panic', 'unreachable')
        if node.kind == 'block':
            return bool(node.children) and self.ends_flow(node.children[-1])
        if node.kind == 'if':
            return len(node.children) == 2 and \
                all(self.ends_flow(child) for child in node.children)
        return False

    # Reading.

    def _skip(self, pos):
        return _SPACE.match(self.shadow, pos, self.close).end()

    def _word(self, pos):
        found = _WORD.match(self.shadow, pos, self.close)
        return found.group() if found else ''

    def _group(self, pos):
        """The position after the bracket group that opens at POS."""
        end = self.text.match(pos, self.close + 1)
        if end < 0:
            raise Unreadable(pos)
        return end + 1

    def _block(self, node, start):
        """Read the block that opens at START; gives the end after its '}'."""
        end = self.text.match(start, self.close + 1)
        if end < 0:
            raise Unreadable(start)
        pos = self._skip(start + 1)
        while pos < end:
            pos = self._skip(self._statement(node, pos, False))
        node.end = end + 1
        return node.end

    def _sub(self, node, pos):
        """Read the statement controlled by NODE."""
        pos = self._skip(pos)
        if pos >= self.close:
            raise Unreadable(node.start)
        return self._statement(node, pos, self.shadow[pos] != '{')

    def _statement(self, parent, pos, unbraced):
        shadow = self.shadow
        if shadow[pos] == '{':
            return self._block(Node('block', pos, parent), pos)
        if shadow[pos] == '}':
            raise Unreadable(pos)
        word = self._word(pos)
        after = self._skip(pos + len(word))
        if word in _HEADS and shadow[after] == '(':
            return self._control(parent, pos, word, after, unbraced)
        if word == 'else':
            # Its 'if' is in another branch of an #if.
            raise Unreadable(pos)
        if word == 'do':
            node = Node('do', pos, parent, unbraced)
            end = self._skip(self._sub(node, after))
            if self._word(end) != 'while':
                raise Unreadable(end)
            end = self._skip(self._group(self._skip(end + 5)))
            node.end = end + 1 if shadow[end] == ';' else end
            return node.end
        if word in ('case', 'default'):
            colon = shadow.find(':', after, self.close)
            if colon < 0:
                raise Unreadable(pos)
            return self._label(parent, 'case', pos, colon, unbraced)
        if word and shadow[after] == ':':
            return self._label(parent, 'label', pos, after, unbraced)
        if word and shadow[after] == '(':
            end = self._group(after)
            follow = self._skip(end)
            if follow < self.close and shadow[follow] == ':':
                # A macro that makes a label.
                return self._label(parent, 'label', pos, follow, unbraced)
            if follow < self.close and \
               (shadow[follow] == '{' or
                (_WORD.match(shadow, follow) and '\n' in shadow[end:follow])):
                # A looping macro: for_each_domain ( d ) and the like.
                node = Node('loop', pos, parent, unbraced)
                node.end = self._sub(node, end)
                return node.end
        return self._simple(parent, pos, unbraced)

    def _control(self, parent, pos, word, after, unbraced):
        kind = {'if': 'if', 'switch': 'switch'}.get(word, 'loop')
        node = Node(kind, pos, parent, unbraced)
        node.end = self._sub(node, self._group(after))
        if word == 'if':
            follow = self._skip(node.end)
            if self._word(follow) == 'else':
                node.end = self._sub(node, follow + 4)
        return node.end

    def _label(self, parent, kind, pos, colon, unbraced):
        node = Node(kind, pos, parent, unbraced)
        node.end = colon + 1
        if not unbraced:
            return node.end
        return self._sub(parent, node.end)

    def _simple(self, parent, pos, unbraced):
        node = Node('simple', pos, parent, unbraced)
        here = pos
        while True:
            found = _STOP.search(self.shadow, here, self.close)
            if not found or found.group() in ')]':
                raise Unreadable(pos)
            if found.group() == ';':
                node.end = found.end()
                return node.end
            if found.group() == '}':
                # A macro without ';' at the end of its block.
                node.end = found.start()
                return node.end
            here = self._group(found.start())


def top_items(text):
    """[(start, end, body or None)] of C outside of functions.

    BODY is the (open, close) of a function's braces.  Tolerant: a bracket
    that does not pair ends its item at the next '}' in column 0.
    """
    shadow, items = text.shadow, []
    pos = _SPACE.match(shadow).end()
    while pos < len(shadow):
        start, body = pos, None
        while True:
            found = _STOP.search(shadow, pos)
            if not found:
                pos = len(shadow)
                break
            pos = found.end()
            if found.group() == ';':
                break
            if found.group() not in '({[':
                continue
            close = text.match(found.start())
            if close < 0 or (found.group() == '{' and text.column(close) and
                             text.line(close) != text.line(found.start()) and
                             text.column(found.start()) == 0):
                close = shadow.find('\n}', pos) + 1 or len(shadow) - 1
            pos = close + 1
            head = shadow[start:found.start()]
            if found.group() == '{' and '=' not in head and \
               re.search(r'\)\s*(?:\w+\b\s*)*$', head):
                body = (found.start(), close)
                break
        items.append((start, pos, body))
        pos = _SPACE.match(shadow, pos).end()
    return items

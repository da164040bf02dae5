# SPDX-License-Identifier: GPL-2.0-only
"""Reads docs/designs/live-update.md and what it must agree with in the code.

Of the document: the table with the columns Blocker, Errno, Meaning, What to do, Seen
in (the first cell is the message as the code has it, in backticks; the last a
scenario, in backticks, or "no: " and why), the list of
free options, the first table with the columns Option, Why, and what may be lost, the
table with the columns Loss, What is lost.

Of the code below xen/: each message of lu_blocker(), lu_loss() and of the BLOCK() macros
around it, with its errno where the call names one, and free_options[] of
image.c. A message that a call has from elsewhere ("%s") is looked for where the
call's function takes it from: `why = "..."` and the strings that lu_msi_blocker()
returns.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESIGN = ROOT / 'docs/designs/live-update.md'
CODE = ['xen/common/liveupdate', 'xen/arch/x86/liveupdate']

# The macro that check functions wrap around lu_blocker().
CALL = re.compile(r'\b(lu_blocker|lu_loss|BLOCK)\(')
STRING = r'"((?:[^"\\]|\\.)*)"'


class DesignError(Exception):
    """Something in the code or the document that cannot be read."""


def argument_list(text, start):
    """The top-level arguments of a call whose '(' is before start."""
    out, depth, quoted, current, i = [], 0, False, '', start
    while True:
        c = text[i]
        if quoted:
            quoted = c != '"' or text[i - 1] == '\\'
        elif c == '"':
            quoted = True
        elif c == '(':
            depth += 1
        elif c == ')' and depth:
            depth -= 1
        elif c in ',)' and not depth:
            out.append(current.strip())
            if c == ')':
                return out
            current, i = '', i + 1
            continue
        current, i = current + c, i + 1


def strings(expression):
    """A C string made of literals and PRI macros, as a format; or None."""
    if not expression.startswith('"'):
        return None
    expression = re.sub(r'PRI_mfn', '"lx"', re.sub(r'PRI([diux])\d+', r'"l\1"', expression))
    return ''.join(re.findall(STRING, expression))


def errno(expression):
    found = re.fullmatch(r'-(E[A-Z]+)', expression)
    return found[1] if found else None


def blockers():
    """message -> errno (None: the code decides while it runs), of all calls."""
    out = {}

    def add(where, message, code):
        if out.setdefault(message, code) != code:
            raise DesignError(f'{where}: {message!r} with two errnos')

    for path in sorted(p for d in CODE for p in (ROOT / d).glob('*.c')):
        text = path.read_text()
        for call in CALL.finditer(text):
            line = text[text.rfind('\n', 0, call.start()) + 1:call.start()]
            where = f'{path.name}:{text.count(chr(10), 0, call.start()) + 1}'
            if line.startswith(('#define', 'int ')) or line.lstrip().startswith('*'):
                continue
            args = argument_list(text, call.end())
            # lu_blocker(rc, domain, format, ...); BLOCK(condition, rc, format, ...);
            # lu_loss(which, rc, format, ...)
            code, message = (args[0], args[2]) if call[1] == 'lu_blocker' \
                else (args[1], args[2])
            if message == '__VA_ARGS__':
                continue
            message = strings(message)
            if message is None:
                raise DesignError(f'{where}: a message that is no string')
            if message.endswith(': %s'):
                for why, given in reasons(path):
                    add(where, message[:-2] + why, given)
            else:
                add(where, message, errno(code))

    return out


def reasons(path):
    """(reason, errno) of what a file fills into its message's "%s"."""
    text = path.read_text()
    out = re.findall(rf'why = {STRING};\s*rc = -(E[A-Z]+);', text)
    if len(out) != len(re.findall(r'why = "', text)):
        raise DesignError(f'{path.name}: a reason without an errno')
    out = [(why, code) for why, code in out]
    for other in sorted((ROOT / 'xen/arch/x86/liveupdate').glob('msi.c')):
        body = re.search(r'^const char \*lu_msi_blocker\(.*?^}', other.read_text(),
                         re.S | re.M)
        # The errno set first holds until a case sets its own, and after the switch.
        first = code = re.search(r'\*rc = -(E[A-Z]+)', body[0])[1]
        for line in body[0].splitlines():
            if 'case ' in line or line == '    }':
                code = first
            word = re.search(r'\*rc = -(E[A-Z]+)', line)
            why = re.search(rf'return {STRING}', line)
            code = word[1] if word else code
            if why:
                out.append((why[1], code))
    return out


def free_options():
    text = (ROOT / 'xen/common/liveupdate/image.c').read_text()
    body = re.search(r'free_options\[\] = \{(.*?)\};', text, re.S)
    return re.findall(STRING, body[1])


def losses():
    """{name: what is lost} of losses.c, and the names that lu_loss() is called for."""
    text = (ROOT / 'xen/common/liveupdate/losses.c').read_text()
    body = re.search(r'losses\[\] = \{(.*?)^\};', text, re.S | re.M)[1]
    named = dict(re.findall(rf'{STRING},\s*{STRING},', body))
    enums = re.findall(r'\[LU_LOSS_(\w+)\]', body)
    if len(named) != len(enums):
        raise DesignError('losses.c: an entry without name and loss')
    called = {}
    for path in sorted(p for d in CODE for p in (ROOT / d).glob('*.c')):
        for which, message in re.findall(rf'\blu_loss\(LU_LOSS_(\w+), -E\w+,\s*{STRING}',
                                         path.read_text()):
            called[which] = message.split(':')[0]
    return named, {name: called.get(which) for name, which in zip(named, enums)}


def expects(scenario, message):
    """Whether the text of that scenario has a good part of that message."""
    path = ROOT / f'tests/lab/scenarios/{scenario}.py'
    # One string from its parts; a pattern's escapes do not matter.
    text = re.sub(r'"\s*r?"', '', path.read_text()).replace('\\', '') if path.exists() \
        else ''
    parts = re.split(r'%#?\d*l?[a-z]+', message)
    return next((p for p in parts if len(p) >= 12), max(parts, key=len))[:12] in text


def tables(text):
    """[(columns, [row])] of a document in Markdown."""
    out, rows = [], None
    for line in text.splitlines():
        if not line.startswith('|'):
            rows = None
            continue
        cells = [c.strip() for c in re.split(r'(?<!\\)\|', line.strip('|'))]
        if rows is None:
            rows = []
            out.append((cells, rows))
        elif not set(cells[0]) <= set('-: '):
            rows.append(cells)
    return out


def documented():
    """({message: (errno, seen in)}, [free option], {loss: text}) of the design document."""
    listed, free, lost = {}, None, {}
    for columns, rows in tables(DESIGN.read_text()):
        if columns[:2] == ['Blocker', 'Errno']:
            for row in rows:
                if len(row) != 5 or not all(row):
                    raise DesignError(f'{DESIGN.name}: {row[0]}: 5 cells wanted')
                message = row[0].strip('`')
                if message in listed:
                    raise DesignError(f'{DESIGN.name}: {message} twice')
                listed[message] = row[1], row[4]
        elif columns == ['Option', 'Why'] and free is None:
            free = [name for row in rows for name in re.findall(r'`([^`]+)`', row[0])]
        elif columns == ['Loss', 'What is lost']:
            lost = {row[0].strip('`'): row[1] for row in rows}
    return listed, free, lost

# SPDX-License-Identifier: GPL-2.0-only
"""Reads docs/specs/live-update-stream.md, so that tests can hold it to its word.

What is read: the field tables (a line "`struct NAME`, N bytes:" and a table with
Offset, Size, Field, Meaning), the constant tables (Value, Constant, Meaning),
the overview (Type, Record, Versions, Of, Number), and of each chapter
"### NAME (TYPE, version N)" its struct and its "Followed by:" line.

Anything in those places that cannot be read raises SpecError with the line.
"""

import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = ROOT / 'docs/specs/live-update-stream.md'
HEADER = ROOT / 'xen/include/public/liveupdate.h'
READ_BY_XEN = ROOT / 'xen/common/liveupdate/records.h'

Field = collections.namedtuple('Field', 'offset size name meaning')
Array = collections.namedtuple('Array', 'count elem name')
Record = collections.namedtuple('Record', 'type name oldest newest of number')


class SpecError(Exception):
    """A line of the specification that cannot be read."""


class Spec:
    """structs: name -> (size, [Field]); constants: name -> value;
    records: name -> Record; bodies: record name -> (struct, [Array]);
    chapters: record name -> (type, version)."""

    def __init__(self, path=SPEC):
        self.structs, self.constants, self.records = {}, {}, {}
        self.bodies, self.chapters = {}, {}
        self.columns, self.struct, self.chapter = None, None, None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                self.read_line(line)
            except (ValueError, KeyError, TypeError) as error:
                raise SpecError(f'{path.name}:{number}: {line!r}: {error}') from error

    def read_line(self, line):
        if line.startswith('|'):
            self.read_row([c.strip().strip('`') for c in line.strip('|').split('|')])
            return
        self.columns = None
        chapter = re.match(r'#+ (\w+)(?: \((0x\w+)(?:, version (\d+))?\))?$', line)
        if line.startswith('#'):
            self.chapter = None
        if chapter and chapter[3]:
            self.chapter = chapter[1]
            self.chapters[self.chapter] = (int(chapter[2], 16), int(chapter[3]))
        struct = re.match(r'`struct (\w+)`, (\d+) bytes:$', line)
        if struct:
            if struct[1] in self.structs:
                raise ValueError('described twice')
            self.struct = struct[1]
            self.structs[self.struct] = (int(struct[2]), [])
            if self.chapter and self.chapter not in self.bodies:
                self.bodies[self.chapter] = (self.struct, [])
        if line.startswith('Followed by:'):
            arrays = re.findall(r'`(\w+)` times `(?:struct )?(\w+)` \((\w+)\)', line)
            if len(arrays) != line.count(' times '):
                raise ValueError('arrays')
            self.bodies[self.chapter][1].extend(Array(*a) for a in arrays)

    def read_row(self, cells):
        if self.columns is None:
            self.columns = cells
        elif set(cells[0]) <= set('-:'):
            pass
        elif self.columns == ['Offset', 'Size', 'Field', 'Meaning']:
            self.structs[self.struct][1].append(
                Field(int(cells[0]), int(cells[1]), cells[2], cells[3]))
        elif self.columns == ['Value', 'Constant', 'Meaning']:
            bit = re.match(r'bit (\d+)$', cells[0])
            self.constants[cells[1]] = cells[0] if not bit else f'1 << {bit[1]}'
        elif self.columns == ['Type', 'Record', 'Versions', 'Of', 'Number']:
            versions = [int(v) for v in cells[2].split(' to ')]
            self.records[cells[1]] = Record(int(cells[0], 16), cells[1], versions[0],
                                            versions[-1], cells[3], cells[4])


def header_structs():
    return re.findall(r'^struct (lu_\w+_rec) \{', HEADER.read_text(), re.M)


def header_constants():
    return [name for name in re.findall(r'^#define[ \t]+(LU_\w+)[ \t]+\S',
                                        HEADER.read_text(), re.M)]


def read_by_xen():
    """name -> (oldest, newest), of the table the capability note is made of."""
    rows = re.findall(r'^LU_RECORD\((\w+), (\d+), (\d+)\)', READ_BY_XEN.read_text(), re.M)
    return {name: (int(oldest), int(newest)) for name, oldest, newest in rows}


def kinds_of_xen():
    """record name -> (struct, of, number, [(count, element)]), of its kind's file."""
    out = {}
    for path in sorted((ROOT / 'xen').rglob('liveupdate/*.c')):
        for text in re.findall(r'^const struct lu_kind \w+ = \{\n(.*?)^\};', path.read_text(),
                               re.S | re.M):
            name = re.search(r'\.type = LU_REC_(\w+),', text)
            if not name:
                continue
            size = re.search(r'\.size = sizeof\(struct (\w+)\),', text)
            number = re.search(r'\.number = (\w+),', text)
            out[name[1]] = (
                size and size[1],
                'vCPU' if '.per_vcpu = true' in text else
                'domain' if '.per_domain = true' in text else 'host',
                number[1] if number else 'LU_ONE',
                re.findall(r'LU_ARRAY\(\w+, (\w+), (?:struct )?(\w+)\)', text))
    return out


class Checks:
    """Counts and prints checks the way check.h does."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, problem):
        """problem: falsy if all is well, else what is wrong."""
        if problem:
            self.failed += 1
            print(f'FAIL {name}: {problem}')
        else:
            self.passed += 1
            print(f'PASS {name}')

    def sum(self):
        print(f'{self.passed} passed, {self.failed} failed')
        return 1 if self.failed or not self.passed else 0

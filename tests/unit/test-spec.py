#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The specification against the public header, the tool and Xen's table.

Usage: test-spec.py BUILD_DIR XEN_LU_STREAM

A C program made from the specification's tables asks the compiler for the size
of each wire struct, offset, size and alignment of each field, and the value of
each constant. Then both are compared with what xen-lu-stream --schema knows,
and with the records Xen says it reads.
"""

import pathlib
import subprocess
import sys

from spec_text import (HEADER, ROOT, Checks, Spec, header_constants, header_structs,
                       kinds_of_xen, read_by_xen)

PROGRAM = """\
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <public/liveupdate.h>
#define FIELD(s, f) printf("field %s %s %zu %zu %zu\\n", #s, #f, \\
    offsetof(struct s, f), sizeof(((struct s *)0)->f), \\
    __alignof__(((struct s *)0)->f))
int main(void)
{
"""


def ask_compiler(spec, build):
    """{struct: (size, {field: (offset, size, alignment)})}, {constant: value}"""
    known = set(header_structs())
    lines = [PROGRAM]
    for struct, (_, fields) in spec.structs.items():
        if struct not in known:
            continue
        lines.append(f'printf("struct {struct} %zu\\n", sizeof(struct {struct}));')
        lines += [f'FIELD({struct}, {field.name});' for field in fields]
    for name in header_constants():
        lines.append(f'printf("constant {name} %llu\\n", (unsigned long long){name});')
    lines.append('return 0; }')
    source = build / 'layout.c'
    source.write_text('\n'.join(lines))
    done = subprocess.run(['cc', '-std=gnu99', '-Werror', f'-I{ROOT}/xen/include', '-o',
                           build / 'layout', source], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        # A field of the specification that the header does not have, say.
        return None, done.stderr
    structs, constants = {}, {}
    for line in subprocess.run([build / 'layout'], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.splitlines():
        kind, *words = line.split()
        if kind == 'struct':
            structs[words[0]] = (int(words[1]), {})
        elif kind == 'field':
            structs[words[0]][1][words[1]] = tuple(int(w) for w in words[2:])
        else:
            constants[words[0]] = int(words[1])
    return structs, constants


def struct_problem(size, fields, real):
    """What the table says otherwise than the compiler, or is incomplete."""
    if size != real[0]:
        return f'{size} bytes, the header has {real[0]}'
    end = 0
    for field in fields:
        offset, length, alignment = real[1][field.name]
        if (field.offset, field.size) != (offset, length):
            return (f'{field.name}: offset {field.offset} size {field.size}, '
                    f'the header has {offset} and {length}')
        if offset % alignment:
            return f'{field.name} is not aligned'
        if offset != end:
            return f'bytes {end} to {offset - 1} are in no field'
        end = offset + length
    return f'bytes {end} to {size - 1} are in no field' if end != size else ''


def difference(one, other):
    """Names in one of two dicts only, or with different values."""
    return ', '.join(f'{k}: {str(one.get(k))[:60]} / {str(other.get(k))[:60]}'
                     for k in sorted(set(one) | set(other)) if one.get(k) != other.get(k))


def tool_schema(tool):
    structs, records, arrays, current = {}, {}, {}, None
    for line in subprocess.run([tool, '--schema'], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.splitlines():
        kind, *words = line.split()
        if kind == 'struct':
            current = structs[words[0]] = (int(words[1]), [])
        elif kind == 'field':
            current[1].append((int(words[0]), int(words[1]), words[2]))
        elif kind == 'record':
            records[words[1]] = tuple(words)
            current = arrays[words[1]] = []
        elif kind == 'array':
            current.append((words[0], words[2], words[1]))
    return structs, records, arrays


def main():
    build, tool = pathlib.Path(sys.argv[1]), sys.argv[2]
    checks = Checks()
    spec = Spec()

    structs, constants = ask_compiler(spec, build)
    checks.check('spec/compiles', constants if structs is None else '')
    if structs is None:
        return checks.sum()

    checks.check('spec/structs-of-the-header', difference(
        dict.fromkeys(spec.structs, 'spec'), dict.fromkeys(header_structs(), 'spec')))
    for name, (size, fields) in spec.structs.items():
        if name in structs:
            checks.check(f'spec/struct/{name}', struct_problem(size, fields, structs[name]))

    numbers = {'LU_REC_END': 0}
    # Constants are C expressions: the tables show them the way the header does.
    numbers.update({n: int(eval(v)) for n, v in spec.constants.items()})  # pylint: disable=eval-used
    numbers.update({f'LU_REC_{n}': r.type for n, r in spec.records.items()})
    checks.check('spec/constants', difference(numbers, {
        n: v - (1 << 64) if numbers.get(n, 0) < 0 else v for n, v in constants.items()}))

    checks.check('spec/chapters', difference(
        spec.chapters, {n: (r.type, r.newest) for n, r in spec.records.items()}))
    checks.check('spec/bodies', difference(
        {n: b[0] for n, b in spec.bodies.items()},
        {n: f'lu_{n.lower()}_rec' for n in spec.records}))
    for name, (struct, arrays) in spec.bodies.items():
        fields = {f.name for f in spec.structs[struct][1]}
        checks.check(f'spec/counts/{name}', ', '.join(
            a.count for a in arrays if a.count not in fields))
        first = spec.structs[struct][1][0]
        checks.check(f'spec/id-first/{name}', (first.offset, first.size, first.name)
                     != (0, 8, 'id') and first)
    types = [r.type for r in spec.records.values()]
    checks.check('spec/types-differ', len(set(types)) != len(types))

    tool_structs, tool_records, tool_arrays = tool_schema(tool)
    checks.check('tool/structs', difference(
        {n: (s, [f[:3] for f in fs]) for n, (s, fs) in spec.structs.items()}, tool_structs))
    number = {'1': 'one', '1 if PV': 'one-if-pv', '1 if HVM': 'one-if-hvm',
              '0 or 1': 'maybe', 'any': 'each'}
    checks.check('tool/records', difference(
        {r.name: (hex(r.type), r.name, spec.bodies[r.name][0], str(r.oldest),
                  str(r.newest), r.of.lower(), number[r.number])
         for r in spec.records.values() if r.name in spec.bodies}, tool_records))
    checks.check('tool/arrays', difference(
        {n: [tuple(a) for a in b[1]] for n, b in spec.bodies.items()}, tool_arrays))

    checks.check('xen/reads-what-is-specified', difference(
        {n: (r.oldest, r.newest) for n, r in spec.records.items()}, read_by_xen()))
    words = {'1': 'LU_ONE', '1 if PV': 'LU_ONE_IF_PV', '1 if HVM': 'LU_ONE_IF_HVM',
             '0 or 1': 'LU_MAYBE', 'any': 'LU_EACH'}
    checks.check('xen/checks-what-is-specified', difference(
        {n: (spec.bodies[n][0], r.of, words[r.number],
             [(a.count, a.elem) for a in spec.bodies[n][1]])
         for n, r in spec.records.items()}, kinds_of_xen()))
    note = spec.structs['lu_note_rec'][0] + 8 * len(spec.records) + 8
    checks.check('xen/note-fits-a-page', note > 4096 and note)
    checks.check('header/no-tabs', '\t' in HEADER.read_text())

    return checks.sum()


if __name__ == '__main__':
    sys.exit(main())

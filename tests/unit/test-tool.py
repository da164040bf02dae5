#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""xen-lu-stream against streams and notes written from the specification.

Usage: test-tool.py BUILD_DIR XEN_LU_STREAM

Every field of every record must be printed by its name and with its value; a
good stream must verify; each row of the specification's compatibility table,
broken, must be refused for just that reason and with the documented exit code.
"""

import pathlib
import re
import struct
import subprocess
import sys

from spec_text import Checks, Spec
from wire import HOST, OPTIONAL, SCALARS, Writer, frame, ident, seal

GOOD, USAGE, DAMAGED, RULES, DIFFER = range(5)


class Tool:
    def __init__(self, build, path):
        self.file = build / 'stream.bin'
        self.path = path

    def run(self, data, *args):
        """(exit code, stdout, stderr); data goes to the last argument."""
        self.file.write_bytes(data)
        done = subprocess.run([self.path, *args, self.file], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout, done.stderr

    def says(self, data, code, pattern, *args):
        """What is wrong with the answer, or ''."""
        real, out, err = self.run(data, *(args or ['-v']))
        if real != code:
            return f'exit code {real}, not {code}: {(err or out).strip()!r}'
        if not re.search(pattern, out + err):
            return f'{pattern!r} is not in {(out + err).strip()!r}'
        return ''


def structs_problem(printed, raw, structs):
    """Are these bytes what is printed as "{a=1 b=2} {a=3 b=4}", with the fields of one
    struct?  None: there is no such struct."""
    elements = [re.findall(r'(\w+)=(\S+)', e) for e in re.findall(r'\{([^}]*)\}', printed)]
    names = [name for name, _ in elements[0]]
    size, fields = next((s for s in structs.values()
                         if [f.name for f in s[1]] == names), (0, ()))
    if not size:
        return None
    if size * len(elements) != len(raw):
        return f'{len(elements)} structs of {size} bytes for {len(raw)} bytes'
    for n, element in enumerate(elements):
        for field, (name, text) in zip(fields, element):
            start = n * size + field.offset
            want = int.from_bytes(raw[start:start + field.size], 'little',
                                  signed='signed' in field.meaning.replace('unsigned', ''))
            if name != field.name or int(text, 0) != want:
                return f'{name}={text} instead of {field.name}={want}'
    return ''


def value_problem(printed, raw, meaning, structs):
    """Does the text print these bytes?"""
    if printed.startswith('{'):
        problem = structs_problem(printed, raw, structs)
        if problem is not None:
            return problem
    if printed == raw.hex() and (len(raw) not in (1, 2, 4, 8) or meaning == 'bytes'):
        return ''
    if printed.startswith('"'):
        return '' if printed == '"' + raw.split(b'\0')[0].decode() + '"' else 'text'
    # Structs in structs: "{a=1 b=2} {a=3 b=4}".
    words = [re.sub(r'^\{?(\w+=)?|\}$', '', w) for w in printed.split()]
    # "0x3 (NAME)" and "0x3 A|B" are one number and its reading.
    numbers = [int(w, 0) for w in words if re.match(r'-?(0x[0-9a-f]+|\d+)$', w)]
    if not numbers or len(raw) % len(numbers):
        return f'{len(numbers)} numbers for {len(raw)} bytes'
    width = len(raw) // len(numbers)
    signed = 'signed' in meaning.replace('unsigned', '')
    want = [int.from_bytes(raw[i:i + width], 'little', signed=signed)
            for i in range(0, len(raw), width)]
    return '' if numbers == want else f'{numbers} instead of {want}'


def record_problem(spec, name, body, lines):
    """Compares the printed lines of one record with its bytes."""
    struct_name, arrays = spec.bodies[name]
    expect = {}
    size, fields = spec.structs[struct_name]
    for field in fields:
        if field.name != 'id':
            expect[field.name] = (body[field.offset:field.offset + field.size],
                                  field.meaning)
    pos = size
    counts = {f.name: f for f in fields}
    for array in arrays:
        field = counts[array.count]
        count = int.from_bytes(body[field.offset:field.offset + field.size], 'little')
        for index in range(count):
            key = f'{array.name}[{index}]'
            if array.elem == 'uint8_t':
                # 16 in a line, under the number of the first.
                if index % 16 == 0:
                    end = pos + min(16, count - index)
                    expect[key] = (body[pos:end], 'bytes')
                pos += 1
                continue
            if array.elem in SCALARS:
                width = SCALARS[array.elem]
                expect[key] = (body[pos:pos + width], '')
                pos += width
                continue
            elem_size, elem_fields = spec.structs[array.elem]
            for field in elem_fields:
                start = pos + field.offset
                expect[f'{key}.{field.name}'] = (body[start:start + field.size],
                                                 field.meaning)
            pos += elem_size
    printed = {}
    for line in lines:
        whole = re.match(r'    (\w+) = (.*)$', line)
        element = re.match(r'    (\w+\[\d+\]): (.*)$', line)
        if whole:
            printed[whole[1]] = whole[2]
        elif element:
            parts = re.split(r'(?:^| )(\w+)=', element[2])
            if len(parts) == 1:
                printed[element[1]] = parts[0]
            for key, text in zip(parts[1::2], parts[2::2]):
                printed[f'{element[1]}.{key}'] = text
        else:
            return f'unexpected line {line!r}'
    if set(printed) != set(expect):
        return f'fields differ: {sorted(set(printed) ^ set(expect))}'
    for key, (raw, meaning) in expect.items():
        problem = value_problem(printed[key], raw, meaning, spec.structs)
        if problem:
            return f'{key}: {printed[key]!r}: {problem}'
    return ''


def test_printing(checks, spec, tool, rows):
    data = seal([row[3] for row in rows])
    code, out, err = tool.run(data)
    checks.check('print/exit-code', code != GOOD and err)
    blocks = re.split(r'^(?=0x)', out, flags=re.M)[1:]
    checks.check('print/number', len(blocks) != len(rows) + 1 and
                 f'{len(blocks)} for {len(rows)} records and END')
    offset, problems = 0, {}
    for (name, domid, instance, raw), block in zip(rows, blocks):
        head, *lines = block.splitlines()
        length = struct.unpack('<I', raw[4:8])[0]
        vcpu = spec.records[name].of == 'vCPU'
        number = (f'v{instance}' if vcpu else f' #{instance}' if instance else '')
        subject = 'host' if domid == HOST else f'd{domid}'
        want = (f'{offset:#010x} {name} {subject}{number} '
                f'version {spec.records[name].newest}, {length} bytes')
        problem = (f'{head!r} instead of {want!r}' if head != want else
                   record_problem(spec, name, raw[8:8 + length], lines))
        problems[name] = problems.get(name) or problem
        offset += len(raw)
    for name in spec.records:
        checks.check(f'print/{name}', problems.get(name, 'not printed'))
    checks.check('print/summary', tool.says(
        data, GOOD, rf'stream +{len(rows)} +{len(data)}\n', '-s'))
    for subject in ('host', 'd0', 'd1'):
        mine = [row for row in rows if ('host' if row[1] == HOST else f'd{row[1]}') == subject]
        size = sum(struct.unpack('<I', row[3][4:8])[0] for row in mine)
        checks.check(f'print/summary-{subject}', tool.says(
            data, GOOD, rf'\n{subject} +{len(mine)} +{size}\n', '-s'))
    checks.check('print/pages-of-a-dump', tool.says(
        data + bytes(-len(data) % 4096), GOOD, rf'good stream of {len(data)} bytes'))


def test_rules(checks, spec, tool, writer, rows):
    def stream(change=lambda records: None):
        records = [list(row) for row in rows]
        change(records)
        return seal([record[3] for record in records])

    def at(name, nth=0):
        return [i for i, row in enumerate(rows) if row[0] == name][nth]

    def replace(name, raw, nth=0):
        return stream(lambda records: records[at(name, nth)].__setitem__(3, raw))

    def insert(index, *raws):
        return stream(lambda records: records.__setitem__(
            slice(index, index), [[None, None, None, raw] for raw in raws]))

    def drop(name, nth=0):
        return stream(lambda records: records.pop(at(name, nth)))

    check, says, end = checks.check, tool.says, len(rows)
    newest = spec.records['CPUS'].newest
    unknown = ident(1, 1) + bytes(8)

    check('rules/good', says(stream(), GOOD, 'a good stream'))
    check('rules/unknown-mandatory', says(
        insert(end, frame(0x40000fff, unknown)), RULES,
        'type 0x40000fff d1: unknown, and not optional'))
    check('rules/unknown-optional', says(
        insert(end, frame(0x40000fff | OPTIONAL, unknown)), GOOD, 'a good stream'))
    check('rules/known-marked-optional', says(
        replace('CPUS', writer.record('CPUS', HOST, optional=OPTIONAL)), GOOD, 'good'))
    for optional, label in ((0, ''), (OPTIONAL, '-optional')):
        check('rules/version-too-new' + label, says(
            replace('CPUS', writer.record('CPUS', HOST, optional=optional,
                                          version=newest + 1)), RULES,
            f'CPUS host: version {newest + 1} is not understood'))
    check('rules/version-zero', says(
        replace('CPUS', writer.record('CPUS', HOST, version=0)), RULES,
        'CPUS host: version 0 is not understood'))

    for name, record in spec.records.items():
        if record.number in ('1', '1 if PV', '1 if HVM'):
            check(f'rules/missing/{name}', says(drop(name), RULES,
                  rf'{name}( of d[01])? is missing|{name} of d[01]: 1, for 2 vCPUs|'
                  rf'd0 does not start with {name}|{name} is first'))
        row = rows[at(name)]
        wrong = 'a duplicate of the one at 0x'
        check(f'rules/duplicate/{name}', says(
            insert(at(name) + 1, writer.record(name, row[1], row[2])), RULES, wrong))
        if record.number != 'any' and record.of != 'vCPU':
            check(f'rules/second-instance/{name}', says(
                insert(at(name) + 1, writer.record(name, row[1], 77)), RULES, wrong))
        other = 0 if record.of == 'host' else HOST
        check(f'rules/scope/{name}', says(
            insert(end, writer.record(name, other)), RULES,
            'belongs to the host' if other == 0 else 'needs a domain'))

        raw = row[3]
        length = struct.unpack('<I', raw[4:8])[0]
        body = raw[8:8 + length]
        check(f'rules/body-short/{name}', says(
            replace(name, frame(record.type, body[:-1])), RULES,
            f'{name} .*(bytes of body, lu_|does not fit|more than its fields)'))
        check(f'rules/body-long/{name}', says(
            replace(name, frame(record.type, body + b'\0')), RULES,
            f'{name} .*1 bytes of body more than its fields say'))
        struct_name, arrays = spec.bodies[name]
        for array in arrays:
            field = [f for f in spec.structs[struct_name][1] if f.name == array.count][0]
            first = [a for a in arrays if a.count == array.count][0]
            lie = bytearray(body)
            lie[field.offset:field.offset + field.size] = b'\xff' * field.size
            check(f'rules/lying-count/{name}/{array.count}', says(
                replace(name, frame(record.type, bytes(lie))), RULES,
                f'{name} .*{array.count} = {2 ** (8 * field.size) - 1}: '
                f'{first.name} does not fit'))
        for field in spec.structs[struct_name][1]:
            if field.name.startswith('reserved'):
                bad = bytearray(body)
                bad[field.offset + field.size - 1] = 1
                check(f'rules/reserved/{name}/{field.name}', says(
                    replace(name, frame(record.type, bytes(bad))), RULES,
                    f'{struct_name}.{field.name} is not zero'))

    check('rules/text-not-terminated', says(
        replace('HOST', writer.record('HOST', HOST, nr_domains=2,
                                      extraversion=b'x' * 32)), RULES,
        'lu_host_rec.extraversion is not terminated'))
    check('rules/HOST-not-first', says(
        stream(lambda r: r.insert(1, r.pop(0))), RULES, 'HOST is first'))
    check('rules/host-after-domain', says(
        stream(lambda r: r.append(r.pop(at('CPUS')))), RULES,
        'CPUS host: a record of the host after one of a domain'))
    check('rules/domain-not-together', says(
        stream(lambda r: r.append(r.pop(at('DOMAIN') + 1))), RULES,
        'the records of d0 are not together'))
    check('rules/DOMAIN-not-first', says(
        stream(lambda r: r.insert(at('DOMAIN') + 1, r.pop(at('DOMAIN')))), RULES,
        'd0 does not start with DOMAIN'))
    check('rules/domains-out-of-order', says(
        stream(lambda r: r.__setitem__(slice(at('DOMAIN'), None),
                                       r[at('DOMAIN', 1):] +
                                       r[at('DOMAIN'):at('DOMAIN', 1)])), RULES,
        "DOMAIN d0: the domains' order is not that of their domids"))
    check('rules/vcpus-out-of-order', says(
        stream(lambda r: r.insert(at('AFFINITY'), r.pop(at('AFFINITY', 1)))), RULES,
        'AFFINITY d0 #1: the vCPUs are not in order'))
    check('rules/instance-of-a-domain', says(
        replace('TSC', writer.record('TSC', 0, 5)), RULES,
        'TSC d0 #5: id.instance is not 0'))
    check('rules/PV-record-of-HVM', says(
        replace('DOMAIN', writer.record('DOMAIN', 0, nr_vcpus=2, flags=1)), RULES,
        'PAGETABLES of d0, which is no PV domain'))
    check('rules/number-of-domains', says(
        replace('HOST', writer.record('HOST', HOST, nr_domains=3)), RULES,
        'HOST says 3 domains, there are 2'))


def test_diff(checks, spec, tool, build, writer, rows):
    other = build / 'other.bin'
    other.write_bytes(seal([row[3] for row in rows]))

    def says(records, code, pattern):
        return tool.says(seal([r[3] for r in records]), code, pattern, '--diff', str(other))

    check = checks.check
    check('diff/same', says(rows, GOOD, r'\A\Z'))
    check('diff/another-order', says(rows[::-1], GOOD, r'\A\Z'))
    check('diff/no-stream', tool.says(b'x' * 64, DAMAGED, 'is no stream', '--diff', str(other)))
    other_bad = build / 'bad.bin'
    other_bad.write_bytes(b'x' * 64)
    check('diff/other-no-stream', tool.says(seal([r[3] for r in rows]), DAMAGED,
                                            'bad.bin is no stream', '--diff', str(other_bad)))
    # Each record gone, each record more, and each field changed, by its name and only it.
    for i, (name, domid, instance, raw) in enumerate(rows):
        if name in [row[0] for row in rows[:i]]:
            continue
        vcpu = spec.records[name].of == 'vCPU'
        subject = 'host' if domid == HOST else f'd{domid}'
        number = f'v{instance}' if vcpu else f' #{instance}' if instance else ''
        head = f'{name} {subject}{number} version {spec.records[name].newest}, '
        check(f'diff/gone/{name}', says(rows[:i] + rows[i + 1:], DIFFER,
                                        rf'\A- {re.escape(head)}\d+ bytes\n\Z'))
        more = [None, None, None, writer.record(name, domid, 1000)]
        check(f'diff/more/{name}', says(rows + [more], DIFFER,
                                        rf'\A\+ {name} {subject}.*\d+ bytes\n\Z'))
        struct_name, arrays = spec.bodies[name]
        counts = {array.count for array in arrays}
        for field in spec.structs[struct_name][1]:
            if field.name == 'id' or field.name in counts:
                continue
            changed = bytearray(raw)
            changed[8 + field.offset] ^= 1
            row = [name, domid, instance, bytes(changed)]
            check(f'diff/field/{name}.{field.name}', says(
                rows[:i] + [row] + rows[i + 1:], DIFFER,
                rf'\A{re.escape(head)}\d+ bytes\n    {field.name} = .* -> .*\n\Z'))
        if arrays and not arrays[0].elem.startswith('uint8'):
            size = struct.unpack('<I', raw[4:8])[0]
            changed = bytearray(raw)
            changed[8 + spec.structs[struct_name][0]] ^= 1
            row = [name, domid, instance, bytes(changed)]
            check(f'diff/element/{name}', says(
                rows[:i] + [row] + rows[i + 1:], DIFFER,
                rf'\A{re.escape(head)}{size} bytes\n    {arrays[0].name}\[0\]: .* -> .*\n\Z'))
    # Arrays of another length.
    at = [i for i, row in enumerate(rows) if row[0] == 'CPUS'][0]
    for count, sign, number in ((4, r'\+', 3), (2, '-', 2)):
        body = bytearray(writer.record('CPUS', HOST, nr=count))
        old = bytearray(writer.record('CPUS', HOST, nr=3))
        body[16:16 + 8 + 4 * min(count, 3)] = old[16:16 + 8 + 4 * min(count, 3)]
        body[16:20] = struct.pack('<I', count)
        other.write_bytes(seal([r[3] for r in rows[:at]] + [bytes(old)] +
                               [r[3] for r in rows[at + 1:]]))
        row = ['CPUS', HOST, 0, bytes(body)]
        check(f'diff/elements-{count}', says(
            rows[:at] + [row] + rows[at + 1:], DIFFER,
            rf'\ACPUS host .*\n    nr = 3 -> {count}\n  {sign} apic_id\[{number}\]: \d+\n\Z'))


def test_damage(checks, tool, rows):
    data = seal([row[3] for row in rows])
    check, says = checks.check, tool.says
    flipped = bytearray(data)
    flipped[50] ^= 1
    check('damage/checksum', says(bytes(flipped), DAMAGED,
                                  'checksum 0x[0-9a-f]+, but the bytes have 0x'))
    check('damage/truncated', says(data[:-24], DAMAGED, 'ends without END'))
    check('damage/truncated-in-END', says(data[:-8], DAMAGED, 'END of 16 bytes'))
    check('damage/empty', says(b'', DAMAGED, '0x0: the stream ends without END'))
    check('damage/no-stream', says(b'#!/bin/sh\n' * 9, DAMAGED, 'is no stream: 0x0: type'))
    check('damage/trailing', says(data + b'\0' * 7 + b'\1', DAMAGED, 'END of 16 bytes'))
    check('damage/lying-length', says(
        seal([struct.pack('<II', 0x40000001, 0xfffffff0) + bytes(16)]), DAMAGED,
        '0x0: HOST of 4294967280 bytes reaches beyond'))
    check('damage/no-id', says(seal([frame(0x40000001, b'abcd')]), DAMAGED,
                               'HOST of 4 bytes has no room'))
    check('damage/padding', says(
        seal([struct.pack('<II', 0x40000001, 9) + bytes(9) + b'\0\0\0\0\0\0\1']),
        DAMAGED, '0x17: padding is not zero'))
    check('damage/optional-END', says(seal([frame(OPTIONAL, bytes(16))]), DAMAGED,
                                      'END marked optional'))
    check('damage/END-only', says(seal([]), RULES, 'HOST is missing'))
    check('damage/no-file', says(data, USAGE, 'No such file', '-v', '--image',
                                 '/nonexistent'))


def note(spec, entries, version=2, size=None, tail=None, header=None):
    value = {n: int(v, 0) for n, v in spec.constants.items()
             if n.startswith('LU_NOTE_') and '<<' not in v}
    head_size = spec.structs['lu_note_rec'][0]
    fixed = {
        'magic': struct.pack('<QQ', value['LU_NOTE_MAGIC0'], value['LU_NOTE_MAGIC1']),
        'version': version, 'nr_entries': len(entries), 'xen_major': 4, 'xen_minor': 17,
        'size': (header or head_size) + 8 * len(entries) + 8 if size is None else size,
        'header': header or head_size,
        'flags': 1, 'extraversion': b'.5-x'.ljust(32, b'\0'),
    }
    head = Writer(spec).fill('lu_note_rec', fixed).ljust(header or 0, b'\1')
    table = b''.join(struct.pack('<IHH', *e) for e in entries)
    return head + table + struct.pack('<Q', value['LU_NOTE_TAIL'] if tail is None else tail)


def test_notes(checks, spec, tool, build, rows):
    entries = [(r.type, r.oldest, r.newest) for r in spec.records.values()]
    one, pad = note(spec, entries), bytes(1008)
    check, says = checks.check, tool.says
    check('note/found', says(pad + one, GOOD, 'at file offset 0x3f0', '--note'))
    check('note/fields', says(pad + one, GOOD,
                              r'xen_minor = 17\n(.*\n)*.*flags = 0x1 DEBUG', '--note'))
    check('note/entries', says(one, GOOD, r'reads 0x40000004 CPUS version 1\n', '--note'))
    check('note/range', says(note(spec, [(0x40000001, 1, 3)]), GOOD,
                             'HOST version 1 to 3', '--note'))
    check('note/longer-header', says(note(spec, entries, header=512), GOOD,
                                     r'reads 0x40000004 CPUS version 1\n', '--note'))
    check('note/last-bytes-of-file', says(b'\0' * 16 + one, GOOD, 'note', '--note'))
    check('note/none', says(pad, DAMAGED, 'no capability note', '--note'))
    check('note/compressed', says(b'\x1f\x8b' + pad, DAMAGED, 'gunzip', '--note'))
    check('note/magic-alone', says(pad + one[:16] + pad + one, GOOD, 'note at', '--note'))
    check('note/two', says(one + bytes(-len(one) % 16) + one, RULES,
                           '2 capability notes', '--note'))
    for label, bad in (('cut', one[:-1]), ('tail', note(spec, entries, tail=1)),
                       ('version', note(spec, entries, version=1)),
                       ('header', note(spec, entries, header=spec.structs['lu_note_rec'][0] - 8)),
                       ('size', note(spec, entries, size=88)),
                       ('too-many', note(spec, entries * 129))):
        check(f'note/{label}', says(pad + bad, DAMAGED, 'damaged capability note', '--note'))

    data, image = seal([row[3] for row in rows]), build / 'image.bin'
    for label, table, code, text in (
            ('all', entries, GOOD, 'a good stream'),
            ('without-CPUS', [e for e in entries if e[0] != 0x40000004], RULES,
             'CPUS host: unknown, and not optional'),
            ('newer-only', [(t, 2, 3) if t == 0x40000004 else (t, a, b)
                            for t, a, b in entries], RULES,
             'CPUS host: version 1 is not understood')):
        image.write_bytes(pad + note(spec, table))
        check(f'note/as-image-{label}', says(data, code, text, '--image', str(image)))


def main():
    build, checks, spec = pathlib.Path(sys.argv[1]), Checks(), Spec()
    tool, writer = Tool(build, sys.argv[2]), Writer(spec)
    rows = writer.good()
    test_printing(checks, spec, tool, rows)
    test_rules(checks, spec, tool, writer, rows)
    test_diff(checks, spec, tool, build, writer, rows)
    test_damage(checks, tool, rows)
    test_notes(checks, spec, tool, build, rows)
    return checks.sum()


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-only
"""Writes live update streams from nothing but the specification's tables.

A third writer beside Xen's and the reader's code, in another language and with
another XXH64 (python3-xxhash): what it writes and xen-lu-stream reads alike is
what the text says, not what the C code happens to do.
"""

import random
import struct

import xxhash

OPTIONAL = 0x80000000
HOST = 0x7fff
SCALARS = {'uint8_t': 1, 'uint32_t': 4, 'uint64_t': 8}


def frame(kind, body):
    """A record: header, body, padding."""
    return struct.pack('<II', kind, len(body)) + body + bytes(-len(body) % 8)


def ident(version, domid, instance=0):
    return struct.pack('<HHI', version, domid, instance)


def seal(records):
    data = b''.join(records)
    checksum = xxhash.xxh64(data, seed=0).intdigest()
    return data + frame(0, struct.pack('<QQ', checksum, len(data)))


class Writer:
    """Bodies with noise in every field, except where a field has a meaning."""

    def __init__(self, spec, seed=2):
        self.spec = spec
        self.random = random.Random(seed)

    def fill(self, name, fixed):
        """Bytes of a struct; fixed: field name -> bytes or int."""
        size, fields = self.spec.structs[name]
        body = bytearray(size)
        for field in fields:
            value = fixed.get(field.name)
            if isinstance(value, int):
                value = value.to_bytes(field.size, 'little')
            if value is None and field.name.startswith('reserved'):
                value = bytes(field.size)
            if value is None and 'NUL terminated' in field.meaning:
                text = bytes(self.random.choices(b'abcXYZ-.019', k=field.size - 1))
                value = text[:self.random.randrange(field.size)].ljust(field.size, b'\0')
            if value is None:
                # The top bit of every byte is set: a wrong width or sign shows.
                value = bytes(self.random.randrange(0x80, 0x100)
                              for _ in range(field.size))
            body[field.offset:field.offset + field.size] = value
        return bytes(body)

    def elements(self, array, count):
        if array.elem in SCALARS:
            return b''.join(self.random.randbytes(SCALARS[array.elem])
                            for _ in range(count))
        return b''.join(self.fill(array.elem, {}) for _ in range(count))

    def record(self, name, domid, instance=0, optional=0, version=None, **fixed):
        known = self.spec.records[name]
        struct_name, arrays = self.spec.bodies[name]
        fixed['id'] = ident(known.newest if version is None else version, domid, instance)
        for array in arrays:
            fixed.setdefault(array.count, self.random.randrange(1, 4))
        body = self.fill(struct_name, fixed)
        for array in arrays:
            body += self.elements(array, fixed[array.count])
        return frame(known.type | optional, body)

    def good(self, nr_domains=2, nr_vcpus=2):
        """[(name, domid, instance, bytes)] of a stream that breaks no rule, with
        every record of the specification in it."""
        rows = []

        def add(name, domid, instance=0, **fixed):
            rows.append((name, domid, instance,
                         self.record(name, domid, instance, **fixed)))

        for name, record in self.spec.records.items():
            if record.of != 'host':
                continue
            if record.number == 'any':
                add(name, HOST, 0x12345)
                add(name, HOST, 0xffffffff)
            elif name == 'HOST':
                add(name, HOST, nr_domains=nr_domains)
            else:
                add(name, HOST)
        for domid in range(nr_domains):
            # In turn, so that all records are wanted.
            hvm = domid % 2
            for name, record in self.spec.records.items():
                if record.number == ('1 if PV' if hvm else '1 if HVM'):
                    continue
                if record.of == 'vCPU':
                    for vcpu in range(nr_vcpus):
                        add(name, domid, vcpu)
                elif name == 'DOMAIN':
                    add(name, domid, nr_vcpus=nr_vcpus, flags=hvm)
                elif record.of == 'domain':
                    add(name, domid)
        return rows

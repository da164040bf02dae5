# SPDX-License-Identifier: GPL-2.0-only
"""Just enough ELF to find out which shared libraries a program needs.

needed(path) returns the DT_NEEDED names of a 64-bit little-endian ELF file,
an empty list for a static one, and None for a file that is no such ELF.
Offsets are taken through the program headers, so stripped files work.  A file
whose tables point outside it raises ValueError.
"""

import struct

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


def _segments(data):
    phoff, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, off, vaddr, _, fsize, _, _ = \
            struct.unpack_from("<IIQQQQQQ", data, phoff + i * size)
        yield kind, off, vaddr, fsize


def needed(path):
    with open(path, "rb") as f:
        data = f.read()
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        segs = list(_segments(data))
        dyn = next((s for s in segs if s[0] == PT_DYNAMIC), None)
        if dyn is None:
            return []
        names, strtab = [], None
        for pos in range(dyn[1], dyn[1] + dyn[3], 16):
            tag, value = struct.unpack_from("<QQ", data, pos)
            if tag == DT_NULL:
                break
            if tag == DT_NEEDED:
                names.append(value)
            elif tag == DT_STRTAB:
                strtab = next(off + value - vaddr
                              for kind, off, vaddr, size in segs
                              if kind == PT_LOAD and
                              vaddr <= value < vaddr + size)
        return [data[strtab + n:data.index(b"\0", strtab + n)].decode()
                for n in names]
    except (struct.error, StopIteration, TypeError, IndexError) as e:
        raise ValueError(f"{path}: damaged ELF file: {e}") from e

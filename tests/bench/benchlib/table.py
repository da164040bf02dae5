# SPDX-License-Identifier: GPL-2.0-only
"""From figures to tables: means, growth, a line per host.

Happy path: report({Row: {column: figure}}, ms of a reboot or None) returns the lines.
A table that has no rows is left out, and so is growth where rows do not differ in
what grows, or differ only in something else as well.
"""

from fractions import Fraction

HEADS = {"dom0": "dom0 sees", "guest": "guest sees", "saved": "save+restore"}
NARROW = 9

# A Row's sizes: head of the column, the unit of growth and its name.
SIZES = {"dom0": ("dom0 MiB", 1024, "GiB of dom0"),
         "host": ("host MiB", 1024, "GiB of host"),
         "guests": ("guests", 1, "guest"),
         "memory": ("guest MiB", 1024, "GiB of guest")}


def mean(values):
    return sum(values) / len(values) if values else float("nan")


def slopes(points):
    """How y grows with each x, by least squares: [((x, ...), y)] to [growth].

    An x that is the same everywhere has None; all have if x cannot be told apart.
    """
    out = [None] * len(points[0][0]) if points else []
    vary = [i for i in range(len(out)) if len({x[i] for x, _ in points}) > 1]
    # Normal equations, exact: a pivot is zero or is not.
    lines = [[1, *(Fraction(x[i]) for i in vary), Fraction(y)] for x, y in points]
    m = [[sum(line[r] * line[c] for line in lines) for c in range(len(vary) + 2)]
         for r in range(len(vary) + 1)]
    for i in range(len(m)):
        pivot = next((r for r in range(i, len(m)) if m[r][i]), None)
        if pivot is None:
            return out
        m[i], m[pivot] = m[pivot], m[i]
        m[i] = [c / m[i][i] for c in m[i]]
        m = [line if r == i else [a - line[i] * b for a, b in zip(line, m[i])]
             for r, line in enumerate(m)]
    for i, line in zip(vary, m[1:]):
        out[i] = float(line[-1])
    return out


def growth(rows, sizes):
    """{size: {column: growth per unit}} of those sizes, taken together.

    `rows` is {Row: figures}, `sizes` are names of a Row's sizes.  A size with which
    nothing is seen to grow is not in it.
    """
    out = {size: {} for size in sizes}
    for column in columns(rows):
        points = [([getattr(row, size) for size in sizes], figures[column])
                  for row, figures in rows.items() if column in figures]
        for size, slope in zip(sizes, slopes(points)):
            out[size][column] = None if slope is None else slope * SIZES[size][1]
    return {size: per for size, per in out.items()
            if any(v is not None for v in per.values())}


def columns(rows):
    """All columns, in the order of the row that has most."""
    return list(max(rows.values(), key=len, default={}))


class Table:
    """Lines that begin with `head`'s cells and go on with the rows' figures."""

    def __init__(self, head, rows):
        self.columns = columns(rows)
        self.width = {c: max(NARROW, len(HEADS.get(c, c)) + 2) for c in self.columns}
        self.cell = max(len(c) for c in head) + 2
        self.cells = len(head)
        self.lines = ["".join(f"{c:>{self.cell}}" for c in head)
                      + "".join(f"{HEADS.get(c, c):>{self.width[c]}}"
                                for c in self.columns)]

    def add(self, cells, figures):
        known = [f"{figures[c]:.1f}" if figures.get(c) is not None else "-"
                 for c in self.columns]
        self.lines.append("".join(f"{c:>{self.cell}}" for c in cells) + "".join(
            f"{k:>{self.width[c]}}" for k, c in zip(known, self.columns)))

    def grown(self, what, figures):
        self.add([f"{what:>{self.cell * self.cells}}"], figures)


# Of each kind of row: a title, sizes, and how many of these are meant to grow.
TABLES = [
    ("dom0", "dom0 alone, by its memory and the host's:", ("dom0", "host"), 2),
    ("guests", "Idle guests of {memory} MiB each, by their number:",
     ("guests", "host"), 1),
    ("guest", "One idle guest, by its memory, and xl save + xl restore of it:",
     ("memory", "host"), 1),
    ("pvh", "One idle PVH guest, by its memory and the host's:",
     ("memory", "host"), 2),
    ("hvm", "One idle HVM guest, by its memory and the host's, QEMU in a dom0 of "
     "{dom0} MiB:", ("memory", "host"), 2),
]


def table(rows, sizes, grow):
    out = Table([SIZES[size][0] for size in sizes], rows)

    def cells(row):
        return [getattr(row, size) for size in sizes]
    for row in sorted(rows, key=lambda row: cells(row)[::-1]):
        out.add(cells(row), rows[row])
    grown = growth(rows, sizes)
    for size in sizes[:grow]:
        if size in grown:
            out.grown(f"per {SIZES[size][2]}", grown[size])
    return out.lines


def report(found, kexec):
    lines = []
    for kind, title, sizes, grow in TABLES:
        rows = {row: figures for row, figures in found.items() if row.kind == kind}
        if rows:
            first = next(iter(rows))
            lines += [title.format(memory=first.memory, dom0=first.dom0), "",
                      *table(rows, sizes, grow), ""]
    if kexec:
        against = [figures["dom0"] for row, figures in found.items()
                   if row.kind == "dom0" and (row.dom0, row.host) == (1024, 4096)]
        lines += [f"A reboot by kexec, dom0 of 1024 MiB on a host of 4096: {kexec:.0f} "
                  "from kexec -e\nto dom0's /init" + "".join(
                      f", {kexec / gap:.0f} times what dom0 sees of an update"
                      for gap in against)]
    return lines

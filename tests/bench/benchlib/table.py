# SPDX-License-Identifier: GPL-2.0-only
"""From figures to tables: means, growth, a line per host.

Happy path: report({Row: {column: figure}}, ms of a reboot or None) returns the lines.
A table that has no rows is left out, and so is growth where fewer than two rows
differ in what grows.
"""

HEADS = {"dom0": "dom0 sees", "guest": "guest sees", "saved": "save+restore"}
NARROW = 9


def mean(values):
    return sum(values) / len(values) if values else float("nan")


def slope(points):
    """Growth per unit of x, by least squares; None with fewer than two x."""
    mx, my = (mean([p[i] for p in points]) for i in (0, 1))
    square = sum((x - mx) ** 2 for x, _ in points)
    return sum((x - mx) * (y - my) for x, y in points) / square if square \
        else None


def growth(rows, grows, fixed, unit=1):
    """Growth of each column per `unit` of one size, between rows of which the
    other is what most rows have; None if there is none.

    `rows` is {Row: figures}, `grows` and `fixed` are names of a Row's sizes.
    """
    sizes = [getattr(row, fixed) for row in rows]
    at = max(sizes, key=sizes.count, default=0)
    same = [row for row in rows if getattr(row, fixed) == at]
    out = {}
    for column in columns(rows):
        points = [(getattr(row, grows) / unit, rows[row][column])
                  for row in same if column in rows[row]]
        out[column] = slope(points) if points else None
    return out if any(v is not None for v in out.values()) else None


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
        if figures:
            self.add([f"{what:>{self.cell * self.cells}}"], figures)


def dom0_table(rows):
    table = Table(["dom0 MiB", "host MiB"], rows)
    for row in sorted(rows, key=lambda r: (r.host, r.dom0)):
        table.add([row.dom0, row.host], rows[row])
    table.grown("per GiB of dom0", growth(rows, "dom0", "host", 1024))
    table.grown("per GiB of host", growth(rows, "host", "dom0", 1024))
    return table.lines


def guests_table(rows):
    table = Table(["guests", "host MiB"], rows)
    for row in sorted(rows, key=lambda r: r.guests):
        table.add([row.guests, row.host], rows[row])
    table.grown("per guest", growth(rows, "guests", "host"))
    return table.lines


def guest_table(rows):
    table = Table(["guest MiB", "host MiB"], rows)
    for row in sorted(rows, key=lambda r: r.memory):
        table.add([row.memory, row.host], rows[row])
    table.grown("per GiB of guest", growth(rows, "memory", "host", 1024))
    return table.lines


TABLES = [
    ("dom0", "dom0 alone, by its memory and the host's:", dom0_table),
    ("guests", "Idle guests of {memory} MiB each, by their number:", guests_table),
    ("guest", "One idle guest, by its memory, and xl save + xl restore of it:",
     guest_table),
]


def report(found, kexec):
    lines = []
    for kind, title, table in TABLES:
        rows = {row: figures for row, figures in found.items() if row.kind == kind}
        if rows:
            lines += [title.format(memory=next(iter(rows)).memory), "",
                      *table(rows), ""]
    if kexec:
        against = [figures["dom0"] for row, figures in found.items()
                   if row.kind == "dom0" and (row.dom0, row.host) == (1024, 4096)]
        lines += [f"A reboot by kexec, dom0 of 1024 MiB on a host of 4096: {kexec:.0f} "
                  "from kexec -e\nto dom0's /init" + "".join(
                      f", {kexec / gap:.0f} times what dom0 sees of an update"
                      for gap in against)]
    return lines

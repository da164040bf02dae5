# SPDX-License-Identifier: GPL-2.0-only
"""Several hosts at a time, as many as this machine has memory for.

Happy path: for row, found, why in Pool(work, jobs).run(rows): ...  runs work(row) of
each row in a process of its own, and yields what it returned and why it failed.  A
row that is large waits for its turn while smaller ones overtake it; when nothing else
runs it is its turn.

What can fail: work that raises or dies, which is its row's failure; a sparse row that
takes more than it was thought to, which is ended before the machine runs out; a row that
wants more memory than there is when nothing of ours runs, which gives up
(found None, why a TooLarge).
"""

import ctypes
import multiprocessing
import re
import signal
from multiprocessing.connection import wait
from pathlib import Path

# Left to the rest of the machine, in MiB.
SPARE = 1024


class TooLarge(str):
    """Why a row was not measured: this machine has not the memory."""


def available():
    """MiB that this machine can give without swapping."""
    text = Path("/proc/meminfo").read_text()
    return int(re.search(r"MemAvailable:\s+(\d+) kB", text)[1]) >> 10


def resident(pid):
    """MiB that a process and its descendants hold."""
    total, queue = 0, [pid]
    while queue:
        pid = queue.pop()
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
            m = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            total += int(m[1]) >> 10 if m else 0
        except FileNotFoundError:
            pass
    return total


class Pool:
    """`work` is called with a row in a process of its own; so many `jobs` at once."""

    def __init__(self, work, jobs):
        self.work, self.jobs = work, jobs
        self.context = multiprocessing.get_context("fork")
        self.running = {}
        self.ended = {}

    def _child(self, row, pipe):
        # What is started here ends with us, however we end.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        pipe.send(self.work(row))

    def _start(self, row):
        ours, theirs = self.context.Pipe(duplex=False)
        child = self.context.Process(target=self._child, args=(row, theirs),
                                     daemon=True)
        child.start()
        theirs.close()
        self.running[ours] = row, child

    def room(self):
        """MiB that no running row will take, however much of it it has by now."""
        return available() - SPARE + sum(
            resident(child.pid) - row.needs for row, child in self.running.values())

    def _next(self, waiting):
        """The first row that fits now, or None."""
        if len(self.running) >= self.jobs:
            return None
        room = self.room()
        return next((row for row in waiting if row.needs <= room), None)

    def _bound(self):
        """Ends sparse rows that take more than they may: all of it is not there."""
        for row, child in self.running.values():
            if row.sparse and (has := resident(child.pid)) > row.needs:
                self.ended[row] = f"took {has} MiB of memory, {row.needs} were thought of"
                child.kill()

    def _ended(self):
        """Waits for those that end next."""
        while not (ended := wait(list(self.running), 1)):
            self._bound()
        for pipe in ended:
            row, child = self.running.pop(pipe)
            try:
                found, why = pipe.recv()
            except EOFError:
                found, why = None, self.ended.get(row, "its process has died")
            child.join()
            yield row, found, why

    def run(self, rows):
        # The large ones first: they leave room for small ones beside them.
        waiting = sorted(rows, key=lambda row: -row.needs)
        while waiting or self.running:
            while row := self._next(waiting):
                waiting.remove(row)
                self._start(row)
            if self.running:
                yield from self._ended()
            else:
                row = waiting.pop(0)
                yield row, None, TooLarge(
                    f"wants {row.needs} MiB of memory, {self.room()} are free")

# SPDX-License-Identifier: GPL-2.0-only
"""Where things of the lab live.

ROOT is the top of the repository, BUILD everything generated for the lab
(git-ignored), CACHE what was fetched and can be fetched again.  Both can be
moved: LAB_BUILD for the first, XDG_CACHE_HOME for the second, so that two
people can run labs out of one checkout without treading on each other.  Runs in
one BUILD do not either: each has a directory of its own (RunDir), and what is
made once for all of them is made under locked().
"""

import contextlib
import fcntl
import os
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
ROOT = LAB.parent.parent
BUILD = Path(os.environ.get("LAB_BUILD") or ROOT / "build" / "lab").resolve()
RUNS = BUILD / "run"
CACHE = Path(os.environ.get("XDG_CACHE_HOME")
             or Path.home() / ".cache") / "xen-liveupdate" / "lab"


class LabError(Exception):
    """Something the lab needs is missing or went wrong; the text says what."""


def shown(path):
    """A path as a user at the top of the repository would type it."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


@contextlib.contextmanager
def locked(path, what):
    """Holds the lock file `path`, after waiting until nobody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  waiting until another run has made {what}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class RunDir:
    """A directory below RUNS that no other run uses: NAME, or NAME-2 and so on.

    Its lock is held until release(), or the end of the process; what is in it
    stays until the next run of that name.
    """

    MOST = 64

    def __init__(self, name):
        for number in range(1, self.MOST + 1):
            self.path = RUNS / (name if number == 1 else f"{name}-{number}")
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock = open(self.path / "lock", "w")
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self.lock.close()
        raise LabError(f"{RUNS}: {name} to {name}-{self.MOST} are all in use")

    def release(self):
        self.lock.close()

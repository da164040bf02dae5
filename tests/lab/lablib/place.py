# SPDX-License-Identifier: GPL-2.0-only
"""Where things of the lab live.

ROOT is the top of the repository, BUILD everything generated for the lab
(git-ignored), CACHE what was fetched and can be fetched again.  Both can be
moved: LAB_BUILD for the first, XDG_CACHE_HOME for the second, so that two
people can run labs out of one checkout without treading on each other.
"""

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

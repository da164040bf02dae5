# SPDX-License-Identifier: GPL-2.0-only
"""xl live-update in dom0's shell, and what it says, as values to compare.

Happy path, on a host with files=toolstack.ours():

    rc, out, err = xl(host, "-n -j /boot/xen-new")
    reported(parsed(out))       # {("d1", "debugger: an attached debugger", 16)}
    blocked(err)                # the same, of text
    facts(host)["updates"]      # what xl live-update --status -j has

What can fail: JSON that is none, LabError with what it was.  A line or report that is not
as the others are is not in the set: who compares misses it.
"""

import errno
import json
import os
import re

from .place import LabError

UPDATED, REFUSED = 0, 1
NOTHING_CHANGED = "Refused, nothing was changed."

# libxl leaves out of JSON what is false, 0 or empty.
NOTHING = {"is_loaded": False, "updates": 0, "last": "none", "last_error": 0,
           "reports": [], "gaps": [], "dump_bytes": 0, "dump_kb": 0}

# What may pass by itself, as the tools say it.
PASSING = (errno.EBUSY, errno.EAGAIN)


def xl(host, args, limit=200):
    """xl live-update: (exit code, standard output, standard error)."""
    rc, out = host.run(f"xl live-update {args} 2>/run/lab/xl.err", limit)
    return rc, out, host.must("cat /run/lab/xl.err")


def parsed(out):
    """JSON of xl live-update, complete."""
    try:
        return {**NOTHING, **json.loads(out)}
    except ValueError as e:
        raise LabError(f"xl live-update -j: {e}: {out}") from e


def facts(host):
    """What xl has in JSON."""
    return parsed(xl(host, "--status -j")[1])


def ending(code):
    """How a report of that errno ends in text."""
    return os.strerror(code) + ("; may pass by itself" if code in PASSING else "")


ENDINGS = {ending(code): code for code in errno.errorcode}


def reasons_in(text):
    """[(domain or "", text, errno)] of the lines that xl prints for reports."""
    return [(m[1] or "", m[2], ENDINGS[m[3]]) for m in
            re.finditer(r"^(?:blocked by )?(?:(d\d+): )?(.*) \(([^()]*)\)$", text, re.M)
            if m[3] in ENDINGS]


def blocked(text):
    """{(domain or "", text, errno)} of the blockers in what xl prints."""
    return set(reasons_in("\n".join(line for line in text.splitlines()
                                    if line.startswith("blocked by "))))


def reported(told):
    """The same of JSON."""
    return {(f"d{r.get('domid', 0)}" if r.get("domid", 0) >= 0 else "",
             r["text"], r["error"]) for r in told["reports"]
            if r.get("blocker") and
            r.get("transient", False) == (r["error"] in PASSING)}

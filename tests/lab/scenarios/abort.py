# SPDX-License-Identifier: GPL-2.0-only
"""An update that fails half way: everything thaws, and the next one succeeds.

Needs a flavour with fault injection (FLAVOUR, default 4.17-lab).  For each order in
ORDERS the next update fails at that place; the hypercall must return an error, the
log must say that nothing was changed, every witness must go on.  Allocation failures
are tried one after the other, from the first to the first that the update does not
reach any more, or ALLOCS of them.  What is over in a moment is tried again within the
hypercall, so often and no more, and not at all with liveupdate-wait=0.  At the end an
update without an order succeeds.
"""

from lablib.update import Updates, execute, install, load, reasons

ORDERS = "freeze,jump"

# So often an update is tried in all, see MOST_TRIES in Xen's passing.c.
TRIES = 10


def attempt(lab, host, path, order):
    """Gives an order and tries an update; (exit code, Xen's words)."""
    host.must(f"xenhypfs write /params/lu-fault {order}")
    rc, out = load(host, path, host.xen_cmdline())
    if rc:
        lab.check(False, f"{order}: the image loads", out)
    since = host.log.stat().st_size
    rc, out = execute(host)
    return rc, "\n".join([out.strip(), *reasons(host, since)])


def failed_cleanly(lab, host, w, order, before, result):
    rc, said = result
    lab.check(rc != 0 and "nothing was changed" in said,
              f"{order}: refused, nothing changed", f"rc {rc}: {said}")
    lab.goes_on(w, before, f"{order}: all go on")


def tries(said):
    """How often Xen says that it tries again."""
    return said.count("live-update: not now (-11), trying again")


def moments(lab, host, w, updates, path):
    """What passes: an update waits for it, and not for ever."""
    for wait, want in ((5000, TRIES), (0, 1)):
        host.must(f"xl set-parameters liveupdate-wait={wait} 2>&1")
        before = w.sample()
        rc, said = attempt(lab, host, path, f"again={TRIES}")
        name = f"liveupdate-wait={wait}"
        failed_cleanly(lab, host, w, name, before, (rc, said))
        lab.check(tries(said) == want - 1 and said.count("fault: ") == want and
                  "nothing was changed (-11)" in said,
                  f"{name}: tried {want} times", said)
    host.must("xl set-parameters liveupdate-wait=5000 2>&1 && "
              f"xenhypfs write /params/lu-fault again={TRIES - 1}")
    since = host.log.stat().st_size
    lab.check(updates.once(), "an update that is held up for moments takes place")
    said = "\n".join(reasons(host, since))
    lab.check(tries(said) == TRIES - 1 and "refused" not in said,
              f"in the {TRIES}th try", said)


def run(lab):
    path = lab.first_xen("4.17-lab")
    files = {}
    paths = install(files, [path])
    with lab.host(xen=path, append="liveupdate=64M", files=files) as host:
        host.boot()
        w = lab.witnesses(host, [("heartbeat", "{tsc}"), ("fpu", "-d 5"),
                                 ("memory", "-m 8 -d 5"), ("timers", ""),
                                 ("clock", "-d 5"), ("churn", "-n 32 -d 5")])
        updates = Updates(lab, host, [path], paths, w)
        for order in lab.param("ORDERS", ORDERS).split(","):
            before = w.sample()
            failed_cleanly(lab, host, w, order, before,
                           attempt(lab, host, paths[0], order))
        for n in range(1, lab.param("ALLOCS", 8) + 1):
            order = f"alloc={n}"
            before = w.sample()
            result = attempt(lab, host, paths[0], order)
            if result[0] == 0:
                lab.say(f"{order}: the update does not reach it")
                break
            failed_cleanly(lab, host, w, order, before, result)
        host.must("xenhypfs write /params/lu-fault none")
        moments(lab, host, w, updates, paths[0])
        lab.check(updates.once(), "an update afterwards succeeds")
        updates.finish()

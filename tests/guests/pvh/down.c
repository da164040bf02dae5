/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a domain, as its own wish.
 *
 * Happy path: `set` with reason=n shuts the domain down for that reason (SHUTDOWN_*),
 * and there is no answer.
 *
 * What can fail: Xen lets the domain go on: bad.
 */
#include "pvh.h"

static void set(void)
{
    struct sched_shutdown op = { .reason = arg("reason", SHUTDOWN_poweroff) };

    bad("shutdown for reason %u: %ld", op.reason, hc_sched(SCHEDOP_shutdown, &op));
}

const struct test test_down = { "down", "shuts the domain down", set };

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Watchdogs of a domain (SCHEDOP_watchdog).
 *
 * Happy path: `set` takes one of the two, for longer than a run; which one depends on
 * the seed.  `verify` feeds it, cannot feed the other one, which is free, and gets
 * just that when it asks for a further one.
 *
 * With bite=s `set` takes one for so many seconds and then tells again and again how
 * many ms it has been there, until Xen shuts the domain down.  With suspend=1 it
 * suspends the domain at once: a watchdog whose time comes then has no effect any
 * more.  When the domain is resumed, `verify` with expired=1 finds it still taken, and
 * that the domain lives on.
 *
 * What can fail: a watchdog that is lost, or taken by nobody: bad.
 */
#include "micro.h"

#define LONG 100000
#define NO_SUCH -22

static unsigned int used;
static uint64_t since;
extern void (*pastime)(void);

static long watchdog(unsigned int id, unsigned int timeout)
{
    struct sched_watchdog op = { .id = id, .timeout = timeout };

    return hc_sched(SCHEDOP_watchdog, &op);
}

static void tell(void)
{
    nap(20);
    say("alive %lu\n", (now() - since) / MS);
}

static void suspend(void)
{
    struct sched_shutdown op = { .reason = SHUTDOWN_suspend };

    want(hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&op,
                   pfn_of(start_info), 0), "suspend");
}

static void set(void)
{
    const unsigned int bite = arg("bite", 0);
    long id;

    since = now();
    id = watchdog(0, bite ?: LONG);
    want(id, "a watchdog");
    used = id;
    if ( arg("suspend", 0) )
        suspend();
    else if ( bite )
        pastime = tell;
    else if ( arg("seed", 1) % 2 )
    {
        /* The second one, while the first is free. */
        used = watchdog(0, LONG);
        want(watchdog(id, 0), "giving a watchdog up");
    }
    note("used=%u", used);
}

static void verify(void)
{
    const unsigned int other = 3 - used;
    long rc;

    if ( arg("expired", 0) )
        nap(3000);

    rc = watchdog(other, LONG);
    if ( rc != NO_SUCH )
        bad("watchdog %u, which is free: %ld", other, rc);
    rc = watchdog(used, LONG);
    if ( rc )
        bad("feeding watchdog %u: %ld", used, rc);
    rc = watchdog(0, LONG);
    if ( rc != other )
        bad("a further watchdog: %ld, want %u", rc, other);
    want(watchdog(other, 0), "giving a watchdog up");
    want(watchdog(used, 0), "giving a watchdog up");
}

const struct test test_dogs = { "dogs", "watchdogs", set, verify };

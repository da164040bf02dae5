/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The TSC of a domain, as it sees it: what a read costs, which tells whether Xen
 * answers or the processor, and how far it is from system time.
 *
 * Happy path: `set` measures both, `verify` finds them again.  Xen's answers are a
 * sum of system time and an offset: with emulated=1 the distance is the same to a
 * millisecond.  Without, the two clocks drift.  The cost is for the caller to judge.
 *
 * What can fail: a TSC that is at another distance: bad.
 */
#include "micro.h"

#define READS 1000U
#define TRIES 20U

static int64_t distance;

static unsigned long cost(void)
{
    const uint64_t begun = tsc();
    unsigned int i;

    for ( i = 0; i < READS; i++ )
        tsc();

    return (tsc() - begun) / READS;
}

static uint64_t to_ns(uint64_t ticks)
{
    const struct vcpu_time_info *t = &vcpu_info(me())->time;

    ticks = t->tsc_shift < 0 ? ticks >> -t->tsc_shift : ticks << t->tsc_shift;

    return ((unsigned __int128)ticks * READ(t->tsc_to_system_mul)) >> 32;
}

/* From system time to the TSC in ns; the quickest of some tries is the best. */
static int64_t measure(void)
{
    uint64_t best = ~0UL;
    int64_t found = 0;
    unsigned int i;

    for ( i = 0; i < TRIES; i++ )
    {
        const uint64_t before = now(), ticks = tsc(), took = now() - before;

        if ( took < best )
        {
            best = took;
            found = to_ns(ticks) - (before + took / 2);
        }
    }

    return found;
}

static void tell(void)
{
    note("cost=%lu distance_us=%ld", cost(), (long)(measure() / 1000));
}

static void set(void)
{
    distance = measure();
    tell();
}

static void verify(void)
{
    const int64_t moved = measure() - distance;

    if ( arg("emulated", 0) && (moved > (int64_t)MS || moved < -(int64_t)MS) )
        bad("the TSC has moved by %ld us against system time", (long)(moved / 1000));
    tell();
}

const struct test test_clocks = { "clocks", "TSC and system time", set, verify };

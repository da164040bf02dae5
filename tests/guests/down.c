/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a domain, as its own wish.
 *
 * Happy path: `set` with reason=n shuts the domain down for that reason (SHUTDOWN_*),
 * and there is no answer.  Before that it tells dom0 where its pages are, so that xl
 * can dump them.
 *
 * What can fail: Xen lets the domain go on, or it has more pages than can be told:
 * bad.
 */
#include "micro.h"

#define ENTRIES (PAGE / sizeof(unsigned long))

/* Three levels, as xl expects them: the last one is the builder's list of MFNs. */
static unsigned long root[ENTRIES] __attribute__((aligned(PAGE)));
static unsigned long frames[ENTRIES] __attribute__((aligned(PAGE)));

static void publish(void)
{
    const char *list = (const char *)start_info->mfn_list;
    unsigned long i, nr = (start_info->nr_pages + ENTRIES - 1) / ENTRIES;

    if ( nr > ENTRIES )
    {
        bad("%lu pages are too many to tell", start_info->nr_pages);
        return;
    }

    for ( i = 0; i < nr; i++ )
        frames[i] = mfn_of(list + i * PAGE);
    root[0] = mfn_of(frames);
    shared->arch.pfn_to_mfn_frame_list_list = mfn_of(root);
    shared->arch.max_pfn = start_info->nr_pages;
}

static void set(void)
{
    struct sched_shutdown op = { .reason = arg("reason", SHUTDOWN_poweroff) };

    publish();
    bad("shutdown for reason %u: %ld", op.reason, hc_sched(SCHEDOP_shutdown, &op));
}

const struct test test_down = { "down", "shuts the domain down", set };

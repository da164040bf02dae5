/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A micro-guest: a kernel that puts state into Xen where Linux does not, and tells
 * whether it is still there.
 *
 * Happy path: it starts, says "micro: ready", and obeys its console (commands.c).
 * Options on its command line: 2l (event channels stay 2-level).
 *
 * What can fail: a hypercall that has to work and an entry from Xen that nobody expects
 * end the guest with a message.
 */
#include "micro.h"

extern const struct test test_fifo, test_2l, test_poll, test_grant, test_map,
                         test_regs, test_segs, test_vcpus, test_timers,
                         test_storm, test_ptes, test_linear, test_calls,
                         test_nmi, test_peer, test_virqs, test_io, test_dogs,
                         test_queued, test_clocks, test_down;

const struct test *const tests[] = {
    &test_fifo, &test_2l, &test_poll, &test_grant, &test_map, &test_regs, &test_segs,
    &test_vcpus, &test_timers, &test_storm, &test_ptes,
    &test_linear, &test_calls, &test_nmi, &test_peer, &test_virqs, &test_io,
    &test_dogs, &test_queued, &test_clocks, &test_down,
};

const unsigned int nr_tests = ARRAY_SIZE(tests);

start_info_t *start_info;
shared_info_t *shared;
unsigned int nr_vcpus;

static void *console_ring(void)
{
    const unsigned long *m2p = (const unsigned long *)__MACH2PHYS_VIRT_START;

    return (void *)(VIRT_BASE + m2p[start_info->console.domU.mfn] * PAGE);
}

void start(start_info_t *si, unsigned long stack)
{
    start_info = si;
    cmd_line = (const char *)si->cmd_line;
    shared_init();
    traps_init();
    console_init(console_ring(), si->console.domU.evtchn);
    pages_init(stack);

    while ( nr_vcpus < MAX_VCPUS && vcpu_there(nr_vcpus) )
        nr_vcpus++;
    if ( nr_vcpus != NR_CPUS )
        die("%u vCPUs, want %u", nr_vcpus, NR_CPUS);
    events_init();

    say("micro: ready: %u vCPUs, %lu pages, %s event channels\n",
        nr_vcpus, si->nr_pages, fifo ? "FIFO" : "2-level");
    obey_for_ever();
}

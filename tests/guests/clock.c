/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System time, from what Xen puts into a vCPU's info and the TSC.
 * What can fail: nothing; an info that changes is read again.
 */
#include "micro.h"

uint64_t now(void)
{
    const volatile struct vcpu_time_info *t = &vcpu_info(me())->time;
    uint64_t ns, delta;
    uint32_t version;

    do {
        version = t->version & ~1U;
        barrier();
        delta = tsc() - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift
                                 : delta << t->tsc_shift;
        ns = t->system_time +
             (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        barrier();
    } while ( version != t->version );

    return ns;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events in the middle of an update, as devices, timers and messages make them.
 * Lab only.
 *
 * With `lu-raise=<seed>` on the command line (of both Xens, as their lines agree)
 * each vCPU of each guest gets its VIRQ_DEBUG in each update once or twice, at moments
 * that follow from the seed and the number of the update: in the old Xen from
 * the freeze until interrupts are off, in the new one from the first record of the
 * pass that lets timers and devices work, until the domains go on.  Between the two
 * nothing raises a guest's port.  Each time a line is printed, which raises dom0's
 * VIRQ_CON_RING.
 *
 * What can fail: nothing here; a guest that has bound VIRQ_DEBUG sees whether its
 * port is pending and queued once.
 */
#include <xen/event.h>
#include <xen/param.h>
#include <xen/sched.h>
#include <xen/xxhash.h>

#include "internal.h"

static unsigned int seed;
integer_param("lu-raise", seed);

/* A moment of an update: where, and for LU_RAISE_WIRED after which record. */
struct moment {
    enum lu_raise at;
    unsigned int record;
};

/* Records of LU_PASS_WIRE that a moment may name; there may be less. */
#define RECORDS 48

static unsigned int records;

/* Of eleven moments four are before the jump and five between records. */
static struct moment moment(unsigned int n)
{
    static const enum lu_raise places[] = {
        LU_RAISE_FROZEN, LU_RAISE_DRAINED, LU_RAISE_CHECKED, LU_RAISE_PARKED,
        LU_RAISE_WIRED, LU_RAISE_WIRED, LU_RAISE_WIRED, LU_RAISE_WIRED,
        LU_RAISE_WIRED, LU_RAISE_AUDITED, LU_RAISE_RESUMED,
    };

    return (struct moment){
        .at = places[n % ARRAY_SIZE(places)],
        .record = n / ARRAY_SIZE(places) % RECORDS,
    };
}

static bool is_now(struct moment m, enum lu_raise at)
{
    /* What names a record that did not come is due when there are no more. */
    if ( m.at == LU_RAISE_WIRED )
        return at == LU_RAISE_WIRED ? m.record == records
                                    : at == LU_RAISE_AUDITED && m.record >= records;

    return m.at == at;
}

void lu_raise(enum lu_raise at)
{
    static const char *const names[] = {
        [LU_RAISE_FROZEN] = "frozen", [LU_RAISE_DRAINED] = "drained",
        [LU_RAISE_CHECKED] = "checked", [LU_RAISE_PARKED] = "parked",
        [LU_RAISE_WIRED] = "wired", [LU_RAISE_AUDITED] = "audited",
        [LU_RAISE_RESUMED] = "resumed",
    };
    struct domain *d;
    struct vcpu *v;

    if ( !seed )
        return;

    for_each_domain ( d )
    {
        if ( is_hardware_domain(d) )
            continue;

        for_each_vcpu ( d, v )
        {
            const uint32_t key[] = {
                seed, lu_progress.updates + !lu_booting, d->domain_id, v->vcpu_id,
            };
            const uint64_t n = xxh64(key, sizeof(key), 0);

            if ( !is_now(moment(n), at) &&
                 (n >> 60 > 5 || !is_now(moment(n >> 32), at)) )
                continue;

            send_guest_vcpu_virq(v, VIRQ_DEBUG);
            printk(XENLOG_INFO "live-update: raised %pv %s %u\n", v, names[at],
                   at == LU_RAISE_WIRED ? records : 0);
        }
    }

    if ( at == LU_RAISE_WIRED )
        records++;
}

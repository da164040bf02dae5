/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * WATCHDOG: the timers a domain keeps itself alive with (SCHEDOP_watchdog).
 *
 * What crosses is the time left, so that a domain is not shut down for having
 * been stopped.  A timer that came due in the pause itself, before anybody could
 * act on it, gets a second of grace: the domain had no chance to feed it.  One that
 * expired while its domain was suspended stays taken and does not run
 * (domain_watchdog_timeout() of common/sched/core.c has let it go).
 *
 * What can fail: a slot this Xen does not have; restore refuses it.
 */
#include <xen/liveupdate.h>
#include <xen/sched.h>
#include <xen/timer.h>

#include "internal.h"

#define GRACE SECONDS(1)

static int cf_check save_watchdog(struct lu_stream *s, struct domain *d)
{
    struct lu_watchdog_rec r = { .id = lu_id(&lu_kind_watchdog, d, 0) };
    unsigned int i, used = d->watchdog_inuse_map;
    s_time_t now = NOW();
    int rc;

    for ( i = 0; i < NR_DOMAIN_WATCHDOG_TIMERS; i++ )
        if ( used & (1U << i) )
            r.nr++;

    if ( !r.nr )
        return 0;

    rc = lu_rec_begin(s, LU_REC_WATCHDOG) ?: lu_rec_put(s, &r, sizeof(r));

    for ( i = 0; !rc && i < NR_DOMAIN_WATCHDOG_TIMERS; i++ )
    {
        const struct timer *t = &d->watchdog_timer[i];
        struct lu_watchdog_slot_rec slot = { .slot = i };

        if ( timer_is_active(t) )
        {
            slot.flags = LU_WATCHDOG_F_ARMED;
            slot.left_ns = t->expires - now;
        }

        if ( used & (1U << i) )
            rc = lu_rec_put(s, &slot, sizeof(slot));
    }

    return rc ?: lu_rec_end(s);
}

static int cf_check restore_watchdog(const struct lu_stream *s,
                                     const struct lu_rec *rec,
                                     struct domain *d)
{
    struct lu_watchdog_rec r;
    unsigned int i;
    int64_t last = -1;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( r.reserved ||
         !lu_array_fits(rec, sizeof(r), sizeof(struct lu_watchdog_slot_rec),
                        r.nr) )
        return lu_error(-EBADMSG, d, "WATCHDOG: %u timers in %u bytes", r.nr,
                        rec->length);

    for ( i = 0; i < r.nr; i++ )
    {
        struct lu_watchdog_slot_rec slot;

        rc = lu_rec_read(s, rec, sizeof(r) + i * sizeof(slot), &slot,
                         sizeof(slot));
        if ( rc )
            return rc;

        /* The interface takes 32 bits of seconds. */
        if ( slot.slot >= NR_DOMAIN_WATCHDOG_TIMERS || slot.slot <= last ||
             (slot.flags & ~LU_WATCHDOG_F_ARMED) ||
             slot.left_ns > SECONDS(UINT32_MAX) ||
             (slot.left_ns && !slot.flags) )
            return lu_error(-EINVAL, d,
                            "WATCHDOG: slot %u, flags %#x, %"PRId64" ns left",
                            slot.slot, slot.flags, slot.left_ns);
        last = slot.slot;

        spin_lock(&d->watchdog_lock);
        set_bit(slot.slot, &d->watchdog_inuse_map);
        if ( slot.flags & LU_WATCHDOG_F_ARMED )
            set_timer(&d->watchdog_timer[slot.slot],
                      NOW() + max_t(s_time_t, slot.left_ns, GRACE));
        spin_unlock(&d->watchdog_lock);
    }

    return 0;
}

const struct lu_kind lu_kind_watchdog = {
    .name = "WATCHDOG",
    .type = LU_REC_WATCHDOG,
    .size = sizeof(struct lu_watchdog_rec),
    .array = { LU_ARRAY(lu_watchdog_rec, nr, struct lu_watchdog_slot_rec) },
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .per_domain = true,
    .save = save_watchdog,
    .restore = restore_watchdog,
};

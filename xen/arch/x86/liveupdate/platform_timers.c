/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PLATFORM_TIMERS: the emulated PIT, RTC, HPET and ACPI timer of an HVM domain, with
 * their phases.
 *
 * HVM_CONTEXT carries their registers.  Loading these starts counters and timers at the
 * moment of the load, so that all would lose the gap, and timers that had expired for
 * good would expire again.  Guest time, however, goes on over the update, and all
 * counters are computed from it.  So once everything is there, what relates a counter to
 * guest time is put back as it was, and each timer gets the deadline that it had, by
 * Xen's clock.  Which timers there can be, with which interrupt and handler, follows from
 * the registers; one that did not run any more is taken away.  What is due fires at once:
 * also the end of the RTC's second and its alarm, which follow from the wall clock and of
 * which a load finds only the next.
 *
 * What can fail: a timer still runs as the guest's registers said earlier (a PIT of which
 * the mode is written, and not yet the count), a blocker of a moment.  In the new Xen:
 * fields out of range; a timer that the registers do not have.
 */
#include <xen/sched.h>

#include <asm/hpet.h>
#include <asm/hvm/domain.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/vpt.h>
#include <asm/mc146818rtc.h>

#include "../../../common/liveupdate/internal.h"

#define FIRST_HPET 2
#define NR_PT (FIRST_HPET + HPET_TIMER_NUM)

/* In the record's order; NULL: it is not emulated. */
static void timers_of(struct domain *d, struct periodic_time *pt[NR_PT])
{
    unsigned int i;

    BUILD_BUG_ON(ARRAY_SIZE(((struct lu_platform_timers_rec *)0)->timer) != NR_PT);

    pt[0] = has_vpit(d) ? &d->arch.vpit.pt0 : NULL;
    pt[1] = has_vrtc(d) ? &d->arch.hvm.pl_time->vrtc.pt : NULL;
    for ( i = 0; i < HPET_TIMER_NUM; i++ )
        pt[FIRST_HPET + i] = has_vhpet(d) ? &d->arch.hvm.pl_time->vhpet.pt[i] : NULL;
}

/* Or has expired, and waits to be delivered. */
static bool runs(const struct periodic_time *pt)
{
    return pt && pt->vcpu && pt_active(pt);
}

/* ---- Blockers -------------------------------------------------------------------- */

/* Would hpet_set_timer() make timer n as it is? */
static bool hpet_agrees(const struct domain *d, unsigned int n,
                        const struct periodic_time *pt)
{
    const HPETState *h = &d->arch.hvm.pl_time->vhpet;
    uint64_t config = h->hpet.timers[n].config;
    bool level = config & HPET_TN_LEVEL;
    bool legacy = n <= 1 && (h->hpet.config & HPET_CFG_LEGACY);

    if ( !(h->hpet.config & HPET_CFG_ENABLE) || !(config & HPET_TN_ENABLE) ||
         (level && test_bit(n, &h->hpet.isr)) || pt->level != level ||
         pt->one_shot != (!(config & HPET_TN_PERIODIC) || level) )
        return false;

    return legacy ? pt->source == PTSRC_isa && pt->irq == (n ? RTC_IRQ : 0)
                  : pt->source == PTSRC_ioapic &&
                    pt->irq == MASK_EXTR(config, HPET_TN_ROUTE);
}

/* Will loading the registers make a timer that is like it, but for its deadline? */
static bool agrees(const struct domain *d, unsigned int i,
                   const struct periodic_time *pt)
{
    const uint8_t *cmos = d->arch.hvm.pl_time->vrtc.hw.cmos_data;

    switch ( i )
    {
    case 0:
        switch ( d->arch.vpit.hw.channels[0].mode )
        {
        case 2: case 3:
            return !pt->one_shot;
        case 1: case 4:
            return pt->one_shot;
        }
        return false;

    case 1:
        return !pt->one_shot && (cmos[RTC_REG_B] & RTC_PIE) &&
               (cmos[RTC_REG_A] & RTC_RATE_SELECT) &&
               (cmos[RTC_REG_A] & RTC_DIV_CTL) <= RTC_REF_CLCK_32KHZ;
    }

    return hpet_agrees(d, i - FIRST_HPET, pt);
}

static int cf_check check_platform_timers(const struct domain *cd)
{
    struct domain *d = (struct domain *)cd; /* restoring writes to what timers_of() finds */
    struct periodic_time *pt[NR_PT];
    unsigned int i;
    int first = 0;

    if ( !is_hvm_domain(d) || d->is_dying )
        return 0;

    timers_of(d, pt);
    for ( i = 0; i < NR_PT; i++ )
        BLOCK(runs(pt[i]) && !agrees(d, i, pt[i]), -EAGAIN,
              "platform-timers: timer %u runs as its registers said before", i);

    return first;
}

/* ---- Save ------------------------------------------------------------------------ */

static void fill_timer(struct lu_ptimer_rec *r, const struct periodic_time *pt)
{
    if ( !runs(pt) )
        return;

    r->flags = LU_PTIMER_F_ACTIVE |
               (pt->on_list ? LU_PTIMER_F_LISTED : 0) |
               (pt->irq_issued ? LU_PTIMER_F_ISSUED : 0) |
               (pt->do_not_freeze ? LU_PTIMER_F_RUNS : 0);
    r->pending = pt->pending_intr_nr;
    r->period_ns = pt->period;
    r->due_ns = pt->scheduled;
    r->last_time = pt->last_plt_gtime;
}

/* 0: it is not running. */
static int64_t due_of(const struct timer *timer)
{
    return timer_expires_before((struct timer *)timer, STIME_MAX) ? timer->expires : 0;
}

static void fill_rtc(struct lu_platform_timers_rec *r, const RTCState *rtc)
{
    BUILD_BUG_ON(sizeof(r->rtc_date) != RTC_REG_A);

    r->rtc_start_ns = rtc->start_time;
    r->rtc_checked_ns = rtc->check_ticks_since;
    r->rtc_period = rtc->period;
    r->rtc_unread = rtc->pt_dead_ticks;
    memcpy(r->rtc_date, rtc->hw.cmos_data, sizeof(r->rtc_date));
    /* rtc_update_timer() starts the other one, for these 244 us. */
    r->rtc_second_ns = due_of(&rtc->update_timer2);
    if ( !r->rtc_second_ns && due_of(&rtc->update_timer) )
        r->rtc_second_ns = due_of(&rtc->update_timer) + MICROSECS(244);
    r->rtc_alarm_ns = due_of(&rtc->alarm_timer);
}

static int cf_check save_platform_timers(struct lu_stream *s, struct domain *d)
{
    struct lu_platform_timers_rec r = {
        .id = lu_id(&lu_kind_platform_timers, d, 0),
    };
    const struct pl_time *pl = d->arch.hvm.pl_time;
    struct periodic_time *pt[NR_PT];
    unsigned int i;

    if ( !is_hvm_domain(d) )
        return 0;

    BUILD_BUG_ON(ARRAY_SIZE(r.pit_load_time) !=
                 ARRAY_SIZE(d->arch.vpit.count_load_time));

    timers_of(d, pt);
    for ( i = 0; i < NR_PT; i++ )
        fill_timer(&r.timer[i], pt[i]);

    if ( has_vpit(d) )
        for ( i = 0; i < ARRAY_SIZE(r.pit_load_time); i++ )
            r.pit_load_time[i] = d->arch.vpit.count_load_time[i];
    if ( has_vrtc(d) )
        fill_rtc(&r, &pl->vrtc);
    if ( has_vhpet(d) )
        r.hpet_offset = pl->vhpet.mc_offset;
    if ( has_vpm(d) )
    {
        r.pm_count = d->arch.hvm.acpi.tmr_val;
        r.pm_status = d->arch.hvm.acpi.pm1a_sts;
        r.pm_time = pl->vpmt.last_gtime;
        r.pm_rest = pl->vpmt.not_accounted;
    }

    return lu_rec_write(s, LU_REC_PLATFORM_TIMERS, &r, sizeof(r));
}

/* ---- Restore --------------------------------------------------------------------- */

static bool timer_sane(const struct lu_ptimer_rec *r)
{
    if ( !(r->flags & LU_PTIMER_F_ACTIVE) )
        return !r->flags && !r->pending && !r->period_ns && !r->due_ns &&
               !r->last_time;

    /* create_periodic_time() makes no shorter period. */
    return !(r->flags & ~(LU_PTIMER_F_ACTIVE | LU_PTIMER_F_LISTED | LU_PTIMER_F_ISSUED |
                          LU_PTIMER_F_RUNS)) &&
           r->due_ns >= 0 && (!r->period_ns || r->period_ns >= MICROSECS(100)) &&
           ((r->flags & LU_PTIMER_F_LISTED) || r->pending);
}

/* `pt` is as the registers have it; nothing has looked at it since. */
static int take_timer(struct domain *d, unsigned int i, struct periodic_time *pt,
                      const struct lu_ptimer_rec *r)
{
    if ( !timer_sane(r) )
        return lu_error(-EBADMSG, d,
                        "PLATFORM_TIMERS: timer %u: flags %#x, due %"PRId64", period %"PRIu64,
                        i, r->flags, r->due_ns, r->period_ns);
    if ( !(r->flags & LU_PTIMER_F_ACTIVE) )
    {
        if ( pt )
            destroy_periodic_time(pt);
        return 0;
    }
    if ( !pt || !pt->vcpu || !pt->on_list || pt->one_shot != !r->period_ns )
        return lu_error(-EINVAL, d,
                        "PLATFORM_TIMERS: timer %u is not what its registers say", i);

    stop_timer(&pt->timer);
    pt->period = r->period_ns;
    pt->scheduled = r->due_ns;
    pt->last_plt_gtime = r->last_time;
    pt->pending_intr_nr = r->pending;
    pt->irq_issued = r->flags & LU_PTIMER_F_ISSUED;
    pt->do_not_freeze = r->flags & LU_PTIMER_F_RUNS;
    if ( !(r->flags & LU_PTIMER_F_LISTED) )
    {
        list_del(&pt->list);
        pt->on_list = false;
    }
    /* As pt_irq_fired() leaves it. */
    if ( !pt->pending_intr_nr )
        set_timer(&pt->timer, pt->scheduled);

    return 0;
}

/* What was due by now comes at once; loading has started these for the next second. */
static void fire_if_due(RTCState *rtc, int64_t second, int64_t alarm)
{
    const s_time_t now = NOW();

    /*
     * With the end of a second the alarm comes as its flag alone.  If each had its timer
     * the guest could read register C between the two, for which alarm_timer_update()
     * puts off the one that has not fired.
     */
    if ( second && second <= now )
    {
        if ( alarm && alarm <= now )
            rtc->hw.cmos_data[RTC_REG_C] |= RTC_AF;
        set_timer(&rtc->update_timer2, now);
    }
    else if ( alarm && alarm <= now )
        set_timer(&rtc->alarm_timer, now);
}

static void take_rtc(RTCState *rtc, const struct lu_platform_timers_rec *r)
{
    rtc->start_time = r->rtc_start_ns;
    rtc->check_ticks_since = r->rtc_checked_ns;
    rtc->period = r->rtc_period;
    rtc->pt_dead_ticks = r->rtc_unread;
    /* While the guest sets it, the date stands still, but rtc_load() has set it. */
    if ( rtc->hw.cmos_data[RTC_REG_B] & RTC_SET )
        memcpy(rtc->hw.cmos_data, r->rtc_date, sizeof(r->rtc_date));
    fire_if_due(rtc, r->rtc_second_ns, r->rtc_alarm_ns);
}

static void take_acpi(struct domain *d, const struct lu_platform_timers_rec *r)
{
    struct PMTState *pmt = &d->arch.hvm.pl_time->vpmt;

    d->arch.hvm.acpi.tmr_val = r->pm_count;
    d->arch.hvm.acpi.pm1a_sts = r->pm_status;
    pmt->last_gtime = r->pm_time;
    pmt->not_accounted = r->pm_rest;
    /* It brings the count up to date, and raises what is due. */
    set_timer(&pmt->timer, NOW());
}

static int cf_check restore_platform_timers(const struct lu_stream *s,
                                            const struct lu_rec *rec,
                                            struct domain *d)
{
    struct pl_time *pl = d->arch.hvm.pl_time;
    struct lu_platform_timers_rec r;
    struct periodic_time *pt[NR_PT];
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_hvm_domain(d) || memchr_inv(r.reserved, 0, sizeof(r.reserved)) ||
         r.rtc_period > INT_MAX || r.rtc_unread > UINT8_MAX ||
         r.rtc_second_ns < 0 || r.rtc_alarm_ns < 0 )
        return lu_error(-EBADMSG, d, "PLATFORM_TIMERS: fields out of range");

    timers_of(d, pt);
    for ( i = 0; !rc && i < NR_PT; i++ )
        rc = take_timer(d, i, pt[i], &r.timer[i]);

    if ( has_vpit(d) )
        for ( i = 0; i < ARRAY_SIZE(r.pit_load_time); i++ )
            d->arch.vpit.count_load_time[i] = r.pit_load_time[i];
    if ( has_vrtc(d) )
        take_rtc(&pl->vrtc, &r);
    if ( has_vhpet(d) )
        pl->vhpet.mc_offset = r.hpet_offset;
    if ( has_vpm(d) )
        take_acpi(d, &r);

    return rc;
}

/* Stops what loading the registers has started: nothing is due before it is restored. */
void lu_platform_timers_stop(struct domain *d)
{
    struct periodic_time *pt[NR_PT];
    unsigned int i;

    timers_of(d, pt);
    for ( i = 0; i < NR_PT; i++ )
        if ( pt[i] && pt[i]->vcpu )
            stop_timer(&pt[i]->timer);
}

const struct lu_kind lu_kind_platform_timers = {
    .name = "PLATFORM_TIMERS",
    .type = LU_REC_PLATFORM_TIMERS,
    .size = sizeof(struct lu_platform_timers_rec),
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .per_domain = true,
    .check = check_platform_timers,
    .save = save_platform_timers,
    .restore = restore_platform_timers,
};

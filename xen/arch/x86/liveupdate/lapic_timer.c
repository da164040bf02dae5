/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * LAPIC_TIMER: the emulated APIC timer of an HVM or PVH vCPU, with its phase.  Included
 * at the end of arch/x86/hvm/vlapic.c.
 *
 * HVM_CONTEXT carries the APIC's registers.  From these a migration starts the timer
 * anew: with its whole period, also one that had expired for good, and a deadline by
 * the guest's TSC that is not set yet.  So restore_hvm_context() stops what was started,
 * and here, when events find their way, the timer gets the deadline that it had, by
 * Xen's clock, which goes on.  What is due by then fires at once.
 *
 * What can fail, in the new Xen: fields out of range.
 */
#include "../../../common/liveupdate/internal.h"

/* ---- Save ---------------------------------------------------------------------- */

static int cf_check save_lapic_timer(struct lu_stream *s, struct domain *d)
{
    const struct vcpu *v;
    int rc = 0;

    if ( !is_hvm_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        const struct vlapic *vlapic = vcpu_vlapic(v);
        const struct periodic_time *pt = &vlapic->pt;
        struct lu_lapic_timer_rec r = {
            .id = lu_id(&lu_kind_lapic_timer, d, v->vcpu_id),
            .tdt_msr = vlapic->hw.tdt_msr,
            .last_update = vlapic->timer_last_update,
        };

        if ( pt->vcpu && pt_active(pt) )
        {
            r.mode = pt->cb == vlapic_tdt_pt_cb ? LU_LAPIC_TIMER_DEADLINE
                     : pt->one_shot             ? LU_LAPIC_TIMER_ONE_SHOT
                                                : LU_LAPIC_TIMER_PERIODIC;
            r.flags = (pt->on_list ? LU_LAPIC_TIMER_F_LISTED : 0) |
                      (pt->irq_issued ? LU_LAPIC_TIMER_F_ISSUED : 0) |
                      (pt->do_not_freeze ? LU_LAPIC_TIMER_F_RUNS : 0);
            r.vector = pt->irq;
            r.pending = pt->pending_intr_nr;
            r.period_ns = pt->period;
            r.due_ns = pt->scheduled;
            r.last_time = pt->last_plt_gtime;
        }

        rc = lu_rec_write(s, LU_REC_LAPIC_TIMER, &r, sizeof(r));
        if ( rc )
            break;
    }

    return rc;
}

/* ---- Restore ------------------------------------------------------------------- */

static bool lapic_timer_sane(const struct lu_lapic_timer_rec *r)
{
    const bool periodic = r->mode == LU_LAPIC_TIMER_PERIODIC;

    if ( r->reserved || r->mode > LU_LAPIC_TIMER_DEADLINE )
        return false;
    if ( r->mode == LU_LAPIC_TIMER_OFF )
        return !r->flags && !r->vector && !r->pending && !r->period_ns &&
               !r->due_ns && !r->last_time;

    /* create_periodic_time() makes no shorter period. */
    return !(r->flags & ~(LU_LAPIC_TIMER_F_LISTED | LU_LAPIC_TIMER_F_ISSUED |
                          LU_LAPIC_TIMER_F_RUNS)) &&
           r->vector <= UINT8_MAX && r->due_ns >= 0 &&
           (periodic ? r->period_ns >= MICROSECS(100) : !r->period_ns) &&
           ((r->flags & LU_LAPIC_TIMER_F_LISTED) || r->pending);
}

static void arm(struct vcpu *v, const struct lu_lapic_timer_rec *r)
{
    struct vlapic *vlapic = vcpu_vlapic(v);
    struct periodic_time *pt = &vlapic->pt;
    time_cb *const cb[] = {
        [LU_LAPIC_TIMER_PERIODIC] = vlapic_pt_cb,
        [LU_LAPIC_TIMER_DEADLINE] = vlapic_tdt_pt_cb,
    };

    create_periodic_time(v, pt, 0, r->period_ns, r->vector, cb[r->mode],
                         &vlapic->timer_last_update, false);
    stop_timer(&pt->timer);

    pt->scheduled = r->due_ns;
    pt->last_plt_gtime = r->last_time;
    pt->pending_intr_nr = r->pending;
    pt->irq_issued = r->flags & LU_LAPIC_TIMER_F_ISSUED;
    pt->do_not_freeze = r->flags & LU_LAPIC_TIMER_F_RUNS;
    if ( !(r->flags & LU_LAPIC_TIMER_F_LISTED) )
    {
        list_del(&pt->list);
        pt->on_list = false;
    }

    /*
     * As pt_restore_timer() and pt_irq_fired() leave it.  With an interrupt pending it
     * does not run; who is not halted has it started when the vCPU is scheduled.
     */
    if ( !pt->pending_intr_nr )
        set_timer(&pt->timer, pt->scheduled);
}

static int cf_check restore_lapic_timer(const struct lu_stream *s,
                                        const struct lu_rec *rec,
                                        struct domain *d)
{
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    struct lu_lapic_timer_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !v || !is_hvm_domain(d) )
        return lu_error(-ESRCH, d, "LAPIC_TIMER %u: no HVM vCPU",
                        rec->id.instance);
    if ( !lapic_timer_sane(&r) || (r.mode && !has_vlapic(d)) )
        return lu_error(-EBADMSG, d, "LAPIC_TIMER %d: mode %u, flags %#x, due %"PRId64", period %"PRIu64,
                        v->vcpu_id, r.mode, r.flags, r.due_ns, r.period_ns);

    if ( r.mode != LU_LAPIC_TIMER_OFF )
        arm(v, &r);
    vcpu_vlapic(v)->hw.tdt_msr = r.tdt_msr;
    vcpu_vlapic(v)->timer_last_update = r.last_update;

    return 0;
}

const struct lu_kind lu_kind_lapic_timer = {
    .name = "LAPIC_TIMER",
    .type = LU_REC_LAPIC_TIMER,
    .size = sizeof(struct lu_lapic_timer_rec),
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .per_domain = true,
    .per_vcpu = true,
    .save = save_lapic_timer,
    .restore = restore_lapic_timer,
};

/* Stops what loading the registers of d's APICs has started. */
void lu_lapic_timers_stop(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu ( d, v )
        destroy_periodic_time(&vcpu_vlapic(v)->pt);
}

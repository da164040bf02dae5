/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VCPU_TIMER: what runs on system time for a vCPU: its single-shot and periodic
 * timers, the account of its run states, and where in the guest the copies of
 * that and of the time info go.
 *
 * System time goes on across the update, so all times stay what they are.  A
 * timer that fell due in the gap fires as soon as it is armed, so this happens
 * only when events can be delivered (LU_PASS_WIRE).
 *
 * Not carried: a SCHEDOP_poll.  Its result is already in the vCPU's registers;
 * the vCPU is woken, which the interface allows at any time.
 *
 * Run states: a vCPU that was blocked is blocked again, any other is offline
 * until its domain goes on: the guest sees the gap as time stolen from it.
 *
 * What can fail: values no vCPU can have; restore refuses them by name.
 */
#include <xen/liveupdate.h>
#include <xen/sched.h>
#include <xen/timer.h>
#include <public/vcpu.h>

#include "../sched/private.h"
#include "internal.h"
#include "time.h"

static int save_one(struct lu_stream *s, const struct vcpu *v, s_time_t now)
{
    struct lu_vcpu_timer_rec r = {
        .id = lu_id(&lu_kind_vcpu_timer, v->domain, v->vcpu_id),
        .runstate = v->runstate.state,
        .period_ns = v->periodic_period,
        .last_ns = v->periodic_last_event,
        .entry_ns = v->runstate.state_entry_time,
    };
    unsigned int i;

    if ( timer_is_active(&v->singleshot_timer) )
    {
        r.flags |= LU_VTIMER_F_SINGLE;
        /* VCPUOP_set_singleshot_timer lets a time beyond 63 bits through. */
        r.single_ns = max(v->singleshot_timer.expires, (s_time_t)0);
    }

    for ( i = 0; i < ARRAY_SIZE(r.state_ns); i++ )
        r.state_ns[i] = v->runstate.time[i];

    if ( now > r.entry_ns && r.runstate < ARRAY_SIZE(r.state_ns) )
    {
        r.state_ns[r.runstate] += now - r.entry_ns;
        r.entry_ns = now;
    }

    lu_arch_get_vcpu_areas(v, &r.runstate_addr, &r.time_addr);

    return lu_rec_write(s, LU_REC_VCPU_TIMER, &r, sizeof(r));
}

static int cf_check save_vcpu_timer(struct lu_stream *s, struct domain *d)
{
    const struct vcpu *v;
    s_time_t now = NOW();
    int rc = 0;

    for_each_vcpu ( d, v )
    {
        rc = save_one(s, v, now);
        if ( rc )
            break;
    }

    return rc;
}

static int restore_runstate(struct vcpu *v, const struct lu_vcpu_timer_rec *r)
{
    struct sched_unit *unit = v->sched_unit;
    spinlock_t *lock;
    unsigned int i;
    int rc = 0;

    rcu_read_lock(&sched_res_rculock);
    lock = unit_schedule_lock_irq(unit);

    if ( v->runstate.state != RUNSTATE_offline )
        rc = -EBUSY;
    else
    {
        for ( i = 0; i < ARRAY_SIZE(r->state_ns); i++ )
            v->runstate.time[i] = r->state_ns[i];
        v->runstate.state_entry_time = r->entry_ns;

        if ( r->runstate == RUNSTATE_blocked )
        {
            unit->runstate_cnt[RUNSTATE_offline]--;
            unit->runstate_cnt[RUNSTATE_blocked]++;
            v->runstate.state = RUNSTATE_blocked;
        }
    }

    unit_schedule_unlock_irq(lock, unit);
    rcu_read_unlock(&sched_res_rculock);

    return rc;
}

static int cf_check restore_vcpu_timer(const struct lu_stream *s,
                                       const struct lu_rec *rec,
                                       struct domain *d)
{
    struct lu_vcpu_timer_rec r;
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    BUILD_BUG_ON(ARRAY_SIZE(v->runstate.time) != ARRAY_SIZE(r.state_ns));

    if ( rc )
        return rc;
    if ( !v )
        return lu_error(-ENOENT, d, "VCPU_TIMER: no vCPU %u", rec->id.instance);

    if ( (r.flags & ~LU_VTIMER_F_SINGLE) || r.runstate > RUNSTATE_offline ||
         r.entry_ns < 0 || r.entry_ns > NOW() )
        return lu_error(-EINVAL, d,
                        "VCPU_TIMER %u: flags %#x, run state %u since %"PRId64,
                        v->vcpu_id, r.flags, r.runstate, r.entry_ns);
    /* VCPUOP_set_periodic_timer takes no shorter period. */
    if ( (r.period_ns && r.period_ns < MILLISECS(1)) ||
         r.last_ns < 0 || r.last_ns > NOW() || r.single_ns < 0 ||
         (r.single_ns && !(r.flags & LU_VTIMER_F_SINGLE)) )
        return lu_error(-EINVAL, d,
                        "VCPU_TIMER %u: due %"PRId64", period %"PRId64", last event %"PRId64,
                        v->vcpu_id, r.single_ns, r.period_ns, r.last_ns);

    rc = lu_arch_set_vcpu_areas(v, r.runstate_addr, r.time_addr);
    if ( rc )
        return lu_error(rc, d, "VCPU_TIMER %u: run states at %#"PRIx64", time info at %#"PRIx64,
                        v->vcpu_id, r.runstate_addr, r.time_addr);

    rc = restore_runstate(v, &r);
    if ( rc )
        return lu_error(rc, d, "VCPU_TIMER %u: already running", v->vcpu_id);

    /* The scheduler arms the periodic timer when it runs the vCPU. */
    spin_lock(&v->periodic_timer_lock);
    v->periodic_period = r.period_ns;
    v->periodic_last_event = r.last_ns;
    spin_unlock(&v->periodic_timer_lock);

    if ( r.flags & LU_VTIMER_F_SINGLE )
        set_timer(&v->singleshot_timer, r.single_ns);

    return 0;
}

const struct lu_kind lu_kind_vcpu_timer = {
    .name = "VCPU_TIMER",
    .type = LU_REC_VCPU_TIMER,
    .size = sizeof(struct lu_vcpu_timer_rec),
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .per_domain = true,
    .per_vcpu = true,
    .save = save_vcpu_timer,
    .restore = restore_vcpu_timer,
};

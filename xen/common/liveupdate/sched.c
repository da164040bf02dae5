/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SCHED_GLOBAL, SCHED and AFFINITY: who may run where, and how much.
 *
 * What an administrator set crosses: the scheduler's parameters, each domain's
 * weight, cap and node affinity, each vCPU's hard and soft affinity and a
 * temporary pinning of dom0; also the idle time of each CPU, which tools read as
 * a counter.  What the scheduler worked out itself (credits,
 * queues, load) starts anew.  CPU numbers cross as such: CPUS sees to it that
 * they mean the same.
 *
 * Blockers: CPU pools beyond Pool-0, CPUs in no pool, scheduling granularity
 * other than cpu, the schedulers rtds and arinc653, a vCPU held to a CPU by
 * wait_event().
 *
 * What can fail in restore: another scheduler than before (the load compares the
 * command lines), values it does not take, a hard affinity without a CPU.
 */
#include <xen/cpumask.h>
#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/nodemask.h>
#include <xen/sched.h>
#include <public/domctl.h>
#include <public/sysctl.h>

#include "../sched/private.h"
#include "internal.h"

static unsigned int mask_words(void)
{
    return BITS_TO_LONGS(cpumask_last(&cpu_online_map) + 1);
}

/* ---- SCHED_GLOBAL ------------------------------------------------------------ */

static int cf_check check_sched(const struct domain *d)
{
    const struct cpupool *pool = cpupool0;
    int rc = 0;

    /* One element: what comes before and after it is the list's head. */
    if ( pool->list.next != pool->list.prev )
        rc = lu_blocker(-EOPNOTSUPP, NULL,
                        "there are CPU pools other than Pool-0 (xl cpupool-list)");

    if ( !cpumask_equal(pool->cpu_valid, &cpu_online_map) )
    {
        int err = lu_blocker(-EOPNOTSUPP, NULL,
                             "some CPUs are not in Pool-0 (xl cpupool-list -c)");

        rc = rc ?: err;
    }

    if ( pool->gran != SCHED_GRAN_cpu )
    {
        int err = lu_blocker(-EOPNOTSUPP, NULL,
                             "scheduling granularity is not cpu (sched-gran=)");

        rc = rc ?: err;
    }

    switch ( pool->sched->sched_id )
    {
    case XEN_SCHEDULER_CREDIT:
    case XEN_SCHEDULER_CREDIT2:
    case XEN_SCHEDULER_NULL:
        break;

    default:
        {
            int err = lu_blocker(-EOPNOTSUPP, NULL,
                                 "scheduler %s cannot cross an update (sched=)",
                                 pool->sched->opt_name);

            rc = rc ?: err;
        }
        break;
    }

    return rc;
}

/* As vcpu_runstate_get(), which would switch IRQs on. */
static uint64_t idle_ns(unsigned int cpu)
{
    const struct vcpu_runstate_info *runstate;
    uint64_t ns;

    if ( !cpu_online(cpu) )
        return 0;

    runstate = &idle_vcpu[cpu]->runstate;
    ns = runstate->time[RUNSTATE_running];
    if ( runstate->state == RUNSTATE_running )
        ns += max_t(s_time_t, NOW() - runstate->state_entry_time, 0);

    return ns;
}

static int cf_check save_sched_global(struct lu_stream *s, struct domain *d)
{
    const struct scheduler *sched = cpupool0->sched;
    struct xen_sysctl_scheduler_op op = {
        .sched_id = sched->sched_id,
        .cmd = XEN_SYSCTL_SCHEDOP_getinfo,
    };
    struct lu_sched_global_rec r = {
        .id = lu_id(&lu_kind_sched_global, NULL, 0),
        .scheduler = sched->sched_id,
        .nr = cpumask_last(&cpu_online_map) + 1,
    };
    unsigned int cpu;
    int rc = sched_adjust_cpupool(sched, &op);

    if ( rc )
        return lu_error(rc, NULL, "SCHED_GLOBAL: scheduler %s",
                        sched->opt_name);

    switch ( sched->sched_id )
    {
    case XEN_SCHEDULER_CREDIT:
        r.ratelimit_us = op.u.sched_credit.ratelimit_us;
        r.tslice_ms = op.u.sched_credit.tslice_ms;
        r.migr_delay_us = op.u.sched_credit.vcpu_migr_delay_us;
        break;

    case XEN_SCHEDULER_CREDIT2:
        r.ratelimit_us = op.u.sched_credit2.ratelimit_us;
        break;
    }

    rc = lu_rec_begin(s, LU_REC_SCHED_GLOBAL) ?: lu_rec_put(s, &r, sizeof(r));

    for ( cpu = 0; !rc && cpu < r.nr; cpu++ )
    {
        uint64_t ns = idle_ns(cpu);

        rc = lu_rec_put(s, &ns, sizeof(ns));
    }

    return rc ?: lu_rec_end(s);
}

static void set_idle_ns(unsigned int cpu, uint64_t ns)
{
    struct vcpu_runstate_info *runstate = &idle_vcpu[cpu]->runstate;
    spinlock_t *lock;

    rcu_read_lock(&sched_res_rculock);
    lock = pcpu_schedule_lock_irq(cpu);
    runstate->time[RUNSTATE_running] = ns;
    runstate->state_entry_time = NOW();
    pcpu_schedule_unlock_irq(lock, cpu);
    rcu_read_unlock(&sched_res_rculock);
}

static int cf_check restore_sched_global(const struct lu_stream *s,
                                         const struct lu_rec *rec,
                                         struct domain *d)
{
    const struct scheduler *sched = cpupool0->sched;
    struct xen_sysctl_scheduler_op op = {
        .sched_id = sched->sched_id,
        .cmd = XEN_SYSCTL_SCHEDOP_putinfo,
    };
    struct lu_sched_global_rec r;
    unsigned int cpu;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( r.reserved ||
         !lu_array_fits(rec, sizeof(r), sizeof(uint64_t), r.nr) )
        return lu_error(-EBADMSG, NULL, "SCHED_GLOBAL: %u CPUs in %u bytes",
                        r.nr, rec->length);

    for ( cpu = 0; cpu < min_t(unsigned int, r.nr, nr_cpu_ids); cpu++ )
    {
        uint64_t ns;

        rc = lu_rec_read(s, rec, sizeof(r) + cpu * sizeof(ns), &ns,
                         sizeof(ns));
        if ( rc )
            return rc;
        if ( cpu_online(cpu) )
            set_idle_ns(cpu, ns);
    }

    if ( r.scheduler != sched->sched_id )
        return lu_error(-EINVAL, NULL,
                        "SCHED_GLOBAL: scheduler %s (%u) instead of number %u",
                        sched->opt_name, sched->sched_id, r.scheduler);

    switch ( r.scheduler )
    {
    case XEN_SCHEDULER_CREDIT:
        op.u.sched_credit.ratelimit_us = r.ratelimit_us;
        op.u.sched_credit.tslice_ms = r.tslice_ms;
        op.u.sched_credit.vcpu_migr_delay_us = r.migr_delay_us;
        break;

    case XEN_SCHEDULER_CREDIT2:
        op.u.sched_credit2.ratelimit_us = r.ratelimit_us;
        break;

    default:
        return 0;
    }

    rc = sched_adjust_cpupool(sched, &op);
    if ( rc )
        return lu_error(rc, NULL,
                        "SCHED_GLOBAL: ratelimit %u us, slice %u ms, migration delay %u us",
                        r.ratelimit_us, r.tslice_ms, r.migr_delay_us);

    return 0;
}

const struct lu_kind lu_kind_sched_global = {
    .name = "SCHED_GLOBAL",
    .type = LU_REC_SCHED_GLOBAL,
    .size = sizeof(struct lu_sched_global_rec),
    .array = { LU_ARRAY(lu_sched_global_rec, nr, uint64_t) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_HOST,
    .check = check_sched,
    .save = save_sched_global,
    .restore = restore_sched_global,
};

/* ---- SCHED ------------------------------------------------------------------- */

static int cf_check save_sched(struct lu_stream *s, struct domain *d)
{
    const struct scheduler *sched = d->cpupool->sched;
    struct xen_domctl_scheduler_op op = {
        .sched_id = sched->sched_id,
        .cmd = XEN_DOMCTL_SCHEDOP_getinfo,
    };
    struct lu_sched_rec r = { .id = lu_id(&lu_kind_sched, d, 0) };
    int rc = sched_adjust_dom(sched, d, &op);

    if ( rc )
        return lu_error(rc, d, "SCHED: scheduler %s", sched->opt_name);

    switch ( sched->sched_id )
    {
    case XEN_SCHEDULER_CREDIT:
        r.weight = op.u.credit.weight;
        r.cap = op.u.credit.cap;
        break;

    case XEN_SCHEDULER_CREDIT2:
        r.weight = op.u.credit2.weight;
        r.cap = op.u.credit2.cap;
        break;
    }

    if ( !d->auto_node_affinity )
    {
        BUILD_BUG_ON(MAX_NUMNODES > 64);
        r.flags |= LU_SCHED_F_NODES;
        r.node_mask = d->node_affinity.bits[0];
    }

    return lu_rec_write(s, LU_REC_SCHED, &r, sizeof(r));
}

static int restore_weight(struct domain *d, const struct lu_sched_rec *r)
{
    const struct scheduler *sched = d->cpupool->sched;
    struct xen_domctl_scheduler_op op = {
        .sched_id = sched->sched_id,
        .cmd = XEN_DOMCTL_SCHEDOP_putinfo,
    };

    switch ( sched->sched_id )
    {
    case XEN_SCHEDULER_CREDIT:
        op.u.credit.weight = r->weight;
        op.u.credit.cap = r->cap;
        break;

    case XEN_SCHEDULER_CREDIT2:
        op.u.credit2.weight = r->weight;
        op.u.credit2.cap = r->cap;
        break;

    default:
        return 0;
    }

    /* The scheduler would take these for "leave it as it is". */
    if ( !r->weight || r->weight > UINT16_MAX || r->cap >= UINT16_MAX )
        return -EINVAL;

    return sched_adjust_dom(sched, d, &op);
}

static int cf_check restore_sched(const struct lu_stream *s,
                                  const struct lu_rec *rec, struct domain *d)
{
    struct lu_sched_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( (r.flags & ~LU_SCHED_F_NODES) || r.reserved ||
         (!(r.flags & LU_SCHED_F_NODES) && r.node_mask) )
        return lu_error(-EINVAL, d, "SCHED: flags %#x, nodes %#"PRIx64,
                        r.flags, r.node_mask);

    rc = restore_weight(d, &r);
    if ( rc )
        return lu_error(rc, d, "SCHED: weight %u, cap %u", r.weight, r.cap);

    if ( r.flags & LU_SCHED_F_NODES )
    {
        nodemask_t nodes = { };

        nodes.bits[0] = r.node_mask;
        rc = domain_set_node_affinity(d, &nodes);
        if ( rc )
            return lu_error(rc, d, "SCHED: node affinity %#"PRIx64,
                            r.node_mask);
    }

    return 0;
}

const struct lu_kind lu_kind_sched = {
    .name = "SCHED",
    .type = LU_REC_SCHED,
    .size = sizeof(struct lu_sched_rec),
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .save = save_sched,
    .restore = restore_sched,
};

/* ---- AFFINITY ---------------------------------------------------------------- */

static int cf_check check_affinity(const struct domain *d)
{
    const struct vcpu *v;

    for_each_vcpu ( d, v )
        if ( v->affinity_broken & VCPU_AFFINITY_WAIT )
            return lu_blocker(-EAGAIN, d, "vCPU %u waits for an event in Xen",
                              v->vcpu_id);

    return 0;
}

static int save_one_affinity(struct lu_stream *s, const struct vcpu *v)
{
    const struct sched_unit *unit = v->sched_unit;
    const cpumask_t *hard = unit->cpu_hard_affinity;
    const cpumask_t *soft = unit->cpu_soft_affinity;
    struct lu_affinity_rec r = {
        .id = lu_id(&lu_kind_affinity, v->domain, v->vcpu_id),
        .nr_words = mask_words(),
    };
    size_t bytes = r.nr_words * sizeof(uint64_t);

    BUILD_BUG_ON(sizeof(*hard->bits) != sizeof(uint64_t));

    if ( v->affinity_broken & VCPU_AFFINITY_OVERRIDE )
    {
        r.flags |= LU_AFF_F_PINNED;
        r.pinned_cpu = cpumask_first(hard);
        hard = unit->cpu_hard_affinity_saved;
    }
    /* Restored as this, so that it is the same from the first stream on. */
    if ( cpumask_full(hard) )
    {
        r.flags |= LU_AFF_F_HARD_ALL;
        hard = &cpumask_all;
    }
    if ( cpumask_full(soft) )
    {
        r.flags |= LU_AFF_F_SOFT_ALL;
        soft = &cpumask_all;
    }

    return lu_rec_begin(s, LU_REC_AFFINITY) ?:
           lu_rec_put(s, &r, sizeof(r)) ?:
           lu_rec_put(s, hard->bits, bytes) ?:
           lu_rec_put(s, soft->bits, bytes) ?:
           lu_rec_end(s);
}

static int cf_check save_affinity(struct lu_stream *s, struct domain *d)
{
    const struct vcpu *v;
    int rc = 0;

    for_each_vcpu ( d, v )
    {
        rc = save_one_affinity(s, v);
        if ( rc )
            break;
    }

    return rc;
}

/* A writer built for more CPUs may have more words; their CPUs do not exist. */
static int read_mask(const struct lu_stream *s, const struct lu_rec *rec,
                     unsigned int which, const struct lu_affinity_rec *r,
                     bool all, cpumask_t *mask)
{
    unsigned int words = min_t(unsigned int, r->nr_words,
                               BITS_TO_LONGS(nr_cpu_ids));
    int rc;

    if ( all )
    {
        cpumask_setall(mask);
        return 0;
    }

    cpumask_clear(mask);
    rc = lu_rec_read(s, rec,
                     sizeof(*r) + which * r->nr_words * sizeof(uint64_t),
                     mask->bits, words * sizeof(uint64_t));
    if ( nr_cpu_ids % BITS_PER_LONG )
        mask->bits[nr_cpu_ids / BITS_PER_LONG] &=
            (1UL << (nr_cpu_ids % BITS_PER_LONG)) - 1;

    return rc;
}

static int cf_check restore_affinity(const struct lu_stream *s,
                                     const struct lu_rec *rec,
                                     struct domain *d)
{
    struct lu_affinity_rec r;
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    struct sched_unit *unit;
    cpumask_var_t mask;
    spinlock_t *lock;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !v )
        return lu_error(-ENOENT, d, "AFFINITY: no vCPU %u", rec->id.instance);
    if ( r.reserved || (r.flags & ~(LU_AFF_F_HARD_ALL | LU_AFF_F_SOFT_ALL |
                                    LU_AFF_F_PINNED)) ||
         (!(r.flags & LU_AFF_F_PINNED) && r.pinned_cpu) || !r.nr_words ||
         !lu_array_fits(rec, sizeof(r), 2 * sizeof(uint64_t), r.nr_words) )
        return lu_error(-EBADMSG, d, "AFFINITY %u: flags %#x, %u words in %u bytes",
                        v->vcpu_id, r.flags, r.nr_words, rec->length);

    if ( !alloc_cpumask_var(&mask) )
        return lu_error(-ENOMEM, d, "AFFINITY %u", v->vcpu_id);

    rc = read_mask(s, rec, 1, &r, r.flags & LU_AFF_F_SOFT_ALL, mask);
    if ( rc )
        goto out;

    /* Setting the hard affinity looks at the soft one and moves the vCPU. */
    unit = v->sched_unit;
    rcu_read_lock(&sched_res_rculock);
    lock = unit_schedule_lock_irq(unit);
    sched_adjust_affinity(d->cpupool->sched, unit, NULL, mask);
    cpumask_copy(unit->cpu_soft_affinity, mask);
    unit_schedule_unlock_irq(lock, unit);
    rcu_read_unlock(&sched_res_rculock);

    rc = read_mask(s, rec, 0, &r, r.flags & LU_AFF_F_HARD_ALL, mask) ?:
         vcpu_set_hard_affinity(v, mask);
    if ( rc )
    {
        lu_error(rc, d, "AFFINITY %u: hard affinity %*pbl", v->vcpu_id,
                 CPUMASK_PR(mask));
        goto out;
    }

    if ( r.flags & LU_AFF_F_PINNED )
    {
        rc = r.pinned_cpu < nr_cpu_ids
             ? vcpu_temporary_affinity(v, r.pinned_cpu, VCPU_AFFINITY_OVERRIDE)
             : -EINVAL;
        if ( rc )
            lu_error(rc, d, "AFFINITY %u: pinned to CPU%u", v->vcpu_id,
                     r.pinned_cpu);
    }

 out:
    free_cpumask_var(mask);

    return rc;
}

const struct lu_kind lu_kind_affinity = {
    .name = "AFFINITY",
    .type = LU_REC_AFFINITY,
    .size = sizeof(struct lu_affinity_rec),
    .array = { LU_ARRAY(lu_affinity_rec, nr_words, uint64_t),
               LU_ARRAY(lu_affinity_rec, nr_words, uint64_t) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .per_vcpu = true,
    .check = check_affinity,
    .save = save_affinity,
    .restore = restore_affinity,
};

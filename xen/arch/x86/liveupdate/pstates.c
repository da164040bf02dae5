/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PX, PX_POLICY and PM: frequencies of CPUs.
 *
 * Xen cannot read ACPI's _PSS and its like: dom0 does, once, when its driver is
 * loaded, and pushes what it found (XENPF_set_processor_pminfo).  PX is that, for
 * each CPU; the new Xen hands it to its cpufreq core as the hypercall would, but
 * for the copy from the guest.  PX_POLICY is what is set with xenpm for the CPUs
 * that share a frequency, PM what is set for all.  Sums of frequencies and
 * transitions start anew.
 *
 * What dom0 pushed in part only has no effect in Xen, and is not carried.
 *
 * The records are optional, and none of this is state of a domain.  What can
 * fail: the new Xen has no driver, or other views of what is valid.  That is
 * logged with the CPU, which keeps its frequency, and the restore goes on.
 */
#include <xen/acpi.h>
#include <xen/cpumask.h>
#include <xen/liveupdate.h>
#include <xen/sched.h>
#include <xen/xmalloc.h>

#include <acpi/cpufreq/cpufreq.h>
#include <public/platform.h>

#include "../../../common/liveupdate/internal.h"

/* The core has a square of counters, and numbers states with eight bits. */
#define MAX_STATES 256

/* ---- PX ---------------------------------------------------------------------- */

static int save_cpu(struct lu_stream *s, unsigned int cpu,
                    const struct processor_performance *perf)
{
    const struct xen_pct_register *ctl = &perf->control_register;
    const struct xen_pct_register *sts = &perf->status_register;
    const struct xen_psd_package *psd = &perf->domain_info;
    struct lu_px_rec r = {
        .id = lu_id(&lu_kind_px, NULL, cpu),
        .nr = perf->state_count,
        .limit = perf->platform_limit,
        .control_address = ctl->address,
        .status_address = sts->address,
        .psd_entries = psd->num_entries,
        .psd_revision = psd->revision,
        .psd_domain = psd->domain,
        .psd_coord = psd->coord_type,
        .psd_cpus = psd->num_processors,
        .shared = perf->shared_type,
        .control_length = ctl->length,
        .status_length = sts->length,
        .control_descriptor = ctl->descriptor,
        .status_descriptor = sts->descriptor,
        .control_space = ctl->space_id,
        .status_space = sts->space_id,
        .control_width = ctl->bit_width,
        .status_width = sts->bit_width,
        .control_offset = ctl->bit_offset,
        .status_offset = sts->bit_offset,
        /* Where ACPI has the size of an access. */
        .control_access = ctl->reserved,
        .status_access = sts->reserved,
    };
    unsigned int i;
    int rc = lu_rec_begin(s, LU_REC_PX | LU_REC_OPTIONAL) ?:
             lu_rec_put(s, &r, sizeof(r));

    for ( i = 0; i < r.nr && !rc; i++ )
    {
        const struct xen_processor_px *px = &perf->states[i];
        struct lu_px_state_rec state = {
            .mhz = px->core_frequency,
            .power_mw = px->power,
            .latency_us = px->transition_latency,
            .bus_latency_us = px->bus_master_latency,
            .control = px->control,
            .status = px->status,
        };

        rc = lu_rec_put(s, &state, sizeof(state));
    }

    return rc ?: lu_rec_end(s);
}

static int cf_check save_px(struct lu_stream *s, struct domain *d)
{
    unsigned int cpu;
    int rc = 0;

    for_each_online_cpu ( cpu )
    {
        const struct processor_pminfo *info = processor_pminfo[cpu];

        if ( info && (info->perf.init & XEN_PX_INIT) )
            rc = save_cpu(s, cpu, &info->perf);
        if ( rc )
            break;
    }

    return rc;
}

/* Does what set_px_pminfo() does with a whole description. */
static int adopt_px(const struct lu_stream *s, const struct lu_rec *rec,
                    const struct lu_px_rec *r)
{
    unsigned int cpu = rec->id.instance, i;
    struct processor_pminfo *info;
    struct processor_performance *perf;

    if ( !(xen_processor_pmbits & XEN_PROCESSOR_PM_PX) )
        return -ENOSYS;
    if ( cpu >= nr_cpu_ids || !cpu_online(cpu) )
        return -ENODEV;
    if ( processor_pminfo[cpu] )
        return -EEXIST;
    /* The drivers look the limit up unchecked. */
    if ( r->nr < 2 || r->nr > MAX_STATES || r->limit >= r->nr ||
         r->control_space != r->status_space ||
         (r->shared != CPUFREQ_SHARED_TYPE_HW &&
          r->shared != CPUFREQ_SHARED_TYPE_ALL &&
          r->shared != CPUFREQ_SHARED_TYPE_ANY) )
        return -EINVAL;

    info = xzalloc(struct processor_pminfo);
    if ( !info )
        return -ENOMEM;
    perf = &info->perf;
    perf->states = xzalloc_array(struct xen_processor_px, r->nr);
    if ( !perf->states )
    {
        xfree(info);
        return -ENOMEM;
    }

    for ( i = 0; i < r->nr; i++ )
    {
        struct lu_px_state_rec state;
        int rc = lu_rec_read(s, rec, sizeof(*r) + i * sizeof(state), &state,
                             sizeof(state));

        if ( rc )
        {
            xfree(perf->states);
            xfree(info);
            return rc;
        }
        perf->states[i] = (struct xen_processor_px){
            .core_frequency = state.mhz,
            .power = state.power_mw,
            .transition_latency = state.latency_us,
            .bus_master_latency = state.bus_latency_us,
            .control = state.control,
            .status = state.status,
        };
    }

    info->acpi_id = acpi_get_processor_id(cpu);
    info->id = cpu;
    perf->state_count = r->nr;
    perf->platform_limit = r->limit;
    perf->control_register = (struct xen_pct_register){
        .address = r->control_address,
        .length = r->control_length,
        .descriptor = r->control_descriptor,
        .space_id = r->control_space,
        .bit_width = r->control_width,
        .bit_offset = r->control_offset,
        .reserved = r->control_access,
    };
    perf->status_register = (struct xen_pct_register){
        .address = r->status_address,
        .length = r->status_length,
        .descriptor = r->status_descriptor,
        .space_id = r->status_space,
        .bit_width = r->status_width,
        .bit_offset = r->status_offset,
        .reserved = r->status_access,
    };
    perf->domain_info = (struct xen_psd_package){
        .num_entries = r->psd_entries,
        .revision = r->psd_revision,
        .domain = r->psd_domain,
        .coord_type = r->psd_coord,
        .num_processors = r->psd_cpus,
    };
    perf->shared_type = r->shared;
    perf->init = XEN_PX_INIT;
    processor_pminfo[cpu] = info;

    return cpufreq_cpu_init(cpu);
}

static int cf_check restore_px(const struct lu_stream *s,
                               const struct lu_rec *rec, struct domain *d)
{
    struct lu_px_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( memchr_inv(r.reserved, 0, sizeof(r.reserved)) ||
         !lu_array_fits(rec, sizeof(r), sizeof(struct lu_px_state_rec), r.nr) )
        return lu_error(-EBADMSG, NULL, "PX: CPU%u: %u states in %u bytes",
                        rec->id.instance, r.nr, rec->length);

    rc = adopt_px(s, rec, &r);
    if ( rc )
        lu_error(rc, NULL, "CPU%u: its P states are not taken over",
                 rec->id.instance);

    return 0;
}

const struct lu_kind lu_kind_px = {
    .name = "PX",
    .type = LU_REC_PX,
    .size = sizeof(struct lu_px_rec),
    .array = { LU_ARRAY(lu_px_rec, nr, struct lu_px_state_rec) },
    .number = LU_EACH,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_HOST,
    .optional = true,
    .save = save_px,
    .restore = restore_px,
};

/* ---- PX_POLICY --------------------------------------------------------------- */

static int cf_check save_px_policy(struct lu_stream *s, struct domain *d)
{
    unsigned int cpu;
    int rc = 0;

    BUILD_BUG_ON(sizeof(((struct lu_px_policy_rec *)0)->governor) !=
                 CPUFREQ_NAME_LEN);

    for_each_online_cpu ( cpu )
    {
        const struct cpufreq_policy *p = per_cpu(cpufreq_cpu_policy, cpu);
        struct lu_px_policy_rec r = { .id = lu_id(&lu_kind_px_policy, NULL, cpu) };

        /* One of the CPUs that share a policy stands for all. */
        if ( !p || p->cpu != cpu || !p->governor )
            continue;

        strlcpy(r.governor, p->governor->name, sizeof(r.governor));
        r.min_khz = p->min;
        r.max_khz = p->max;
        r.cur_khz = p->cur;
        if ( p->turbo != CPUFREQ_TURBO_UNSUPPORTED )
            r.turbo = p->turbo == CPUFREQ_TURBO_ENABLED ? LU_PX_TURBO_ON
                                                        : LU_PX_TURBO_OFF;

        rc = lu_rec_write(s, LU_REC_PX_POLICY | LU_REC_OPTIONAL, &r, sizeof(r));
        if ( rc )
            break;
    }

    return rc;
}

static int adopt_policy(unsigned int cpu, const struct lu_px_policy_rec *r)
{
    struct cpufreq_policy *p, next;
    int rc = 0;

    if ( cpu >= nr_cpu_ids || !cpu_online(cpu) )
        return -ENODEV;
    p = per_cpu(cpufreq_cpu_policy, cpu);
    if ( !p || !p->governor )
        return -ENODEV;
    if ( r->min_khz > r->max_khz )
        return -EINVAL;

    next = *p;
    next.governor = __find_governor(r->governor);
    if ( !next.governor )
        return -ENOENT;
    next.min = r->min_khz;
    next.max = r->max_khz;

    /* Before a governor asks for a frequency that only turbo reaches. */
    if ( r->turbo != LU_PX_TURBO_NONE )
        rc = cpufreq_update_turbo(cpu, r->turbo == LU_PX_TURBO_ON
                                       ? CPUFREQ_TURBO_ENABLED
                                       : CPUFREQ_TURBO_DISABLED);
    next.turbo = p->turbo;

    rc = __cpufreq_set_policy(p, &next) ?: rc;
    if ( !rc && !strcmp(p->governor->name, "userspace") )
        rc = write_userspace_scaling_setspeed(cpu, r->cur_khz);

    return rc;
}

static int cf_check restore_px_policy(const struct lu_stream *s,
                                      const struct lu_rec *rec,
                                      struct domain *d)
{
    struct lu_px_policy_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( r.governor[sizeof(r.governor) - 1] || r.turbo > LU_PX_TURBO_OFF )
        return lu_error(-EBADMSG, NULL, "PX_POLICY: CPU%u: malformed",
                        rec->id.instance);

    rc = adopt_policy(rec->id.instance, &r);
    if ( rc )
        lu_error(rc, NULL,
                 "CPU%u: its frequency policy (%s, %u to %u kHz) is not taken over",
                 rec->id.instance, r.governor, r.min_khz, r.max_khz);

    return 0;
}

const struct lu_kind lu_kind_px_policy = {
    .name = "PX_POLICY",
    .type = LU_REC_PX_POLICY,
    .size = sizeof(struct lu_px_policy_rec),
    .number = LU_EACH,
    .version = 1,
    .min_version = 1,
    /* Once all CPUs that share a frequency are known: then it has a governor. */
    .pass = LU_PASS_STATE,
    .optional = true,
    .save = save_px_policy,
    .restore = restore_px_policy,
};

/* ---- PM ---------------------------------------------------------------------- */

static int cf_check save_pm(struct lu_stream *s, struct domain *d)
{
    uint32_t max, min;
    struct lu_pm_rec r = {
        .id = lu_id(&lu_kind_pm, NULL, 0),
        .max_cstate = acpi_get_cstate_limit(),
        .max_csubstate = acpi_get_csubstate_limit(),
        .flags = sched_smt_power_savings ? LU_PM_F_SMT : 0,
    };

    get_cpufreq_ondemand_para(&max, &min, &r.ondemand_rate_us,
                              &r.ondemand_threshold);

    return lu_rec_write(s, LU_REC_PM | LU_REC_OPTIONAL, &r, sizeof(r));
}

static int cf_check restore_pm(const struct lu_stream *s,
                               const struct lu_rec *rec, struct domain *d)
{
    struct lu_pm_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( r.reserved || (r.flags & ~LU_PM_F_SMT) )
        return lu_error(-EBADMSG, NULL, "PM: malformed");

    /* A limit may also come from what this Xen found wrong with deep states. */
    if ( r.max_cstate > acpi_get_cstate_limit() )
    {
        if ( r.max_cstate != UINT32_MAX )
            printk(XENLOG_WARNING
                   "live-update: C states up to C%u were allowed, this Xen stays with C%u\n",
                   r.max_cstate, acpi_get_cstate_limit());
    }
    else
    {
        acpi_set_cstate_limit(r.max_cstate);
        acpi_set_csubstate_limit(r.max_csubstate);
    }
    sched_smt_power_savings = r.flags & LU_PM_F_SMT;

    /* No rate: the governor was never started.  It bounds it when it is. */
    if ( r.ondemand_rate_us )
        rc = write_ondemand_sampling_rate(r.ondemand_rate_us);
    rc = write_ondemand_up_threshold(r.ondemand_threshold) ?: rc;
    if ( rc )
        lu_error(rc, NULL,
                 "the ondemand governor does not take a rate of %u us and a threshold of %u",
                 r.ondemand_rate_us, r.ondemand_threshold);

    return 0;
}

const struct lu_kind lu_kind_pm = {
    .name = "PM",
    .type = LU_REC_PM,
    .size = sizeof(struct lu_pm_rec),
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .optional = true,
    .save = save_pm,
    .restore = restore_pm,
};

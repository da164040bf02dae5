/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CX: idle states of CPUs, as dom0 pushed them.
 * Included at the end of arch/x86/acpi/cpu_idle.c, whose variables these are.
 *
 * dom0 reads ACPI's _CST and pushes it once (XENPF_set_processor_pminfo).  What
 * Xen keeps of it is enough to push it again: where a state is entered, its type
 * and its latency.  (Power and dependencies are not kept, as Xen does not use
 * them.)  The new Xen goes the hypercall's way, with no states, and adds them one
 * by one, so that it judges each of them itself.  Usage counters start anew.
 *
 * States that Xen knows itself (its own MWAIT driver, AMD's) are none of dom0's
 * and do not cross.  If the new Xen has such a driver, it ignores what dom0 had
 * pushed, as it would ignore the hypercall.
 *
 * The record is optional, and none of this is state of a domain.  What can fail:
 * the new Xen refuses a state.  That is logged with the CPU, which idles in those
 * it has, at least HLT, and the restore goes on.
 */
#include "../../../common/liveupdate/internal.h"

/* Xen's own knowledge is in use, not dom0's. */
static bool native_cstates(void)
{
    return (pm_idle_save && pm_idle != acpi_processor_idle) ||
           vendor_override > 0;
}

/* State 1 as it is before dom0 says anything. */
static bool plain_c1(const struct acpi_processor_power *power)
{
    const struct acpi_processor_cx *c1 = &power->states[1];

    return c1->entry_method == ACPI_CSTATE_EM_HALT && !c1->address &&
           !c1->latency;
}

static int save_cpu(struct lu_stream *s, unsigned int cpu,
                    const struct acpi_processor_power *power)
{
    unsigned int first = plain_c1(power) ? 2 : 1, i;
    /* dom0 may be pushing while this is for practice. */
    unsigned int end = min_t(unsigned int, ACCESS_ONCE(power->count),
                             ACPI_PROCESSOR_MAX_POWER);
    struct lu_cx_rec r = {
        .id = lu_id(&lu_kind_cx, NULL, cpu),
        .flags = (power->flags.bm_control ? LU_CX_F_BM_CONTROL : 0) |
                 (power->flags.bm_check ? LU_CX_F_BM_CHECK : 0) |
                 (power->flags.has_cst ? LU_CX_F_HAS_CST : 0),
        .nr = end > first ? end - first : 0,
    };
    int rc = lu_rec_begin(s, LU_REC_CX | LU_REC_OPTIONAL) ?:
             lu_rec_put(s, &r, sizeof(r));

    for ( i = first; i < first + r.nr && !rc; i++ )
    {
        const struct acpi_processor_cx *cx = &power->states[i];
        struct lu_cx_state_rec state = {
            .address = cx->address,
            .latency_us = cx->latency,
            .type = cx->type,
            .space = cx->entry_method == ACPI_CSTATE_EM_SYSIO
                     ? ACPI_ADR_SPACE_SYSTEM_IO
                     : ACPI_ADR_SPACE_FIXED_HARDWARE,
        };

        rc = lu_rec_put(s, &state, sizeof(state));
    }

    return rc ?: lu_rec_end(s);
}

static int cf_check save_cx(struct lu_stream *s, struct domain *d)
{
    unsigned int cpu;
    int rc = 0;

    if ( native_cstates() )
        return 0;

    for_each_online_cpu ( cpu )
    {
        const struct acpi_processor_power *power = processor_powers[cpu];

        /* CPU0's description also says that idling goes by ACPI at all. */
        if ( power && (power->count > 2 || !plain_c1(power) ||
                       (!cpu && pm_idle_save)) )
            rc = save_cpu(s, cpu, power);
        if ( rc )
            break;
    }

    return rc;
}

static int adopt_cx(const struct lu_stream *s, const struct lu_rec *rec,
                    const struct lu_cx_rec *r)
{
    unsigned int cpu = rec->id.instance, acpi_id, i, want = 2;
    struct xen_processor_power power = {
        .flags = {
            .bm_control = !!(r->flags & LU_CX_F_BM_CONTROL),
            .bm_check = !!(r->flags & LU_CX_F_BM_CHECK),
            .has_cst = !!(r->flags & LU_CX_F_HAS_CST),
        },
    };
    bool refused = false;
    int rc;

    if ( native_cstates() )
        return 0;
    if ( !(xen_processor_pmbits & XEN_PROCESSOR_PM_CX) )
        return -ENOSYS;
    if ( cpu >= nr_cpu_ids || !cpu_online(cpu) )
        return -ENODEV;
    acpi_id = acpi_get_processor_id(cpu);
    if ( get_cpu_id(acpi_id) != cpu )
        return -ENODEV;

    /* No states, so that nothing is copied from a guest. */
    rc = set_cx_pminfo(acpi_id, &power);
    if ( rc )
        return rc;

    for ( i = 0; i < r->nr; i++ )
    {
        struct lu_cx_state_rec state;
        xen_processor_cx_t cx = { };

        rc = lu_rec_read(s, rec, sizeof(*r) + i * sizeof(state), &state,
                         sizeof(state));
        if ( rc )
            return rc;
        if ( state.reserved || state.type < ACPI_STATE_C1 ||
             state.address > (state.space == ACPI_ADR_SPACE_SYSTEM_IO
                              ? UINT16_MAX : UINT32_MAX) )
            return -EINVAL;

        cx.type = state.type;
        cx.latency = state.latency_us;
        cx.reg.space_id = state.space;
        cx.reg.address = state.address;
        if ( state.space == ACPI_ADR_SPACE_FIXED_HARDWARE )
        {
            cx.reg.bit_width = VENDOR_INTEL;
            cx.reg.bit_offset = NATIVE_CSTATE_BEYOND_HALT;
        }

        set_cx(processor_powers[cpu], &cx);
        if ( state.type != ACPI_STATE_C1 )
            refused |= processor_powers[cpu]->count != ++want;
        else
            refused |= plain_c1(processor_powers[cpu]);
    }

    return refused ? -EOPNOTSUPP : 0;
}

static int cf_check restore_cx(const struct lu_stream *s,
                               const struct lu_rec *rec, struct domain *d)
{
    struct lu_cx_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( (r.flags & ~(LU_CX_F_BM_CONTROL | LU_CX_F_BM_CHECK |
                      LU_CX_F_HAS_CST)) ||
         !lu_array_fits(rec, sizeof(r), sizeof(struct lu_cx_state_rec), r.nr) )
        return lu_error(-EBADMSG, NULL, "CX: CPU%u: %u states in %u bytes",
                        rec->id.instance, r.nr, rec->length);

    rc = adopt_cx(s, rec, &r);
    if ( rc )
        lu_error(rc, NULL, "CPU%u: not all its C states are taken over",
                 rec->id.instance);

    return 0;
}

const struct lu_kind lu_kind_cx = {
    .name = "CX",
    .type = LU_REC_CX,
    .size = sizeof(struct lu_cx_rec),
    .array = { LU_ARRAY(lu_cx_rec, nr, struct lu_cx_state_rec) },
    .number = LU_EACH,
    .version = 1,
    .min_version = 1,
    /*
     * dom0 is there: it loses the I/O ports that states are entered by.  The limit
     * of C states, in PM, is too.
     */
    .pass = LU_PASS_WIRE,
    .optional = true,
    .save = save_cx,
    .restore = restore_cx,
};

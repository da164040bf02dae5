/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TSC: how a domain's RDTSC is answered, natively or by Xen.  Included at the
 * end of arch/x86/time.c.  Also the addresses of the vCPUs' time areas, which
 * VCPU_TIMER carries.
 *
 * The values are put back as they were, not derived again as a migration would:
 * the host's TSC and system time both go on.  What is computed from them at run
 * time (the two scales) is computed here.
 *
 * What can fail: values no domain can have; restore refuses them by name.
 */
#include <asm/uaccess.h>

static int cf_check save_tsc(struct lu_stream *s, struct domain *d)
{
    struct lu_tsc_rec r = {
        .id = lu_id(&lu_kind_tsc, d, 0),
        .mode = d->arch.tsc_mode,
        .emulated = d->arch.vtsc,
        .khz = d->arch.tsc_khz,
        .incarnation = d->arch.incarnation,
        .offset = d->arch.vtsc_offset,
        .last = d->arch.vtsc_last,
    };

    return lu_rec_write(s, LU_REC_TSC, &r, sizeof(r));
}

static int cf_check restore_tsc(const struct lu_stream *s,
                                const struct lu_rec *rec, struct domain *d)
{
    struct lu_tsc_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;

    if ( r.mode > TSC_MODE_NEVER_EMULATE || r.emulated > 1 ||
         (r.emulated && !r.khz) || (int64_t)r.last < 0 )
        return lu_error(-EINVAL, d,
                        "TSC: mode %u, emulated %u, %u kHz, last %#"PRIx64,
                        r.mode, r.emulated, r.khz, r.last);

    d->arch.tsc_mode = r.mode;
    d->arch.vtsc = r.emulated;
    d->arch.tsc_khz = r.khz;
    d->arch.incarnation = r.incarnation;
    d->arch.vtsc_offset = r.offset;
    d->arch.vtsc_last = r.last;

    if ( r.khz )
        set_time_scale(&d->arch.vtsc_to_ns, r.khz * 1000UL);
    if ( r.emulated )
        d->arch.ns_to_vtsc = scale_reciprocal(d->arch.vtsc_to_ns);
    else if ( is_hvm_domain(d) && hvm_tsc_scaling_supported )
        d->arch.hvm.tsc_scaling_ratio = hvm_get_tsc_scaling_ratio(r.khz);

    return 0;
}

const struct lu_kind lu_kind_tsc = {
    .name = "TSC",
    .type = LU_REC_TSC,
    .size = sizeof(struct lu_tsc_rec),
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .save = save_tsc,
    .restore = restore_tsc,
};

void lu_arch_get_vcpu_areas(const struct vcpu *v, uint64_t *runstate,
                            uint64_t *time)
{
    *runstate = (unsigned long)runstate_guest(v).p;
    *time = (unsigned long)v->arch.time_info_guest.p;
}

int lu_arch_set_vcpu_areas(struct vcpu *v, uint64_t runstate, uint64_t time)
{
    /* A PV guest's addresses are dereferenced as they are. */
    if ( is_pv_vcpu(v) &&
         ((runstate && !access_ok(runstate, sizeof(v->runstate))) ||
          (time && !access_ok(time, sizeof(struct vcpu_time_info)))) )
        return -EFAULT;

    runstate_guest(v).p = _p(runstate);
    v->arch.time_info_guest.p = _p(time);

    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PV_XSAVE: FPU and extended state of a PV domain's vCPUs.
 *
 * It crosses in the processor's standard (not compacted) format, whatever this
 * Xen keeps it in, and is checked as migrated state is before it is taken.
 *
 * What can fail: components that this Xen does not handle, which the load has
 * compared (fits.c), or a size or header that does not fit them.
 */
#include <xen/domain.h>
#include <xen/sched.h>

#include <asm/i387.h>
#include <asm/xstate.h>

#include "../../../common/liveupdate/internal.h"

/* One vCPU at a time, by one CPU: save cannot allocate. */
static uint8_t __aligned(64) area[LU_XSAVE_MAX];

/* Bytes of state that a vCPU with these components has. */
static unsigned int area_size(uint64_t xcr0_accum)
{
    if ( !cpu_has_xsave )
        return FXSAVE_SIZE;

    return xcr0_accum ? xstate_ctxt_size(xcr0_accum) : XSTATE_AREA_MIN_SIZE;
}

static int cf_check save_pv_xsave(struct lu_stream *s, struct domain *d)
{
    struct vcpu *v;
    int rc = 0;

    if ( !is_pv_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        const uint64_t accum = v->arch.xcr0_accum;
        struct lu_pv_xsave_rec r = {
            .id = lu_id(&lu_kind_pv_xsave, d, v->vcpu_id),
            .flags = (v->fpu_initialised ? LU_XSAVE_F_USED : 0) |
                     (cpu_has_xsave ? LU_XSAVE_F_HEADER : 0),
            .size = area_size(accum),
            .xcr0 = v->arch.xcr0,
            .xcr0_accum = accum,
        };

        if ( r.size > sizeof(area) )
            return -E2BIG;

        /*
         * Without XCR0 of its own a guest has x87 and SSE state, saved in the
         * same layout.  In the dry run a vCPU may enable more between here and
         * there, which expand_xsave_states() would not survive.
         */
        if ( !accum )
            memcpy(area, v->arch.fpu_ctxt, r.size);
        else if ( !local_irq_is_enabled() )
            expand_xsave_states(v, area, r.size);

        rc = lu_rec_begin(s, LU_REC_PV_XSAVE) ?:
             lu_rec_put(s, &r, sizeof(r)) ?:
             lu_rec_put(s, area, r.size) ?:
             lu_rec_end(s);
        if ( rc )
            break;
    }

    return rc;
}

/*
 * Can this CPU hold the state?  Components beyond XCR0 (SSE of a guest that has
 * only enabled x87) are Xen's doing and fine.
 */
static int check_area(const struct vcpu *v, const struct lu_pv_xsave_rec *r)
{
    const struct xsave_struct *x = (const void *)area;
    struct xsave_hdr hdr;

    if ( !cpu_has_xsave )
        return 0;

    if ( x->xsave_hdr.xstate_bv & ~(r->xcr0_accum | XSTATE_FP_SSE) )
        return -EINVAL;
    if ( !r->xcr0_accum )
    {
        unsigned int i;

        for ( i = 0; i < ARRAY_SIZE(x->xsave_hdr.reserved); i++ )
            if ( x->xsave_hdr.reserved[i] )
                return -EINVAL;

        return r->xcr0 || x->xsave_hdr.xcomp_bv ? -EINVAL : 0;
    }

    memcpy(&hdr, &x->xsave_hdr, sizeof(hdr));
    hdr.xstate_bv &= r->xcr0_accum;

    return validate_xstate(v->domain, r->xcr0, r->xcr0_accum, &hdr);
}

static int cf_check restore_pv_xsave(const struct lu_stream *s,
                                     const struct lu_rec *rec,
                                     struct domain *d)
{
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    struct lu_pv_xsave_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !v || !is_pv_domain(d) )
        return lu_error(-ESRCH, d, "PV_XSAVE %u: no PV vCPU",
                        rec->id.instance);
    if ( r.flags & ~(LU_XSAVE_F_USED | LU_XSAVE_F_HEADER) ||
         !(r.flags & LU_XSAVE_F_HEADER) != !cpu_has_xsave ||
         (r.xcr0_accum & ~xfeature_mask) )
        return lu_error(-EOPNOTSUPP, d,
                        "PV_XSAVE %d: flags %#x, components %#lx, this Xen has %#lx",
                        v->vcpu_id, r.flags, r.xcr0_accum, xfeature_mask);
    if ( r.size > sizeof(area) ||
         r.size < (cpu_has_xsave ? XSTATE_AREA_MIN_SIZE : FXSAVE_SIZE) ||
         !lu_array_fits(rec, sizeof(r), 1, r.size) )
        return lu_error(-EBADMSG, d, "PV_XSAVE %d: %u bytes of state",
                        v->vcpu_id, r.size);

    rc = lu_rec_read(s, rec, sizeof(r), area, r.size);
    if ( rc )
        return rc;
    /* Before the size of an impossible set of components is asked for. */
    rc = check_area(v, &r);
    if ( rc )
        return lu_error(rc, d, "PV_XSAVE %d: components %#lx, enabled %#lx",
                        v->vcpu_id, r.xcr0_accum, r.xcr0);
    if ( r.size != area_size(r.xcr0_accum) )
        return lu_error(-EINVAL, d, "PV_XSAVE %d: %u bytes of state, not %u",
                        v->vcpu_id, r.size, area_size(r.xcr0_accum));

    v->arch.xcr0 = r.xcr0;
    v->arch.xcr0_accum = r.xcr0_accum;
    v->arch.nonlazy_xstate_used = r.xcr0_accum & XSTATE_NONLAZY;
    v->fpu_initialised = r.flags & LU_XSAVE_F_USED;

    if ( r.xcr0_accum )
        compress_xsave_states(v, area, r.size);
    else
        memcpy(v->arch.fpu_ctxt, area, r.size);

    return 0;
}

const struct lu_kind lu_kind_pv_xsave = {
    .name = "PV_XSAVE",
    .type = LU_REC_PV_XSAVE,
    .size = sizeof(struct lu_pv_xsave_rec),
    .array = { LU_ARRAY(lu_pv_xsave_rec, size, uint8_t) },
    .number = LU_ONE_IF_PV,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .per_vcpu = true,
    .save = save_pv_xsave,
    .restore = restore_pv_xsave,
};

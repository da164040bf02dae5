/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VIRIDIAN: Windows enlightenments of an HVM domain, beyond its CPUID policy, its parameter
 * and what HVM_CONTEXT has of them.  Included at the end of arch/x86/hvm/viridian/time.c.
 *
 * For the guest an update is a pause.  Reference time stands still in one, and the value at
 * which it does is in HVM_CONTEXT already: letting the domain go starts it there.  What a
 * migration loses is here: some MSRs, and the synthetic timers' phases and expiries without
 * a message.  Restored timers go on from where they stood, also where Xen's own pause is
 * less exact: it skips the next tick of a periodic timer, and an expiry that waits for its
 * message (lu_stimer_thaw()).
 *
 * The pages that guest and Xen share (VP assist, messages, reference TSC) are the guest's
 * and stay.  Loading HVM_CONTEXT would clear them, so it does not map them; they are
 * mapped here, by machine frame: Xen's mapping is of the page that was there when the guest
 * named it.
 *
 * What can fail, in the new Xen: fields out of range, a page that is not the domain's, no
 * memory to map it.  That a message is logged once is not kept.
 */
#include "../../../common/liveupdate/internal.h"

/* ---- Save ------------------------------------------------------------------------ */

/* While everything runs the guest may take it away. */
static uint64_t page_of(const struct viridian_page *vp)
{
    return local_irq_is_enabled() || !vp->ptr
           ? LU_NO_MFN : mfn_x(domain_page_map_to_mfn(vp->ptr));
}

static int put_vcpu(struct lu_stream *s, const struct vcpu *v)
{
    const struct viridian_vcpu *vv = v->arch.hvm.viridian;
    struct lu_viridian_vcpu_rec r = {
        .vp_assist_mfn = page_of(&vv->vp_assist),
        .simp_mfn = page_of(&vv->simp),
        .scontrol = vv->scontrol,
        .siefp = vv->siefp,
    };
    unsigned int i;

    BUILD_BUG_ON(sizeof(r.crash) != sizeof(vv->crash_param));
    BUILD_BUG_ON(sizeof(r.sint) != sizeof(vv->vector_to_sintx));
    BUILD_BUG_ON(ARRAY_SIZE(r.stimer) != ARRAY_SIZE(vv->stimer));

    memcpy(r.crash, vv->crash_param, sizeof(r.crash));
    memcpy(r.sint, vv->vector_to_sintx, sizeof(r.sint));
    for ( i = 0; i < ARRAY_SIZE(r.stimer); i++ )
    {
        r.expires[i] = vv->stimer[i].expiration;
        r.stimer[i] = (vv->stimer[i].started ? LU_STIMER_F_STARTED : 0) |
                      (test_bit(i, &vv->stimer_pending) ? LU_STIMER_F_PENDING : 0);
    }

    return lu_rec_put(s, &r, sizeof(r));
}

static int cf_check save_viridian(struct lu_stream *s, struct domain *d)
{
    struct lu_viridian_rec r = { .id = lu_id(&lu_kind_viridian, d, 0) };
    const struct viridian_domain *vd;
    const struct vcpu *v;
    int rc;

    if ( !is_viridian_domain(d) )
        return 0;

    vd = d->arch.hvm.viridian;
    r.tsc_page_mfn = page_of(&vd->reference_tsc);
    r.offset = vd->time_ref_count.off;

    rc = lu_rec_begin(s, LU_REC_VIRIDIAN) ?: lu_rec_put(s, &r, sizeof(r));
    for_each_vcpu ( d, v )
    {
        rc = rc ?: put_vcpu(s, v);
        r.nr_vcpus++;
    }

    return rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

/* ---- Restore --------------------------------------------------------------------- */

static int take_page(struct domain *d, struct viridian_page *vp, uint64_t mfn,
                     const char *name)
{
    struct page_info *pg;

    if ( mfn == LU_NO_MFN )
        return 0;

    if ( !vp->msr.enabled || !mfn_valid(_mfn(mfn)) )
        return lu_error(-EBADMSG, d, "VIRIDIAN: %s page %#"PRIx64", MSR %#"PRIx64,
                        name, mfn, vp->msr.raw);

    pg = mfn_to_page(_mfn(mfn));
    if ( !get_page_and_type(pg, d, PGT_writable_page) )
        return lu_error(-EINVAL, d, "VIRIDIAN: %s page %#"PRIx64" is not its page",
                        name, mfn);

    vp->ptr = __map_domain_page_global(pg);
    if ( !vp->ptr )
    {
        put_page_and_type(pg);
        return lu_error(-ENOMEM, d, "VIRIDIAN: %s page cannot be mapped", name);
    }

    return 0;
}

static bool viridian_vcpu_sane(const struct domain *d,
                               const struct lu_viridian_vcpu_rec *r)
{
    const uint16_t flags = viridian_feature_mask(d) & HVMPV_stimer
                           ? LU_STIMER_F_STARTED | LU_STIMER_F_PENDING : 0;
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(r->sint); i++ )
        if ( r->sint[i] > ARRAY_SIZE(((struct viridian_vcpu *)0)->sint) )
            return false;

    for ( i = 0; i < ARRAY_SIZE(r->stimer); i++ )
        if ( r->stimer[i] & ~flags )
            return false;

    return true;
}

static int take_vcpu(struct vcpu *v, const struct lu_viridian_vcpu_rec *r)
{
    struct viridian_vcpu *vv = v->arch.hvm.viridian;
    unsigned int i;

    if ( !viridian_vcpu_sane(v->domain, r) )
        return lu_error(-EBADMSG, v->domain, "VIRIDIAN: v%d: fields out of range",
                        v->vcpu_id);

    vv->scontrol = r->scontrol;
    vv->siefp = r->siefp;
    memcpy(vv->crash_param, r->crash, sizeof(r->crash));
    memcpy(vv->vector_to_sintx, r->sint, sizeof(r->sint));

    for ( i = 0; i < ARRAY_SIZE(vv->stimer); i++ )
    {
        struct viridian_stimer *vs = &vv->stimer[i];

        vs->expiration = r->expires[i];
        vs->started = r->stimer[i] & LU_STIMER_F_STARTED;
        /*
         * One that is disabled has no use for either.  Those that have expired are told of
         * in the end: before, somebody who asks for interrupts would deliver the message,
         * and reference time does not run yet.
         */
        if ( !vs->config.enable || !r->stimer[i] )
            continue;
        __set_bit(i, &vv->lu_restored);
        if ( r->stimer[i] & LU_STIMER_F_PENDING )
            __set_bit(i, &vv->lu_expired);
    }

    return take_page(v->domain, &vv->vp_assist, r->vp_assist_mfn, "VP assist") ?:
           take_page(v->domain, &vv->simp, r->simp_mfn, "message");
}

static int cf_check restore_viridian(const struct lu_stream *s,
                                     const struct lu_rec *rec, struct domain *d)
{
    const size_t size = sizeof(struct lu_viridian_vcpu_rec);
    struct viridian_domain *vd;
    struct lu_viridian_rec r;
    struct vcpu *v;
    unsigned int nr = 0;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_viridian_domain(d) )
        return lu_error(-EINVAL, d, "VIRIDIAN: of a domain without viridian=");
    if ( viridian_feature_mask(d) & ~HVMPV_feature_mask )
        return lu_error(-EOPNOTSUPP, d, "VIRIDIAN: features %#"PRIx64", this Xen knows %#x",
                        viridian_feature_mask(d), HVMPV_feature_mask);
    if ( r.reserved || !lu_array_fits(rec, sizeof(r), size, r.nr_vcpus) )
        return lu_error(-EBADMSG, d, "VIRIDIAN: fields out of range");

    vd = d->arch.hvm.viridian;
    vd->time_ref_count.off = r.offset;
    rc = take_page(d, &vd->reference_tsc, r.tsc_page_mfn, "reference TSC");

    for_each_vcpu ( d, v )
    {
        struct lu_viridian_vcpu_rec vr;

        if ( !rc && nr == r.nr_vcpus )
            rc = -EBADMSG;
        rc = rc ?: lu_rec_read(s, rec, sizeof(r) + nr++ * size, &vr, sizeof(vr)) ?:
                   take_vcpu(v, &vr);
        if ( rc )
            return rc;
    }

    return nr == r.nr_vcpus ? rc
                            : lu_error(-EBADMSG, d, "VIRIDIAN: %u vCPUs, it has %u",
                                       r.nr_vcpus, nr);
}

/* No kind of the stream's rules is wanted by domains of some parameter only. */
static int cf_check audit_viridian(const struct lu_stream *s, struct domain *d)
{
    struct lu_rec rec;

    return is_viridian_domain(d) && lu_find(s, LU_REC_VIRIDIAN, d->domain_id, &rec)
           ? lu_error(-ENOENT, d, "VIRIDIAN: no record") : 0;
}

const struct lu_kind lu_kind_viridian = {
    .name = "VIRIDIAN",
    .type = LU_REC_VIRIDIAN,
    .size = sizeof(struct lu_viridian_rec),
    .array = { LU_ARRAY(lu_viridian_rec, nr_vcpus, struct lu_viridian_vcpu_rec) },
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .save = save_viridian,
    .restore = restore_viridian,
    .audit = audit_viridian,
};

/* ---- Letting go ------------------------------------------------------------------ */

/* In place of start_stimer() in time_vcpu_thaw(), once; reference time runs again. */
bool lu_stimer_thaw(struct viridian_stimer *vs)
{
    struct vcpu *v = vs->v;
    struct viridian_vcpu *vv = v->arch.hvm.viridian;
    const unsigned int i = vs - vv->stimer;

    if ( likely(!__test_and_clear_bit(i, &vv->lu_restored)) )
        return false;

    if ( __test_and_clear_bit(i, &vv->lu_expired) )
    {
        set_bit(i, &vv->stimer_pending);
        vcpu_kick(v);
    }
    else
    {
        /* It may have been due between the timers' stop and that of reference time. */
        const int64_t left = vs->expiration - time_ref_count(v->domain);

        migrate_timer(&vs->timer, v->processor);
        set_timer(&vs->timer, NOW() + (left > 0 ? left * 100ULL : 0));
    }

    return true;
}

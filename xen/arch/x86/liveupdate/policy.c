/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POLICY: what CPUID and a few MSRs tell a domain about the CPU.
 *
 * The record is in the format of migration: struct xen_cpuid_leaf and struct
 * xen_msr_entry of the public headers, every leaf that is not all zero.  The
 * saved policy wins over what this Xen would give the domain, since a running
 * kernel has long acted on it.  It is set by lu_policy_restore(), between
 * creating the domain and its vCPUs, not when its record comes by.
 *
 * What can fail: a policy beyond the limits of this Xen's (fewer leaves than the
 * domain uses) is fatal.  Features that this Xen would no longer offer, and
 * leaves it does not know, are logged: the first stay, the second are lost.
 */
#include <xen/sched.h>
#include <xen/xmalloc.h>

#include <asm/cpu-policy.h>
#include <asm/cpufeature.h>
#include <asm/msr-index.h>

#include <xen/lib/x86/cpu-policy.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Save ------------------------------------------------------------------ */

static int put_leaf(struct lu_stream *s, uint32_t *nr, uint32_t leaf,
                    uint32_t subleaf, const struct cpuid_leaf *l)
{
    const struct lu_cpuid_leaf_rec r = {
        .leaf = leaf, .subleaf = subleaf,
        .a = l->a, .b = l->b, .c = l->c, .d = l->d,
    };

    if ( !(l->a | l->b | l->c | l->d) )
        return 0;
    ++*nr;

    return lu_rec_put(s, &r, sizeof(r));
}

static int put_subleaves(struct lu_stream *s, uint32_t *nr, uint32_t leaf,
                         const struct cpuid_leaf *l, unsigned int count)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; !rc && i < count; i++ )
        rc = put_leaf(s, nr, leaf, i, &l[i]);

    return rc;
}

static int put_leaves(struct lu_stream *s, uint32_t *nr,
                      const struct cpu_policy *p)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; !rc && i < ARRAY_SIZE(p->basic.raw); i++ )
        switch ( i )
        {
        case 0x4:
            rc = put_subleaves(s, nr, i, p->cache.raw,
                               ARRAY_SIZE(p->cache.raw));
            break;

        case 0x7:
            rc = put_subleaves(s, nr, i, p->feat.raw,
                               ARRAY_SIZE(p->feat.raw));
            break;

        case 0xb:
            rc = put_subleaves(s, nr, i, p->topo.raw,
                               ARRAY_SIZE(p->topo.raw));
            break;

        case 0xd:
            rc = put_subleaves(s, nr, i, p->xstate.raw,
                               ARRAY_SIZE(p->xstate.raw));
            break;

        default:
            rc = put_leaf(s, nr, i, XEN_CPUID_NO_SUBLEAF, &p->basic.raw[i]);
            break;
        }

    if ( !rc )
        rc = put_leaf(s, nr, 0x40000000, XEN_CPUID_NO_SUBLEAF,
                      &(struct cpuid_leaf){ p->hv_limit });
    if ( !rc )
        rc = put_leaf(s, nr, 0x40000100, XEN_CPUID_NO_SUBLEAF,
                      &(struct cpuid_leaf){ p->hv2_limit });

    for ( i = 0; !rc && i < ARRAY_SIZE(p->extd.raw); i++ )
        rc = put_leaf(s, nr, 0x80000000 | i, XEN_CPUID_NO_SUBLEAF,
                      &p->extd.raw[i]);

    return rc;
}

static int cf_check save_policy(struct lu_stream *s, struct domain *d)
{
    const struct cpu_policy *p = d->arch.cpu_policy;
    const struct lu_msr_rec msrs[] = {
        { .index = MSR_INTEL_PLATFORM_INFO, .value = p->platform_info.raw },
        { .index = MSR_ARCH_CAPABILITIES, .value = p->arch_caps.raw },
    };
    struct lu_policy_rec r = {
        .id = lu_id(&lu_kind_policy, d, 0),
        .nr_msrs = ARRAY_SIZE(msrs),
    };

    return lu_rec_begin(s, LU_REC_POLICY) ?:
           lu_rec_put(s, &r, sizeof(r)) ?:
           put_leaves(s, &r.nr_leaves, p) ?:
           lu_rec_put(s, msrs, sizeof(msrs)) ?:
           lu_rec_patch(s, 0, &r, sizeof(r)) ?:
           lu_rec_end(s);
}

/* ---- Restore --------------------------------------------------------------- */

/* Where a leaf lies, or NULL if this Xen has no such leaf. */
static struct cpuid_leaf *find_leaf(struct cpu_policy *p, uint32_t leaf,
                                    uint32_t subleaf)
{
    struct cpuid_leaf *base;
    unsigned int nr;

#define TABLE(t) do { base = p->t.raw; nr = ARRAY_SIZE(p->t.raw); } while ( 0 )
    switch ( leaf )
    {
    case 0x4: TABLE(cache);  break;
    case 0x7: TABLE(feat);   break;
    case 0xb: TABLE(topo);   break;
    case 0xd: TABLE(xstate); break;

    default:
        if ( subleaf != XEN_CPUID_NO_SUBLEAF )
            return NULL;
        if ( leaf & 0x80000000 )
            TABLE(extd);
        else
            TABLE(basic);
        subleaf = leaf & 0x7fffffff;
        break;
    }
#undef TABLE

    return subleaf < nr ? &base[subleaf] : NULL;
}

static int take_leaf(struct cpu_policy *p, const struct lu_cpuid_leaf_rec *r,
                     const struct domain *d)
{
    struct cpuid_leaf *l;

    if ( r->leaf == 0x40000000 || r->leaf == 0x40000100 )
    {
        if ( r->a > UINT8_MAX || r->b || r->c || r->d ||
             r->subleaf != XEN_CPUID_NO_SUBLEAF )
            return lu_error(-EBADMSG, d, "POLICY: leaf %#x says %#x", r->leaf,
                            r->a);
        if ( r->leaf == 0x40000000 )
            p->hv_limit = r->a;
        else
            p->hv2_limit = r->a;
        return 0;
    }

    l = find_leaf(p, r->leaf, r->subleaf);
    if ( l )
        *l = (struct cpuid_leaf){ r->a, r->b, r->c, r->d };
    else
        printk(XENLOG_WARNING
               "live-update: %pd: CPUID leaf %#x:%#x is unknown to this Xen and lost\n",
               d, r->leaf, r->subleaf);

    return 0;
}

static int take_msr(struct cpu_policy *p, const struct lu_msr_rec *r,
                    const struct domain *d)
{
    if ( r->reserved )
        return lu_error(-EBADMSG, d, "POLICY: MSR %#x: reserved field set",
                        r->index);

    switch ( r->index )
    {
    case MSR_INTEL_PLATFORM_INFO:
        if ( r->value > UINT32_MAX )
            return lu_error(-EBADMSG, d, "POLICY: MSR %#x is %#lx", r->index,
                            r->value);
        p->platform_info.raw = r->value;
        break;

    case MSR_ARCH_CAPABILITIES:
        p->arch_caps.raw = r->value;
        break;

    default:
        printk(XENLOG_WARNING
               "live-update: %pd: policy of MSR %#x is unknown to this Xen and lost\n",
               d, r->index);
        break;
    }

    return 0;
}

static int read_policy(const struct lu_stream *s, const struct lu_rec *rec,
                       struct cpu_policy *p, const struct domain *d)
{
    struct lu_policy_rec r;
    uint64_t off = sizeof(r);
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !lu_array_fits(rec, sizeof(r), sizeof(struct lu_cpuid_leaf_rec),
                        r.nr_leaves) ||
         !lu_array_fits(rec, sizeof(r) + r.nr_leaves *
                             sizeof(struct lu_cpuid_leaf_rec),
                        sizeof(struct lu_msr_rec), r.nr_msrs) )
        return lu_error(-EBADMSG, d, "POLICY: %u leaves, %u MSRs in %u bytes",
                        r.nr_leaves, r.nr_msrs, rec->length);

    for ( i = 0; !rc && i < r.nr_leaves; i++ )
    {
        struct lu_cpuid_leaf_rec leaf;

        rc = lu_rec_read(s, rec, off, &leaf, sizeof(leaf)) ?:
             take_leaf(p, &leaf, d);
        off += sizeof(leaf);
    }

    for ( i = 0; !rc && i < r.nr_msrs; i++ )
    {
        struct lu_msr_rec msr;

        rc = lu_rec_read(s, rec, off, &msr, sizeof(msr)) ?:
             take_msr(p, &msr, d);
        off += sizeof(msr);
    }

    return rc;
}

/* Features that a domain created now would not get. */
static void report_features(const struct domain *d, const struct cpu_policy *p,
                            const struct cpu_policy *max)
{
    uint32_t fs[FEATURESET_NR_ENTRIES], max_fs[FEATURESET_NR_ENTRIES];
    unsigned int i;

    x86_cpu_policy_to_featureset(p, fs);
    x86_cpu_policy_to_featureset(max, max_fs);

    /* These two say what the FPU cannot do; every domain has the host's. */
    max_fs[FEATURESET_7b0] |= cpufeat_mask(X86_FEATURE_FDP_EXCP_ONLY) |
                              cpufeat_mask(X86_FEATURE_NO_FPU_SEL);
    /* AMD shows some of leaf 1 again here; only a domain's own policy does. */
    max_fs[FEATURESET_e1d] |= max_fs[FEATURESET_1d] & CPUID_COMMON_1D_FEATURES;

    for ( i = 0; i < ARRAY_SIZE(fs); i++ )
        if ( fs[i] & ~max_fs[i] )
            printk(XENLOG_WARNING
                   "live-update: %pd: keeps CPU features %#x of word %u, which this Xen would not offer\n",
                   d, fs[i] & ~max_fs[i], i);
}

/*
 * Give d the policy of its record.  Called in LU_PASS_CREATE, after
 * domain_create() and before the domain's first vCPU, whose creation looks at it.
 */
int lu_policy_restore(struct domain *d)
{
    const struct lu_stream *s = lu_stream_boot();
    const struct cpu_policy *max = is_pv_domain(d) ? &pv_max_cpu_policy
                                                   : &hvm_max_cpu_policy;
    struct cpu_policy_errors err = INIT_CPU_POLICY_ERRORS;
    struct cpu_policy *p;
    struct lu_rec rec;
    int rc;

    if ( lu_find(s, LU_REC_POLICY, d->domain_id, &rec) )
        return lu_error(-ENOENT, d, "POLICY: no such record");
    if ( rec.id.version != lu_kind_policy.version )
        return lu_error(-EOPNOTSUPP, d, "POLICY: version %u, this Xen reads %u",
                        rec.id.version, lu_kind_policy.version);

    p = xzalloc(struct cpu_policy);
    if ( !p )
        return lu_error(-ENOMEM, d, "POLICY: no memory");

    rc = read_policy(s, &rec, p, d);
    if ( rc )
        goto out;

    x86_cpu_policy_recalc_synth(p);

    rc = x86_cpu_policies_are_compatible(max, p, &err);
    if ( rc )
    {
        rc = lu_error(rc, d,
                      "POLICY: beyond this Xen's: leaf %#x subleaf %#x MSR %#x",
                      err.leaf, err.subleaf, err.msr);
        goto out;
    }
    report_features(d, p, max);

    SWAP(p, d->arch.cpu_policy);
    domain_cpu_policy_changed(d);

 out:
    xfree(p);

    return rc;
}

const struct lu_kind lu_kind_policy = {
    .name = "POLICY",
    .type = LU_REC_POLICY,
    .size = sizeof(struct lu_policy_rec),
    .array = { LU_ARRAY(lu_policy_rec, nr_leaves, struct lu_cpuid_leaf_rec),
               LU_ARRAY(lu_policy_rec, nr_msrs, struct lu_msr_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_CREATE,
    .per_domain = true,
    .save = save_policy,
};

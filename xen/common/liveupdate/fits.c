/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Would the loaded build panic on this host?
 *
 * The capability note tells what only the new build knows: its default scheduler,
 * how much memory and which CPU state it can handle, which CPU features it offers.
 * Each is compared with what this host and its domains use.  A load is for this;
 * what depends on domains is compared once more when the update is executed.
 *
 * What can fail: anything that the new build lacks.  The update is refused with
 * -EOPNOTSUPP and one line that names it; nothing has changed.
 */
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include <public/hvm/params.h>

#include <xen/lib/x86/cpu-policy.h>

#include <asm/hvm/hvm.h>
#include <asm/xstate.h>

#include "../sched/private.h"
#include "internal.h"

/* ---- The host ---------------------------------------------------------------- */

/* The value of the last sched= of a command line, or NULL. */
static const char *sched_option(const char *cmdline, size_t *len)
{
    static const char name[] = "sched=";
    const char *p, *last = NULL;

    for ( p = cmdline; (p = strstr(p, name)) != NULL; p += sizeof(name) - 1 )
        if ( p == cmdline || p[-1] == ' ' )
            last = p + sizeof(name) - 1;

    for ( *len = 0; last && last[*len] && last[*len] != ' '; ++*len )
        ;

    return last;
}

static int check_scheduler(const struct lu_note_rec *n, const char *cmdline)
{
    const struct scheduler *sched = cpupool0->sched;
    size_t len;
    const char *option = sched_option(cmdline, &len);

    if ( !(n->schedulers & (1U << sched->sched_id)) )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: the image has no scheduler %s, which is in use",
                        sched->opt_name);

    /* This Xen may have fallen back to its default, and the next one may not. */
    if ( option && (strlen(sched->opt_name) != len ||
                    strncmp(sched->opt_name, option, len)) )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: scheduler %s is in use, the command line says sched=%.*s",
                        sched->opt_name, (int)len, option);

    if ( !option && strcmp(sched->opt_name, n->scheduler) )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: scheduler %s is in use, the image's default is %s (sched= can be given at the next boot)",
                        sched->opt_name, n->scheduler);

    return 0;
}

int lu_image_fits(const struct lu_note_rec *n, const char *cmdline)
{
    /* What is built in is no option that could be compared. */
    if ( (n->flags & LU_NOTE_F_CMDLINE) || sizeof(CONFIG_CMDLINE) > 1 )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: a command line is built into the %s (CONFIG_CMDLINE)",
                        n->flags & LU_NOTE_F_CMDLINE ? "image" : "running Xen");

    if ( n->max_pdx < max_pdx )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: the image's frame table has room for %#"PRIx64" pages, the host needs %#lx (CONFIG_BIGMEM)",
                        n->max_pdx, max_pdx);

    return check_scheduler(n, cmdline) ?: lu_domains_fit(n);
}

/* ---- Domains ----------------------------------------------------------------- */

static const char *const word_names[FEATURESET_NR_ENTRIES] = {
    [FEATURESET_1d] = "1 EDX",
    [FEATURESET_1c] = "1 ECX",
    [FEATURESET_e1d] = "0x80000001 EDX",
    [FEATURESET_e1c] = "0x80000001 ECX",
    [FEATURESET_Da1] = "0xd:1 EAX",
    [FEATURESET_7b0] = "7:0 EBX",
    [FEATURESET_7c0] = "7:0 ECX",
    [FEATURESET_e7d] = "0x80000007 EDX",
    [FEATURESET_e8b] = "0x80000008 EBX",
    [FEATURESET_7d0] = "7:0 EDX",
    [FEATURESET_7a1] = "7:1 EAX",
    [FEATURESET_e21a] = "0x80000021 EAX",
    [FEATURESET_7b1] = "7:1 EBX",
    [FEATURESET_7d2] = "7:2 EDX",
    [FEATURESET_7c1] = "7:1 ECX",
    [FEATURESET_7d1] = "7:1 EDX",
    [FEATURESET_m10Al] = "MSR 0x10a, low half",
    [FEATURESET_m10Ah] = "MSR 0x10a, high half",
    [FEATURESET_e21c] = "0x80000021 ECX",
};

static uint64_t viridian_features(const struct domain *d)
{
#ifdef CONFIG_HVM
    if ( is_viridian_domain(d) )
        return viridian_feature_mask(d);
#endif

    return 0;
}

static int domain_fits(const struct lu_note_rec *n, const struct domain *d)
{
    static const uint32_t own_pv[] = INIT_PV_MAX_FEATURES,
                          own_hvm[] = INIT_HVM_HAP_MAX_FEATURES;
    const uint32_t *own = is_hvm_domain(d) ? own_hvm : own_pv;
    const uint32_t *offered = is_hvm_domain(d) ? n->hvm_features
                                               : n->pv_features;
    const struct cpu_policy *p = d->arch.cpu_policy;
    const uint64_t xcr0 = ((uint64_t)p->xstate.xcr0_high << 32) |
                          p->xstate.xcr0_low;
    const uint64_t viridian = viridian_features(d) & ~(uint64_t)n->viridian;
    uint32_t fs[FEATURESET_NR_ENTRIES];
    unsigned int i;

    if ( p->basic.max_leaf > n->cpuid_basic ||
         p->feat.max_subleaf > n->cpuid_feat ||
         p->extd.max_leaf > n->cpuid_extd )
        return lu_error(-EOPNOTSUPP, d,
                        "image: its CPUID goes to %#x, %#x, %#x, that of the domain to %#x, %#x, %#x",
                        n->cpuid_basic, n->cpuid_feat, n->cpuid_extd,
                        p->basic.max_leaf, p->feat.max_subleaf,
                        p->extd.max_leaf);

    if ( xcr0 & ~n->xcr0 )
        return lu_error(-EOPNOTSUPP, d,
                        "image: it does not know the extended state %#"PRIx64" that the domain may use",
                        xcr0 & ~n->xcr0);

    if ( viridian )
        return lu_error(-EOPNOTSUPP, d,
                        "image: it does not know the viridian features %#"PRIx64" that the domain has",
                        viridian);

    /*
     * What this build offers to any domain and the new one does not; some words
     * have bits besides, which depend on the CPU only.
     */
    x86_cpu_policy_to_featureset(p, fs);
    for ( i = 0; i < ARRAY_SIZE(fs); i++ )
    {
        uint32_t lost = fs[i] & own[i] &
                        ~(i < n->nr_features ? offered[i] : 0);

        if ( lost )
            return lu_error(-EOPNOTSUPP, d,
                            "image: it does not support CPU features %#x of CPUID %s, which the domain has",
                            lost, word_names[i] ?: "?");
    }

    return 0;
}

int lu_domains_fit(const struct lu_note_rec *n)
{
    const struct domain *d;
    int rc = 0;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
        if ( (rc = domain_fits(n, d)) != 0 )
            break;
    rcu_read_unlock(&domlist_read_lock);

    return rc;
}

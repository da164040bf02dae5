/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of state that cross a live update, in stream order.
 *
 * HOST comes first and everything of the host before any domain; DOMAIN first of
 * each domain.  Within one restore pass this is also the order of restoring, so
 * the comments here are the ordering rules.
 */
#include <xen/init.h>

#include "internal.h"

const struct lu_kind *const lu_kinds[] = {
    &lu_kind_host,
    &lu_kind_memory,
    &lu_kind_m2p,
    &lu_kind_crash_area,
    &lu_kind_cpus,
    &lu_kind_time,
    &lu_kind_sched_global,
    &lu_kind_kexec,
#ifdef CONFIG_LIVEPATCH
    &lu_kind_livepatch,
#endif
    &lu_kind_grant_limits,
    /* Devices are looked at through MMCFG, and GSIs and devices before PIRQs. */
    &lu_kind_mmcfg,
    &lu_kind_gsi,
    &lu_kind_pci,
    /* A policy wants its CPUs' states, the governor's tuning that it has run. */
    &lu_kind_px,
    &lu_kind_px_policy,
    &lu_kind_pm,
    &lu_kind_cx,
    &lu_kind_conring,

    &lu_kind_passing,
    &lu_kind_domain,
    &lu_kind_caps,
    &lu_kind_frozen,
    &lu_kind_policy,
    &lu_kind_pagetables,
#ifdef CONFIG_HVM
    &lu_kind_p2m,
#endif
    /* Whether RDTSC is emulated, before HVM vCPUs. */
    &lu_kind_tsc,
    /* The EOI page before any PIRQ; vcpu_info before any port. */
    &lu_kind_pv_domain,
    &lu_kind_pv_vcpu,
    &lu_kind_pv_xsave,
#ifdef CONFIG_HVM
    /* Parameters before timers, registers before what overrides them. */
    &lu_kind_hvm_domain,
    &lu_kind_cacheattr,
    &lu_kind_hvm_context,
    &lu_kind_viridian,
    &lu_kind_hvm_vcpu,
    &lu_kind_hvm_io,
#endif
    &lu_kind_grant,
    /* Ports before FIFO, which switches the domain's ports over. */
    &lu_kind_evtchn,
    &lu_kind_evtchn_fifo,
#ifdef CONFIG_HVM
    /* With ports, parameters and pages of its own. */
    &lu_kind_ioreq,
#endif
    &lu_kind_grant_maps,
    /* Bound to ports. */
    &lu_kind_pirq,
    /* Weights want the domain's vCPUs. */
    &lu_kind_sched,
    &lu_kind_affinity,
    /* Timers last: whom they wake must be there. */
    &lu_kind_vcpu_timer,
#ifdef CONFIG_HVM
    &lu_kind_lapic_timer,
    &lu_kind_platform_timers,
#endif
    &lu_kind_watchdog,
};

const unsigned int lu_nr_kinds = ARRAY_SIZE(lu_kinds);

unsigned int lu_kind_index(uint32_t type)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(lu_kinds); i++ )
        if ( lu_kinds[i]->type == type )
            break;

    return i;
}

unsigned int __initdata lu_kind_seen[ARRAY_SIZE(lu_kinds)];

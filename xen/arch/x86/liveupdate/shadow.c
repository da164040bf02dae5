/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadows: what Xen walks in place of the page tables of an HVM domain that is created
 * without hardware assisted paging.
 *
 * They hold nothing that a guest could miss, and references to its pages, and they are
 * tables of this Xen's own.  So none is carried: once the domains stand still all are
 * dropped, with the references and the marks on the guest's tables, and in the new Xen
 * a vCPU gets a new root when its control registers are restored (sh_update_cr3()), and
 * the rest as it faults.  The P2M and the size of the pool are P2M's (p2m.c).
 *
 * What can fail: nothing here.  If the update does not take place, vCPUs get their roots
 * before they run again; Xen crashes a domain for which there is no page left, as ever.
 */
#include <xen/sched.h>

#include <asm/paging.h>
#include <asm/shadow.h>

#include "../../../common/liveupdate/internal.h"
#include "../mm/mm-locks.h"

/* One that dies is taken apart already (paging_teardown()), and a blocker. */
static bool has_shadows(const struct domain *d)
{
    return is_hvm_domain(d) && shadow_mode_enabled(d) && !d->is_dying;
}

/* Frozen, IRQs on, other CPUs at work.  lu_shadow_remake() undoes it. */
void lu_shadow_drop(struct domain *d)
{
    struct vcpu *v;

    if ( !has_shadows(d) )
        return;

    /* Unpins all, and takes from the roots in use what is below them. */
    shadow_blow_tables_per_domain(d);
    paging_lock(d);
    for_each_vcpu ( d, v )
        v->arch.paging.mode->shadow.detach_old_tables(v);
    paging_unlock(d);
}

/* Before the domain is let go; harmless where nothing was dropped. */
void lu_shadow_remake(struct domain *d)
{
    struct vcpu *v;

    if ( has_shadows(d) )
        for_each_vcpu ( d, v )
            paging_update_paging_modes(v);
}

/*
 * Is this page of d's one of Xen's own?  A vCPU that has paging off walks one that
 * shadow_enable() makes, and which looks like a page that the domain gave up.
 */
bool lu_shadow_private(const struct domain *d, const struct page_info *pg)
{
    return is_hvm_domain(d) && shadow_mode_enabled(d) &&
           mfn_eq(pagetable_get_mfn(d->arch.paging.shadow.unpaged_pagetable),
                  page_to_mfn(pg));
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PV_DOMAIN: what a PV domain has as a whole, beyond DOMAIN and its pages.
 *
 * The page that tells the guest which PIRQs want an EOI stays where it is and is
 * mapped again, before any PIRQ is bound; the rest are plain values.
 *
 * What can fail: state that is not carried is a blocker found by
 * check_pv_domain(), for the domain and its vCPUs.  In the new Xen: a field out
 * of range, an EOI page that is not the domain's.
 */
#include <xen/domain_page.h>
#include <xen/mm.h>
#include <xen/sched.h>
#include <xen/vm_event.h>
#include <xen/xmalloc.h>

#include <asm/e820.h>
#include <asm/psr.h>
#include <asm/vpmu.h>
#include <asm/xstate.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Blockers -------------------------------------------------------------- */

static bool uses_psr(const struct domain *d)
{
    unsigned int i;

    if ( d->arch.psr_rmid )
        return true;
    if ( d->arch.psr_cos_ids )
        for ( i = 0; i < nr_sockets; i++ )
            if ( d->arch.psr_cos_ids[i] )
                return true;

    return false;
}

static bool uses_vm_event(const struct domain *d)
{
    if ( vm_event_check_ring(d->vm_event_monitor) )
        return true;
#ifdef CONFIG_MEM_PAGING
    if ( vm_event_check_ring(d->vm_event_paging) )
        return true;
#endif
#ifdef CONFIG_MEM_SHARING
    if ( vm_event_check_ring(d->vm_event_share) )
        return true;
#endif

    return false;
}

#define BLOCK(cond, rc, ...)                            \
    do {                                                \
        if ( cond )                                     \
        {                                               \
            int rc_ = lu_blocker(rc, d, __VA_ARGS__);   \
                                                        \
            first = first ?: rc_;                       \
        }                                               \
    } while ( 0 )

static int check_vcpu(const struct vcpu *v, bool stopped)
{
    const struct domain *d = v->domain;
    int first = 0;

    BLOCK(v->arch.vpmu.xenpmu_data ||
          vpmu_is_set(&v->arch.vpmu, VPMU_CONTEXT_ALLOCATED), -EOPNOTSUPP,
          "vpmu: v%d uses performance counters", v->vcpu_id);
    BLOCK(v->arch.vm_event, -EOPNOTSUPP, "vm-event: v%d is monitored",
          v->vcpu_id);
    BLOCK(v->arch.gdbsx_vcpu_event, -EBUSY,
          "gdbsx: v%d has an event for its debugger", v->vcpu_id);
    BLOCK(v->pause_flags & (VPF_mem_paging | VPF_mem_access | VPF_mem_sharing),
          -EOPNOTSUPP, "vm-event: v%d waits for a memory event", v->vcpu_id);
    BLOCK((v->pause_flags & VPF_in_reset) && v->is_initialised, -EAGAIN,
          "reset: v%d is being reset", v->vcpu_id);
    BLOCK(stopped && v->is_initialised &&
          pagetable_is_null(v->arch.guest_table), -EAGAIN,
          "reset: v%d has no page table", v->vcpu_id);
    BLOCK(stopped && v->mc_state.flags, -EAGAIN,
          "multicall: v%d is in the middle of one", v->vcpu_id);
    BLOCK(v->arch.msrs->xss.raw, -EOPNOTSUPP, "xss: v%d uses IA32_XSS",
          v->vcpu_id);

    return first;
}

static int cf_check check_pv_domain(const struct domain *d)
{
    const bool stopped = atomic_read(&d->pause_count);
    const struct vcpu *v;
    int first = 0;

    /* One that dies is a blocker anyway, half taken apart. */
    if ( !is_pv_domain(d) || d->is_dying )
        return 0;

    BLOCK(uses_psr(d), -EOPNOTSUPP,
          "psr: cache or memory bandwidth allocation or monitoring");
    BLOCK(uses_vm_event(d), -EOPNOTSUPP, "vm-event: a ring for its events");
    BLOCK(xstate_ctxt_size(xfeature_mask) > LU_XSAVE_MAX, -EOPNOTSUPP,
          "xsave: %u bytes of extended state",
          xstate_ctxt_size(xfeature_mask));

    for_each_vcpu ( d, v )
    {
        int rc = check_vcpu(v, stopped);

        first = first ?: rc;
    }

    return first;
}
#undef BLOCK

/* ---- Save ------------------------------------------------------------------ */

static int put_e820(struct lu_stream *s, const struct domain *d, uint32_t nr)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; !rc && i < nr; i++ )
    {
        const struct lu_e820_rec e = {
            .addr = d->arch.e820[i].addr,
            .size = d->arch.e820[i].size,
            .type = d->arch.e820[i].type,
        };

        rc = lu_rec_put(s, &e, sizeof(e));
    }

    return rc;
}

static int cf_check save_pv_domain(struct lu_stream *s, struct domain *d)
{
    struct lu_pv_domain_rec r = {
        .id = lu_id(&lu_kind_pv_domain, d, 0),
        .flags = d->arch.auto_unmask ? LU_PVD_F_AUTO_UNMASK : 0,
        .x87_fip_width = d->arch.x87_fip_width,
        .physaddr_bitsize = d->arch.physaddr_bitsize,
        .pci_cf8 = d->arch.pci_cf8,
        .cmos_index = d->arch.cmos_idx,
        .pirq_eoi_mfn = d->arch.pirq_eoi_map ? d->arch.pirq_eoi_map_mfn
                                             : LU_NO_MFN,
    };
    /* With IRQs off nothing else runs, and the lock is none for IRQs off. */
    const bool lock = local_irq_is_enabled();
    int rc;

    if ( !is_pv_domain(d) )
        return 0;

    if ( lock )
        spin_lock(&d->arch.e820_lock);
    r.nr_e820 = d->arch.e820 ? d->arch.nr_e820 : 0;
    rc = lu_rec_begin(s, LU_REC_PV_DOMAIN) ?:
         lu_rec_put(s, &r, sizeof(r)) ?:
         put_e820(s, d, r.nr_e820) ?:
         lu_rec_end(s);
    if ( lock )
        spin_unlock(&d->arch.e820_lock);

    return rc;
}

/* ---- Restore --------------------------------------------------------------- */

static int restore_e820(const struct lu_stream *s, const struct lu_rec *rec,
                        struct domain *d, uint32_t nr)
{
    unsigned int i;
    int rc = 0;

    if ( !nr )
        return 0;

    d->arch.e820 = xzalloc_array(struct e820entry, nr);
    if ( !d->arch.e820 )
        return -ENOMEM;

    for ( i = 0; !rc && i < nr; i++ )
    {
        struct lu_e820_rec e;

        rc = lu_rec_read(s, rec, sizeof(struct lu_pv_domain_rec) +
                                 i * sizeof(e), &e, sizeof(e));
        if ( !rc && e.reserved )
            rc = -EBADMSG;
        if ( !rc )
            d->arch.e820[i] = (struct e820entry){
                .addr = e.addr, .size = e.size, .type = e.type,
            };
    }
    d->arch.nr_e820 = nr;

    return rc;
}

/* As PHYSDEVOP_pirq_eoi_gmfn does, with the page's content kept. */
static int map_pirq_eoi(struct domain *d, uint64_t mfn)
{
    struct page_info *pg = mfn_to_page(_mfn(mfn));

    if ( !mfn_valid(_mfn(mfn)) ||
         !get_page_and_type(pg, d, PGT_writable_page) )
        return lu_error(-EINVAL, d,
                        "PV_DOMAIN: EOI page %#lx: not its page, or not writable",
                        mfn);

    d->arch.pirq_eoi_map = __map_domain_page_global(pg);
    if ( !d->arch.pirq_eoi_map )
    {
        put_page_and_type(pg);
        return -ENOMEM;
    }
    d->arch.pirq_eoi_map_mfn = mfn;

    return 0;
}

static bool pv_domain_sane(const struct lu_rec *rec,
                           const struct lu_pv_domain_rec *r)
{
    return !(r->flags & ~LU_PVD_F_AUTO_UNMASK) &&
           (r->x87_fip_width == 0 || r->x87_fip_width == 4 ||
            r->x87_fip_width == 8) &&
           r->physaddr_bitsize <= 64 && r->cmos_index <= UINT8_MAX &&
           r->nr_e820 <= E820MAX &&
           lu_array_fits(rec, sizeof(*r), sizeof(struct lu_e820_rec),
                         r->nr_e820);
}

static int cf_check restore_pv_domain(const struct lu_stream *s,
                                      const struct lu_rec *rec,
                                      struct domain *d)
{
    struct lu_pv_domain_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_pv_domain(d) || !pv_domain_sane(rec, &r) )
        return lu_error(-EBADMSG, d, "PV_DOMAIN: fields out of range");

    d->arch.auto_unmask = r.flags & LU_PVD_F_AUTO_UNMASK;
    d->arch.x87_fip_width = r.x87_fip_width;
    d->arch.physaddr_bitsize = r.physaddr_bitsize;
    d->arch.pci_cf8 = r.pci_cf8;
    d->arch.cmos_idx = r.cmos_index;

    if ( r.pirq_eoi_mfn != LU_NO_MFN )
        rc = map_pirq_eoi(d, r.pirq_eoi_mfn);

    return rc ?: restore_e820(s, rec, d, r.nr_e820);
}

const struct lu_kind lu_kind_pv_domain = {
    .name = "PV_DOMAIN",
    .type = LU_REC_PV_DOMAIN,
    .size = sizeof(struct lu_pv_domain_rec),
    .array = { LU_ARRAY(lu_pv_domain_rec, nr_e820, struct lu_e820_rec) },
    .number = LU_ONE_IF_PV,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .check = check_pv_domain,
    .save = save_pv_domain,
    .restore = restore_pv_domain,
};

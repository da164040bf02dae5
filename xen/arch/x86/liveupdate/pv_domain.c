/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PV_DOMAIN: what a PV domain has as a whole, beyond DOMAIN and its pages.
 *
 * The page that tells the guest which PIRQs want an EOI stays where it is and is
 * mapped again, before any PIRQ is bound; the rest are plain values.
 *
 * What can fail, in the new Xen: a field out of range, an EOI page that is not the
 * domain's.  Blockers are those of DOMAIN.
 */
#include <xen/domain_page.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include <asm/e820.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Save ------------------------------------------------------------------ */

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
         lu_put_e820(s, d, r.nr_e820) ?:
         lu_rec_end(s);
    if ( lock )
        spin_unlock(&d->arch.e820_lock);

    return rc;
}

/* ---- Restore --------------------------------------------------------------- */

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

    return rc ?: lu_take_e820(s, rec, sizeof(r), d, r.nr_e820);
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
    .save = save_pv_domain,
    .restore = restore_pv_domain,
};

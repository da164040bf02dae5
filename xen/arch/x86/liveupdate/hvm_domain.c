/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HVM_DOMAIN: what an HVM or PVH domain has as a whole, beyond DOMAIN, its P2M and
 * the entries of HVM_CONTEXT.
 *
 * Its parameters, its memory map, and how its time relates to Xen's, which goes on
 * through the update, so that the guest's does.  Restored before HVM_CONTEXT, whose
 * handlers look at parameters and make timers.  Parameters are put back as they are,
 * since most of what HVMOP_set_param does besides has left its traces in other
 * state; the rest is done here, or when vCPUs and interrupt lines are there. A domain
 * that sleeps (ACPI S3) is stopped by a pause that nothing else counts.
 *
 * What can fail: state that is not carried is a blocker, found by
 * check_hvm_domain().  In the new Xen: a field out of range.
 */
#include <xen/mm.h>
#include <xen/sched.h>

#include <asm/hvm/domain.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/support.h>
#include <asm/hvm/vpt.h>

#include <public/hvm/params.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Blockers ------------------------------------------------------------------ */

static int cf_check check_hvm_domain(const struct domain *d)
{
    int first = 0;

    if ( !is_hvm_domain(d) || d->is_dying )
        return 0;

    BLOCK(is_hardware_domain(d), -EOPNOTSUPP, "domain-kind: a PVH dom0");
    BLOCK(lu_grants_mapped(d, DOMID_INVALID), -EOPNOTSUPP,
          "hvm-grants: it maps grants of other domains");
    BLOCK(!list_empty(&d->arch.hvm.g2m_ioport_list), -EOPNOTSUPP,
          "ioports: ports of the host are mapped into it");
    BLOCK(d->arch.pirq_eoi_map, -EOPNOTSUPP,
          "pirq-eoi: it asks which PIRQs want an EOI");

    return first;
}

/* hvm_s3_suspend() keeps a pause until hvm_s3_resume(). */
unsigned int lu_hvm_pauses(const struct domain *d)
{
    return is_hvm_domain(d) && d->arch.hvm.is_s3_suspended;
}

/* ---- Save ---------------------------------------------------------------------- */

static int cf_check save_hvm_domain(struct lu_stream *s, struct domain *d)
{
    const struct hvm_domain *hvm = &d->arch.hvm;
    struct lu_hvm_domain_rec r = {
        .id = lu_id(&lu_kind_hvm_domain, d, 0),
        .x87_fip_width = d->arch.x87_fip_width,
        .physaddr_bitsize = d->arch.physaddr_bitsize,
        .apic_access_mfn = LU_NO_MFN,
        .nr_params = HVM_NR_PARAMS,
    };
    /* With IRQs off nothing else runs, and the lock is none for IRQs off. */
    const bool lock = local_irq_is_enabled();
    int rc;

    BUILD_BUG_ON(sizeof(*hvm->params) != sizeof(uint64_t));

    if ( !is_hvm_domain(d) )
        return 0;

    r.flags = (d->arch.has_32bit_shinfo ? LU_HVMD_F_SHINFO32 : 0) |
              (hvm->is_s3_suspended ? LU_HVMD_F_S3 : 0) |
              (hvm->bug_x2apic_ldr_vcpu_id ? LU_HVMD_F_LDR_VCPU_ID : 0) |
              (hvm->is_in_uc_mode ? LU_HVMD_F_UC : 0);
    r.pci_cf8 = hvm->pci_cf8;
    r.sync_tsc = hvm->sync_tsc;
    r.time_offset = hvm->pl_time->stime_offset;
    r.last_time = hvm->pl_time->last_guest_time;
    r.ioreq_gfn_base = hvm->ioreq_gfn.base;
    r.ioreq_gfn_mask = hvm->ioreq_gfn.mask;
    r.ioreq_legacy_mask = hvm->ioreq_gfn.legacy_mask;
    if ( cpu_has_vmx && mfn_x(hvm->vmx.apic_access_mfn) )
        r.apic_access_mfn = mfn_x(hvm->vmx.apic_access_mfn);

    if ( lock )
        spin_lock(&d->arch.e820_lock);
    r.nr_e820 = d->arch.e820 ? d->arch.nr_e820 : 0;
    rc = lu_rec_begin(s, LU_REC_HVM_DOMAIN) ?:
         lu_rec_put(s, &r, sizeof(r)) ?:
         lu_rec_put(s, hvm->params, HVM_NR_PARAMS * sizeof(*hvm->params)) ?:
         lu_put_e820(s, d, r.nr_e820) ?:
         lu_rec_end(s);
    if ( lock )
        spin_unlock(&d->arch.e820_lock);

    return rc;
}

/* ---- Restore ------------------------------------------------------------------- */

static bool hvm_domain_sane(const struct lu_rec *rec,
                            const struct lu_hvm_domain_rec *r)
{
    return !(r->flags & ~(LU_HVMD_F_SHINFO32 | LU_HVMD_F_S3 |
                          LU_HVMD_F_LDR_VCPU_ID | LU_HVMD_F_UC)) &&
           (r->x87_fip_width == 0 || r->x87_fip_width == 4 ||
            r->x87_fip_width == 8) &&
           r->physaddr_bitsize <= 64 && r->nr_e820 <= E820MAX &&
           lu_array_fits(rec, sizeof(*r), sizeof(uint64_t), r->nr_params) &&
           lu_array_fits(rec, sizeof(*r) + r->nr_params * sizeof(uint64_t),
                         sizeof(struct lu_e820_rec), r->nr_e820);
}

static int take_params(const struct lu_stream *s, const struct lu_rec *rec,
                       struct domain *d, uint32_t nr)
{
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        uint64_t value;
        int rc = lu_rec_read(s, rec, sizeof(struct lu_hvm_domain_rec) +
                                     i * sizeof(value), &value, sizeof(value));

        if ( rc )
            return rc;
        if ( i < HVM_NR_PARAMS )
            d->arch.hvm.params[i] = value;
        else if ( value )
            return lu_error(-EOPNOTSUPP, d,
                            "HVM_DOMAIN: parameter %u is unknown to this Xen",
                            i);
    }

    return 0;
}

/* What vmx_alloc_vlapic_mapping() has, of the page that the P2M maps. */
static int take_apic_access(struct domain *d, uint64_t mfn)
{
    if ( mfn == LU_NO_MFN )
        return 0;

    if ( !cpu_has_vmx || !mfn_valid(_mfn(mfn)) ||
         !get_page_and_type(mfn_to_page(_mfn(mfn)), d, PGT_writable_page) )
        return lu_error(-EINVAL, d,
                        "HVM_DOMAIN: APIC access page %#"PRIx64" is not its page",
                        mfn);
    d->arch.hvm.vmx.apic_access_mfn = _mfn(mfn);

    return 0;
}

static int cf_check restore_hvm_domain(const struct lu_stream *s,
                                       const struct lu_rec *rec,
                                       struct domain *d)
{
    struct hvm_domain *hvm = &d->arch.hvm;
    struct lu_hvm_domain_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_hvm_domain(d) || !hvm_domain_sane(rec, &r) )
        return lu_error(-EBADMSG, d, "HVM_DOMAIN: fields out of range");

    d->arch.has_32bit_shinfo = r.flags & LU_HVMD_F_SHINFO32;
    d->arch.x87_fip_width = r.x87_fip_width;
    d->arch.physaddr_bitsize = r.physaddr_bitsize;
    hvm->is_s3_suspended = r.flags & LU_HVMD_F_S3;
    atomic_add(lu_hvm_pauses(d), &d->pause_count);
    hvm->bug_x2apic_ldr_vcpu_id = r.flags & LU_HVMD_F_LDR_VCPU_ID;
    hvm->is_in_uc_mode = r.flags & LU_HVMD_F_UC;
    hvm->pci_cf8 = r.pci_cf8;
    hvm->sync_tsc = r.sync_tsc;
    hvm->pl_time->stime_offset = r.time_offset;
    hvm->pl_time->last_guest_time = r.last_time;
    hvm->ioreq_gfn.base = r.ioreq_gfn_base;
    hvm->ioreq_gfn.mask = r.ioreq_gfn_mask;
    hvm->ioreq_gfn.legacy_mask = r.ioreq_legacy_mask;

    rc = take_params(s, rec, d, r.nr_params) ?:
         lu_take_e820(s, rec, sizeof(r) + r.nr_params * sizeof(uint64_t), d,
                      r.nr_e820) ?:
         take_apic_access(d, r.apic_access_mfn);
    if ( rc )
        return rc;

    /*
     * Which ports PMTIMER's registers are at.  pmtimer_change_ioport() moves them if the
     * parameter is another one, and pmtimer_init() has put them where 0 says.
     */
    if ( has_vpm(d) )
    {
        uint64_t *ports = &hvm->params[HVM_PARAM_ACPI_IOPORTS_LOCATION];
        const uint64_t version = *ports;

        *ports = 0;
        rc = pmtimer_change_ioport(d, version);
        *ports = version;
        if ( rc )
            return lu_error(rc, d, "HVM_DOMAIN: ACPI ports of version %"PRIu64,
                            version);
    }

    return 0;
}

const struct lu_kind lu_kind_hvm_domain = {
    .name = "HVM_DOMAIN",
    .type = LU_REC_HVM_DOMAIN,
    .size = sizeof(struct lu_hvm_domain_rec),
    .array = { LU_ARRAY(lu_hvm_domain_rec, nr_params, uint64_t),
               LU_ARRAY(lu_hvm_domain_rec, nr_e820, struct lu_e820_rec) },
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .check = check_hvm_domain,
    .save = save_hvm_domain,
    .restore = restore_hvm_domain,
};

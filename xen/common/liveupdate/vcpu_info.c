/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registered vcpu_info areas.
 *
 * The area lies in a page of the domain and its content is live: pending and
 * mask bits, the time of the vCPU.  VCPUOP_register_vcpu_info moves the old
 * area's content there and marks everything pending; after an update nothing may
 * move, so only Xen's reference, mapping and pointer are made again.
 *
 * What can fail: a page that is not the domain's, or is a page table.
 */
#include <xen/domain_page.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include "internal.h"

/*
 * Points v->vcpu_info at `offset` of page `mfn` of v's domain.  v has never run
 * in this Xen.  After LU_PASS_TYPE.  -errno after naming the error.
 */
int lu_map_vcpu_info(struct vcpu *v, uint64_t mfn, uint32_t offset)
{
    struct domain *d = v->domain;
    struct page_info *pg;
    void *mapping;

    /* 4 is what 32-bit guests may use; 64-bit ones had to align it to 8. */
    if ( offset > PAGE_SIZE - sizeof(vcpu_info_t) || (offset & 3) )
        return lu_error(-EBADMSG, d, "v%d: vcpu_info at offset %#x",
                        v->vcpu_id, offset);
    if ( !mfn_eq(v->vcpu_info_mfn, INVALID_MFN) )
        return lu_error(-EEXIST, d, "v%d: second vcpu_info", v->vcpu_id);

    if ( !mfn_valid(_mfn(mfn)) )
        return lu_error(-EINVAL, d, "v%d: vcpu_info page %#lx is no RAM",
                        v->vcpu_id, mfn);
    pg = mfn_to_page(_mfn(mfn));
    if ( !get_page_and_type(pg, d, PGT_writable_page) )
        return lu_error(-EINVAL, d,
                        "v%d: vcpu_info page %#lx: not its page, or not writable",
                        v->vcpu_id, mfn);

    mapping = __map_domain_page_global(pg);
    if ( !mapping )
    {
        put_page_and_type(pg);
        return lu_error(-ENOMEM, d, "v%d: vcpu_info", v->vcpu_id);
    }

    v->vcpu_info = mapping + offset;
    v->vcpu_info_mfn = page_to_mfn(pg);

    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CACHEATTR: ranges of an HVM domain's memory whose caching the toolstack has
 * pinned, as QEMU does for video memory.  Included at the end of
 * arch/x86/hvm/mtrr.c, whose list it reads.
 *
 * What can fail: in the new Xen, ranges that overlap, or a type it does not know.
 */
#include "../../../common/liveupdate/internal.h"

/* ---- Save ---------------------------------------------------------------------- */

static int cf_check save_cacheattr(struct lu_stream *s, struct domain *d)
{
    struct lu_cacheattr_rec r = { .id = lu_id(&lu_kind_cacheattr, d, 0) };
    const struct hvm_mem_pinned_cacheattr_range *range;
    int rc;

    if ( !is_hvm_domain(d) )
        return 0;

    rc = lu_rec_begin(s, LU_REC_CACHEATTR) ?: lu_rec_put(s, &r, sizeof(r));

    rcu_read_lock(&pinned_cacheattr_rcu_lock);
    list_for_each_entry_rcu ( range, &d->arch.hvm.pinned_cacheattr_ranges,
                              list )
    {
        const struct lu_pinned_rec p = {
            .first_gfn = range->start,
            .last_gfn = range->end,
            .type = range->type,
        };

        rc = rc ?: lu_rec_put(s, &p, sizeof(p));
        r.nr++;
    }
    rcu_read_unlock(&pinned_cacheattr_rcu_lock);

    return rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

/* ---- Restore ------------------------------------------------------------------- */

static int cf_check restore_cacheattr(const struct lu_stream *s,
                                      const struct lu_rec *rec,
                                      struct domain *d)
{
    struct lu_cacheattr_rec r;
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_hvm_domain(d) || r.reserved ||
         !lu_array_fits(rec, sizeof(r), sizeof(struct lu_pinned_rec), r.nr) )
        return lu_error(-EBADMSG, d, "CACHEATTR: %u ranges in %u bytes", r.nr,
                        rec->length);

    /* Newest first, as they are listed; adding also puts them in front. */
    for ( i = r.nr; !rc && i--; )
    {
        struct lu_pinned_rec p;

        rc = lu_rec_read(s, rec, sizeof(r) + i * sizeof(p), &p, sizeof(p));
        if ( rc )
            break;
        rc = p.reserved || p.type == XEN_DOMCTL_DELETE_MEM_CACHEATTR
             ? -EBADMSG
             : hvm_set_mem_pinned_cacheattr(d, p.first_gfn, p.last_gfn, p.type);
        if ( rc )
            return lu_error(rc, d,
                            "CACHEATTR: gfns %#"PRIx64" to %#"PRIx64", type %u",
                            p.first_gfn, p.last_gfn, p.type);
    }

    return rc;
}

const struct lu_kind lu_kind_cacheattr = {
    .name = "CACHEATTR",
    .type = LU_REC_CACHEATTR,
    .size = sizeof(struct lu_cacheattr_rec),
    .array = { LU_ARRAY(lu_cacheattr_rec, nr, struct lu_pinned_rec) },
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .save = save_cacheattr,
    .restore = restore_cacheattr,
};

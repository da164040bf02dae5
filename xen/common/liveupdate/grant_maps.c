/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Grant mappings: the handles of a domain (record GRANT_MAPS).
 *
 * Tail-included into common/grant_table.c, after grant.c.
 *
 * Handles are numbers the guest holds, so each keeps its place, and free ones
 * stay on the list of the vCPU that had them, as far as they fit into as many pages
 * as there were: where a page holds fewer or more of them, their number changes, and
 * the number of pages only if handles in use or a vCPU want it.  Restored last, as
 * it looks at the pins of the domains that grant.
 *
 * References: what a PV guest maps is held by its page table entries and comes
 * back when these are validated.  Mappings for devices, and those in the P2M of
 * an HVM guest, are taken here.
 *
 * What can fail: nothing is a blocker here, grant.c has compared mappings and
 * pins.  In the new Xen a handle out of range, a grant that is not pinned for the
 * domain or a reference that cannot be had fails the restore by name.
 */
#include "internal.h"

/* ---- Save --------------------------------------------------------------- */

/* One entry, or as many free ones as follow each other on one vCPU's list. */
static unsigned int map_to_wire(struct grant_table *gt, grant_handle_t handle,
                                struct lu_grant_map_rec *w)
{
    const struct grant_mapping *map = &maptrack_entry(gt, handle);

    *w = (struct lu_grant_map_rec){ .count = 1, .vcpu = map->vcpu };

    if ( map->flags )
    {
        w->ref = map->ref;
        w->flags = map->flags;
        w->domid = map->domid;
        return 1;
    }

    while ( ++handle < gt->maptrack_limit )
    {
        map = &maptrack_entry(gt, handle);
        if ( map->flags || map->vcpu != w->vcpu )
            break;
        w->count++;
    }

    return w->count;
}

static int cf_check maps_save(struct lu_stream *s, struct domain *d)
{
    /* Dry: no two entries make a run, and no pointer is followed. */
    const bool dry = !s->page;
    struct grant_table *gt = d->grant_table;
    struct lu_grant_map_rec w = { .count = 1 };
    struct lu_grant_maps_rec head = {
        .id = lu_id(&lu_kind_grant_maps, d, 0),
        .nr_handles = read_atomic(&gt->maptrack_limit),
        .nr_frames = nr_maptrack_frames(gt),
    };
    grant_handle_t handle;
    int rc;

    if ( !head.nr_handles && !dry )
        return 0;

    for ( handle = 0; handle < head.nr_handles; head.nr++ )
        handle += dry ? 1 : map_to_wire(gt, handle, &w);

    rc = lu_rec_begin(s, LU_REC_GRANT_MAPS);
    if ( !rc )
        rc = lu_rec_put(s, &head, sizeof(head));

    for ( handle = 0; !rc && handle < head.nr_handles; )
    {
        handle += dry ? 1 : map_to_wire(gt, handle, &w);
        rc = lu_rec_put(s, &w, sizeof(w));
    }

    return rc ?: lu_rec_end(s);
}

unsigned int lu_grants_mapped(const struct domain *ld, domid_t rd)
{
    struct grant_table *gt = ld->grant_table;
    const unsigned int limit = read_atomic(&gt->maptrack_limit);
    unsigned int nr = 0;
    grant_handle_t handle;

    for ( handle = 0; handle < limit; handle++ )
    {
        /* Gone when ld is destroyed meanwhile: gnttab_release_mappings(). */
        const struct grant_mapping *page =
            ACCESS_ONCE(gt->maptrack[handle / MAPTRACK_PER_PAGE]);

        if ( !page )
            break;
        page += handle % MAPTRACK_PER_PAGE;
        nr += page->flags && (rd == DOMID_INVALID || page->domid == rd);
    }

    return nr;
}

/* ---- Restore ------------------------------------------------------------ */

static bool hold_page(struct page_info *page, struct domain *owner, bool type)
{
    return type ? get_page_and_type(page, owner, PGT_writable_page)
                : get_page(page, owner);
}

/* The references to a page of rd's that no page table entry holds. */
static int hold_mapping(struct domain *ld, struct domain *rd,
                        grant_handle_t handle,
                        const struct lu_grant_map_rec *w)
{
    const bool ro = w->flags & GNTMAP_readonly;
    const struct active_grant_entry *act;
    struct page_info *page;
    int rc = 0;

    if ( w->ref >= nr_grant_entries(rd->grant_table) )
        return lu_error(-EINVAL, ld, "grant handle %u: d%d grant %u of %u",
                        handle, rd->domain_id, w->ref,
                        nr_grant_entries(rd->grant_table));

    act = &_active_entry(rd->grant_table, w->ref);
    if ( !act->pin || act->domid != ld->domain_id )
        return lu_error(-EINVAL, ld,
                        "grant handle %u: d%d grant %u is not pinned for it",
                        handle, rd->domain_id, w->ref);

    if ( is_iomem_page(act->mfn) )
        return 0;

    page = mfn_to_page(act->mfn);

    if ( (w->flags & GNTMAP_device_map) && !hold_page(page, rd, !ro) )
        rc = -EPERM;

    if ( !rc && (w->flags & GNTMAP_host_map) && paging_mode_external(ld) &&
         !hold_page(page, rd, gnttab_host_mapping_get_page_type(ro, ld, rd)) )
        rc = -EPERM;

    return rc ? lu_error(rc, ld, "grant handle %u: d%d grant %u, mfn %#"PRI_mfn,
                         handle, rd->domain_id, w->ref, mfn_x(act->mfn))
              : 0;
}

static int grow_maptrack(const struct domain *d, grant_handle_t handle)
{
    struct grant_table *gt = d->grant_table;

    while ( handle >= gt->maptrack_limit )
    {
        struct grant_mapping *page;

        if ( nr_maptrack_frames(gt) >= gt->max_maptrack_frames )
            return lu_error(-ENOSPC, d, "grant handle %u: beyond %u frames",
                            handle, gt->max_maptrack_frames);

        page = alloc_xenheap_page();
        if ( !page )
            return lu_error(-ENOMEM, d, "grant handle %u", handle);

        clear_page(page);
        gt->maptrack[nr_maptrack_frames(gt)] = page;
        gt->maptrack_limit += MAPTRACK_PER_PAGE;
    }

    return 0;
}

static void free_handle(struct grant_table *gt, struct vcpu *v,
                        grant_handle_t handle)
{
    struct grant_mapping *map = &maptrack_entry(gt, handle);

    map->ref = MAPTRACK_TAIL;
    map->vcpu = v->vcpu_id;

    if ( v->maptrack_tail == MAPTRACK_TAIL )
        v->maptrack_head = handle;
    else
        maptrack_entry(gt, v->maptrack_tail).ref = handle;
    v->maptrack_tail = handle;
}

/* Free handles stay free in the first `frames` pages. */
static int restore_map(struct domain *d, grant_handle_t handle,
                       const struct lu_grant_map_rec *w, unsigned int frames)
{
    struct grant_table *gt = d->grant_table;
    struct vcpu *v = lu_vcpu(d, w->vcpu);
    struct domain *rd;
    struct grant_mapping *map;
    uint32_t i;
    int rc;

    if ( !v || !w->count || (w->flags && w->count != 1) ||
         (!w->flags && (w->ref || w->domid)) )
        return lu_error(-EINVAL, d,
                        "grant handle %u: vCPU %u, count %u, flags %#x, ref %u, d%u",
                        handle, w->vcpu, w->count, w->flags, w->ref, w->domid);

    if ( !w->flags )
    {
        /*
         * Entries may be larger here than they were, and fewer of them fit: free
         * ones that do not are no loss, but for the last one of a vCPU's list.  What
         * is on no list is found free by the next save.
         */
        for ( i = 0; i < w->count; i++ )
        {
            const unsigned int frame = (handle + i) / MAPTRACK_PER_PAGE;

            if ( frame >= gt->max_maptrack_frames ||
                 (frame >= frames && v->maptrack_tail != MAPTRACK_TAIL) )
                break;
            rc = grow_maptrack(d, handle + i);
            if ( rc )
                return rc;
            free_handle(gt, v, handle + i);
        }
        return 0;
    }

    rc = grow_maptrack(d, handle);
    if ( rc )
        return rc;

    /*
     * Who granted is long dead, and the mapping has gone implicitly.  A later
     * domain of that ID must not be taken for it: gnttab_release_mappings() trusts
     * a handle.
     */
    rd = rcu_lock_domain_by_id(w->domid);
    if ( !rd )
    {
        free_handle(gt, v, handle);
        return 0;
    }

    rc = hold_mapping(d, rd, handle, w);
    rcu_unlock_domain(rd);
    if ( rc )
        return rc;

    map = &maptrack_entry(gt, handle);
    map->ref = w->ref;
    map->domid = w->domid;
    map->vcpu = w->vcpu;
    map->flags = w->flags;

    return 0;
}

/* As many pages as there were, or up to the last handle in use. */
static unsigned int frames_wanted(const struct lu_stream *s,
                                  const struct lu_rec *rec,
                                  const struct lu_grant_maps_rec *head)
{
    struct lu_grant_map_rec w;
    unsigned int i, frames = head->nr_frames;
    uint64_t handle = 0;

    for ( i = 0; i < head->nr; i++, handle += w.count )
    {
        if ( lu_rec_read(s, rec, sizeof(*head) + i * sizeof(w), &w, sizeof(w)) )
            break;
        if ( w.flags )
            frames = max_t(uint64_t, frames, handle / MAPTRACK_PER_PAGE + 1);
    }

    return frames;
}

/* A freed handle goes behind the last one of its vCPU's list: there must be one. */
static int check_free_lists(const struct domain *d)
{
    struct grant_table *gt = d->grant_table;
    grant_handle_t handle;

    for ( handle = 0; handle < gt->maptrack_limit; handle++ )
    {
        const struct grant_mapping *map = &maptrack_entry(gt, handle);

        if ( map->flags && d->vcpu[map->vcpu]->maptrack_tail == MAPTRACK_TAIL )
            return lu_error(-EINVAL, d,
                            "grant handle %u: vCPU %u has no free handle",
                            handle, map->vcpu);
    }

    return 0;
}

static int cf_check maps_restore(const struct lu_stream *s,
                                 const struct lu_rec *rec, struct domain *d)
{
    struct grant_table *gt = d->grant_table;
    struct lu_grant_map_rec w = {};
    struct lu_grant_maps_rec head;
    uint64_t handle = 0;
    unsigned int i, frames;
    int rc = lu_rec_read(s, rec, 0, &head, sizeof(head));

    if ( rc )
        return lu_error(rc, d, "grant: header of the mappings");

    if ( !head.nr_handles || !head.nr || !head.nr_frames || head.reserved ||
         !lu_array_fits(rec, sizeof(head), sizeof(w), head.nr) )
        return lu_error(-EINVAL, d, "grant: %u handles in %u entries, %u frames",
                        head.nr_handles, head.nr, head.nr_frames);

    if ( gt->maptrack_limit )
        return lu_error(-EEXIST, d, "grant: the domain has handles already");

    frames = frames_wanted(s, rec, &head);

    for ( i = 0; i < head.nr; i++, handle += w.count )
    {
        rc = lu_rec_read(s, rec, sizeof(head) + i * sizeof(w), &w, sizeof(w));
        if ( rc )
            return lu_error(rc, d, "grant: mapping entry %u of %u", i, head.nr);

        if ( w.count > head.nr_handles - handle )
            return lu_error(-EINVAL, d, "grant handle %"PRIu64": %u more, of %u",
                            handle, w.count, head.nr_handles);

        rc = restore_map(d, handle, &w, frames);
        if ( rc )
            return rc;
    }

    if ( handle != head.nr_handles )
        return lu_error(-EINVAL, d, "grant: %"PRIu64" handles of %u",
                        handle, head.nr_handles);

    /* Entries may be smaller here than they were: the rest of the pages. */
    rc = grow_maptrack(d, min(frames, gt->max_maptrack_frames) *
                          MAPTRACK_PER_PAGE - 1);
    if ( rc )
        return rc;
    for ( ; handle < gt->maptrack_limit; handle++ )
        free_handle(gt, d->vcpu[w.vcpu], handle);

    return check_free_lists(d);
}

const struct lu_kind lu_kind_grant_maps = {
    .name = "GRANT_MAPS",
    .type = LU_REC_GRANT_MAPS,
    .size = sizeof(struct lu_grant_maps_rec),
    .array = { LU_ARRAY(lu_grant_maps_rec, nr, struct lu_grant_map_rec) },
    .number = LU_MAYBE,
    .version = 2,
    .min_version = 2,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .save = maps_save,
    .restore = maps_restore,
};

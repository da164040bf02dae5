/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Grant tables: what a domain grants (record GRANT), and the host's limits
 * (GRANT_LIMITS).  What it has mapped of others is in grant_maps.c.
 *
 * Tail-included into common/grant_table.c, whose private structures it fills.
 *
 * Grant entries lie in frames that the guest maps: these must stay where they
 * are.  So the new domain's table is made of the old frames, while the domain is
 * created (lu_grant_adopt(), in place of growing an empty one).  The pins of
 * entries that are mapped follow with page ownership.
 *
 * What can fail: pins that do not add up to the mappings (none do while a grant
 * operation runs; none runs while domains are frozen) and grants mapped in an
 * IOMMU block the update.  In the new Xen a frame that is taken, or an entry out
 * of range, fails the restore by name.
 */
#include "internal.h"

#define MAPPED (GNTMAP_host_map | GNTMAP_device_map)

/* ---- Do pins and mappings agree? ---------------------------------------- */

struct pins {
    grant_ref_t ref;
    uint32_t pinned;            /* what the granting domain's table says, */
    uint32_t mapped;            /* what all mappings of the entry add up to */
};

static uint32_t pins_of(unsigned int flags)
{
    uint32_t pin = 0;

    if ( flags & GNTMAP_device_map )
        pin += flags & GNTMAP_readonly ? GNTPIN_devr_inc : GNTPIN_devw_inc;
    if ( flags & GNTMAP_host_map )
        pin += flags & GNTMAP_readonly ? GNTPIN_hstr_inc : GNTPIN_hstw_inc;

    return pin;
}

/* Adds ld's mappings of rd's entries to sum[]; false: *bad makes no sense. */
static bool add_mappings(const struct domain *ld, const struct domain *rd,
                         uint32_t *sum, unsigned int nr, struct pins *bad)
{
    struct grant_table *lgt = ld->grant_table, *rgt = rd->grant_table;
    grant_handle_t handle;

    for ( handle = 0; handle < lgt->maptrack_limit; handle++ )
    {
        const struct grant_mapping *map = &maptrack_entry(lgt, handle);

        if ( !(map->flags & MAPPED) || map->domid != rd->domain_id )
            continue;

        *bad = (struct pins){ .ref = map->ref, .mapped = pins_of(map->flags) };
        if ( map->ref >= nr )
            return false;

        bad->pinned = _active_entry(rgt, map->ref).pin;
        if ( _active_entry(rgt, map->ref).domid != ld->domain_id )
            return false;

        sum[map->ref] += bad->mapped;
    }

    return true;
}

/*
 * 0, -ENOMEM, or -EBUSY with the first entry of rd that does not add up.  Only
 * while nothing runs: an operation under way changes one before the other.
 */
static int check_pins(const struct domain *rd, struct pins *bad)
{
    struct grant_table *gt = rd->grant_table;
    const unsigned int nr = nr_grant_entries(gt);
    uint32_t *sum = vzalloc(nr * sizeof(*sum));
    const struct domain *ld;
    bool ok = true;
    unsigned int i;

    if ( !sum )
        return -ENOMEM;

    rcu_read_lock(&domlist_read_lock);

    for_each_domain ( ld )
    {
        ok = add_mappings(ld, rd, sum, nr, bad);
        if ( !ok )
            break;
    }

    rcu_read_unlock(&domlist_read_lock);

    for ( i = 0; ok && i < nr; i++ )
    {
        const struct active_grant_entry *act = &_active_entry(gt, i);

        *bad = (struct pins){ i, act->pin, sum[i] };
        /* Only a copy, which is over by now, pins on another one's behalf. */
        ok = act->pin == sum[i] && (!act->pin || act->trans_domain == rd);
    }

    vfree(sum);

    return ok ? 0 : -EBUSY;
}

/* ---- Blockers ----------------------------------------------------------- */

static bool all_paused(void)
{
    const struct domain *d;
    bool paused = true;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
        paused = paused && atomic_read(&d->pause_count);
    rcu_read_unlock(&domlist_read_lock);

    return paused;
}

static bool has_mappings(const struct domain *d)
{
    struct grant_table *gt = d->grant_table;
    grant_handle_t handle;

    for ( handle = 0; handle < gt->maptrack_limit; handle++ )
        if ( maptrack_entry(gt, handle).flags & MAPPED )
            return true;

    return false;
}

static int cf_check grant_check(const struct domain *d)
{
    struct pins bad;
    int rc = 0, err;

    /* What follows can only be told, and looked at, when nobody changes it. */
    if ( !all_paused() )
        return 0;

    if ( gnttab_need_iommu_mapping(d) && has_mappings(d) )
        rc = lu_blocker(-EOPNOTSUPP, d,
                        "grants of other domains are mapped in its IOMMU");

    err = check_pins(d, &bad);
    if ( err == -ENOMEM )
        err = lu_blocker(err, d, "grant: no memory to check the pins");
    else if ( err )
        err = lu_blocker(err, d, "grant %u: pinned %08x, but mapped %08x",
                         bad.ref, bad.pinned, bad.mapped);

    return rc ?: err;
}

/* ---- Save --------------------------------------------------------------- */

/* As given to domain_create(); no lock, they never change. */
void lu_grant_limits(const struct domain *d, uint32_t *frames,
                     uint32_t *maptrack_frames, uint32_t *max_version)
{
    const struct grant_table *gt = d->grant_table;

    *frames = gt->max_grant_frames;
    *maptrack_frames = gt->max_maptrack_frames;
    *max_version = gt->max_version;
}

/*
 * No lock: a frame is in its array before it is shared, and stays there while it
 * is; whoever asks while the table grows sees one that is not shared yet.
 */
bool lu_grant_frame(const struct domain *d, const void *virt)
{
    const struct grant_table *gt = d->grant_table;
    unsigned int i;

    for ( i = 0; i < gt->max_grant_frames; i++ )
        if ( gt->shared_raw[i] == virt )
            return true;

    for ( i = 0; i < grant_to_status_frames(gt->max_grant_frames); i++ )
        if ( gt->status[i] == virt )
            return true;

    return false;
}

static int save_frame(struct lu_stream *s, const void *virt)
{
    struct lu_grant_frame_rec w = { .mfn = virt_to_mfn(virt) };
    unsigned long gfn = get_gpfn_from_mfn(w.mfn);

    w.gfn = VALID_M2P(gfn) ? gfn : LU_GRANT_NO_GFN;

    return lu_rec_put(s, &w, sizeof(w));
}

static int save_active(struct lu_stream *s, const struct domain *d,
                       grant_ref_t ref, const struct active_grant_entry *act)
{
    struct lu_grant_active_rec w = {
        .ref = ref,
        .pin = act->pin,
        .mfn = mfn_x(act->mfn),
        .gfn = LU_GRANT_NO_GFN,
        .domid = act->domid,
        .start = act->start,
        .length = act->length,
        .flags = act->is_sub_page ? LU_GRANT_F_SUB_PAGE : 0,
    };

    /* See check_pins(). */
    if ( act->trans_domain != d )
        return -EBUSY;

#ifndef NDEBUG
    if ( !gfn_eq(act->gfn, INVALID_GFN) )
        w.gfn = gfn_x(act->gfn);
#endif

    return lu_rec_put(s, &w, sizeof(w));
}

/* Every entry pinned: there may be more by the time it is for good. */
static int measure(struct lu_stream *s, struct grant_table *gt)
{
    static const struct lu_grant_rec head;
    static const struct lu_grant_frame_rec frame;
    static const struct lu_grant_active_rec active;
    const unsigned int nr_frames = nr_grant_frames(gt) + nr_status_frames(gt);
    const unsigned int nr_active = nr_grant_entries(gt);
    unsigned int i;
    int rc = lu_rec_begin(s, LU_REC_GRANT);

    if ( !rc )
        rc = lu_rec_put(s, &head, sizeof(head));
    for ( i = 0; !rc && i < nr_frames; i++ )
        rc = lu_rec_put(s, &frame, sizeof(frame));
    for ( i = 0; !rc && i < nr_active; i++ )
        rc = lu_rec_put(s, &active, sizeof(active));

    return rc ?: lu_rec_end(s);
}

static int cf_check grant_save(struct lu_stream *s, struct domain *d)
{
    struct grant_table *gt = d->grant_table;
    struct lu_grant_rec head = {
        .id = lu_id(&lu_kind_grant, d, 0),
        .version = gt->gt_version,
        .nr_frames = nr_grant_frames(gt),
        .nr_status_frames = nr_status_frames(gt),
    };
    const unsigned int nr_refs = nr_grant_entries(gt);
    unsigned int i;
    int rc;

    if ( !s->page )
        return measure(s, gt);

    for ( i = 0; i < nr_refs; i++ )
        if ( _active_entry(gt, i).pin )
            head.nr_active++;

    rc = lu_rec_begin(s, LU_REC_GRANT);
    if ( !rc )
        rc = lu_rec_put(s, &head, sizeof(head));

    for ( i = 0; !rc && i < head.nr_frames; i++ )
        rc = save_frame(s, gt->shared_raw[i]);

    for ( i = 0; !rc && i < head.nr_status_frames; i++ )
        rc = save_frame(s, gt->status[i]);

    for ( i = 0; !rc && i < nr_refs; i++ )
        if ( _active_entry(gt, i).pin )
            rc = save_active(s, d, i, &_active_entry(gt, i));

    return rc ?: lu_rec_end(s);
}

/* ---- Create: the table, of the old frames ------------------------------- */

void lu_grant_raise_limits(int max_frames, int max_maptrack_frames,
                           unsigned int options)
{
    unsigned int version = options & XEN_DOMCTL_GRANT_version_mask;

    if ( !lu_booting )
        return;

    if ( max_frames > 0 && max_frames > opt_max_grant_frames )
        opt_max_grant_frames = max_frames;
    if ( max_maptrack_frames > 0 &&
         max_maptrack_frames > opt_max_maptrack_frames )
        opt_max_maptrack_frames = max_maptrack_frames;
    if ( version > opt_gnttab_max_version && version <= GNTTAB_MAX_VERSION )
        opt_gnttab_max_version = version;
}

static int read_head(const struct lu_stream *s, const struct lu_rec *rec,
                     const struct domain *d, struct lu_grant_rec *head)
{
    const struct grant_table *gt = d->grant_table;
    uint64_t nr_frames;
    int rc = lu_rec_read(s, rec, 0, head, sizeof(*head));

    if ( rc )
        return lu_error(rc, d, "grant: header");

    nr_frames = (uint64_t)head->nr_frames + head->nr_status_frames;

    if ( head->version < 1 || head->version > gt->max_version ||
         head->nr_frames < INITIAL_NR_GRANT_FRAMES ||
         head->nr_frames > gt->max_grant_frames ||
         head->nr_status_frames !=
         (head->version == 1 ? 0 : grant_to_status_frames(head->nr_frames)) ||
         !lu_array_fits(rec, sizeof(*head), sizeof(struct lu_grant_frame_rec),
                        nr_frames) ||
         !lu_array_fits(rec, sizeof(*head) +
                        nr_frames * sizeof(struct lu_grant_frame_rec),
                        sizeof(struct lu_grant_active_rec), head->nr_active) )
        return lu_error(-EINVAL, d,
                        "grant: version %u of %u, %u+%u frames of %u, %u active",
                        head->version, gt->max_version, head->nr_frames,
                        head->nr_status_frames, gt->max_grant_frames,
                        head->nr_active);

    return 0;
}

static int read_frame(const struct lu_stream *s, const struct lu_rec *rec,
                      const struct domain *d, unsigned int i,
                      struct lu_grant_frame_rec *w)
{
    int rc = lu_rec_read(s, rec,
                         sizeof(struct lu_grant_rec) + i * sizeof(*w),
                         w, sizeof(*w));

    return rc ? lu_error(rc, d, "grant: frame %u", i) : 0;
}

/*
 * Makes a page that was kept out of the heap what an allocation for the table
 * would have given, but for its content.
 */
static int adopt_frame(const struct lu_stream *s, const struct lu_rec *rec,
                       struct domain *d, unsigned int i, void **virt)
{
    struct lu_grant_frame_rec w;
    struct page_info *page;
    int rc = read_frame(s, rec, d, i, &w);

    if ( rc )
        return rc;

    if ( !mfn_valid(_mfn(w.mfn)) )
        return lu_error(-EINVAL, d, "grant: frame %u, mfn %#"PRIx64" is no RAM",
                        i, w.mfn);

    /* In use, by nobody: what the frame table says of pages kept out. */
    page = mfn_to_page(_mfn(w.mfn));
    if ( page->count_info || page->u.inuse.type_info || page_get_owner(page) )
        return lu_error(-EBUSY, d,
                        "grant: frame %u, mfn %#"PRIx64" is taken (count %lx, type %lx)",
                        i, w.mfn, page->count_info, page->u.inuse.type_info);

    page->count_info = PGC_xen_heap;
    share_xen_page_with_guest(page, d, SHARE_rw);
    *virt = page_to_virt(page);

    return 0;
}

static int alloc_active(const struct domain *d, unsigned int nr_frames)
{
    struct grant_table *gt = d->grant_table;
    unsigned int i, j;

    for ( i = 0; i < num_act_frames_from_sha_frames(nr_frames); i++ )
    {
        struct active_grant_entry *page = alloc_xenheap_page();

        if ( !page )
            return lu_error(-ENOMEM, d, "grant: active entries");

        clear_page(page);
        for ( j = 0; j < ACGNT_PER_PAGE; j++ )
            spin_lock_init(&page[j].lock);
        gt->active[i] = page;
    }

    return 0;
}

int lu_grant_adopt(struct domain *d)
{
    const struct lu_stream *s = lu_stream_boot();
    struct grant_table *gt = d->grant_table;
    struct lu_grant_rec head;
    struct lu_rec rec;
    unsigned int i;
    int rc = lu_boot_record(LU_REC_GRANT, d->domain_id, &rec,
                            &head, sizeof(head));

    if ( rc )
        return lu_error(rc, d, "grant: no record");

    if ( rec.id.version < lu_kind_grant.min_version ||
         rec.id.version > lu_kind_grant.version )
        return lu_error(-EOPNOTSUPP, d, "grant: record version %u",
                        rec.id.version);

    rc = read_head(s, &rec, d, &head);
    if ( !rc )
        rc = alloc_active(d, head.nr_frames);

    for ( i = 0; !rc && i < head.nr_frames; i++ )
        rc = adopt_frame(s, &rec, d, i, &gt->shared_raw[i]);

    for ( i = 0; !rc && i < head.nr_status_frames; i++ )
    {
        void *virt;

        rc = adopt_frame(s, &rec, d, head.nr_frames + i, &virt);
        if ( !rc )
            gt->status[i] = virt;
    }
    if ( rc )
        return rc;

    gt->gt_version = head.version;
    gt->nr_grant_frames = head.nr_frames;
    gt->nr_status_frames = head.nr_status_frames;

    return 0;
}

/* ---- Restore: active entries -------------------------------------------- */

/* Sharing a frame forgets where a translated guest has it. */
static int restore_gfns(const struct lu_stream *s, const struct lu_rec *rec,
                        const struct domain *d, unsigned int nr)
{
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        struct lu_grant_frame_rec w;
        int rc = read_frame(s, rec, d, i, &w);

        if ( rc )
            return rc;

        if ( w.gfn == LU_GRANT_NO_GFN )
            continue;

        if ( !paging_mode_translate(d) || !VALID_M2P(w.gfn) ||
             !mfn_valid(_mfn(w.mfn)) ||
             page_get_owner(mfn_to_page(_mfn(w.mfn))) != d )
            return lu_error(-EINVAL, d,
                            "grant: frame %u, mfn %#"PRIx64" at gfn %#"PRIx64,
                            i, w.mfn, w.gfn);

        set_gpfn_from_mfn(w.mfn, w.gfn);
    }

    return 0;
}

/*
 * gfns of PV are mfns.  Nothing is to be said of the frame's owner: a guest that
 * drops a mapping behind the interface's back (put_page_from_l1e() tells) and
 * gives the page away leaves the entry active.  References to the page are held
 * by whoever really maps it.
 */
static bool active_page_ok(const struct domain *d,
                           const struct lu_grant_active_rec *w)
{
    return !(w->mfn >> (paddr_bits - PAGE_SHIFT)) &&
           (w->gfn == LU_GRANT_NO_GFN || paging_mode_translate(d) ||
            w->gfn == w->mfn);
}

static int restore_active(struct domain *d,
                          const struct lu_grant_active_rec *w)
{
    struct grant_table *gt = d->grant_table;
    struct active_grant_entry *act;

    if ( w->ref >= nr_grant_entries(gt) || !w->pin ||
         w->start >= PAGE_SIZE || w->length > PAGE_SIZE - w->start ||
         (w->flags & ~LU_GRANT_F_SUB_PAGE) )
        return lu_error(-EINVAL, d,
                        "grant %u: of %u, pin %08x, bytes %u+%u, flags %#x",
                        w->ref, nr_grant_entries(gt), w->pin, w->start,
                        w->length, w->flags);

    if ( !active_page_ok(d, w) )
        return lu_error(-EINVAL, d,
                        "grant %u: mfn %#"PRIx64", gfn %#"PRIx64" cannot be",
                        w->ref, w->mfn, w->gfn);

    act = &_active_entry(gt, w->ref);
    if ( act->pin )
        return lu_error(-EEXIST, d, "grant %u: twice", w->ref);

    act->pin = w->pin;
    act->domid = w->domid;
    act->start = w->start;
    act->length = w->length;
    act->is_sub_page = w->flags & LU_GRANT_F_SUB_PAGE;
    act->trans_domain = d;
    act->trans_gref = w->ref;
    act->mfn = _mfn(w->mfn);
    act_set_gfn(act, w->gfn == LU_GRANT_NO_GFN ? INVALID_GFN : _gfn(w->gfn));

    return 0;
}

static int cf_check grant_restore(const struct lu_stream *s,
                                  const struct lu_rec *rec, struct domain *d)
{
    const struct grant_table *gt = d->grant_table;
    struct lu_grant_rec head;
    unsigned int i, nr_frames;
    uint32_t base;
    int rc = read_head(s, rec, d, &head);

    if ( rc )
        return rc;

    if ( head.version != gt->gt_version ||
         head.nr_frames != gt->nr_grant_frames ||
         head.nr_status_frames != gt->nr_status_frames )
        return lu_error(-EINVAL, d, "grant: table was not made of this record");

    nr_frames = head.nr_frames + head.nr_status_frames;
    base = sizeof(head) + nr_frames * sizeof(struct lu_grant_frame_rec);

    rc = restore_gfns(s, rec, d, nr_frames);

    for ( i = 0; !rc && i < head.nr_active; i++ )
    {
        struct lu_grant_active_rec w;

        rc = lu_rec_read(s, rec, base + i * sizeof(w), &w, sizeof(w));
        if ( rc )
            lu_error(rc, d, "grant: active entry %u of %u", i, head.nr_active);
        else
            rc = restore_active(d, &w);
    }

    return rc;
}

static int cf_check grant_audit(const struct lu_stream *s, struct domain *d)
{
    struct pins bad = {};
    int rc = d ? check_pins(d, &bad) : 0;

    if ( rc )
        lu_error(rc, d, "grant %u: pinned %08x, but mapped %08x",
                 bad.ref, bad.pinned, bad.mapped);

    return rc;
}

/* ---- The host's limits -------------------------------------------------- */

static int cf_check limits_save(struct lu_stream *s, struct domain *d)
{
    struct lu_grant_limits_rec w = {
        .id = lu_id(&lu_kind_grant_limits, NULL, 0),
        .max_frames = opt_max_grant_frames,
        .max_maptrack_frames = opt_max_maptrack_frames,
        .max_version = opt_gnttab_max_version,
        .flags = (opt_transitive_grants ? LU_GRANT_F_TRANSITIVE : 0) |
                 (opt_grant_transfer ? LU_GRANT_F_TRANSFER : 0),
    };

    return lu_rec_write(s, LU_REC_GRANT_LIMITS, &w, sizeof(w));
}

/* After all domains are made: until then lu_grant_raise_limits() rules. */
static int cf_check limits_restore(const struct lu_stream *s,
                                   const struct lu_rec *rec, struct domain *d)
{
    struct lu_grant_limits_rec w;
    int rc = lu_rec_read(s, rec, 0, &w, sizeof(w));

    if ( rc )
        return lu_error(rc, d, "grant: limits");

    if ( w.max_frames > INT_MAX || w.max_maptrack_frames > INT_MAX ||
         w.max_version < 1 || w.max_version > GNTTAB_MAX_VERSION ||
         (w.flags & ~(LU_GRANT_F_TRANSITIVE | LU_GRANT_F_TRANSFER)) )
        return lu_error(-EINVAL, d,
                        "grant: limits %u, %u frames, version %u, flags %#x",
                        w.max_frames, w.max_maptrack_frames, w.max_version,
                        w.flags);

    opt_max_grant_frames = w.max_frames;
    update_gnttab_par(opt_max_grant_frames,
                      param_2_parfs(parse_gnttab_max_frames),
                      opt_max_grant_frames_val);

    opt_max_maptrack_frames = w.max_maptrack_frames;
    update_gnttab_par(opt_max_maptrack_frames,
                      param_2_parfs(parse_gnttab_max_maptrack_frames),
                      opt_max_maptrack_frames_val);

    opt_gnttab_max_version = w.max_version;
    opt_transitive_grants = w.flags & LU_GRANT_F_TRANSITIVE;
#ifdef CONFIG_PV
    opt_grant_transfer = w.flags & LU_GRANT_F_TRANSFER;
#endif

    return 0;
}

const struct lu_kind lu_kind_grant_limits = {
    .name = "GRANT_LIMITS",
    .type = LU_REC_GRANT_LIMITS,
    .size = sizeof(struct lu_grant_limits_rec),
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .save = limits_save,
    .restore = limits_restore,
};

const struct lu_kind lu_kind_grant = {
    .name = "GRANT",
    .type = LU_REC_GRANT,
    .size = sizeof(struct lu_grant_rec),
    .array = { LU_ARRAY(lu_grant_rec, nr_frames, struct lu_grant_frame_rec),
               LU_ARRAY(lu_grant_rec, nr_status_frames, struct lu_grant_frame_rec),
               LU_ARRAY(lu_grant_rec, nr_active, struct lu_grant_active_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_OWN,
    .per_domain = true,
    .check = grant_check,
    .save = grant_save,
    .restore = grant_restore,
    .audit = grant_audit,
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * P2M: which of an HVM domain's frames is which page.  Included at the end of
 * arch/x86/mm/p2m.c.
 *
 * The tables stay where they are, since an IOMMU or a CPU may use them.  They are
 * pages of Xen's that nobody owns, so the old Xen names them to MEMORY, as extents
 * of kind P2M, and the early boot keeps them out of all allocators.  The root is
 * adopted while the domain is created, before any vCPU points to it; the other
 * tables when MEMORY is restored; and when all pages have their owners the tables are
 * walked from the root: each is one that was kept, is used once, and maps what the
 * domain owns.  The paging pool is filled up to its size with new pages.
 *
 * Not carried, because made again: tables of nested and alternate P2Ms, which are
 * empty, the monitor tables of vCPUs, shadows (shadow.c), free pages of the pool, and
 * which frames are a screen whose changes a device model follows: when it asks next,
 * hap_track_dirty_vram() or shadow_track_dirty_vram() begins anew and calls all of them
 * changed.
 *
 * What can fail: states with tables of another meaning (log-dirty, populate on
 * demand, nesting) are blockers; so are entries that a domain which is carried
 * cannot have, found by the same walk while everything runs.  In the new Xen an entry
 * that the walk does not like is fatal.
 */
#include <xen/softirq.h>

#include <asm/hap.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/liveupdate.h>
#include <asm/paging.h>
#include <asm/shadow.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Entries of both formats ------------------------------------------------- */

struct p2m_entry {
    bool present, table;
    bool restricted;            /* by a monitor of accesses; EPT only */
    p2m_type_t type;
    unsigned long mfn;
};

/* Pages of the pool that tables of the P2M have, in either kind of paging. */
static unsigned int *p2m_pages(struct domain *d)
{
#ifdef CONFIG_SHADOW_PAGING
    if ( !hap_enabled(d) )
        return &d->arch.paging.shadow.p2m_pages;
#endif
    return &d->arch.paging.hap.p2m_pages;
}

static unsigned int p2m_format(const struct domain *d)
{
    return hap_enabled(d) && cpu_has_vmx ? LU_P2M_EPT : LU_P2M_NPT;
}

static struct p2m_entry read_entry(unsigned int format, uint64_t raw,
                                   unsigned int level)
{
    if ( format == LU_P2M_EPT )
    {
        const ept_entry_t e = { .epte = raw };

        return (struct p2m_entry){
            .present = e.r || e.w || e.x,
            .table = level > 1 && !e.sp,
            .restricted = e.access != p2m_access_rwx,
            .type = e.sa_p2mt,
            .mfn = e.mfn,
        };
    }
    else
    {
        const l1_pgentry_t e = { .l1 = raw };
        const unsigned int flags = l1e_get_flags(e);
        const bool table = level > 1 && !(flags & _PAGE_PSE);
        /* In a large page's entry the lowest bit of the frame is PAT's. */
        const unsigned int order = table ? 0 : (level - 1) * PAGETABLE_ORDER;

        return (struct p2m_entry){
            .present = flags & _PAGE_PRESENT,
            .table = table,
            .type = p2m_flags_to_type(flags),
            .mfn = l1e_get_pfn(e) & (~0UL << order),
        };
    }
}

/* ---- The walk ------------------------------------------------------------------ */

struct p2m_walk {
    struct domain *d;
    unsigned int format;
    bool adopt;                 /* new Xen: tables have to be adopted ones */
    unsigned long tables, ioreq, mmio;
    int rc;
};

/* What an adopted table's type_info says until the walk has come by. */
static unsigned long adopted(const struct domain *d)
{
    return PGT_validated | (d->domain_id + 1UL);
}

static int walk_error(struct p2m_walk *w, int rc, unsigned long gfn,
                      unsigned long mfn, const char *why)
{
    if ( !w->rc )
        w->rc = w->adopt ? lu_error(rc, w->d, "P2M: gfn %#lx: page %#lx %s",
                                    gfn, mfn, why)
                         : lu_blocker(rc, w->d, "p2m: gfn %#lx: page %#lx %s",
                                      gfn, mfn, why);

    return w->rc;
}

#define RUN 8

/* Several pages at a time, since there are many. */
static bool all_of(const struct page_info *pg, unsigned long nr,
                   const typeof(lu_owner_id(pg)) owner)
{
    unsigned int i;

    for ( ; nr >= RUN; nr -= RUN, pg += RUN )
    {
#pragma GCC unroll 8
        for ( i = 0; i < RUN; i++ )
            if ( lu_owner_id(&pg[i]) != owner )
                return false;
    }

    for ( ; nr; nr--, pg++ )
        if ( lu_owner_id(pg) != owner )
            return false;

    return true;
}

static bool owns_all(const struct domain *d, unsigned long mfn,
                     unsigned long nr)
{
    /* Up to such a boundary the frame table has no gap. */
    const unsigned long step = 1UL << PAGETABLE_ORDER;
    const unsigned long owner = lu_owner_id_of(d);
    unsigned long n;

    BUILD_BUG_ON(PDX_GROUP_COUNT % (1UL << PAGETABLE_ORDER));

    for ( ; nr; nr -= n, mfn += n )
    {
        n = min(nr, step - (mfn & (step - 1)));
        if ( !mfn_valid(_mfn(mfn)) ||
             !all_of(mfn_to_page(_mfn(mfn)), n, owner) )
            return false;
    }

    return true;
}

/* An entry that maps `nr` frames, a leaf. */
static int walk_leaf(struct p2m_walk *w, const struct p2m_entry *e,
                     unsigned long gfn, unsigned long nr)
{
    if ( e->restricted )
        return walk_error(w, -EOPNOTSUPP, gfn, e->mfn,
                          "has restricted access (a monitor?)");

    switch ( e->type )
    {
    case p2m_ram_rw:
    case p2m_ram_ro:
        break;

    case p2m_ram_logdirty:
        /*
         * With no log it is RAM that hvm_hap_nested_page_fault() makes p2m_ram_rw on
         * the first write.  Such are left by a screen that was followed, and by a
         * migration: p2m_change_entry_type_global() changes entries when they are used.
         */
        break;

    case p2m_ioreq_server:
        w->ioreq += nr;
        break;

    case p2m_mmio_direct:
        w->mmio += nr;
        return 0;

    default:
        return walk_error(w, -EOPNOTSUPP, gfn, e->mfn,
                          "is mapped in a way that is not carried");
    }

    return owns_all(w->d, e->mfn, nr) ? 0
                                      : walk_error(w, -EOPNOTSUPP, gfn, e->mfn,
                                                   "is not its own");
}

/* One table and all below it; at most four levels deep. */
static int walk_table(struct p2m_walk *w, unsigned long mfn, unsigned int level,
                      unsigned long gfn)
{
    const unsigned int shift = (level - 1) * PAGETABLE_ORDER;
    const uint64_t *table;
    unsigned int i;

    if ( !mfn_valid(_mfn(mfn)) )
        return walk_error(w, -EIO, gfn, mfn, "is no page, and used as a table");
    if ( w->adopt )
    {
        struct page_info *pg = mfn_to_page(_mfn(mfn));

        if ( pg->u.inuse.type_info != adopted(w->d) )
            return walk_error(w, -EIO, gfn, mfn,
                              "was not kept as a table, or is used twice");
        /* As p2m_alloc_ptp() leaves it. */
        pg->u.inuse.type_info = (PGT_l1_page_table * level) | 1 | PGT_validated;
    }
    w->tables++;

    table = map_domain_page(_mfn(mfn));
    for ( i = 0; i < (1U << PAGETABLE_ORDER) && !w->rc; i++ )
    {
        const struct p2m_entry e = read_entry(w->format, table[i], level);
        const unsigned long at = gfn + ((unsigned long)i << shift);

        /* What is not present may have a type that means something. */
        if ( !e.present )
        {
            if ( table[i] && (p2m_is_pod(e.type) || p2m_is_paging(e.type)) )
                walk_error(w, -EOPNOTSUPP, at, e.mfn,
                           "is paged out or populated on demand");
        }
        else if ( e.table )
            walk_table(w, e.mfn, level - 1, at);
        else
            walk_leaf(w, &e, at, 1UL << shift);
    }
    unmap_domain_page(table);

    return w->rc;
}

/* ---- Blockers ------------------------------------------------------------------ */

static int cf_check check_p2m(const struct domain *cd)
{
    struct domain *d = (struct domain *)cd; /* for the locks' sake only */
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct p2m_walk w = { .d = d, .format = p2m_format(d) };
    int first = 0;

    if ( !is_hvm_domain(d) || d->is_dying )
        return 0;

    BLOCK(paging_mode_log_dirty(d) || p2m->global_logdirty, -EOPNOTSUPP,
          "paging: shadow or log-dirty mode");
    /* The processor may follow it, and in entries that do not tell. */
    BLOCK(d->arch.hvm.dirty_vram && w.format == LU_P2M_EPT, -EOPNOTSUPP,
          "dirty-vram: a device model follows its screen");
    BLOCK(p2m->default_access != p2m_access_rwx || p2m->access_required,
          -EOPNOTSUPP, "mem-access: a monitor restricts accesses");
    BLOCK(d->arch.paging.preempt.dom, -EBUSY,
          "paging: a log of dirty pages is being read");
    BLOCK(p2m->pod.entry_count || p2m->pod.count, -EOPNOTSUPP,
          "pod: memory that is populated on demand");
    BLOCK(nestedhvm_enabled(d), -EOPNOTSUPP, "nested: nested virtualisation");
    BLOCK(altp2m_active(d), -EOPNOTSUPP, "altp2m: alternate P2Ms");

    /* Once is enough: nothing makes entries of another kind later. */
    if ( !first && !lu_frozen )
    {
        p2m_read_lock(p2m);
        first = walk_table(&w, pagetable_get_pfn(p2m_get_pagetable(p2m)), 4, 0);
        p2m_read_unlock(p2m);
    }

    return first;
}

/* ---- Save ---------------------------------------------------------------------- */

/*
 * fn() for each page of P2M tables of all domains.  While the host runs it may
 * miss some; frozen it does not.
 */
void lu_arch_for_each_p2m_page(void (*fn)(struct domain *d, unsigned long mfn))
{
    struct domain *d;
    const struct page_info *pg;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
    {
        struct p2m_domain *p2m = p2m_get_hostp2m(d);

        if ( !is_hvm_domain(d) )
            continue;
        p2m_lock(p2m);
        page_list_for_each ( pg, &p2m->pages )
            fn(d, mfn_x(page_to_mfn(pg)));
        p2m_unlock(p2m);
    }
    rcu_read_unlock(&domlist_read_lock);
}

static int cf_check save_p2m(struct lu_stream *s, struct domain *d)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct lu_p2m_rec r = {
        .id = lu_id(&lu_kind_p2m, d, 0),
        .format = p2m_format(d),
    };
    const struct page_info *pg;
    uint64_t pool;
    int rc;

    if ( !is_hvm_domain(d) )
        return 0;

    rc = arch_get_paging_mempool_size(d, &pool);
    if ( rc )
        return rc;
    r.pool_pages = pool >> PAGE_SHIFT;
    r.root_mfn = pagetable_get_pfn(p2m_get_pagetable(p2m));
    r.max_gfn = p2m->max_mapped_pfn;
    page_list_for_each ( pg, &p2m->pages )
        r.nr_tables++;

    return lu_rec_write(s, LU_REC_P2M, &r, sizeof(r));
}

/* ---- Restore ------------------------------------------------------------------- */

/* A page that was kept becomes a table of d's P2M; nobody may have it yet. */
static int adopt_table(struct domain *d, unsigned long mfn)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct page_info *pg;

    if ( !mfn_valid(_mfn(mfn)) )
        return lu_error(-EINVAL, d, "P2M: table %#lx is no RAM", mfn);

    pg = mfn_to_page(_mfn(mfn));
    if ( pg->count_info || page_get_owner(pg) || pg->u.inuse.type_info )
        return lu_error(-EEXIST, d, "P2M: table %#lx is taken: count_info %#lx",
                        mfn, pg->count_info);

    pg->u.inuse.type_info = adopted(d);
    page_list_add_tail(pg, &p2m->pages);
    ++*p2m_pages(d);

    return 0;
}

/*
 * In place of p2m_alloc_ptp() in p2m_alloc_table(): the host P2M's root is the old
 * one.  P2M lock held.
 */
mfn_t lu_p2m_root(struct p2m_domain *p2m, unsigned int level)
{
    struct domain *d = p2m->domain;
    struct lu_p2m_rec r;

    if ( !lu_booting || !p2m_is_hostp2m(p2m) )
        return p2m_alloc_ptp(p2m, level);

    if ( lu_boot_record(LU_REC_P2M, d->domain_id, NULL, &r, sizeof(r)) ||
         adopt_table(d, r.root_mfn) )
        return INVALID_MFN;

    return _mfn(r.root_mfn);
}

/* Pages of an extent of kind P2M.  0 or -errno, reported. */
int lu_p2m_adopt(struct domain *d, unsigned long mfn, unsigned long nr)
{
    int rc = 0;

    if ( !is_hvm_domain(d) )
        return lu_error(-EINVAL, d, "MEMORY: pages %#lx are of a P2M it has not",
                        mfn);

    for ( ; !rc && nr; mfn++, nr-- )
        /* The root is there already. */
        if ( mfn != pagetable_get_pfn(p2m_get_pagetable(p2m_get_hostp2m(d))) )
            rc = adopt_table(d, mfn);

    return rc;
}

static int fill_pool(struct domain *d, unsigned int pages)
{
    int rc;

    paging_lock(d);
    rc = hap_enabled(d) ? hap_set_allocation(d, pages, NULL)
                        : shadow_set_allocation(d, pages, NULL);
    paging_unlock(d);

    return rc ? lu_error(rc, d, "P2M: a paging pool of %u pages", pages) : 0;
}

static int cf_check restore_p2m(const struct lu_stream *s,
                                const struct lu_rec *rec, struct domain *d)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct p2m_walk w = { .d = d, .format = p2m_format(d), .adopt = true };
    struct lu_p2m_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_hvm_domain(d) )
        return lu_error(-EINVAL, d, "P2M: of a domain that has none");
    if ( r.format != w.format )
        return lu_error(-EINVAL, d, "P2M: format %u, this CPU wants %u",
                        r.format, w.format);
    if ( r.max_gfn >> (PADDR_BITS - PAGE_SHIFT) || r.pool_pages < r.nr_tables )
        return lu_error(-EBADMSG, d, "P2M: fields out of range");

    p2m->max_mapped_pfn = r.max_gfn;
    rc = walk_table(&w, r.root_mfn, 4, 0);
    if ( rc )
        return rc;
    if ( w.tables != r.nr_tables )
        return lu_error(-EIO, d, "P2M: %lu tables are in use, there were %lu",
                        w.tables, r.nr_tables);
    p2m->ioreq.entry_count = w.ioreq;

    return fill_pool(d, r.pool_pages);
}

const struct lu_kind lu_kind_p2m = {
    .name = "P2M",
    .type = LU_REC_P2M,
    .size = sizeof(struct lu_p2m_rec),
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_OWN,
    .per_domain = true,
    .check = check_p2m,
    .save = save_p2m,
    .restore = restore_p2m,
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MEMORY: whose page is whose.
 *
 * Save walks the frame table once and writes every page that must survive as
 * sorted extents: pages of domains, Xen heap pages shared with them, the chunks
 * of the machine to phys table, and the stream itself.  What is in no extent is
 * free or private to this Xen; nobody has to enumerate that.  What the pages of
 * domains are used as is counted on the way, for PAGETABLES (refs.c).
 *
 * In the new Xen the early boot keeps these pages out of every allocator
 * (arch/x86/liveupdate/boot.c); restore here gives them back to their domains.
 * Shared pages were adopted by whoever shares them (shared_info, grant frames)
 * when the domain was created; here it is only checked that someone did.
 *
 * A page that its domain gave up lives as long as somebody maps it, and is the
 * domain's meanwhile.  Restore holds a reference in place of the one that went with
 * PGC_allocated, until all others are back (lu_pages_resume()).
 *
 * What can fail: a page in a state that is not carried (offlined, broken, a shared
 * one being freed) is a blocker found by the dry run.  A page that is already
 * somebody's in the new Xen is fatal, and so is a domain with more than it may have.
 */
#include <xen/mm.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/sort.h>

#include <asm/e820.h>
#include <asm/liveupdate.h>
#include <asm/page.h>
#include <asm/setup.h>

#include "internal.h"

/* ---- Pages that no owner tells of --------------------------------------- */

/* Sorted list of extents to merge into the scan: M2P chunks, stream, P2M tables. */
static struct lu_extent_rec *extra;
static unsigned int nr_extra, nr_sealed, max_extra;
static bool extra_full;

static int cf_check cmp_extent(const void *a, const void *b)
{
    const struct lu_extent_rec *l = a, *r = b;

    return l->mfn < r->mfn ? -1 : l->mfn > r->mfn;
}

static void cf_check swap_extent(void *a, void *b, size_t size)
{
    struct lu_extent_rec *l = a, *r = b, t = *l;

    *l = *r;
    *r = t;
}

static void cf_check add_chunk(void *ctx, const struct lu_m2p_chunk_rec *c)
{
    if ( nr_extra < max_extra )
        extra[nr_extra++] = (struct lu_extent_rec){
            .mfn = c->chunk_mfn, .count = 1U << c->order,
            .domid = LU_DOMID_HOST, .kind = LU_EXT_M2P,
        };
}

/* Tables were mostly allocated next to each other, in either direction. */
static void cf_check add_table(struct domain *d, unsigned long mfn)
{
    struct lu_extent_rec *last = nr_extra > nr_sealed ? &extra[nr_extra - 1]
                                                      : NULL;

    if ( last && last->domid == d->domain_id &&
         (last->mfn == mfn + 1 || last->mfn + last->count == mfn) )
    {
        last->mfn = min(last->mfn, (uint64_t)mfn);
        last->count++;
    }
    else if ( nr_extra < max_extra )
        extra[nr_extra++] = (struct lu_extent_rec){
            .mfn = mfn, .count = 1,
            .domid = d->domain_id, .kind = LU_EXT_P2M,
        };
    else
        extra_full = true;
}

static void cf_check count_table(struct domain *d, unsigned long mfn)
{
    max_extra++;
}

static void cf_check count_chunk(void *ctx, const struct lu_m2p_chunk_rec *c)
{
    ++*(unsigned int *)ctx;
}

/*
 * While everything runs, after the dry save: room for the list, sized for
 * `nr_internal` pages of the stream.  Freed by lu_pages_done().
 */
int lu_pages_prepare(unsigned int nr_internal)
{
    unsigned int chunks = 0;

    lu_arch_for_each_m2p(count_chunk, &chunks);
    /* P2Ms may still grow until the freeze. */
    max_extra = 0;
    lu_arch_for_each_p2m_page(count_table);
    max_extra += max_extra / 8 + 64 + chunks + nr_internal;
    nr_extra = nr_sealed = 0;
    extra_full = false;
    extra = xmalloc_array(struct lu_extent_rec, max_extra);

    return extra ? lu_refs_reserve() : -ENOMEM;
}

void lu_pages_internal(unsigned long mfn, unsigned int count)
{
    ASSERT(nr_extra < max_extra);
    extra[nr_extra++] = (struct lu_extent_rec){
        .mfn = mfn, .count = count,
        .domid = LU_DOMID_HOST, .kind = LU_EXT_INTERNAL,
    };
}

/* All internal pages are named: complete and sort the list. */
void lu_pages_seal(void)
{
    lu_arch_for_each_m2p(add_chunk, NULL);
    sort(extra, nr_extra, sizeof(*extra), cmp_extent, swap_extent);
    nr_sealed = nr_extra;
}

/* Frozen: adds the tables of P2Ms.  0, or -EAGAIN if they have become too many. */
int lu_pages_collect(void)
{
    lu_arch_for_each_p2m_page(add_table);
    if ( extra_full )
        return lu_error(-EAGAIN, NULL, "MEMORY: P2Ms grew meanwhile");
    if ( nr_extra > nr_sealed )
        sort(extra, nr_extra, sizeof(*extra), cmp_extent, swap_extent);

    return 0;
}

void lu_pages_done(void)
{
    XFREE(extra);
    nr_extra = max_extra = 0;
    lu_refs_end();
}

/* ---- The scan ------------------------------------------------------------ */

/* Filled by every save; a dry one's may still change a little. */
struct lu_room lu_room;

struct scan {
    struct lu_stream *s;
    struct lu_room *room;
    unsigned long free_from;    /* mfn behind the last page that is taken */
    struct lu_extent_rec cur;   /* being grown; count 0: none */
    uint32_t nr;
    int rc;
};

static void flush(struct scan *sc)
{
    if ( sc->cur.count && !sc->rc )
    {
        sc->rc = lu_rec_put(sc->s, &sc->cur, sizeof(sc->cur));
        sc->nr++;
    }
    sc->cur.count = 0;
}

/* Pages that the next Xen will not have; ascending. */
static void taken(struct scan *sc, unsigned long mfn, unsigned long count)
{
    if ( mfn > sc->free_from )
        lu_room_add(sc->room, sc->free_from, mfn);
    sc->free_from = mfn + count;
}

static void emit(struct scan *sc, unsigned long mfn, unsigned long count,
                 uint16_t domid, uint16_t kind)
{
    taken(sc, mfn, count);

    if ( sc->cur.count && sc->cur.mfn + sc->cur.count == mfn &&
         sc->cur.domid == domid && sc->cur.kind == kind &&
         sc->cur.count + count <= (1U << 30) )
    {
        sc->cur.count += count;
        return;
    }

    flush(sc);
    sc->cur = (struct lu_extent_rec){ .mfn = mfn, .count = count,
                                      .domid = domid, .kind = kind };
}

/*
 * The kind of one page that is in use, 0 for private to Xen.  A negative errno
 * names a state that is not carried.
 */
static int classify(const struct page_info *pg, const struct domain **owner)
{
    /*
     * Without a reference the page is private, and the field of the owner may
     * hold something else: xmalloc keeps an order there.
     */
    const bool in_use = pg->count_info & (PGC_allocated | PGC_count_mask);

    *owner = in_use ? page_get_owner(pg) : NULL;
    if ( (pg->count_info & PGC_broken) || page_state_is(pg, offlining) ||
         page_state_is(pg, offlined) )
        return -EOPNOTSUPP;

    if ( !*owner || is_system_domain(*owner) )
        return 0;
    if ( !(pg->count_info & PGC_allocated) )
        return lu_shadow_private(*owner, pg) ? 0 :
               pg->count_info & (PGC_xen_heap | PGC_extra) ? -EBUSY
                                                           : LU_EXT_GIVEN;
    if ( pg->count_info & PGC_xen_heap )
        return LU_EXT_SHARED;

    return pg->count_info & PGC_extra ? LU_EXT_EXTRA : LU_EXT_RAM;
}

/* A page of Xen's own with a type: p2m_alloc_ptp().  Others may look like it. */
static bool is_p2m_table(const struct page_info *pg)
{
    return !(pg->count_info & (PGC_xen_heap | PGC_count_mask)) &&
           (pg->u.inuse.type_info & PGT_validated);
}

/*
 * The zone begins on such a boundary, and in between the frame table has no gap.
 * The first page of a domain in it is looked at closely, others are compared.
 */
#define SCAN_STEP PFN_DOWN(MB(2))

/*
 * From a page of a domain on, how many are of its owner and, for what classify()
 * looks at, in its state; `most` at most, all in one SCAN_STEP.  Of kinds that
 * lu_refs_add() does not know.
 */
static unsigned long alike(const struct page_info *pg, unsigned long most)
{
    const unsigned long mask = PGC_broken | PGC_state | PGC_allocated |
                               PGC_xen_heap | PGC_extra;
    const unsigned long state = pg->count_info & mask;
    const unsigned long owner = lu_owner_id(pg);
    unsigned long n = 1;

    /* While the host runs it may have been freed since. */
    if ( !(state & PGC_allocated) )
        return 1;

    while ( n < most && (pg[n].count_info & mask) == state &&
            lu_owner_id(&pg[n]) == owner )
        n++;

    return n;
}

static void scan_range(struct scan *sc, unsigned long s, unsigned long e,
                       unsigned int *next)
{
    const struct lu_range_rec crash = lu_crash_area();
    unsigned long mfn = s;

    sc->free_from = s;

    while ( mfn < e && !sc->rc )
    {
        const struct page_info *pg = mfn_to_page(_mfn(mfn));
        const struct domain *owner;
        int kind;

        if ( *next < nr_extra && extra[*next].mfn <= mfn )
        {
            emit(sc, extra[*next].mfn, extra[*next].count,
                 extra[*next].domid, extra[*next].kind);
            mfn = extra[*next].mfn + extra[*next].count;
            ++*next;
            continue;
        }

        /* No allocator has it, and the frame table need not either. */
        if ( mfn - crash.mfn < crash.count )
        {
            unsigned long end = min_t(unsigned long, e, crash.mfn + crash.count);

            taken(sc, mfn, end - mfn);
            mfn = end;
            continue;
        }

        if ( !mfn_valid(_mfn(mfn)) )
        {
            mfn++;
            continue;
        }

        if ( lu_zone_mfn(mfn) )
        {
            /* The next image goes here: nobody may ever have got hold of it. */
            if ( pg->count_info || page_get_owner(pg) )
                sc->rc = lu_error(-EFAULT, NULL,
                                  "MEMORY: page %#lx of the zone is in use: count_info %#lx",
                                  mfn, pg->count_info);
            taken(sc, mfn++, 1);
            continue;
        }

        /*
         * The head of a free chunk is aligned to its order, which is only kept
         * there (alloc_heap_pages() and merging in free_heap_pages() both hold
         * to it).  While the host runs it may be stale: stay within reason.
         */
        if ( page_state_is(pg, free) )
        {
            unsigned int order = PFN_ORDER(pg);

            if ( order > MAX_ORDER || (mfn & ((1UL << order) - 1)) )
                order = 0;
            mfn += 1UL << order;
            continue;
        }

        kind = classify(pg, &owner);
        if ( kind < 0 )
            sc->rc = lu_blocker(kind, owner && !is_system_domain(owner) ? owner
                                                                       : NULL,
                                "page %#lx: state not carried: count_info %#lx type_info %#lx",
                                mfn, pg->count_info, pg->u.inuse.type_info);
        else if ( kind )
        {
            unsigned long end = min_t(unsigned long, e,
                                      (mfn | (SCAN_STEP - 1)) + 1);
            long n;

            BUILD_BUG_ON(PDX_GROUP_COUNT % SCAN_STEP);
            if ( *next < nr_extra )
                end = min_t(unsigned long, end, extra[*next].mfn);
            if ( kind == LU_EXT_RAM || kind == LU_EXT_GIVEN )
                n = lu_refs_add(owner, pg, end - mfn);
            else
                n = alike(pg, end - mfn);
            if ( n < 0 )
                sc->rc = n;
            if ( n > 0 )
            {
                emit(sc, mfn, n, owner->domain_id, kind);
                mfn += n;
                continue;
            }
        }
        else if ( owner == dom_xen || is_p2m_table(pg) )
            /* M2P and P2Ms, which a dry run has no list of: no room either. */
            taken(sc, mfn, 1);
        mfn++;
    }

    taken(sc, e, 0);
}

static int cf_check save_memory(struct lu_stream *s, struct domain *d)
{
    struct lu_memory_rec r = { .id = lu_id(&lu_kind_memory, NULL, 0) };
    struct scan sc = { .s = s, .room = &lu_room };
    unsigned int i, next = 0;
    int rc = lu_rec_begin(s, LU_REC_MEMORY) ?: lu_rec_put(s, &r, sizeof(r));

    for ( i = 0; i < e820.nr_map && !rc; i++ )
    {
        struct lu_range_rec ram;

        if ( e820.map[i].type != E820_RAM )
            continue;
        ram.mfn = PFN_UP(e820.map[i].addr);
        ram.count = PFN_DOWN(e820.map[i].addr + e820.map[i].size);
        /* kexec-tools trims the first range, so what is below 1 MiB differs. */
        if ( ram.count <= PFN_DOWN(MB(1)) )
            continue;
        ram.mfn = max_t(uint64_t, ram.mfn, PFN_DOWN(MB(1)));
        ram.count -= ram.mfn;
        rc = lu_rec_put(s, &ram, sizeof(ram));
        r.nr_ram++;
    }

    memset(sc.room, 0, sizeof(*sc.room));
    lu_refs_reset();

    for ( i = 0; i < e820.nr_map && !rc && !sc.rc; i++ )
        if ( e820.map[i].type == E820_RAM )
            scan_range(&sc, max_t(unsigned long, PFN_UP(e820.map[i].addr),
                                  PFN_DOWN(MB(1))),
                       min_t(unsigned long, max_page,
                             PFN_DOWN(e820.map[i].addr + e820.map[i].size)),
                       &next);
    flush(&sc);
    r.nr_extents = sc.nr;

    return rc ?: sc.rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

/* ---- Restore ------------------------------------------------------------- */

int lu_read_extent(const struct lu_stream *s, const struct lu_rec *rec,
                   const struct lu_memory_rec *mem, uint32_t i,
                   struct lu_extent_rec *ext)
{
    return lu_rec_read(s, rec, sizeof(*mem) +
                       mem->nr_ram * sizeof(struct lu_range_rec) +
                       i * sizeof(*ext), ext, sizeof(*ext));
}

/* A page that is nobody's becomes an owner's, between its neighbours in a list. */
static always_inline void take_page(struct page_info *pg, unsigned long owner,
                                    unsigned long count, unsigned long pdx)
{
    lu_owner_id(pg) = owner;
    pg->count_info = count;
#ifndef CONFIG_BIGMEM
    pg->list.next = pdx + 1;
    pg->list.prev = pdx - 1;
#endif
}

#define TAKE 8

/*
 * From pg on, `nr` at most; several at a time, since there are many.  Returns how
 * many, less only if the next one is somebody's already.
 */
static noinline unsigned long take_pages(struct page_info *pg, unsigned long nr,
                                         unsigned long owner,
                                         unsigned long count)
{
    struct page_info *const first = pg, *const end = pg + nr;
    unsigned long pdx = page_to_pdx(pg);
    unsigned int i;

    while ( pg < end )
    {
        unsigned long taken = 0;

        if ( end - pg >= TAKE )
        {
#pragma GCC unroll 8
            for ( i = 0; i < TAKE; i++ )
                taken |= pg[i].count_info | lu_owner_id(&pg[i]);
            if ( !taken )
            {
#pragma GCC unroll 8
                for ( i = 0; i < TAKE; i++ )
                    take_page(&pg[i], owner, count, pdx + i);
                pg += TAKE;
                pdx += TAKE;
                continue;
            }
        }

        if ( pg->count_info || lu_owner_id(pg) )
            break;
        take_page(pg++, owner, count, pdx++);
    }

    return pg - first;
}

/* Pages that were taken, to the end of their owner's list. */
static void list_pages(struct page_info *pg, unsigned int nr,
                       struct page_list_head *list)
{
#ifdef CONFIG_BIGMEM
    /* Its lists have heads of another kind. */
    for ( ; nr; nr--, pg++ )
        page_list_add_tail(pg, list);
#else
    struct page_list_head run = { .next = pg, .tail = &pg[nr - 1] };

    run.next->list.prev = PAGE_LIST_NULL;
    run.tail->list.next = PAGE_LIST_NULL;
    page_list_splice(list, &run);
    page_list_move(list, &run);
#endif
}

/*
 * What assign_pages() does, for one page or more that nobody can see before the
 * domains run.  Its conditions hold here too: a domain that lives and may have that
 * many pages.
 */
static int own_pages(struct page_info *pg, unsigned int nr, struct domain *d,
                     unsigned int kind)
{
    const bool is_extra = kind == LU_EXT_EXTRA;
    const unsigned long count = (is_extra ? PGC_extra : 0) |
                                (kind == LU_EXT_GIVEN ? 0 : PGC_allocated) | 1;
    const unsigned int tot = domain_tot_pages(d);
    unsigned long n;

    if ( d->is_dying )
        return lu_error(-EINVAL, d, "MEMORY: it is dying");
    if ( !is_extra && (tot > d->max_pages || nr > d->max_pages - tot) )
        return lu_error(-E2BIG, d, "MEMORY: %u and %u more pages, %u allowed",
                        tot, nr, d->max_pages);
    if ( d->tot_pages + nr < nr )
        return lu_error(-E2BIG, d, "MEMORY: %u and %u more pages",
                        d->tot_pages, nr);

    n = take_pages(pg, nr, lu_owner_id_of(d), count);
    if ( n < nr )
        return lu_error(-EEXIST, d,
                        "MEMORY: page %#lx has count_info %#lx already",
                        mfn_x(page_to_mfn(&pg[n])), pg[n].count_info);

    spin_lock(&d->page_alloc_lock);

    if ( is_extra )
        d->extra_pages += nr;
    if ( domain_adjust_tot_pages(d, nr) == nr )
        get_knownalive_domain(d);
    list_pages(pg, nr, is_extra ? &d->extra_page_list : &d->page_list);

    spin_unlock(&d->page_alloc_lock);

    return 0;
}

/* The frame table is contiguous within a group: pages from mfn to its end. */
static unsigned long group_room(unsigned long mfn)
{
    return PDX_GROUP_COUNT - (mfn & (PDX_GROUP_COUNT - 1));
}

static int assign_extent(const struct lu_extent_rec *ext, struct domain *d)
{
    unsigned long done = 0;

    while ( done < ext->count )
    {
        const unsigned long mfn = ext->mfn + done;
        unsigned int nr = min_t(unsigned long, ext->count - done,
                                group_room(mfn));
        int rc = own_pages(mfn_to_page(_mfn(mfn)), nr, d, ext->kind);

        if ( rc )
            return rc;
        done += nr;
        process_pending_softirqs();
    }

    return 0;
}

/* Pages of extents of kind GIVEN, in which restore holds a reference each. */
static unsigned long nr_given;

static int cf_check restore_memory(const struct lu_stream *s,
                                   const struct lu_rec *rec, struct domain *d)
{
    struct lu_memory_rec r;
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    /* Counts, order and bounds: see check_memory() of the early boot. */
    for ( i = 0; !rc && i < r.nr_extents; i++ )
    {
        struct lu_extent_rec ext;

        rc = lu_read_extent(s, rec, &r, i, &ext);
        if ( rc )
            break;

        switch ( ext.kind )
        {
        case LU_EXT_GIVEN:
            nr_given += ext.count;
            /* fall through */
        case LU_EXT_RAM:
        case LU_EXT_EXTRA:
        case LU_EXT_SHARED:
            if ( !d || d->domain_id != ext.domid )
                d = lu_domain(ext.domid);
            if ( !d )
                return lu_error(-ESRCH, NULL,
                                "MEMORY: extent %u is of d%u, which is not in the stream",
                                i, ext.domid);
            lu_progress.kept += ext.count;
            if ( ext.kind != LU_EXT_SHARED )
                rc = assign_extent(&ext, d);
            break;

        case LU_EXT_P2M:
            d = lu_domain(ext.domid);
            if ( !d )
                return lu_error(-ESRCH, NULL,
                                "MEMORY: extent %u is of d%u, which is not in the stream",
                                i, ext.domid);
            rc = lu_p2m_adopt(d, ext.mfn, ext.count);
            break;

        case LU_EXT_M2P:
        case LU_EXT_INTERNAL:
            if ( ext.domid != LU_DOMID_HOST )
                return lu_error(-EBADMSG, NULL,
                                "MEMORY: extent %u of kind %u is d%u's", i,
                                ext.kind, ext.domid);
            break;

        default:
            return lu_error(-EBADMSG, NULL, "MEMORY: extent %u has kind %u", i,
                            ext.kind);
        }
    }

    return rc;
}

/*
 * Before any domain runs: whoever maps what was given up has its references again.
 * Where nobody does after all, the page is free with this.
 */
void lu_pages_resume(void)
{
    const struct lu_stream *s = lu_stream_boot();
    struct lu_memory_rec r;
    struct lu_rec rec;
    unsigned int i;

    if ( !nr_given || lu_boot_record(LU_REC_MEMORY, LU_DOMID_HOST, &rec, &r,
                                     sizeof(r)) )
        return;

    for ( i = 0; i < r.nr_extents && nr_given; i++ )
    {
        struct lu_extent_rec ext;

        if ( lu_read_extent(s, &rec, &r, i, &ext) || ext.kind != LU_EXT_GIVEN )
            continue;
        for ( ; ext.count; ext.count--, nr_given-- )
            put_page(mfn_to_page(_mfn(ext.mfn++)));
    }
}

/* Pages of one group: each d's, and counted for the audit of PAGETABLES. */
static int audit_pages(struct domain *d, unsigned int kind,
                       const struct page_info *pg, unsigned long nr)
{
    while ( nr )
    {
        long n = page_get_owner(pg) == d;

        if ( n && (kind == LU_EXT_RAM || kind == LU_EXT_GIVEN) )
            n = lu_refs_add(d, pg, nr);
        if ( n < 0 )
            return n;
        if ( !n )
            return lu_error(-EIO, d,
                            kind == LU_EXT_SHARED
                            ? "MEMORY: shared page %#lx was adopted by nobody: count_info %#lx"
                            : "MEMORY: page %#lx is not its any more: count_info %#lx",
                            mfn_x(page_to_mfn(pg)), pg->count_info);
        pg += n;
        nr -= n;
    }

    return 0;
}

/* No preserved page may be left without its owner. */
static int cf_check audit_memory(const struct lu_stream *s, struct domain *d)
{
    struct lu_memory_rec r;
    struct lu_rec rec;
    unsigned int i;
    int rc;

    rc = lu_find(s, LU_REC_MEMORY, LU_DOMID_HOST, &rec) ?:
         lu_rec_read(s, &rec, 0, &r, sizeof(r)) ?: lu_refs_begin();

    for ( i = 0; !rc && i < r.nr_extents; i++ )
    {
        struct lu_extent_rec ext;
        unsigned long n;

        rc = lu_read_extent(s, &rec, &r, i, &ext);
        if ( rc || ext.domid == LU_DOMID_HOST || ext.kind == LU_EXT_P2M )
            continue;

        if ( !d || d->domain_id != ext.domid )
            d = lu_domain(ext.domid);
        for ( ; !rc && ext.count; ext.mfn += n, ext.count -= n )
        {
            n = min_t(unsigned long, ext.count, group_room(ext.mfn));
            rc = audit_pages(d, ext.kind, mfn_to_page(_mfn(ext.mfn)), n);
            process_pending_softirqs();
        }
    }

    return rc;
}

const struct lu_kind lu_kind_memory = {
    .name = "MEMORY",
    .type = LU_REC_MEMORY,
    .size = sizeof(struct lu_memory_rec),
    .array = { LU_ARRAY(lu_memory_rec, nr_ram, struct lu_range_rec),
               LU_ARRAY(lu_memory_rec, nr_extents, struct lu_extent_rec) },
    .version = 3,
    .min_version = 3,
    .pass = LU_PASS_OWN,
    .save = save_memory,
    .restore = restore_memory,
    .audit = audit_memory,
};

/* ---- M2P ----------------------------------------------------------------- */

struct m2p_out {
    struct lu_stream *s;
    uint32_t nr;
    int rc;
};

static void cf_check put_chunk(void *ctx, const struct lu_m2p_chunk_rec *c)
{
    struct m2p_out *out = ctx;

    if ( !out->rc )
        out->rc = lu_rec_put(out->s, c, sizeof(*c));
    out->nr++;
}

static int cf_check save_m2p(struct lu_stream *s, struct domain *d)
{
    struct lu_m2p_rec r = { .id = lu_id(&lu_kind_m2p, NULL, 0) };
    struct m2p_out out = { .s = s };
    int rc = lu_rec_begin(s, LU_REC_M2P) ?: lu_rec_put(s, &r, sizeof(r));

    if ( rc )
        return rc;

    lu_arch_for_each_m2p(put_chunk, &out);
    r.nr = out.nr;

    return out.rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

const struct lu_kind lu_kind_m2p = {
    .name = "M2P",
    .type = LU_REC_M2P,
    .size = sizeof(struct lu_m2p_rec),
    .array = { LU_ARRAY(lu_m2p_rec, nr, struct lu_m2p_chunk_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_BOOT,
    .save = save_m2p,
};

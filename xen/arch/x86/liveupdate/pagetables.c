/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PAGETABLES: the types of a PV domain's pages.
 *
 * Included at the end of arch/x86/mm.c, whose validation it reuses.
 *
 * The page tables themselves stay in guest memory.  The record names the pinned
 * ones, and sums of type and page references.  Restore validates the pinned
 * tables again in the new Xen, which takes every reference that the entries
 * below them hold and rewrites Xen's own slots in the L4 tables; what only a
 * CR3, a GDT or a vcpu_info holds is taken by PV_VCPU.  The audit compares the
 * sums after all of that.  Sums and pins come from the walks of MEMORY, see refs.c.
 *
 * Validation does for a kept table what it does for a new one, but for L1
 * entries (get_l1e()), which the old Xen has let through already: an entry
 * may map a page of another domain, by grant or by privilege, and holds the
 * references for it; a right to MMIO may have been withdrawn since.
 *
 * What can fail: a table in the middle of an interrupted teardown, and mappings of
 * Xen's own pages other than the M2P are blockers.  A table that does not validate,
 * or an audit of the table types that does not come out even, is fatal.
 */
#include <xen/softirq.h>

#include <asm/liveupdate.h>

#include "../../../common/liveupdate/internal.h"

bool __read_mostly lu_restoring;

/* PTE bit that debug builds keep grant mappings apart by. */
#define GRANT_BIT (1UL << 62)

/* Taken as they are found, with a line in the log at the end of a domain. */
static struct {
    unsigned long mmio;         /* MMIO the domain has no right to any more */
    unsigned long bit62;        /* the guest's own bit 62 */
} odd;
static bool grants_marked;      /* by the writer of the stream */

/* ---- Frames of the M2P ------------------------------------------------------ */

struct m2p_query {
    unsigned long mfn;
    struct lu_m2p_chunk_rec chunk;
    bool found;
};

static bool in_chunk(unsigned long mfn, const struct lu_m2p_chunk_rec *c)
{
    return mfn >= c->chunk_mfn && mfn - c->chunk_mfn < 1UL << c->order;
}

static void cf_check query_chunk(void *ctx, const struct lu_m2p_chunk_rec *c)
{
    struct m2p_query *q = ctx;

    if ( in_chunk(q->mfn, c) )
    {
        q->chunk = *c;
        q->found = true;
    }
}

/*
 * Whoever saves, restores or builds a guest has mapped all of the M2P, so this is
 * asked of each of its frames, in their order: the last answer is most often the
 * next one.  `last` is a chunk of this Xen's or empty; the idle vCPU of CPU 0 only.
 */
static bool is_m2p_frame(unsigned long mfn)
{
    static struct lu_m2p_chunk_rec last = { .chunk_mfn = ~0UL };
    struct m2p_query q = { .mfn = mfn };

    if ( in_chunk(mfn, &last) )
        return true;

    lu_arch_for_each_m2p(query_chunk, &q);
    if ( q.found )
        last = q.chunk;

    return q.found;
}

/* ---- Blockers, and what is finished instead -------------------------------- */

static int cf_check check_pagetables(const struct domain *d)
{
    struct page_info *pg;
    unsigned long mfn = 0;

    /* Only privileged domains can map Xen's pages; once for all of them. */
    if ( !is_hardware_domain(d) )
        return 0;

    spin_lock(&dom_xen->page_alloc_lock);
    page_list_for_each ( pg, &dom_xen->xenpage_list )
        if ( (pg->count_info & PGC_count_mask) > 1 &&
             !is_m2p_frame(mfn_x(page_to_mfn(pg))) )
        {
            mfn = mfn_x(page_to_mfn(pg));
            break;
        }
    spin_unlock(&dom_xen->page_alloc_lock);

    return mfn ? lu_blocker(-EBUSY, NULL,
                            "xen-page: Xen's page %#lx (a trace buffer?) is mapped",
                            mfn)
               : 0;
}

/*
 * All vCPUs are frozen, other CPUs still run: finish teardowns that a hypercall
 * left to its continuation, and drop what is faulted in on demand (LDT), so that
 * the references left are those of the record.  0, or -EAGAIN to refuse.
 */
int lu_pv_normalise(struct domain *d)
{
    struct vcpu *v;
    bool flush = false;

    if ( !is_pv_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        /* Teardown of a marked grant mapping injects #GP into current. */
        if ( v->arch.old_guest_table && _PAGE_GNTTAB )
            return lu_blocker(-EAGAIN, d, "teardown: v%d tears page tables down",
                              v->vcpu_id);

        while ( put_old_guest_table(v) )
            process_pending_softirqs();

        flush |= pv_destroy_ldt(v);
    }

    if ( flush )
        flush_tlb_all();

    return 0;
}

/* ---- Save ------------------------------------------------------------------ */

static int cf_check save_pagetables(struct lu_stream *s, struct domain *d)
{
    const struct lu_pagetables_rec *sums = lu_refs_of(d);
    struct lu_pin_rec *pin = NULL;
    struct lu_pagetables_rec r;
    const struct vcpu *v;
    unsigned int i;
    int rc;

    if ( !is_pv_domain(d) )
        return 0;
    if ( !sums )
        return -ENOSPC;

    r = *sums;
    r.id = lu_id(&lu_kind_pagetables, d, 0);
    r.flags |= (_PAGE_GNTTAB ? LU_PT_F_GRANT_BIT : 0) |
               (d->arch.pv.check_l1tf ? LU_PT_F_L1TF : 0);

    /* With IRQs on this is for practice. */
    if ( !local_irq_is_enabled() )
        for_each_vcpu ( d, v )
            if ( v->arch.old_guest_table )
                return -EBUSY;

    rc = lu_rec_begin(s, LU_REC_PAGETABLES) ?: lu_rec_put(s, &r, sizeof(r));
    for ( i = 0; !rc && i < r.nr_pins; i++ )
    {
        pin = lu_refs_next_pin(d, pin);
        rc = lu_rec_put(s, pin, sizeof(*pin));
    }

    return rc ?: lu_rec_end(s);
}

/* ---- Restore --------------------------------------------------------------- */

/* Xen of another build or configuration may want other MMIO attributes. */
static int get_mmio(l1_pgentry_t l1e, struct domain *d)
{
    const unsigned long mfn = l1e_get_pfn(l1e);

    l1e_remove_flags(l1e, _PAGE_GNTTAB);
    if ( iomem_access_permitted(d, mfn, mfn) )
        return get_page_from_l1e(l1e, d, d);

    /*
     * A device taken away leaves its mappings, which hold no reference.  The
     * right to make new ones stays withdrawn.
     */
    odd.mmio++;

    return 0;
}

/*
 * Nearly every entry maps a page of the domain's own, plain or writable.  Nobody
 * else has these pages before the guests run, so counting needs no atomics, and
 * no TLB can hold an older use: what _get_page_type() guards against.
 */

/*
 * The first entry that maps a page, writable: it is as own_pages() left it.  False,
 * with nothing taken: it is not.
 */
static always_inline bool get_new_page(struct page_info *page,
                                       typeof(lu_owner_id(page)) owner)
{
    if ( page->count_info != (PGC_allocated | 1) || page->u.inuse.type_info ||
         lu_owner_id(page) != owner )
        return false;

    page->count_info = PGC_allocated | 2;
    page->u.inuse.type_info = LU_PGT_WRITABLE | 1;

    return true;
}

/* So many entries are taken without a look at where the table and the group end. */
#define RUN 8

/*
 * Entries from `pte` on, of which the first is `e`: as many as map pages from `page` on
 * one by one, writable and for the first time, are taken; `most` at most.
 */
static noinline unsigned long get_new_pages(const uint64_t *pte, uint64_t e,
                                            struct page_info *page,
                                            unsigned long owner,
                                            unsigned long most)
{
    unsigned long n;
    unsigned int i;

    for ( n = 0; most - n >= RUN; n += RUN )
    {
#pragma GCC unroll 8
        for ( i = 0; i < RUN; i++ )
        {
            if ( pte[n + i] != e || !get_new_page(&page[n + i], owner) )
                return n + i;
            e += PAGE_SIZE;
        }
    }

    return n;
}

/*
 * One entry.  False, with nothing taken: another page or another use.  Each comparison
 * tests the bits above a count and its range, at both ends, at once.
 */
static always_inline bool get_own_page(struct page_info *page,
                                       unsigned long owner, bool write)
{
    const unsigned long count = page->count_info;

    if ( lu_owner_id(page) != owner ||
         (count & (PGC_allocated | PGC_count_mask)) - (PGC_allocated | 1) >=
         PGC_count_mask - 1 )
        return false;

    if ( write )
    {
        const unsigned long type = page->u.inuse.type_info ?: LU_PGT_WRITABLE;

        if ( type - LU_PGT_WRITABLE >= PGT_count_mask )
            return false;
        page->u.inuse.type_info = type + 1;
    }
    page->count_info = count + 1;

    return true;
}

/*
 * get_page_from_l1e() for an entry of a kept L1 table of d: the references are
 * those that put_page_from_l1e() will drop.  Same return values.
 */
static noinline int get_l1e(uint64_t *pte, struct domain *d)
{
    const uint32_t allowed = PAGE_CACHE_ATTRS | _PAGE_GNTTAB;
    l1_pgentry_t l1e = { .l1 = *pte };
    const unsigned long mfn = l1e_get_pfn(l1e);
    struct page_info *page = mfn_to_page(_mfn(mfn));
    struct domain *owner;
    uint32_t flags;
    bool write;

    /*
     * The mark of grant mappings stays between two debug builds and goes with
     * the first that is none.  A debug build only polices what carries it, so
     * mappings without it need nothing.
     */
    if ( (*pte & GRANT_BIT) && grants_marked != !!_PAGE_GNTTAB )
    {
        *pte = l1e.l1 &= ~GRANT_BIT;
        if ( !grants_marked )
            odd.bit62++;
    }
    flags = l1e_get_flags(l1e);

    if ( flags & L1_DISALLOW_MASK & ~allowed )
        return lu_error(-EINVAL, d, "PAGETABLES: entry %"PRIpte": flags %#x",
                        l1e_get_intpte(l1e),
                        flags & (uint32_t)(L1_DISALLOW_MASK & ~allowed));

    if ( !mfn_valid(_mfn(mfn)) )
        return get_mmio(l1e, d);

    owner = page_get_owner_and_reference(page);
    if ( owner == dom_io )
    {
        put_page(page);
        return get_mmio(l1e, d);
    }

    if ( !owner || owner == dom_cow )
    {
        if ( owner )
            put_page(page);
        return lu_error(-EIO, d, "PAGETABLES: entry %"PRIpte": page %#lx %s",
                        l1e_get_intpte(l1e), mfn,
                        owner ? "is a copy-on-write page" : "is nobody's");
    }

    write = flags & _PAGE_RW;
    if ( owner == dom_xen && (write || !is_m2p_frame(mfn)) )
    {
        put_page(page);
        return lu_error(-EIO, d,
                        "PAGETABLES: entry %"PRIpte": page %#lx is Xen's",
                        l1e_get_intpte(l1e), mfn);
    }

    /* As at run time: foreign pages of HVM domains only count as pages. */
    write = write && (owner == d || !paging_mode_external(owner));
    if ( write && !get_page_type(page, PGT_writable_page) )
    {
        put_page(page);
        return lu_error(-EBUSY, d,
                        "PAGETABLES: entry %"PRIpte": page %#lx of %pd has type_info %#lx",
                        l1e_get_intpte(l1e), mfn, owner,
                        page->u.inuse.type_info);
    }

    if ( !boot_cpu_has(X86_FEATURE_XEN_SELFSNOOP) &&
         (flags & (PAGE_CACHE_ATTRS | _PAGE_RW)) == (_PAGE_WC | _PAGE_RW) )
        set_bit(_PGT_non_coherent, &page->u.inuse.type_info);

    return 0;
}

/*
 * In place of promote_l1_table(): most of a host's L1 entries are not present,
 * and what the rest maps was let through before.  Neighbours lie close to each
 * other, so that mfn_valid() has to be asked once per group of them only.
 */
int lu_pv_promote_l1(struct page_info *page)
{
    struct domain *d = page_get_owner(page);
    /* Other bits than these need no thought, besides the frame. */
    const uint64_t odd_bits = put_pte_flags(L1_DISALLOW_MASK |
                                            PAGE_CACHE_ATTRS) | GRANT_BIT;
    uint64_t *const table = __map_domain_page(page), *pte;
    uint64_t *const end = table + L1_PAGETABLE_ENTRIES;
    const unsigned long owner = lu_owner_id(page);
    /* The group that was looked at last, and its pages.  Far from any mfn: none. */
    unsigned long first = ~0UL >> 1;
    struct page_info *pages = NULL;
    int rc = 0;

    BUILD_BUG_ON(PDX_GROUP_COUNT % L1_PAGETABLE_ENTRIES);

    for ( pte = table; pte < end; pte++ )
    {
        const uint64_t e = *pte;

        if ( !(e & _PAGE_PRESENT) )
        {
            /* What a balloon has left is empty: four at a time. */
            if ( !((unsigned long)pte & (4 * sizeof(*pte) - 1)) &&
                 !((pte[1] | pte[2] | pte[3]) & _PAGE_PRESENT) )
                pte += 3;
            continue;
        }

        if ( likely(!(e & odd_bits)) )
        {
            unsigned long i = ((e & PADDR_MASK) >> PAGE_SHIFT) - first;

            if ( unlikely(i >= L1_PAGETABLE_ENTRIES) &&
                 mfn_valid(_mfn(first + i)) )
            {
                i += first;
                first = i & ~(L1_PAGETABLE_ENTRIES - 1UL);
                pages = mfn_to_page(_mfn(first));
                i -= first;
            }
            if ( likely(i < L1_PAGETABLE_ENTRIES) )
            {
                if ( e & _PAGE_RW )
                {
                    unsigned long n = get_new_pages(
                        pte, e, &pages[i], owner,
                        min_t(unsigned long, end - pte,
                              L1_PAGETABLE_ENTRIES - i));

                    if ( n )
                    {
                        pte += n - 1;
                        continue;
                    }
                }
                if ( likely(get_own_page(&pages[i], owner, e & _PAGE_RW)) )
                    continue;
            }
        }

        rc = get_l1e(pte, d);
        if ( rc < 0 )
            break;
        /* What get_page_from_l1e() wants changed, of MMIO only. */
        *pte ^= put_pte_flags(rc);
    }

    unmap_domain_page(table);

    return min(rc, 0);
}

/*
 * Takes a page and a type reference of `mfn`, a table of d of that level (1-4),
 * validating it and all below it as a kept one.  Current is the idle vCPU.
 * 0, or -errno after naming it; what was taken on the way is not given back,
 * since such an error is fatal.
 */
int lu_pv_get_table(struct domain *d, uint64_t mfn, unsigned int level)
{
    struct page_info *page = mfn_to_page(_mfn(mfn));
    const bool l1tf = d->arch.pv.check_l1tf;
    int rc;

    if ( !mfn_valid(_mfn(mfn)) || !get_page(page, d) )
        return lu_error(-EIO, d, "L%u table %#lx is not its page", level,
                        mfn);

    /* Not-present entries were the old Xen's to judge (LU_PT_F_L1TF). */
    d->arch.pv.check_l1tf = false;
    lu_restoring = true;
    rc = get_page_type_preemptible(page, MASK_INSR(level + 0UL, PGT_type_mask));
    lu_restoring = false;
    d->arch.pv.check_l1tf = l1tf;

    return rc ? lu_error(rc, d, "L%u table %#lx does not validate", level, mfn)
              : 0;
}

static int restore_pin(const struct lu_stream *s, const struct lu_rec *rec,
                       struct domain *d, unsigned int i)
{
    struct lu_pin_rec pin;
    struct page_info *page;
    int rc = lu_rec_read(s, rec, sizeof(struct lu_pagetables_rec) +
                                 i * sizeof(pin), &pin, sizeof(pin));

    if ( rc )
        return rc;
    if ( pin.reserved || pin.level < 1 || pin.level > 4 )
        return lu_error(-EBADMSG, d, "PAGETABLES: pin %u: level %u", i,
                        pin.level);

    rc = lu_pv_get_table(d, pin.mfn, pin.level);
    if ( rc )
        return rc;

    page = mfn_to_page(_mfn(pin.mfn));
    if ( test_and_set_bit(_PGT_pinned, &page->u.inuse.type_info) )
        return lu_error(-EEXIST, d, "PAGETABLES: pin %u: %#lx is pinned already",
                        i, pin.mfn);

    return 0;
}

static bool pagetables_sane(const struct lu_rec *rec,
                            const struct lu_pagetables_rec *r)
{
    return !(r->flags & ~(LU_PT_F_GRANT_BIT | LU_PT_F_L1TF | LU_PT_F_INEXACT)) &&
           lu_array_fits(rec, sizeof(*r), sizeof(struct lu_pin_rec),
                         r->nr_pins);
}

static int cf_check restore_pagetables(const struct lu_stream *s,
                                       const struct lu_rec *rec,
                                       struct domain *d)
{
    struct lu_pagetables_rec r;
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_pv_domain(d) || is_pv_32bit_domain(d) )
        return lu_error(-EINVAL, d, "PAGETABLES: no 64-bit PV domain");
    if ( !pagetables_sane(rec, &r) )
        return lu_error(-EBADMSG, d, "PAGETABLES: flags %#x, %u pins in %u bytes",
                        r.flags, r.nr_pins, rec->length);

    grants_marked = r.flags & LU_PT_F_GRANT_BIT;
    memset(&odd, 0, sizeof(odd));

    /* Recursion makes the order of levels irrelevant. */
    for ( i = 0; !rc && i < r.nr_pins; i++ )
    {
        rc = restore_pin(s, rec, d, i);
        if ( !(i & 0x3f) )
            process_pending_softirqs();
    }

    if ( odd.mmio )
        printk(XENLOG_INFO
               "live-update: %pd: %lu mappings of MMIO kept without a right to it\n",
               d, odd.mmio);
    if ( odd.bit62 )
        printk(XENLOG_WARNING
               "live-update: %pd: bit 62 of %lu of its PTEs cleared: a debug Xen uses it\n",
               d, odd.bit62);
    if ( d->arch.pv.check_l1tf && !(r.flags & LU_PT_F_L1TF) )
        printk(XENLOG_WARNING
               "live-update: %pd: L1TF checks are new, its page tables were made without\n",
               d);

    return rc;
}

/* ---- Audit ----------------------------------------------------------------- */

static int audit_sum(const struct domain *d, bool exact, bool fatal,
                     const char *what, uint64_t now, uint64_t then)
{
    if ( now == then || (now < then && !exact) )
        return 0;

    if ( fatal )
        return lu_error(-EIO, d, "PAGETABLES: %lu %s, were %lu", now, what,
                        then);

    printk(XENLOG_WARNING "live-update: %pd: audit: %lu %s, were %lu\n", d, now,
           what, then);

    return 0;
}

static int cf_check audit_pagetables(const struct lu_stream *s,
                                     struct domain *d)
{
    static const char *const tables[] = {
        "L1 tables", "L2 tables", "L3 tables", "L4 tables",
    };
    static const char *const refs[] = {
        "L1 table references", "L2 table references", "L3 table references",
        "L4 table references",
    };
    const struct lu_pagetables_rec *now = lu_refs_of(d);
    struct lu_pagetables_rec then;
    struct lu_rec rec;
    unsigned int i;
    bool exact;
    int rc = 0;

    if ( !is_pv_domain(d) )
        return 0;

    if ( !now || lu_find(s, LU_REC_PAGETABLES, d->domain_id, &rec) ||
         lu_rec_read(s, &rec, 0, &then, sizeof(then)) )
        return lu_error(-ENOENT, d, "PAGETABLES: no such record");

    /*
     * A half validated table held references that are not taken again: nothing to
     * warn of, but more than there were would be.
     */
    exact = !(then.flags & LU_PT_F_INEXACT);

    for ( i = 0; i < ARRAY_SIZE(tables); i++ )
    {
        int err = audit_sum(d, exact, exact, tables[i], now->tables[i],
                            then.tables[i]);

        rc = rc ?: err;
        err = audit_sum(d, exact, exact, refs[i], now->table_refs[i],
                        then.table_refs[i]);
        rc = rc ?: err;
    }

    /* These have many holders, of other kinds of state. */
    audit_sum(d, exact, false, "descriptor table references", now->segdesc_refs,
              then.segdesc_refs);
    audit_sum(d, exact, false, "writable references", now->writable_refs,
              then.writable_refs);
    audit_sum(d, exact, false, "page references", now->page_refs, then.page_refs);

    return rc;
}

const struct lu_kind lu_kind_pagetables = {
    .name = "PAGETABLES",
    .type = LU_REC_PAGETABLES,
    .size = sizeof(struct lu_pagetables_rec),
    .array = { LU_ARRAY(lu_pagetables_rec, nr_pins, struct lu_pin_rec) },
    .number = LU_ONE_IF_PV,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_TYPE,
    .per_domain = true,
    .check = check_pagetables,
    .save = save_pagetables,
    .restore = restore_pagetables,
    .audit = audit_pagetables,
};

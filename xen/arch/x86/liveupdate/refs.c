/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sums of references: what the pages of each domain are used as.
 *
 * Happy path: MEMORY walks the frame table anyway and hands each page of a domain to
 * lu_refs_add(), which counts it and notes pinned page tables; PAGETABLES writes what
 * came together.  Its audit has the sums counted once more in the new Xen, by the
 * same walk, and compares.
 *
 * A host has very many pages, and nearly all are plain or writable ones, with the same
 * counts as their neighbours.  So these are compared several at a time.
 *
 * What can fail: no memory before the freeze (-ENOMEM); more domains or pinned tables
 * than there were then (-ENOSPC: try again); page tables linked with another one of
 * their level, which is a blocker.
 */
#include <xen/mm.h>
#include <xen/sched.h>
#include <xen/xmalloc.h>

#include <asm/liveupdate.h>

#include "../../../common/liveupdate/internal.h"

/* Domains and pins that may come between the dry save and the freeze. */
#define SPARE_DOMAINS 16
#define SPARE_PINS 256

#define NO_PIN (~0U)

/* By domain: a hash table by domid, never full. */
static struct refs {
    bool used;
    uint16_t domid;
    unsigned int first, last;       /* indices in pins; NO_PIN: none */
    struct lu_pagetables_rec sum;   /* `id` and the flags of the build: not here */
} *table;
static unsigned int table_size, max_domains, nr_domains;

/* Of all domains, as they are met.  NULL: a dry save, they are only counted. */
static struct pin {
    struct lu_pin_rec rec;
    unsigned int next;
} *pins;
static unsigned int max_pins, nr_pins;

/*
 * Before the first of several walks; while everything runs or in xen#2.  0 or -ENOMEM.
 * lu_refs_end() frees it.
 */
int lu_refs_begin(void)
{
    const struct domain *d;

    max_domains = SPARE_DOMAINS;
    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
        max_domains++;
    rcu_read_unlock(&domlist_read_lock);

    table_size = 2U << fls(max_domains);
    table = xmalloc_array(struct refs, table_size);
    if ( !table )
        return -ENOMEM;
    lu_refs_reset();

    return 0;
}

/* After a dry save: room for as many pins, and some more.  0 or -ENOMEM. */
int lu_refs_reserve(void)
{
    max_pins = nr_pins + nr_pins / 8 + SPARE_PINS;
    pins = xmalloc_array(struct pin, max_pins);

    return pins ? 0 : -ENOMEM;
}

void lu_refs_end(void)
{
    XFREE(pins);
    XFREE(table);
}

/* Before each walk. */
void lu_refs_reset(void)
{
    memset(table, 0, table_size * sizeof(*table));
    nr_domains = nr_pins = 0;
}

/* NULL: no room.  The last one is asked for again and again. */
static struct refs *refs_of(const struct domain *d)
{
    static struct refs *last;
    const unsigned int mask = table_size - 1;
    unsigned int i;

    if ( nr_domains && last->domid == d->domain_id )
        return last;

    for ( i = d->domain_id & mask; table[i].used; i = (i + 1) & mask )
        if ( table[i].domid == d->domain_id )
            return last = &table[i];

    if ( nr_domains == max_domains )
        return NULL;
    nr_domains++;
    table[i].used = true;
    table[i].domid = d->domain_id;
    table[i].first = NO_PIN;

    return last = &table[i];
}

/* The sums of the last walk; NULL: there was no room for one more domain. */
const struct lu_pagetables_rec *lu_refs_of(const struct domain *d)
{
    const struct refs *r = refs_of(d);

    return r ? &r->sum : NULL;
}

/*
 * The first pinned table of d (`prev` NULL), or the next one.  Asked for as often as
 * there are; after a dry walk the answer means nothing.
 */
struct lu_pin_rec *lu_refs_next_pin(const struct domain *d,
                                    struct lu_pin_rec *prev)
{
    static struct lu_pin_rec none;

    if ( !pins )
        return &none;

    return &pins[prev ? container_of(prev, struct pin, rec)->next
                      : refs_of(d)->first].rec;
}

/* ---- Plain pages ----------------------------------------------------------- */

struct plain {
    uint64_t page_refs, writable_refs;
};

/* One page: is it in use and plain or writable?  Not counted otherwise. */
static always_inline bool plain_page(const struct page_info *pg,
                                     unsigned long owner, struct plain *sum)
{
    const unsigned long refs = pg->count_info - PGC_allocated;
    const unsigned long type = pg->u.inuse.type_info;

    if ( lu_owner_id(pg) != owner || refs > PGC_count_mask ||
         (type && type - LU_PGT_WRITABLE > PGT_count_mask) )
        return false;

    sum->page_refs += refs;
    sum->writable_refs += type & PGT_count_mask;

    return true;
}

#define RUN 8

/* Are RUN pages all as the one before them? */
static always_inline bool same_block(const struct page_info *pg)
{
    const typeof(lu_owner_id(pg)) owner = lu_owner_id(&pg[-1]);
    const unsigned long count = pg[-1].count_info;
    const unsigned long type = pg[-1].u.inuse.type_info;
    unsigned int i;

#pragma GCC unroll 8
    for ( i = 0; i < RUN; i++ )
        if ( pg[i].count_info != count || pg[i].u.inuse.type_info != type ||
             lu_owner_id(&pg[i]) != owner )
            return false;

    return true;
}

/* How many there are from pg on, `most` at most; counted. */
static unsigned long plain_pages(const struct page_info *pg, unsigned long most,
                                 unsigned long owner,
                                 struct lu_pagetables_rec *total)
{
    struct plain sum = { };
    unsigned long n = 0, end;

    do {
        for ( end = min(most, n + RUN);
              n < end && plain_page(&pg[n], owner, &sum); n++ )
            continue;
        if ( n < end )
            break;

        while ( most - n >= RUN && same_block(&pg[n]) )
            n += RUN;
        /* All of these are as the last one before them. */
        sum.page_refs += (n - end) * (pg[end - 1].count_info & PGC_count_mask);
        sum.writable_refs += (n - end) *
                             (pg[end - 1].u.inuse.type_info & PGT_count_mask);
    } while ( n < most );

    total->page_refs += sum.page_refs;
    total->writable_refs += sum.writable_refs;

    return n;
}

/* ---- All pages ------------------------------------------------------------- */

/* Its type's references. */
static void add_type(struct lu_pagetables_rec *sum, unsigned long info)
{
    const unsigned long refs = info & PGT_count_mask;

    if ( info & PGT_partial )
    {
        sum->flags |= LU_PT_F_INEXACT;
        return;
    }
    if ( !refs || !(info & PGT_validated) )
        return;

    switch ( info & PGT_type_mask )
    {
    case PGT_l1_page_table:
    case PGT_l2_page_table:
    case PGT_l3_page_table:
    case PGT_l4_page_table:
    {
        unsigned int i = MASK_EXTR(info, PGT_type_mask) - 1;

        sum->tables[i]++;
        sum->table_refs[i] += refs;
        break;
    }

    case PGT_seg_desc_page:
        sum->segdesc_refs += refs;
        break;

    case PGT_writable_page:
        sum->writable_refs += refs;
        break;
    }
}

/* A page table in use: pinned? */
static int add_table(const struct domain *d, struct refs *r,
                     const struct page_info *pg, unsigned long info)
{
    const unsigned int level = MASK_EXTR(info, PGT_type_mask);
    const unsigned long mfn = mfn_x(page_to_mfn(pg));

    if ( pg->linear_pt_count )
    {
        /* It is MEMORY that is being saved. */
        lu_report_feature(lu_kind_pagetables.name);
        return lu_blocker(-EOPNOTSUPP, d,
                          "linear-pt: L%u table %#lx is linked with another one of its level",
                          level, mfn);
    }

    if ( !(info & PGT_pinned) )
        return 0;

    if ( pins )
    {
        if ( nr_pins == max_pins )
            return lu_error(-ENOSPC, d, "PAGETABLES: more than %u pinned tables",
                            max_pins);
        pins[nr_pins].rec = (struct lu_pin_rec){ .mfn = mfn, .level = level };
        if ( r->first == NO_PIN )
            r->first = nr_pins;
        else
            pins[r->last].next = nr_pins;
        r->last = nr_pins;
    }
    nr_pins++;
    r->sum.nr_pins++;

    return 0;
}

/*
 * Counts pages of d from pg on, ordinary ones (no extra page, none of the Xen heap)
 * whose page_info is contiguous: one or more, `most` at most.  Returns how many, 0 if
 * the first is not of d, or -errno, reported.  CPU 0; for good when nothing runs, for
 * practice at any time.
 */
long lu_refs_add(const struct domain *d, const struct page_info *pg,
                 unsigned long most)
{
    const unsigned long owner = lu_owner_id_of(d);
    struct refs *r = refs_of(d);
    unsigned long n, info;
    int rc = 0;

    if ( !r )
        return lu_error(-ENOSPC, d, "PAGETABLES: more than %u domains",
                        max_domains);

    n = plain_pages(pg, most, owner, &r->sum);
    if ( n )
        return n;

    if ( lu_owner_id(pg) != owner )
        return 0;

    info = pg->u.inuse.type_info;
    r->sum.page_refs += pg->count_info & PGC_count_mask;
    /* One of these is restore's, see own_pages(). */
    if ( lu_booting && !(pg->count_info & PGC_allocated) )
        r->sum.page_refs--;

    add_type(&r->sum, info);
    if ( (info & PGT_type_mask) >= PGT_l1_page_table &&
         (info & PGT_type_mask) <= PGT_l4_page_table &&
         (info & PGT_validated) && (info & PGT_count_mask) )
        rc = add_table(d, r, pg, info);

    return rc ?: 1;
}

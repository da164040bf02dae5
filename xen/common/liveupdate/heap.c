/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free memory of the new Xen: it joins the heap after the domains run.
 *
 * Included at the end of common/page_alloc.c.  Putting a page into the heap
 * costs time for each one, so that a host with much free memory would stand still
 * for long.  Happy path: at the end of the boot allocator the free ranges come
 * here and wait, counted as free wherever the heap counts; lu_heap_start(), once
 * the domains run, sets a timer that joins a small portion each millisecond.
 * Whoever finds no memory meanwhile joins what he needs: restore lives on that.
 *
 * A range that waits is described by the page_info of its first page (list, and
 * the number of pages in type_info), so that there may be any number of them.
 * The rest of it, and every other page_info of the range, is zero: in use, owned
 * by nobody.  A page that is offlined while it waits becomes so as it joins.
 *
 * What can fail: nothing.  Until all has joined, memory may come from another
 * node than would have been preferred, and more than 2^JOIN_ORDER contiguous
 * pages may not be found that would be.
 */
#include <xen/timer.h>

#include "internal.h"

/* Joined at a time, with the heap's lock held: 4 MiB. */
#define JOIN_ORDER 10
/* Of each PERIOD on CPU 0. */
#define SHARE  MICROSECS(200)
#define PERIOD MILLISECS(1)

/* Ranges that wait, by zone; nested outside the heap's lock. */
static DEFINE_SPINLOCK(join_lock);
static struct page_list_head waiting[NR_ZONES];
static unsigned long nr_waiting;        /* pages */
static unsigned long nr_given;          /* to whoever found none */

/* The first page of what join() is putting in. */
const struct page_info *__read_mostly lu_joining;

static struct timer join_timer;
static unsigned long report_pages;      /* 0: nothing to report */
static s_time_t report_since;

/* Called by free_heap_pages(), lock held: its pages are counted already. */
void lu_heap_joined(unsigned int node, unsigned int zone, unsigned int order)
{
    avail[node][zone] -= 1UL << order;
    total_avail_pages -= 1L << order;
    /* The lock is dropped before join() goes on: others may free this page. */
    lu_joining = NULL;
}

/* Join lock held; [s, e) does not wait any more. */
static void join(unsigned long s, unsigned long e)
{
    nr_waiting -= e - s;

    while ( s < e )
    {
        struct page_info *pg = mfn_to_page(_mfn(s));
        unsigned int order = min_t(unsigned int, JOIN_ORDER, flsl(e - s) - 1);

        order = min_t(unsigned int, order, ffsl(s) - 1);
        lu_joining = pg;
        free_heap_pages(pg, order, true);
        s += 1UL << order;
    }
}

static unsigned long range_end(const struct page_info *head)
{
    return mfn_x(page_to_mfn(head)) + head->u.inuse.type_info;
}

static void wait_add(unsigned int zone, unsigned long s, unsigned long e)
{
    struct page_info *head = mfn_to_page(_mfn(s));

    head->u.inuse.type_info = e - s;
    page_list_add_tail(head, &waiting[zone]);
}

/* Join lock held: takes [s, e) out of the range at `head` and joins it. */
static void join_part(unsigned int zone, struct page_info *head,
                      unsigned long s, unsigned long e)
{
    const unsigned long first = mfn_x(page_to_mfn(head));

    if ( e < range_end(head) )
        wait_add(zone, e, range_end(head));

    head->u.inuse.type_info = s - first;
    if ( s == first )
        page_list_del(head, &waiting[zone]);

    join(s, e);
}

/* The next portion, highest first as the heap hands them out. */
static bool join_next(void)
{
    unsigned int zone = NR_ZONES;

    spin_lock(&join_lock);
    while ( nr_waiting && zone-- > 0 )
    {
        struct page_info *head = page_list_first(&waiting[zone]);
        unsigned long e, n;

        if ( page_list_empty(&waiting[zone]) )
            continue;

        e = range_end(head);
        n = (e & ((1UL << JOIN_ORDER) - 1)) ?: 1UL << JOIN_ORDER;
        n = min_t(unsigned long, n, head->u.inuse.type_info);
        join_part(zone, head, e - n, e);
        break;
    }
    spin_unlock(&join_lock);

    return nr_waiting;
}

/* Joins an aligned block of that order from these zones; false: there is none. */
static bool join_for(unsigned int zone_lo, unsigned int zone_hi,
                     unsigned int order, unsigned int memflags)
{
    const nodeid_t node = memflags & MEMF_exact_node ? MEMF_get_node(memflags)
                                                     : NUMA_NO_NODE;
    unsigned int zone = zone_hi + 1;
    bool found = false;

    spin_lock(&join_lock);
    while ( nr_waiting && !found && zone-- > zone_lo )
    {
        struct page_info *head;

        if ( page_list_empty(&waiting[zone]) )
            continue;

        page_list_for_each ( head, &waiting[zone] )
        {
            const unsigned long s = mfn_x(page_to_mfn(head));
            unsigned int k = max_t(unsigned int, order, JOIN_ORDER);
            unsigned long e;

            if ( node != NUMA_NO_NODE &&
                 phys_to_nid(page_to_maddr(head)) != node )
                continue;

            do {
                e = range_end(head) & ~((1UL << k) - 1);
                found = e >= s + (1UL << k);
            } while ( !found && k-- > order );

            if ( found )
            {
                nr_given += 1UL << k;
                join_part(zone, head, e - (1UL << k), e);
                break;
            }
        }
    }
    spin_unlock(&join_lock);

    return found;
}

/* Refused for the sake of others' claims, which count what waits too. */
static bool claimed(unsigned int order, unsigned int memflags,
                    const struct domain *d)
{
    const unsigned long request = 1UL << order;
    bool ret;

    spin_lock(&heap_lock);
    ret = outstanding_claims + request > total_avail_pages &&
          ((memflags & MEMF_no_refcount) || !d ||
           d->outstanding_pages < request);
    spin_unlock(&heap_lock);

    return ret;
}

/*
 * In place of alloc_heap_pages(): before it fails, what waits is looked at.  More
 * than one try is for when another CPU was faster.
 */
struct page_info *lu_alloc_heap_pages(unsigned int zone_lo,
                                      unsigned int zone_hi,
                                      unsigned int order,
                                      unsigned int memflags, struct domain *d)
{
    struct page_info *pg;
    unsigned int tries = 16;

    do {
        pg = alloc_heap_pages(zone_lo, zone_hi, order, memflags, d);
    } while ( unlikely(!pg) && nr_waiting && order <= MAX_ORDER && tries-- &&
              !claimed(order, memflags, d) &&
              join_for(zone_lo, zone_hi, order, memflags) );

    return pg;
}

/* ---- Boot ------------------------------------------------------------------ */

/* How many pages from mfn on are of one node and zone; `nr` at most. */
static unsigned long __init alike(unsigned long mfn, unsigned long nr)
{
    /* No node begins and ends between two pages that are so close. */
    const unsigned long stride = PFN_DOWN(MB(1));
    const unsigned long e = min(mfn + nr, 1UL << flsl(mfn));
    const nodeid_t node = phys_to_nid(pfn_to_paddr(mfn));
    unsigned long m = mfn;

    while ( m < e )
    {
        unsigned long next = min(e, (m | (stride - 1)) + 1);

        if ( phys_to_nid(pfn_to_paddr(next - 1)) != node )
        {
            while ( phys_to_nid(pfn_to_paddr(m)) == node )
                m++;
            break;
        }
        m = next;
    }

    return m - mfn;
}

/* The first of the pages [s, e) that are known to be bad, see init_boot_pages(). */
static bool __init next_bad(unsigned long s, unsigned long e,
                            unsigned long *bad_s, unsigned long *bad_e)
{
    unsigned int nr = 0, i;
    const struct platform_bad_page *bad = get_platform_badpages(&nr);
    const char *p = opt_badpage;

    *bad_s = *bad_e = e;

    for ( i = 0; bad && i < nr; i++ )
        if ( bad[i].mfn < *bad_s && bad[i].mfn + (1UL << bad[i].order) > s )
        {
            *bad_s = max(s, bad[i].mfn);
            *bad_e = min(e, bad[i].mfn + (1UL << bad[i].order));
        }

    while ( *p )
    {
        const unsigned long first = simple_strtoul(p, &p, 0);
        unsigned long last = first;

        if ( *p == '-' )
            last = max(first, simple_strtoul(p + 1, &p, 0));
        if ( first < *bad_s && last >= s )
        {
            *bad_s = max(s, first);
            *bad_e = min(e, last + 1);
        }
        if ( *p != ',' )
            break;
        p++;
    }

    return *bad_s < e;
}

static void __init wait_pages(unsigned long s, unsigned long nr)
{
    unsigned int zone;

    while ( nr )
    {
        unsigned long n = alike(s, nr);
        unsigned int node = phys_to_nid(pfn_to_paddr(s));

        zone = page_to_zone(mfn_to_page(_mfn(s)));
        nr -= n;

        /* The first pages of a node hold the heads of its lists. */
        if ( !avail[node] )
        {
            const unsigned long head = min(n, 16UL);

            _init_heap_pages(mfn_to_page(_mfn(s)), head, true);
            s += head;
            n -= head;
        }

        if ( n )
        {
            spin_lock(&heap_lock);
            avail[node][zone] += n;
            total_avail_pages += n;
            spin_unlock(&heap_lock);
            nr_waiting += n;
            wait_add(zone, s, s + n);
            s += n;
        }
    }
}

/* In place of init_heap_pages(), for what the boot allocator has left. */
void __init lu_init_heap_pages(struct page_info *pg, unsigned long nr)
{
    static bool __initdata ready;
    unsigned long s = mfn_x(page_to_mfn(pg)), e = s + nr, bad_s, bad_e;
    unsigned int zone;

    if ( !lu_booting )
    {
        init_heap_pages(pg, nr);
        return;
    }

    for ( zone = 0; !ready && zone < NR_ZONES; zone++ )
        INIT_PAGE_LIST_HEAD(&waiting[zone]);
    ready = true;

    /* What init_boot_pages() leaves out, of ranges that never went there. */
    for ( ; next_bad(s, e, &bad_s, &bad_e); s = bad_e )
        wait_pages(s, bad_s - s);
    wait_pages(s, e - s);
}

/* ---- When the domains run --------------------------------------------------- */

static void report(void)
{
    if ( report_pages && !nr_waiting )
    {
        printk(XENLOG_INFO
               "live-update: %lu MiB of free memory joined the heap in %lu ms\n",
               report_pages >> (20 - PAGE_SHIFT),
               (unsigned long)((NOW() - report_since) / MILLISECS(1)));
        report_pages = 0;
    }
}

static void cf_check join_share(void *unused)
{
    const s_time_t end = NOW() + SHARE;

    while ( join_next() && NOW() < end )
        continue;

    if ( nr_waiting )
        set_timer(&join_timer, NOW() + PERIOD);
    else
        report();
}

/* CPU 0, once the domains run. */
void lu_heap_start(void)
{
    printk(XENLOG_DEBUG
           "live-update: %lu KiB of free memory joined the heap for restore\n",
           nr_given << (PAGE_SHIFT - 10));
    report_pages = nr_waiting;
    report_since = NOW();
    init_timer(&join_timer, join_share, NULL, 0);
    set_timer(&join_timer, report_since + PERIOD);
}

/*
 * As domain_set_outstanding_pages(), which would refuse what this Xen cannot keep
 * free: its own size may be another.  Allocations of others fail then, as they do
 * whenever memory is short.
 */
void lu_set_claim(struct domain *d, unsigned int pages)
{
    long all, avail;

    spin_lock(&d->page_alloc_lock);
    spin_lock(&heap_lock);
    ASSERT(!d->outstanding_pages);
    d->outstanding_pages = pages;
    outstanding_claims += pages;
    all = outstanding_claims;
    avail = total_avail_pages;
    spin_unlock(&heap_lock);
    spin_unlock(&d->page_alloc_lock);

    if ( pages && all > avail )
        printk(XENLOG_WARNING
               "live-update: d%d: claimed %u pages: %ld are claimed in all and %ld free\n",
               d->domain_id, pages, all, avail);
}

/*
 * CPU 0, idle vCPU, IRQs on: before the next update looks at memory.  Nothing is
 * added later, so from here on each free page is in the heap.
 */
void lu_heap_finish(void)
{
    if ( nr_waiting )
        printk(XENLOG_INFO
               "live-update: %lu MiB of free memory join the heap first\n",
               nr_waiting >> (20 - PAGE_SHIFT));

    while ( join_next() )
        process_pending_softirqs();

    report();
}

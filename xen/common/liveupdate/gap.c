/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * FROZEN: since when a domain stands still, so that its gap can be told.
 *
 * The old Xen notes the TSC before it stops a domain's vCPUs, and this crosses;
 * the new one takes it again as it lets the domain go.  The difference is the
 * domain's gap, for tools to ask for (XEN_LIVE_UPDATE_gap).  Both are times of
 * CPU 0.
 *
 * The record is optional, as no domain needs it.  What can fail: a lack of
 * memory for the lists, which refuses an update in the old Xen.  In the new one
 * there are no gaps to tell then; nor is there one of a domain that was made
 * just before the freeze, among more than the list has room for.
 */
#include <xen/liveupdate.h>
#include <xen/nospec.h>
#include <xen/sched.h>

#include "internal.h"

struct entry {
    domid_t domid;
    uint64_t frozen_tsc;
    uint64_t gap_ns;
};

/* In the order of domids, as domains are frozen and restored. */
static struct list {
    struct entry *e;
    unsigned int nr, room;
} freezing, restored;

/* Domains that may be made before dom0 is frozen. */
#define SLACK 16

static void add(struct list *l, const struct domain *d, uint64_t tsc)
{
    if ( l->nr < l->room )
        l->e[l->nr++] = (struct entry){
            .domid = d->domain_id, .frozen_tsc = tsc,
        };
}

static struct entry *find(const struct list *l, const struct domain *d)
{
    unsigned int lo = 0, hi = l->nr;

    while ( lo < hi )
    {
        const unsigned int mid = lo + (hi - lo) / 2;

        if ( l->e[mid].domid < d->domain_id )
            lo = mid + 1;
        else
            hi = mid;
    }

    return lo < l->nr && l->e[lo].domid == d->domain_id ? &l->e[lo] : NULL;
}

int lu_gaps_prepare(void)
{
    const struct domain *d;
    unsigned int nr = SLACK;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
        nr++;
    rcu_read_unlock(&domlist_read_lock);

    lu_gaps_done();
    freezing.e = lu_fault_alloc() ? NULL : xmalloc_array(struct entry, nr);
    if ( !freezing.e )
        return lu_error(-ENOMEM, NULL, "no list of %u domains", nr);
    freezing.room = nr;

    return 0;
}

void lu_gaps_done(void)
{
    XFREE(freezing.e);
    freezing.nr = freezing.room = 0;
}

void lu_gap_begin(const struct domain *d)
{
    add(&freezing, d, rdtsc());
}

void lu_gap_end(const struct domain *d)
{
    struct entry *e = find(&restored, d);

    if ( e )
        e->gap_ns = lu_tsc_ns(e->frozen_tsc, rdtsc());
}

int lu_gap(unsigned int i, struct xen_live_update_gap *gap)
{
    const struct entry *e;

    if ( i >= restored.nr )
        return -ENOENT;

    e = &restored.e[array_index_nospec(i, restored.nr)];
    *gap = (struct xen_live_update_gap){
        .domid = e->domid, .gap_ns = e->gap_ns,
    };

    return 0;
}

static int cf_check save_frozen(struct lu_stream *s, struct domain *d)
{
    const struct entry *e = find(&freezing, d);
    const struct lu_frozen_rec r = {
        .id = lu_id(&lu_kind_frozen, d, 0),
        .frozen_tsc = e ? e->frozen_tsc : 0,
    };

    /* For practice it is too early to tell, and one more does no harm. */
    if ( !e && lu_frozen )
        return 0;

    return lu_rec_write(s, LU_REC_FROZEN | LU_REC_OPTIONAL, &r, sizeof(r));
}

static int cf_check restore_frozen(const struct lu_stream *s,
                                   const struct lu_rec *rec, struct domain *d)
{
    const unsigned int nr = lu_progress.from.nr_domains;
    struct lu_frozen_rec r;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;

    if ( !restored.e )
    {
        restored.e = xmalloc_array(struct entry, nr);
        if ( !restored.e )
            printk(XENLOG_WARNING
                   "live-update: FROZEN: no list of %u domains\n", nr);
        else
            restored.room = nr;
    }
    add(&restored, d, r.frozen_tsc);

    return 0;
}

const struct lu_kind lu_kind_frozen = {
    .name = "FROZEN",
    .type = LU_REC_FROZEN,
    .size = sizeof(struct lu_frozen_rec),
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .optional = true,
    .save = save_frozen,
    .restore = restore_frozen,
};

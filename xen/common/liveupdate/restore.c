/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Restore: the new Xen takes the domains over.
 *
 * Called where an ordinary boot builds dom0: all CPUs are up, initcalls are
 * done, current is the idle vCPU.  The stream is walked once per pass; each
 * record goes to the restore function of its kind if this is its pass.  After
 * the last pass and the audit the domains are as they were, and paused;
 * lu_resume() lets them go once the rest of the boot is done.
 *
 * What can fail: after the jump nothing can be refused any more.  An error is a
 * panic, here and nowhere else, that names the record and the domain.
 */
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/version.h>

#include <asm/liveupdate.h>

#include "internal.h"

struct domain *lu_domain(uint16_t domid)
{
    struct domain *d;

    for_each_domain ( d )
        if ( d->domain_id == domid )
            return d;

    return NULL;
}

static void __init noreturn restore_failed(const char *what, uint16_t domid,
                                           uint32_t instance, int rc)
{
    if ( domid == LU_DOMID_HOST )
        panic("live-update: %s: %d\n", what, rc);

    panic("live-update: d%u: %s %u: %d\n", domid, what, instance, rc);
}

static void __init restore_record(const struct lu_stream *s,
                                  const struct lu_rec *rec, enum lu_pass pass)
{
    const unsigned int nr = lu_kind_index(rec->type);
    const struct lu_kind *k;
    struct domain *d = NULL;
    int rc;

    /* Unknown and not optional, or of an unknown version: see rules.c. */
    if ( nr == lu_nr_kinds )
        return;

    k = lu_kinds[nr];
    if ( k->pass != pass || !k->restore )
        return;

    if ( k->per_domain && pass > LU_PASS_CREATE )
    {
        d = lu_domain(rec->id.domid);
        if ( !d )
            restore_failed(k->name, rec->id.domid, rec->id.instance, -ESRCH);
    }
    else if ( k->per_domain )
        d = lu_domain(rec->id.domid);

    rc = k->restore(s, rec, d);
    if ( rc )
        restore_failed(k->name, rec->id.domid, rec->id.instance, rc);

    if ( pass == LU_PASS_WIRE )
        lu_raise(LU_RAISE_WIRED);
}

struct domain *__init lu_restore_domains(void)
{
    const struct lu_stream *s = lu_stream_boot();
    enum lu_pass pass;
    struct domain *d;
    unsigned int i;

    for ( pass = LU_PASS_HOST; pass < LU_PASS_AUDIT; pass++ )
    {
        struct lu_rec rec = { };
        int rc;

        lu_progress.pass[pass] = rdtsc();
        while ( (rc = lu_next(s, &rec)) > 0 )
        {
            restore_record(s, &rec, pass);
            process_pending_softirqs();
        }
        if ( rc )
            panic("live-update: the stream changed while it was read (%d)\n",
                  rc);
    }

    lu_progress.pass[LU_PASS_AUDIT] = rdtsc();
    for ( i = 0; i < lu_nr_kinds; i++ )
    {
        const struct lu_kind *k = lu_kinds[i];
        int rc;

        if ( !k->audit )
            continue;
        if ( !k->per_domain )
        {
            rc = k->audit(s, NULL);
            if ( rc )
                restore_failed(k->name, LU_DOMID_HOST, 0, rc);
            continue;
        }
        for_each_domain ( d )
        {
            rc = k->audit(s, d);
            if ( rc )
                restore_failed(k->name, d->domain_id, 0, rc);
        }
    }

    lu_refs_end();
    lu_raise(LU_RAISE_AUDITED);
    lu_progress.restored_tsc = rdtsc();

    return hardware_domain;
}

/* In virtual or real milliseconds, with one decimal: the clock of the TSC. */
static unsigned long tenths(uint64_t from, uint64_t to)
{
    return to > from ? (to - from) * 10 / cpu_khz : 0;
}

/* The last act of boot, in place of unpausing dom0. */
void lu_resume(void)
{
    const struct lu_host_rec *from = &lu_progress.from;
    struct domain *d;
    const void *id;
    unsigned int len = 0;
    uint64_t start = lu_progress.start_tsc, now;
    unsigned int i, nr = 0;

    lu_pages_resume();
    for_each_domain ( d )
    {
        lu_resume_domain(d);
        nr++;
    }
    lu_raise(LU_RAISE_RESUMED);

    /* Before any domain runs: it may create others, which are no old ones. */
    lu_booting = false;
    for_each_domain ( d )
    {
        domain_unpause(d);
        lu_gap_end(d);
    }

    now = lu_progress.released_tsc = rdtsc();
    lu_dump_keep();
    lu_heap_start();

    if ( xen_build_id(&id, &len) )
        len = 0;

    printk(XENLOG_INFO
           "live-update: update %lu: Xen %u.%u%s (build %*phN) replaced by %u.%u%s (build %*phN), %u domains, %lu MiB kept\n",
           lu_progress.updates, from->xen_major, from->xen_minor,
           from->extraversion, min(from->build_id_len, 6U), from->build_id,
           xen_major_version(), xen_minor_version(), xen_extra_version(),
           min(len, 6U), id, nr, lu_progress.kept >> (20 - PAGE_SHIFT));

#define T(a, b) tenths(a, b) / 10, tenths(a, b) % 10
    for ( i = LU_PASS_HOST; i < LU_PASS_AUDIT; i++ )
        printk(XENLOG_DEBUG "live-update: pass %u: %lu us\n", i,
               tenths(lu_progress.pass[i], lu_progress.pass[i + 1]) * 100);
    printk(XENLOG_DEBUG "live-update: audit: %lu us\n",
           tenths(lu_progress.pass[LU_PASS_AUDIT], lu_progress.restored_tsc) *
           100);

    printk(XENLOG_INFO
           "live-update: paused %lu.%lu ms: freeze %lu.%lu, save %lu.%lu, jump %lu.%lu, boot %lu.%lu, restore %lu.%lu, release %lu.%lu\n",
           T(from->pause_tsc, now), T(from->pause_tsc, from->parked_tsc),
           T(from->parked_tsc, lu_progress.saved_tsc),
           T(lu_progress.saved_tsc, start),
           T(start, lu_progress.pass[LU_PASS_HOST]),
           T(lu_progress.pass[LU_PASS_HOST], lu_progress.restored_tsc),
           T(lu_progress.restored_tsc, now));
#undef T
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trigger, freeze, save: the old Xen's side of an update.
 *
 * KEXEC_CMD_kexec of type 2 comes here on the idle vCPU of CPU0, the calling
 * vCPU asleep.  In order:
 *   while everything runs: look for blockers, make a dry save to learn the size
 *     of the stream, allocate it;
 *   pause every domain (dom0 first, so that no new one appears), stop the
 *     scheduler, drain RCU and softirqs, finish what is half done, look again;
 *   mask the domains' interrupts at their source, park every other CPU, switch
 *     off our own interrupts.  From here on no port, queue tail or timer changes;
 *   save, seal, leave the breadcrumb, INIT the other CPUs, jump.
 *
 * What can fail: everything up to the INIT, and all of it is undone in reverse
 * order by the ladder at the end of lu_exec(): the host goes on as if nothing
 * had happened, the hypercall returns the errno, the log has the reason.  What may be
 * over in a moment is tried again first (lu_again()).
 */
#include <xen/console.h>
#include <xen/domain.h>
#include <xen/domain_page.h>
#include <xen/guest_access.h>
#include <xen/hypercall.h>
#include <xen/kexec.h>
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/rcupdate.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/sort.h>
#include <xen/tasklet.h>
#include <xen/watchdog.h>

#include "internal.h"

/* ---- The stream's memory -------------------------------------------------- */

struct stream_mem {
    uint64_t *mfns;             /* sorted; contiguous pages of the Xen heap */
    unsigned int nr;            /* pages of the stream */
    unsigned int order;         /* of mfns */
};

static void *cf_check stream_page(void *ctx, uint32_t idx)
{
    const struct stream_mem *m = ctx;

    return mfn_to_virt(m->mfns[idx]);
}

static void free_stream(struct stream_mem *m)
{
    unsigned int i;

    for ( i = 0; i < m->nr; i++ )
        free_xenheap_page(mfn_to_virt(m->mfns[i]));
    if ( m->mfns )
        free_xenheap_pages(m->mfns, m->order);
    memset(m, 0, sizeof(*m));
}

static int cf_check cmp_mfn(const void *a, const void *b)
{
    const uint64_t *l = a, *r = b;

    return *l < *r ? -1 : *l > *r;
}

static void cf_check swap_mfn(void *a, void *b, size_t size)
{
    uint64_t *l = a, *r = b, t = *l;

    *l = *r;
    *r = t;
}

static int alloc_stream(struct stream_mem *m, uint64_t bytes)
{
    unsigned int want = DIV_ROUND_UP(bytes, LU_STREAM_PAGE), i;

    m->order = get_order_from_bytes(want * sizeof(*m->mfns));
    m->mfns = lu_fault_alloc() ? NULL : alloc_xenheap_pages(m->order, 0);

    while ( m->mfns && m->nr < want )
    {
        void *p = lu_fault_alloc() ? NULL : alloc_xenheap_page();

        if ( !p )
            break;
        m->mfns[m->nr++] = virt_to_mfn(p);
    }

    if ( m->nr < want )
    {
        lu_error(-ENOMEM, NULL, "stream: %lu KiB of %lu KiB are missing",
                 (want - m->nr + 0UL) << (PAGE_SHIFT - 10),
                 (want + 0UL) << (PAGE_SHIFT - 10));
        free_stream(m);
        return -ENOMEM;
    }

    /* Which page holds which part is free to choose: sorted suits the scan. */
    sort(m->mfns, m->nr, sizeof(*m->mfns), cmp_mfn, swap_mfn);
    if ( lu_pages_prepare(m->nr + 1) )
    {
        free_stream(m);
        return lu_error(-ENOMEM, NULL, "stream: no list of extents");
    }
    for ( i = 0; i < m->nr; i++ )
        lu_pages_internal(m->mfns[i], 1);
    lu_pages_internal(virt_to_mfn(m->mfns), 1U << m->order);
    lu_pages_seal();

    return 0;
}

/* ---- Walking the table of kinds ------------------------------------------- */

static int check_all(void)
{
    const struct domain *d;
    unsigned int i;
    int rc, first = 0;

    for ( i = 0; i < lu_nr_kinds; i++ )
    {
        const struct lu_kind *k = lu_kinds[i];

        if ( !k->check )
            continue;
        lu_report_feature(k->name);
        if ( !k->per_domain )
        {
            rc = k->check(NULL);
            first = first ?: rc;
            continue;
        }
        rcu_read_lock(&domlist_read_lock);
        for_each_domain ( d )
        {
            rc = k->check(d);
            first = first ?: rc;
        }
        rcu_read_unlock(&domlist_read_lock);
    }

    return first;
}

static int save_one(struct lu_stream *s, const struct lu_kind *k,
                    struct domain *d)
{
    int rc;

    lu_report_feature(k->name);
    rc = k->save ? k->save(s, d) : 0;

    return rc ? lu_error(rc, d, "%s: cannot be saved", k->name) : 0;
}

static int save_all(struct lu_stream *s)
{
    struct domain *d;
    unsigned int i;
    int rc = 0;

    for ( i = 0; i < lu_nr_kinds && !rc; i++ )
        if ( !lu_kinds[i]->per_domain )
            rc = save_one(s, lu_kinds[i], NULL);

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
        for ( i = 0; i < lu_nr_kinds && !rc; i++ )
            if ( lu_kinds[i]->per_domain )
                rc = save_one(s, lu_kinds[i], d);
    rcu_read_unlock(&domlist_read_lock);

    return rc ?: lu_stream_seal(s);
}

/* ---- Freeze ---------------------------------------------------------------- */

bool __read_mostly lu_frozen;

static void freeze_domains(void)
{
    struct domain *d;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
    {
        lu_gap_begin(d);
        domain_pause(d);
    }
    rcu_read_unlock(&domlist_read_lock);

    scheduler_disable();
    lu_frozen = true;
}

static void thaw_domains(void)
{
    struct domain *d;

    lu_frozen = false;
    scheduler_enable();

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
    {
        lu_denormalise_domain(d);
        domain_unpause(d);
    }
    rcu_read_unlock(&domlist_read_lock);
}

static int normalise_domains(void)
{
    struct domain *d;
    int rc = 0;

    for_each_domain ( d )
    {
        rc = lu_normalise_domain(d);
        if ( rc )
            break;
    }

    return rc;
}

/*
 * Another vCPU's hypercall may go on in a tasklet of some CPU.  Its vCPU would
 * find success in the new Xen, whatever was left to do.
 */
static int check_continuations(const struct vcpu *caller)
{
    const struct domain *d;
    const struct vcpu *v;
    int rc = 0;

    for_each_domain ( d )
        for_each_vcpu ( d, v )
            if ( v != caller &&
                 (tasklet_is_scheduled(&v->continue_hypercall_tasklet) ||
                  v->continue_hypercall_tasklet.is_running) )
                rc = lu_blocker(-EAGAIN, d,
                                "continuation: v%d waits for a hypercall that another CPU finishes",
                                v->vcpu_id);

    return rc;
}

/*
 * Frozen: nobody but toolstack, shutdown, S3 and us may hold a domain or a vCPU, since
 * a pause that has no record would be gone.
 */
static int check_pauses(const struct vcpu *caller)
{
    const struct domain *d;
    const struct vcpu *v;
    int rc = 0;

    for_each_domain ( d )
    {
        const int held = atomic_read(&d->pause_count) -
                         d->controller_pause_count - lu_hvm_pauses(d) - 1;

        if ( held )
            rc = lu_blocker(-EAGAIN, d, "pause: held %d times by Xen", held);

        for_each_vcpu ( d, v )
        {
            const int v_held = atomic_read(&v->pause_count) -
                               v->controller_pause_count -
                               v->paused_for_shutdown - (v == caller);

            if ( v_held )
                rc = lu_blocker(-EAGAIN, d, "pause: v%d is held %d times by Xen",
                                v->vcpu_id, v_held);
        }
    }

    return rc;
}

/*
 * Some state may have grown between the dry save and the freeze: a little slack
 * is cheap, and running out of it only means trying again.
 */
static uint64_t with_slack(uint64_t bytes)
{
    return bytes + bytes / 8 + KB(64);
}

/*
 * All that can be found while everything runs, and the stream's memory.  Without an
 * image what depends on one is left out.  The caller frees `mem` in any case.
 * `checked`: no blocker was found.
 */
static int prepare(const struct kexec_image *image, struct stream_mem *mem,
                   bool *checked)
{
    struct lu_stream s;
    int rc, err;

    lu_heap_finish();

    lu_report_feature(NULL);
    rc = image ? lu_image_verify(image) : 0;
    err = check_all();
    rc = rc ?: err ?: lu_refs_begin() ?: lu_gaps_prepare();
    if ( rc )
        return rc;

    *checked = true;
    lu_write_init(&s, NULL, NULL, ~0UL >> 1);
    rc = save_all(&s);
    lu_report_feature("room");
    if ( !rc && image )
        rc = lu_room_check(&lu_room, lu_image_page_info_size());

    return rc ?: alloc_stream(mem, with_slack(s.pos));
}

/*
 * Idle vCPU of CPU0: would lu_exec() of this image, NULL for none, get as far as
 * the freeze?  0 or -errno, each reason reported.
 */
long lu_check(const struct kexec_image *image)
{
    struct stream_mem mem = { };
    bool checked = false;
    int rc = prepare(image, &mem, &checked);

    free_stream(&mem);
    lu_pages_done();
    lu_gaps_done();

    return rc;
}

/*
 * Idle vCPU of CPU0, IRQs on, `caller` is the vCPU in the hypercall (asleep).
 * Does not return on success; -ERESTART: try again, domains having run.
 */
long lu_exec(struct kexec_image *image, struct vcpu *caller)
{
    struct stream_mem mem = { };
    struct lu_stream s;
    unsigned long flags;
    bool checked = false;
    int rc;

    ASSERT(smp_processor_id() == 0 && is_idle_vcpu(current));

    if ( system_state != SYS_STATE_active )
        return -EBUSY;

    printk(XENLOG_INFO "live-update: checking\n");
    rc = prepare(image, &mem, &checked);
    if ( rc )
        goto out;

    printk(XENLOG_INFO
           "live-update: stream of less than %u KiB, freezing\n",
           mem.nr * (LU_STREAM_PAGE >> 10));
    lu_report_feature("freeze");
    watchdog_disable();
    console_start_sync();

    lu_progress.pause_tsc = rdtsc();
    freeze_domains();
    lu_raise(LU_RAISE_FROZEN);

    rcu_barrier();
    process_pending_softirqs();
    lu_raise(LU_RAISE_DRAINED);

    rc = normalise_domains() ?: check_continuations(caller) ?: check_all();
    lu_report_feature("freeze");
    rc = rc ?: check_pauses(caller) ?: lu_pages_collect() ?: lu_fault_frozen();
    if ( rc )
        goto thaw;
    lu_raise(LU_RAISE_CHECKED);

    rc = lu_irq_mask_guests() ?: lu_park_cpus();
    if ( rc )
        goto unmask;
    lu_raise(LU_RAISE_PARKED);

    local_irq_save(flags);
    /* Nobody else runs, so locks that are not IRQ safe may be taken now. */
    spin_debug_disable();
    lu_time_sample();
    lu_progress.parked_tsc = rdtsc();

    /* The caller finds success in its hypercall when it runs again. */
    arch_hypercall_tasklet_result(caller, 0);

    lu_write_init(&s, stream_page, &mem, mem.nr * LU_STREAM_PAGE + 0ULL);
    rc = save_all(&s);
    lu_report_feature("room");
    rc = rc ?: lu_room_check(&lu_room, lu_image_page_info_size());
    /* A mistake of ours: not to be hidden by trying again. */
    if ( !rc && !lu_evtchn_unchanged() )
        rc = lu_error(-EIO, NULL,
                      "a port was made pending after its record was written");
    if ( !rc )
        rc = lu_fault_sealed(&s);
    if ( rc )
        goto unpark;

    lu_arch_jump(image, mem.mfns, mem.nr, s.pos);

 unpark:
    spin_debug_enable();
    local_irq_restore(flags);
    lu_unpark_cpus();
 unmask:
    lu_irq_unmask_guests();
 thaw:
    thaw_domains();
    console_end_sync();
    watchdog_enable();
 out:
    free_stream(&mem);
    lu_pages_done();
    lu_gaps_done();
    if ( lu_again(checked ? rc : 0) )
    {
        printk(XENLOG_INFO "live-update: not now (%d), trying again\n", rc);
        return -ERESTART;
    }
    printk(XENLOG_WARNING "live-update: refused, nothing was changed (%d)\n",
           rc);

    return rc;
}

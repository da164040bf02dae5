/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOMAIN and CAPS: the domain itself, and what hardware it may touch.
 *
 * DOMAIN carries what domain_create() wants and the identity and status that
 * hang on struct domain.  Restore creates the domain under its old ID, with its
 * shared_info page adopted in place (lu_adopt_shared_info() below), its policy
 * set before any vCPU exists, and as many vCPUs as it had: none yet, perhaps, if it is
 * being built.  The domain keeps the pause reference of domain_create() until
 * lu_resume(), which also claims what memory it had claimed: pages that it gets before
 * are those it had.
 *
 * CAPS carries the three range sets: I/O memory, I/O ports and GSIs.  MSI IRQs
 * are not in it: their numbers are Xen's own and are granted again when mapped.
 *
 * What can fail: a domain of a kind that is not carried, or doing something that
 * is not, is a blocker found by check_domain(), which is the table of them.
 */
#include <xen/domain.h>
#include <xen/err.h>
#include <xen/guest_access.h>
#include <xen/iocap.h>
#include <xen/mm.h>
#include <xen/rangeset.h>
#include <xen/sched.h>
#include <xen/vm_event.h>
#include <xen/xmalloc.h>

#include <asm/dom0_build.h>
#include <asm/e820.h>
#include <asm/liveupdate.h>
#include <asm/paging.h>
#include <asm/psr.h>
#include <asm/shared.h>
#include <asm/vpmu.h>
#include <asm/xstate.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Blockers -------------------------------------------------------------- */

/*
 * A page of Xen's that the domain may map and that nobody would share with it
 * again, 0 if there is none.  The buffers of a domain that xenoprof watches are
 * shared with who watches it, for example.
 */
static unsigned long foreign_shared_page(const struct domain *cd)
{
    struct domain *d = (struct domain *)cd; /* for the lock's sake only */
    const struct page_info *pg;
    unsigned long mfn = 0;

    spin_lock(&d->page_alloc_lock);
    page_list_for_each ( pg, &d->xenpage_list )
    {
        const void *virt = page_to_virt(pg);

        if ( virt != d->shared_info && !lu_grant_frame(d, virt) )
        {
            mfn = mfn_x(page_to_mfn(pg));
            break;
        }
    }
    spin_unlock(&d->page_alloc_lock);

    return mfn;
}

static bool uses_psr(const struct domain *d)
{
    unsigned int i;

    if ( d->arch.psr_rmid )
        return true;
    if ( d->arch.psr_cos_ids )
        for ( i = 0; i < nr_sockets; i++ )
            if ( d->arch.psr_cos_ids[i] )
                return true;

    return false;
}

static bool uses_vm_event(const struct domain *d)
{
    if ( vm_event_check_ring(d->vm_event_monitor) )
        return true;
#ifdef CONFIG_MEM_PAGING
    if ( vm_event_check_ring(d->vm_event_paging) )
        return true;
#endif
#ifdef CONFIG_MEM_SHARING
    if ( vm_event_check_ring(d->vm_event_share) )
        return true;
#endif

    return false;
}

static int check_vcpu(const struct vcpu *v, bool stopped)
{
    const struct domain *d = v->domain;
    int first = 0;

    BLOCK(v->arch.vpmu.xenpmu_data ||
          vpmu_is_set(&v->arch.vpmu, VPMU_CONTEXT_ALLOCATED), -EOPNOTSUPP,
          "vpmu: v%d uses performance counters", v->vcpu_id);
    BLOCK(v->arch.vm_event, -EOPNOTSUPP, "vm-event: v%d is monitored",
          v->vcpu_id);
    BLOCK(v->arch.gdbsx_vcpu_event, -EBUSY,
          "gdbsx: v%d has an event for its debugger", v->vcpu_id);
    BLOCK(v->pause_flags & (VPF_mem_paging | VPF_mem_access | VPF_mem_sharing),
          -EOPNOTSUPP, "vm-event: v%d waits for a memory event", v->vcpu_id);
    BLOCK((v->pause_flags & VPF_in_reset) && v->is_initialised, -EAGAIN,
          "reset: v%d is being reset", v->vcpu_id);
    BLOCK(stopped && is_pv_domain(d) && v->is_initialised &&
          pagetable_is_null(v->arch.guest_table), -EAGAIN,
          "reset: v%d has no page table", v->vcpu_id);
    BLOCK(stopped && v->mc_state.flags, -EAGAIN,
          "multicall: v%d is in the middle of one", v->vcpu_id);
    BLOCK(v->arch.msrs->xss.raw, -EOPNOTSUPP, "xss: v%d uses IA32_XSS",
          v->vcpu_id);

    return first;
}

static int check_running_state(const struct domain *d)
{
    const bool stopped = atomic_read(&d->pause_count);
    const struct vcpu *v;
    int first = 0;

    /* One that dies is a blocker anyway, half taken apart. */
    if ( d->is_dying )
        return 0;

    BLOCK(uses_psr(d), -EOPNOTSUPP,
          "psr: cache or memory bandwidth allocation or monitoring");
    BLOCK(uses_vm_event(d), -EOPNOTSUPP, "vm-event: a ring for its events");
    BLOCK(xstate_ctxt_size(xfeature_mask) > LU_XSAVE_MAX, -EOPNOTSUPP,
          "xsave: %u bytes of extended state",
          xstate_ctxt_size(xfeature_mask));

    for_each_vcpu ( d, v )
    {
        int rc = check_vcpu(v, stopped);

        first = first ?: rc;
    }

    return first;
}

static int cf_check check_domain(const struct domain *d)
{
    const unsigned long shared = foreign_shared_page(d);
    int first = 0, rc;

    BLOCK(is_pv_32bit_domain(d), -EOPNOTSUPP, "pv32: a 32-bit PV domain");
    BLOCK(d->target, -EOPNOTSUPP, "stubdom: privilege over d%d",
          d->target->domain_id);
    BLOCK(d->debugger_attached, -EBUSY, "debugger: an attached debugger");
    BLOCK(d->xenoprof, -EOPNOTSUPP, "xenoprof: profiling");
    BLOCK(d->vmtrace_size, -EOPNOTSUPP, "vmtrace: trace buffers");
    BLOCK(is_pv_domain(d) && paging_mode_enabled(d), -EOPNOTSUPP,
          "paging: shadow or log-dirty mode");
    BLOCK(d->vnuma, -EOPNOTSUPP, "vnuma: virtual NUMA");
    BLOCK(shared, -EOPNOTSUPP,
          "xen-page: it shares Xen's page %#lx, no grant frame or shared info",
          shared);
#ifdef CONFIG_ARGO
    BLOCK(d->argo, -EOPNOTSUPP, "argo: rings");
#endif

    rc = check_running_state(d);

    return first ?: rc;
}

/* ---- DOMAIN ---------------------------------------------------------------- */

static int cf_check save_domain(struct lu_stream *s, struct domain *d)
{
    struct lu_domain_rec r = {
        .id = lu_id(&lu_kind_domain, d, 0),
        .flags = d->options,
        .dom_flags = (d->is_privileged ? LU_DOM_F_PRIVILEGED : 0) |
                     (d->creation_finished ? LU_DOM_F_CREATED : 0) |
                     (d->is_shutting_down ? LU_DOM_F_SHUTTING : 0) |
                     (d->is_shut_down ? LU_DOM_F_SHUT_DOWN : 0) |
                     (d->is_console ? LU_DOM_F_CONSOLE : 0),
        .max_vcpus = d->max_vcpus,
        .max_evtchn_port = d->max_evtchn_port,
        .emulation_flags = d->arch.emulation_flags,
        .misc_flags = d->arch.msr_relaxed ? XEN_X86_MSR_RELAXED : 0,
        .nr_pirqs = d->nr_pirqs,
        .controller_pause_count = d->controller_pause_count,
        .shutdown_code = d->shutdown_code,
        .claimed_pages = d->outstanding_pages,
        .vm_assist = d->vm_assist,
        .shared_info_mfn = virt_to_mfn(d->shared_info),
        .max_pages = d->max_pages,
        .tot_pages = domain_tot_pages(d),
        .time_offset = d->time_offset.seconds,
        .time_offset_set = d->time_offset.set,
        .suspend_evtchn = d->suspend_evtchn,
    };
    const struct vcpu *v;

    for_each_vcpu ( d, v )
        r.nr_vcpus++;

    lu_grant_limits(d, &r.max_grant_frames, &r.max_maptrack_frames,
                    &r.grant_max_version);
    memcpy(r.handle, d->handle, sizeof(r.handle));

    return lu_rec_write(s, LU_REC_DOMAIN, &r, sizeof(r));
}

static bool domain_sane(const struct lu_domain_rec *r)
{
    return r->max_vcpus && r->nr_vcpus <= r->max_vcpus &&
           r->id.domid < DOMID_FIRST_RESERVED &&
           mfn_valid(_mfn(r->shared_info_mfn)) &&
           !(r->shared_info_mfn >> (32 - PAGE_SHIFT)) &&
           r->max_pages <= UINT_MAX && r->tot_pages <= UINT_MAX &&
           r->controller_pause_count <= INT_MAX &&
           r->max_evtchn_port <= INT_MAX && r->time_offset_set <= 1 &&
           (r->shutdown_code <= UINT8_MAX ||
            r->shutdown_code == SHUTDOWN_CODE_INVALID) &&
           (!(r->dom_flags & LU_DOM_F_SHUT_DOWN) ||
            (r->dom_flags & LU_DOM_F_SHUTTING)) &&
           !(r->dom_flags & ~(LU_DOM_F_PRIVILEGED | LU_DOM_F_CREATED |
                              LU_DOM_F_SHUTTING | LU_DOM_F_SHUT_DOWN |
                              LU_DOM_F_CONSOLE));
}

static int cf_check restore_domain(const struct lu_stream *s,
                                   const struct lu_rec *rec, struct domain *d)
{
    struct lu_domain_rec r;
    struct xen_domctl_createdomain config = { };
    const struct page_info *pg;
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( d )
        return lu_error(-EEXIST, d, "DOMAIN: a second record");
    if ( !domain_sane(&r) )
        return lu_error(-EBADMSG, NULL, "DOMAIN: d%u: fields out of range",
                        r.id.domid);

    /* In use, by nobody: what the frame table says of pages kept out. */
    pg = mfn_to_page(_mfn(r.shared_info_mfn));
    if ( pg->count_info || page_get_owner(pg) )
        return lu_error(-EBUSY, NULL,
                        "DOMAIN: d%u: shared_info page %#lx is taken: count_info %#lx",
                        r.id.domid, r.shared_info_mfn, pg->count_info);

    config.flags = r.flags;
    memcpy(config.handle, r.handle, sizeof(config.handle));
    config.max_vcpus = r.max_vcpus;
    config.max_evtchn_port = r.max_evtchn_port;
    config.max_grant_frames = r.max_grant_frames;
    config.max_maptrack_frames = r.max_maptrack_frames;
    config.grant_opts = XEN_DOMCTL_GRANT_version(r.grant_max_version);
    config.arch.emulation_flags = r.emulation_flags;
    config.arch.misc_flags = r.misc_flags;

    d = domain_create(r.id.domid, &config,
                      r.dom_flags & LU_DOM_F_PRIVILEGED ? CDF_privileged : 0);
    if ( IS_ERR(d) )
        return lu_error(PTR_ERR(d), NULL, "DOMAIN: d%u: cannot be created",
                        r.id.domid);

    if ( r.nr_pirqs > nr_irqs )
        return lu_error(-ERANGE, d, "DOMAIN: %u PIRQs, this Xen has %u IRQs",
                        r.nr_pirqs, nr_irqs);
    if ( r.vm_assist & ~arch_vm_assist_valid_mask(d) )
        return lu_error(-EINVAL, d, "DOMAIN: vm_assist %#lx, this Xen knows %#lx",
                        r.vm_assist, arch_vm_assist_valid_mask(d) + 0UL);
    d->nr_pirqs = r.nr_pirqs;
    /* Seen by every L4 page (RO_MPT slot), so before page types. */
    d->vm_assist = r.vm_assist;
    /*
     * A domain may own more than it may get now, while it balloons down: until
     * its pages are back the limit is what it owned (lu_resume_domain()).
     */
    d->max_pages = max(r.max_pages, r.tot_pages);
    d->time_offset.seconds = r.time_offset;
    d->time_offset.set = r.time_offset_set;
    d->is_console = r.dom_flags & LU_DOM_F_CONSOLE;
    d->is_shutting_down = r.dom_flags & LU_DOM_F_SHUTTING;
    d->is_shut_down = r.dom_flags & LU_DOM_F_SHUT_DOWN;
    d->shutdown_code = r.shutdown_code;
    d->suspend_evtchn = r.suspend_evtchn;

    rc = lu_policy_restore(d);
    if ( rc )
        return rc;

    for ( i = 0; i < r.nr_vcpus; i++ )
        if ( !vcpu_create(d, i) )
            return lu_error(-ENOMEM, d, "DOMAIN: v%u cannot be created", i);

    /*
     * The initial pause of domain_create() becomes ours; what the toolstack
     * held comes on top and stays.
     */
    d->creation_finished = r.dom_flags & LU_DOM_F_CREATED;
    d->controller_pause_count = r.controller_pause_count;
    atomic_add(r.controller_pause_count, &d->pause_count);

    return 0;
}

static int cf_check audit_owner(const struct lu_stream *s, struct domain *d)
{
    struct lu_domain_rec r;
    struct lu_rec rec;
    int rc = lu_find(s, LU_REC_DOMAIN, d->domain_id, &rec) ?:
             lu_rec_read(s, &rec, 0, &r, sizeof(r));

    if ( !rc && domain_tot_pages(d) != r.tot_pages )
        rc = lu_error(-EIO, d, "DOMAIN: owns %u pages, had %lu",
                      domain_tot_pages(d), r.tot_pages);

    return rc;
}

const struct lu_kind lu_kind_domain = {
    .name = "DOMAIN",
    .type = LU_REC_DOMAIN,
    .size = sizeof(struct lu_domain_rec),
    .version = 2,
    .min_version = 2,
    .pass = LU_PASS_CREATE,
    .per_domain = true,
    .check = check_domain,
    .save = save_domain,
    .restore = restore_domain,
    .audit = audit_owner,
};

/* In place of the allocation in arch_domain_create(). */
void *lu_adopt_shared_info(const struct domain *d)
{
    struct lu_domain_rec r;
    struct page_info *pg;

    if ( !lu_booting ||
         lu_boot_record(LU_REC_DOMAIN, d->domain_id, NULL, &r, sizeof(r)) )
        return NULL;

    /* What alloc_xenheap_pages() leaves behind, on a page that was kept back. */
    pg = mfn_to_page(_mfn(r.shared_info_mfn));
    pg->count_info |= PGC_xen_heap;

    return mfn_to_virt(r.shared_info_mfn);
}

/* In place of its clear_page(): the guest's state stays. */
void lu_clear_shared_info(void *page)
{
    if ( !lu_booting )
        clear_page(page);
}

/* ---- Memory map: part of PV_DOMAIN and HVM_DOMAIN ---------------------------- */

/* Puts the first nr entries of XENMEM_set_memory_map; e820_lock held, or IRQs off. */
int lu_put_e820(struct lu_stream *s, const struct domain *d, uint32_t nr)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; !rc && i < nr; i++ )
    {
        const struct lu_e820_rec e = {
            .addr = d->arch.e820[i].addr,
            .size = d->arch.e820[i].size,
            .type = d->arch.e820[i].type,
        };

        rc = lu_rec_put(s, &e, sizeof(e));
    }

    return rc;
}

/* Gives d the nr entries at `off` of the record, which it has.  0 or -errno. */
int lu_take_e820(const struct lu_stream *s, const struct lu_rec *rec,
                 uint32_t off, struct domain *d, uint32_t nr)
{
    unsigned int i;
    int rc = 0;

    if ( !nr )
        return 0;

    d->arch.e820 = xzalloc_array(struct e820entry, nr);
    if ( !d->arch.e820 )
        return -ENOMEM;

    for ( i = 0; !rc && i < nr; i++ )
    {
        struct lu_e820_rec e;

        rc = lu_rec_read(s, rec, off + i * sizeof(e), &e, sizeof(e));
        if ( !rc && e.reserved )
            rc = -EBADMSG;
        if ( !rc )
            d->arch.e820[i] = (struct e820entry){
                .addr = e.addr, .size = e.size, .type = e.type,
            };
    }
    d->arch.nr_e820 = nr;

    return rc;
}

/* ---- CAPS ------------------------------------------------------------------ */

struct range_out {
    struct lu_stream *s;
    uint32_t nr;
    uint64_t limit;
};

static int cf_check put_range(unsigned long s, unsigned long e, void *ctx)
{
    struct range_out *out = ctx;
    struct lu_cap_range_rec r = { .first = s,
                                  .last = min_t(uint64_t, e, out->limit) };

    if ( s > out->limit )
        return 0;
    out->nr++;

    return lu_rec_put(out->s, &r, sizeof(r));
}

static int cf_check save_caps(struct lu_stream *s, struct domain *d)
{
    struct lu_caps_rec r = { .id = lu_id(&lu_kind_caps, d, 0) };
    struct range_out out = { .s = s };
    int rc = lu_rec_begin(s, LU_REC_CAPS) ?: lu_rec_put(s, &r, sizeof(r));

    if ( rc )
        return rc;

    out.limit = ~0UL - 1;
    rc = rangeset_report_ranges(d->iomem_caps, 0, ~0UL, put_range, &out);
    r.nr_iomem = out.nr;

    out.nr = 0;
    rc = rc ?: rangeset_report_ranges(d->arch.ioport_caps, 0, ~0UL, put_range,
                                      &out);
    r.nr_ioport = out.nr;

    out.nr = 0;
    out.limit = nr_irqs_gsi - 1;
    rc = rc ?: rangeset_report_ranges(d->irq_caps, 0, ~0UL, put_range, &out);
    r.nr_irq = out.nr;

    return rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

/* Ranges that have to be those of a record, in the same order. */
struct range_in {
    const struct lu_stream *s;
    const struct lu_rec *rec;
    uint32_t off, left;
};

static int cf_check same_range(unsigned long s, unsigned long e, void *ctx)
{
    struct range_in *in = ctx;
    struct lu_cap_range_rec r;

    if ( !in->left || lu_rec_read(in->s, in->rec, in->off, &r, sizeof(r)) ||
         r.first != s || r.last != e )
        return -EINVAL;
    in->off += sizeof(r);
    in->left--;

    return 0;
}

static int take_ranges(const struct lu_stream *s, const struct lu_rec *rec,
                       uint32_t *off, uint32_t nr, uint64_t limit,
                       struct rangeset *set)
{
    struct range_in in = { .s = s, .rec = rec, .off = *off, .left = nr };
    /* rangeset_remove_range() adds 1 to the end: ~0UL would leave a range from 0 on. */
    int rc = rangeset_remove_range(set, 0, ~0UL - 1);

    ASSERT(rc || rangeset_is_empty(set));

    for ( ; !rc && nr; nr--, *off += sizeof(struct lu_cap_range_rec) )
    {
        struct lu_cap_range_rec r;

        rc = lu_rec_read(s, rec, *off, &r, sizeof(r));
        if ( !rc && (r.first > r.last || r.last > limit) )
            rc = -EBADMSG;
        if ( !rc )
            rc = rangeset_add_range(set, r.first, r.last);
    }

    /* A right too many would be seen by nobody else. */
    rc = rc ?: rangeset_report_ranges(set, 0, ~0UL, same_range, &in);

    return rc ?: in.left ? -EINVAL : 0;
}

static int cf_check restore_caps(const struct lu_stream *s,
                                 const struct lu_rec *rec, struct domain *d)
{
    struct lu_caps_rec r;
    uint32_t off = sizeof(r);
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !d )
        return lu_error(-ESRCH, NULL, "CAPS: d%u has no DOMAIN record before it",
                        rec->id.domid);
    if ( r.reserved ||
         !lu_array_fits(rec, sizeof(r), sizeof(struct lu_cap_range_rec),
                        (uint64_t)r.nr_iomem + r.nr_ioport + r.nr_irq) )
        return lu_error(-EBADMSG, d, "CAPS: %u+%u+%u ranges in %u bytes",
                        r.nr_iomem, r.nr_ioport, r.nr_irq, rec->length);

    /* For its side effects outside the domain: read-only MMIO ranges. */
    if ( is_hardware_domain(d) && dom0_setup_permissions(d) )
        return lu_error(-EIO, d, "CAPS: default permissions");

    rc = take_ranges(s, rec, &off, r.nr_iomem, ~0UL - 1, d->iomem_caps) ?:
         take_ranges(s, rec, &off, r.nr_ioport, UINT16_MAX,
                     d->arch.ioport_caps) ?:
         take_ranges(s, rec, &off, r.nr_irq, nr_irqs_gsi - 1, d->irq_caps);

    return rc ? lu_error(rc, d, "CAPS: a range is refused") : 0;
}

const struct lu_kind lu_kind_caps = {
    .name = "CAPS",
    .type = LU_REC_CAPS,
    .size = sizeof(struct lu_caps_rec),
    .array = { LU_ARRAY(lu_caps_rec, nr_iomem, struct lu_cap_range_rec),
               LU_ARRAY(lu_caps_rec, nr_ioport, struct lu_cap_range_rec),
               LU_ARRAY(lu_caps_rec, nr_irq, struct lu_cap_range_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_CREATE,
    .per_domain = true,
    .save = save_caps,
    .restore = restore_caps,
};

/* ---- Letting go ------------------------------------------------------------ */

void lu_resume_domain(struct domain *d)
{
    struct lu_domain_rec r;

    if ( !lu_boot_record(LU_REC_DOMAIN, d->domain_id, NULL, &r, sizeof(r)) )
    {
        d->max_pages = r.max_pages;
        lu_set_claim(d, r.claimed_pages);
    }

    lu_evtchn_resume(d);
}

int lu_normalise_domain(struct domain *d)
{
    lu_shadow_drop(d);

    return lu_pv_normalise(d);
}

void lu_denormalise_domain(struct domain *d)
{
    lu_shadow_remake(d);
}

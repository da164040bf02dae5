/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IOREQ: the servers of a domain's I/O requests, which its device models made.
 * Included at the end of common/ioreq.c.
 *
 * A device model knows its server's ID, event channels and pages, and has mapped the
 * pages: all of these are as before.  Pages and ports are there already when a server
 * is made again around them (MEMORY, EVTCHN); it takes its references.  No request is
 * sent anew: what was sent lies in the page, and whether a vCPU waits for an answer is
 * here.  Such a vCPU looks for it first thing when it is scheduled (hvm_do_resume()),
 * and waits on if there is none, so that how it slept is not carried.  What it will do
 * with the answer is in HVM_IO.
 *
 * What can fail: a page at a place that nobody set aside for it is a blocker.  In the
 * new Xen: fields out of range; a page, port, vCPU or emulator that is not there.
 */
#include <asm/p2m.h>

#include "internal.h"

/* ---- Pages' places --------------------------------------------------------------- */

/* Is gfn one that hvm_free_ioreq_gfn() can give back?  It trusts in that. */
static bool gfn_has_owner(const struct domain *d, unsigned long gfn)
{
    const struct hvm_domain *hvm = &d->arch.hvm;

    return gfn == hvm->params[HVM_PARAM_IOREQ_PFN] ||
           gfn == hvm->params[HVM_PARAM_BUFIOREQ_PFN] ||
           gfn - hvm->ioreq_gfn.base < sizeof(hvm->ioreq_gfn.mask) * 8;
}

/* ---- Blockers -------------------------------------------------------------------- */

static int cf_check check_ioreq(const struct domain *cd)
{
    struct domain *d = (struct domain *)cd; /* for the lock's sake only */
    const struct ioreq_server *srv;
    unsigned int id;
    int first = 0;

    if ( !is_hvm_domain(d) || d->is_dying )
        return 0;

    spin_lock_recursive(&d->ioreq_server.lock);
    FOR_EACH_IOREQ_SERVER(d, id, srv)
    {
        const struct ioreq_page *page[] = { &srv->ioreq, &srv->bufioreq };
        unsigned int i;

        for ( i = 0; i < ARRAY_SIZE(page); i++ )
            BLOCK(page[i]->page && !gfn_eq(page[i]->gfn, INVALID_GFN) &&
                  !gfn_has_owner(d, gfn_x(page[i]->gfn)), -EOPNOTSUPP,
                  "ioreq: server %u has its page at %#lx, where none belongs",
                  id, gfn_x(page[i]->gfn));
    }
    spin_unlock_recursive(&d->ioreq_server.lock);

    return first;
}

/* ---- Save ------------------------------------------------------------------------ */

struct range_put {
    struct lu_stream *s;
    struct lu_ioreq_range_rec r;
    uint32_t nr;
};

static int cf_check put_io_range(unsigned long s, unsigned long e, void *ctx)
{
    struct range_put *out = ctx;

    out->r.first = s;
    out->r.last = e;
    out->nr++;

    return lu_rec_put(out->s, &out->r, sizeof(out->r));
}

static void fill_page(const struct ioreq_page *page, uint64_t *mfn, uint64_t *gfn)
{
    *mfn = page->page ? mfn_x(page_to_mfn(page->page)) : LU_NO_MFN;
    *gfn = page->page && !gfn_eq(page->gfn, INVALID_GFN) ? gfn_x(page->gfn)
                                                         : LU_NO_GFN;
}

static int put_server(struct lu_stream *s, const struct domain *d,
                      const struct ioreq_server *srv, unsigned int id)
{
    const struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct lu_ioreq_rec r = {
        .id = lu_id(&lu_kind_ioreq, d, id),
        .flags = srv->enabled ? LU_IOREQ_F_ENABLED : 0,
        .emulator = srv->emulator->domain_id,
        .buffering = srv->bufioreq_handling,
        .mem_access = p2m->ioreq.server == srv ? p2m->ioreq.flags : 0,
        .buf_port = srv->bufioreq_evtchn,
    };
    struct range_put out = { .s = s };
    const struct ioreq_vcpu *sv;
    unsigned int i;
    int rc;

    fill_page(&srv->ioreq, &r.mfn, &r.gfn);
    fill_page(&srv->bufioreq, &r.buf_mfn, &r.buf_gfn);

    rc = lu_rec_begin(s, LU_REC_IOREQ) ?: lu_rec_put(s, &r, sizeof(r));

    list_for_each_entry ( sv, &srv->ioreq_vcpu_list, list_entry )
    {
        const struct lu_ioreq_vcpu_rec v = {
            .vcpu = sv->vcpu->vcpu_id,
            .port = sv->ioreq_evtchn,
            .flags = sv->pending ? LU_IOREQ_VCPU_F_PENDING : 0,
        };

        rc = rc ?: lu_rec_put(s, &v, sizeof(v));
        r.nr_vcpus++;
    }

    for ( i = 0; !rc && i < NR_IO_RANGE_TYPES; i++ )
    {
        out.r.type = i;
        rc = rangeset_report_ranges(srv->range[i], 0, ~0UL, put_io_range, &out);
    }
    r.nr_ranges = out.nr;

    return rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

static int cf_check save_ioreq(struct lu_stream *s, struct domain *d)
{
    /* With IRQs off nothing else runs, and the lock is none for IRQs off. */
    const bool lock = local_irq_is_enabled();
    unsigned int id;
    int rc = 0;

    if ( !is_hvm_domain(d) )
        return 0;

    if ( lock )
        spin_lock_recursive(&d->ioreq_server.lock);
    for ( id = 0; !rc && id < MAX_NR_IOREQ_SERVERS; id++ )
        if ( GET_IOREQ_SERVER(d, id) )
            rc = put_server(s, d, GET_IOREQ_SERVER(d, id), id);
    if ( lock )
        spin_unlock_recursive(&d->ioreq_server.lock);

    return rc;
}

/* ---- Restore --------------------------------------------------------------------- */

static int server_error(int rc, const struct ioreq_server *srv, unsigned int id,
                        const char *what, uint64_t value)
{
    return lu_error(rc, srv->target, "IOREQ %u: %s %#"PRIx64, id, what, value);
}

/* The name of the first field that no old Xen can have written, or NULL. */
static const char *bad_field(const struct lu_ioreq_rec *r)
{
    if ( r->id.instance >= MAX_NR_IOREQ_SERVERS )
        return "instance";
    if ( r->flags & ~LU_IOREQ_F_ENABLED )
        return "flags";
    if ( r->buffering > HVM_IOREQSRV_BUFIOREQ_ATOMIC )
        return "buffering";
    if ( r->mem_access & ~XEN_DMOP_IOREQ_MEM_ACCESS_WRITE )
        return "mem_access";
    if ( (r->mfn == LU_NO_MFN && r->gfn != LU_NO_GFN) ||
         (r->buf_mfn == LU_NO_MFN && r->buf_gfn != LU_NO_GFN) )
        return "gfn";
    if ( r->buffering == HVM_IOREQSRV_BUFIOREQ_OFF &&
         (r->buf_port || r->buf_mfn != LU_NO_MFN) )
        return "buf_port";
    if ( r->reserved )
        return "reserved";

    return NULL;
}

/* As ioreq_server_alloc_mfn() or hvm_map_ioreq_gfn() leave it, for its content. */
static int take_page(const struct ioreq_server *srv, struct ioreq_page *iorp,
                     unsigned int id, uint64_t mfn, uint64_t gfn)
{
    struct domain *d = srv->target;
    struct page_info *page;

    if ( mfn == LU_NO_MFN )
        return 0;
    if ( gfn != LU_NO_GFN && !gfn_has_owner(d, gfn) )
        return server_error(-EINVAL, srv, id, "nobody set aside gfn", gfn);
    if ( !mfn_valid(_mfn(mfn)) )
        return server_error(-EINVAL, srv, id, "no RAM at page", mfn);

    page = mfn_to_page(_mfn(mfn));
    if ( !get_page_and_type(page, d, PGT_writable_page) )
        return server_error(-EINVAL, srv, id, "not the domain's is page", mfn);
    /* What is extra Xen has allocated, and frees with the server. */
    if ( !(page->count_info & PGC_extra) != (gfn != LU_NO_GFN) )
        return server_error(-EINVAL, srv, id, "of the other sort is page", mfn);

    iorp->va = __map_domain_page_global(page);
    if ( !iorp->va )
        return server_error(-ENOMEM, srv, id, "cannot be mapped: page", mfn);
    iorp->page = page;
    iorp->gfn = gfn == LU_NO_GFN ? INVALID_GFN : _gfn(gfn);

    return 0;
}

/* A port of the domain's whose end is Xen's: the emulator has its other end. */
static int check_port_of(const struct ioreq_server *srv, unsigned int id,
                         uint32_t port)
{
    const struct domain *d = srv->target;

    return port && port_is_valid(d, port) &&
           evtchn_from_port(d, port)->xen_consumer
           ? 0 : server_error(-EINVAL, srv, id, "not Xen's is port", port);
}

static int take_vcpus(const struct lu_stream *s, const struct lu_rec *rec,
                      struct ioreq_server *srv, uint32_t nr)
{
    const unsigned int id = rec->id.instance;
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        struct lu_ioreq_vcpu_rec r;
        struct ioreq_vcpu *sv;
        struct vcpu *v;
        int rc = lu_rec_read(s, rec, sizeof(struct lu_ioreq_rec) +
                                     i * sizeof(r), &r, sizeof(r));

        if ( rc )
            return rc;

        v = lu_vcpu(srv->target, r.vcpu);
        if ( !v )
            return server_error(-ESRCH, srv, id, "not there is vCPU", r.vcpu);
        list_for_each_entry ( sv, &srv->ioreq_vcpu_list, list_entry )
            if ( sv->vcpu == v )
                return server_error(-EEXIST, srv, id, "twice there is vCPU",
                                    r.vcpu);
        if ( (r.flags & ~LU_IOREQ_VCPU_F_PENDING) || r.reserved )
            return server_error(-EBADMSG, srv, id, "vCPU has flags", r.flags);
        /* get_ioreq() wants a page, and wait_for_io() looks into it. */
        if ( (r.flags & LU_IOREQ_VCPU_F_PENDING) && !srv->ioreq.va )
            return server_error(-EBADMSG, srv, id, "no page for requests of vCPU",
                                r.vcpu);
        rc = check_port_of(srv, id, r.port);
        if ( rc )
            return rc;

        sv = xzalloc(struct ioreq_vcpu);
        if ( !sv )
            return server_error(-ENOMEM, srv, id, "vCPU", r.vcpu);
        sv->vcpu = v;
        sv->ioreq_evtchn = r.port;
        sv->pending = r.flags & LU_IOREQ_VCPU_F_PENDING;
        list_add_tail(&sv->list_entry, &srv->ioreq_vcpu_list);
    }

    return 0;
}

static int take_io_ranges(const struct lu_stream *s, const struct lu_rec *rec,
                          struct ioreq_server *srv, uint32_t off, uint32_t nr)
{
    const unsigned int id = rec->id.instance;
    int rc = ioreq_server_alloc_rangesets(srv, id);

    for ( ; !rc && nr; nr--, off += sizeof(struct lu_ioreq_range_rec) )
    {
        struct lu_ioreq_range_rec r;

        rc = lu_rec_read(s, rec, off, &r, sizeof(r));
        if ( rc )
            break;
        rc = r.type >= NR_IO_RANGE_TYPES || r.reserved || r.first > r.last
             ? -EBADMSG
             : rangeset_add_range(srv->range[r.type], r.first, r.last);
        if ( rc )
            return server_error(rc, srv, id, "refused is the range from", r.first);
    }

    return rc;
}

/* Writes to pages of type p2m_ioreq_server are this server's. */
static int take_mem_type(struct ioreq_server *srv, unsigned int id,
                         uint32_t access)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(srv->target);

    if ( !access )
        return 0;
    if ( p2m->ioreq.server )
        return server_error(-EEXIST, srv, id, "another one has memory, with access",
                            access);

    p2m->ioreq.server = srv;
    p2m->ioreq.flags = access;

    return 0;
}

static int cf_check restore_ioreq(const struct lu_stream *s,
                                  const struct lu_rec *rec, struct domain *d)
{
    const unsigned int id = rec->id.instance;
    struct ioreq_server *srv;
    struct lu_ioreq_rec r;
    const char *bad;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    bad = bad_field(&r);
    if ( bad || !is_hvm_domain(d) )
        return lu_error(-EBADMSG, d, "IOREQ %u: %s out of range", id,
                        bad ?: "domain");
    if ( GET_IOREQ_SERVER(d, id) )
        return lu_error(-EEXIST, d, "IOREQ %u: a second record", id);

    srv = xzalloc(struct ioreq_server);
    if ( !srv )
        return lu_error(-ENOMEM, d, "IOREQ %u", id);

    srv->target = d;
    spin_lock_init(&srv->lock);
    spin_lock_init(&srv->bufioreq_lock);
    INIT_LIST_HEAD(&srv->ioreq_vcpu_list);
    srv->ioreq.gfn = INVALID_GFN;
    srv->bufioreq.gfn = INVALID_GFN;
    srv->bufioreq_handling = r.buffering;
    srv->bufioreq_evtchn = r.buf_port;
    srv->enabled = r.flags & LU_IOREQ_F_ENABLED;

    srv->emulator = lu_domain(r.emulator);
    if ( !srv->emulator )
        return server_error(-ESRCH, srv, id, "not there is emulator", r.emulator);
    get_knownalive_domain(srv->emulator);

    rc = r.buf_port ? check_port_of(srv, id, r.buf_port) : 0;
    rc = rc ?:
         take_page(srv, &srv->ioreq, id, r.mfn, r.gfn) ?:
         take_page(srv, &srv->bufioreq, id, r.buf_mfn, r.buf_gfn) ?:
         take_vcpus(s, rec, srv, r.nr_vcpus) ?:
         take_io_ranges(s, rec, srv, sizeof(r) + r.nr_vcpus *
                                     sizeof(struct lu_ioreq_vcpu_rec),
                        r.nr_ranges) ?:
         take_mem_type(srv, id, r.mem_access);
    if ( !rc )
        set_ioreq_server(d, id, srv);

    return rc;
}

const struct lu_kind lu_kind_ioreq = {
    .name = "IOREQ",
    .type = LU_REC_IOREQ,
    .size = sizeof(struct lu_ioreq_rec),
    .array = { LU_ARRAY(lu_ioreq_rec, nr_vcpus, struct lu_ioreq_vcpu_rec),
               LU_ARRAY(lu_ioreq_rec, nr_ranges, struct lu_ioreq_range_rec) },
    .number = LU_EACH,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .check = check_ioreq,
    .save = save_ioreq,
    .restore = restore_ioreq,
};

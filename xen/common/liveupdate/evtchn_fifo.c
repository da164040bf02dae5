/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * FIFO event channels: event array, control blocks, queue tails (EVTCHN_FIFO).
 *
 * Tail-included into common/event_fifo.c, whose private structures it fills.
 *
 * Event words and queue heads lie in the guest's pages and cross with them.  Xen
 * alone knows which pages these are and where each queue ends; with a wrong end
 * the next event is lost, or linked into another queue.  Restore maps the same
 * pages (by MFN, for every kind of domain), sets the ends and switches the port
 * ABI last, after the ports (evtchn.c) are there.  A domain that has not chosen
 * FIFO has no such record.
 *
 * What can fail: an event page the domain does not own blocks the update.  In
 * the new Xen a page that cannot be mapped writable, or a queue end that is no
 * port, fails the restore by name.
 */
#include "internal.h"

void lu_evtchn_lastq_get(const struct evtchn *chn, uint16_t *vcpu,
                         uint8_t *priority)
{
    union evtchn_fifo_lastq lastq = { .raw = chn->fifo_lastq };

    *vcpu = lastq.last_vcpu_id;
    *priority = lastq.last_priority;
}

void lu_evtchn_lastq_set(struct evtchn *chn, uint16_t vcpu, uint8_t priority)
{
    union evtchn_fifo_lastq lastq = {};

    lastq.last_vcpu_id = vcpu;
    lastq.last_priority = priority;
    chn->fifo_lastq = lastq.raw;
}

static unsigned int nr_array_pages(const struct evtchn_fifo_domain *efd)
{
    return read_atomic(&efd->num_evtchns) / EVTCHN_FIFO_EVENT_WORDS_PER_PAGE;
}

static mfn_t mfn_of(const void *virt)
{
    return domain_page_map_to_mfn(
        (const void *)((unsigned long)virt & PAGE_MASK));
}

/* ---- Blockers ----------------------------------------------------------- */

static int check_page(const struct domain *d, const void *virt)
{
    mfn_t mfn = mfn_of(virt);

    if ( page_get_owner(mfn_to_page(mfn)) == d )
        return 0;

    return lu_blocker(-EOPNOTSUPP, d,
                      "evtchn: event page %#"PRI_mfn" is not its own",
                      mfn_x(mfn));
}

static int cf_check fifo_check(const struct domain *cd)
{
    struct domain *d = (struct domain *)cd; /* for the lock's sake only */
    unsigned int i;
    struct vcpu *v;
    int rc = 0, err;

    read_lock(&d->event_lock);

    if ( d->evtchn_fifo )
    {
        for ( i = 0; i < nr_array_pages(d->evtchn_fifo); i++ )
        {
            err = check_page(d, d->evtchn_fifo->event_array[i]);
            rc = rc ?: err;
        }

        for_each_vcpu ( d, v )
        {
            if ( !v->evtchn_fifo || !v->evtchn_fifo->control_block )
                continue;

            err = check_page(d, v->evtchn_fifo->control_block);
            rc = rc ?: err;
        }
    }

    read_unlock(&d->event_lock);

    return rc;
}

/* ---- Save --------------------------------------------------------------- */

/* Always the most it can become: any domain may choose FIFO at any time. */
static int measure(struct lu_stream *s, const struct domain *d)
{
    static const struct lu_evtchn_fifo_rec head;
    static const struct lu_evtchn_fifo_vcpu_rec w;
    static const uint64_t mfn;
    unsigned int i;
    int rc = lu_rec_begin(s, LU_REC_EVTCHN_FIFO);

    if ( !rc )
        rc = lu_rec_put(s, &head, sizeof(head));
    for ( i = 0; !rc && i < EVTCHN_FIFO_MAX_EVENT_ARRAY_PAGES; i++ )
        rc = lu_rec_put(s, &mfn, sizeof(mfn));
    for ( i = 0; !rc && i < d->max_vcpus; i++ )
        rc = lu_rec_put(s, &w, sizeof(w));

    return rc ?: lu_rec_end(s);
}

static int save_vcpu(struct lu_stream *s, const struct vcpu *v)
{
    const struct evtchn_fifo_vcpu *efv = v->evtchn_fifo;
    struct lu_evtchn_fifo_vcpu_rec w = {
        .vcpu = v->vcpu_id,
        .mfn = LU_FIFO_NO_MFN,
    };
    unsigned int i;

    BUILD_BUG_ON(ARRAY_SIZE(w.tail) != EVTCHN_FIFO_MAX_QUEUES);

    if ( efv->control_block )
    {
        w.mfn = mfn_x(mfn_of(efv->control_block));
        w.offset = (unsigned long)efv->control_block & ~PAGE_MASK;
    }

    for ( i = 0; i < EVTCHN_FIFO_MAX_QUEUES; i++ )
        w.tail[i] = efv->queue[i].tail;

    return lu_rec_put(s, &w, sizeof(w));
}

static int cf_check fifo_save(struct lu_stream *s, struct domain *d)
{
    const struct evtchn_fifo_domain *efd = d->evtchn_fifo;
    struct lu_evtchn_fifo_rec head = { .id = lu_id(&lu_kind_evtchn_fifo, d, 0) };
    const struct vcpu *v;
    unsigned int i;
    int rc;

    if ( !s->page )
        return measure(s, d);

    if ( !efd )
        return 0;

    head.nr_pages = nr_array_pages(efd);
    for_each_vcpu ( d, v )
        if ( v->evtchn_fifo )
            head.nr_vcpus++;

    rc = lu_rec_begin(s, LU_REC_EVTCHN_FIFO);
    if ( !rc )
        rc = lu_rec_put(s, &head, sizeof(head));

    for ( i = 0; !rc && i < head.nr_pages; i++ )
    {
        uint64_t mfn = mfn_x(mfn_of(efd->event_array[i]));

        rc = lu_rec_put(s, &mfn, sizeof(mfn));
    }

    for_each_vcpu ( d, v )
        if ( !rc && v->evtchn_fifo )
            rc = save_vcpu(s, v);

    return rc ?: lu_rec_end(s);
}

/* ---- Restore ------------------------------------------------------------ */

/* Takes a reference and a writable type reference, as registering it does. */
static int map_mfn(struct domain *d, uint64_t mfn, void **virt)
{
    struct page_info *page;

    if ( !mfn_valid(_mfn(mfn)) )
        return -EINVAL;

    page = mfn_to_page(_mfn(mfn));
    if ( !get_page_and_type(page, d, PGT_writable_page) )
        return -EPERM;

    *virt = __map_domain_page_global(page);
    if ( !*virt )
    {
        put_page_and_type(page);
        return -ENOMEM;
    }

    return 0;
}

static int restore_array(const struct lu_stream *s, const struct lu_rec *rec,
                         struct domain *d, unsigned int nr)
{
    struct evtchn_fifo_domain *efd = d->evtchn_fifo;
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        uint64_t mfn = 0;
        void *virt;
        int rc = lu_rec_read(s, rec, sizeof(struct lu_evtchn_fifo_rec) +
                             i * sizeof(mfn), &mfn, sizeof(mfn));

        if ( !rc )
            rc = map_mfn(d, mfn, &virt);
        if ( rc )
            return lu_error(rc, d, "evtchn: event array page %u, mfn %#"PRIx64,
                            i, mfn);

        efd->event_array[i] = virt;
        efd->num_evtchns += EVTCHN_FIFO_EVENT_WORDS_PER_PAGE;
    }

    return 0;
}

static int restore_vcpu(struct domain *d,
                        const struct lu_evtchn_fifo_vcpu_rec *w)
{
    struct vcpu *v = lu_vcpu(d, w->vcpu);
    struct evtchn_fifo_control_block *block;
    struct evtchn_fifo_vcpu *efv;
    void *virt;
    unsigned int i;
    int rc;

    if ( !v )
        return lu_error(-EINVAL, d, "evtchn: control block of vCPU %u, which is not there",
                        w->vcpu);

    efv = v->evtchn_fifo;
    if ( efv->control_block )
        return lu_error(-EEXIST, d, "evtchn: vCPU %u has a control block already",
                        w->vcpu);

    for ( i = 0; i < EVTCHN_FIFO_MAX_QUEUES; i++ )
    {
        if ( w->tail[i] &&
             (w->tail[i] >= d->evtchn_fifo->num_evtchns ||
              !port_is_valid(d, w->tail[i])) )
            return lu_error(-EINVAL, d, "evtchn: vCPU %u queue %u ends in port %u",
                            w->vcpu, i, w->tail[i]);
        efv->queue[i].tail = w->tail[i];
    }

    if ( w->mfn == LU_FIFO_NO_MFN && !w->offset )
        return 0;

    if ( w->mfn == LU_FIFO_NO_MFN ||
         w->offset > PAGE_SIZE - sizeof(*block) || (w->offset & 7) )
        return lu_error(-EINVAL, d, "evtchn: vCPU %u control block at offset %#x",
                        w->vcpu, w->offset);

    rc = map_mfn(d, w->mfn, &virt);
    if ( rc )
        return lu_error(rc, d, "evtchn: vCPU %u control block, mfn %#"PRIx64,
                        w->vcpu, w->mfn);

    block = virt + w->offset;
    for ( i = 0; i < EVTCHN_FIFO_MAX_QUEUES; i++ )
        efv->queue[i].head = &block->head[i];
    efv->control_block = block;

    return 0;
}

static int restore_fifo(const struct lu_stream *s, const struct lu_rec *rec,
                        struct domain *d, const struct lu_evtchn_fifo_rec *head)
{
    const uint32_t base = sizeof(*head) + head->nr_pages * sizeof(uint64_t);
    struct vcpu *v;
    unsigned int i;
    int rc = setup_event_array(d);

    /* Every vCPU has queues, whether it has told its control block or not. */
    for_each_vcpu ( d, v )
        if ( !rc )
            rc = setup_control_block(v);
    if ( rc )
        return lu_error(rc, d, "evtchn: FIFO queues");

    rc = restore_array(s, rec, d, head->nr_pages);

    for ( i = 0; !rc && i < head->nr_vcpus; i++ )
    {
        struct lu_evtchn_fifo_vcpu_rec w;

        rc = lu_rec_read(s, rec, base + i * sizeof(w), &w, sizeof(w));
        if ( rc )
            lu_error(rc, d, "evtchn: FIFO vCPU %u of %u", i, head->nr_vcpus);
        else
            rc = restore_vcpu(d, &w);
    }

    if ( rc )
        return rc;

    d->evtchn_port_ops = &evtchn_port_ops_fifo;

    return lu_evtchn_virqs(d);
}

static int cf_check fifo_restore(const struct lu_stream *s,
                                 const struct lu_rec *rec, struct domain *d)
{
    struct lu_evtchn_fifo_rec head;
    int rc = lu_rec_read(s, rec, 0, &head, sizeof(head));

    if ( rc )
        return lu_error(rc, d, "evtchn: FIFO header");

    /* The page limit comes first: it keeps the sizes below from wrapping. */
    if ( head.nr_pages > EVTCHN_FIFO_MAX_EVENT_ARRAY_PAGES ||
         !lu_array_fits(rec, sizeof(head) + head.nr_pages * sizeof(uint64_t),
                        sizeof(struct lu_evtchn_fifo_vcpu_rec), head.nr_vcpus) )
        return lu_error(-EINVAL, d, "evtchn: %u FIFO pages, %u vCPUs",
                        head.nr_pages, head.nr_vcpus);

    if ( d->evtchn_fifo )
        return lu_error(-EEXIST, d, "evtchn: the domain uses FIFO already");

    write_lock(&d->event_lock);
    rc = restore_fifo(s, rec, d, &head);
    write_unlock(&d->event_lock);

    return rc;
}

/* ---- Audit -------------------------------------------------------------- */

/* The port at the end of a queue was queued there last, or was freed since. */
static int audit_vcpu(const struct domain *d, const struct vcpu *v)
{
    unsigned int i;

    for ( i = 0; v->evtchn_fifo && i < EVTCHN_FIFO_MAX_QUEUES; i++ )
    {
        unsigned int port = v->evtchn_fifo->queue[i].tail;
        uint16_t vcpu;
        uint8_t priority;

        if ( !port )
            continue;

        lu_evtchn_lastq_get(evtchn_from_port(d, port), &vcpu, &priority);
        if ( vcpu != v->vcpu_id || priority != i )
            return lu_error(-EINVAL, d,
                            "evtchn %u: ends queue %u of vCPU %u, but was last on %u of vCPU %u",
                            port, i, v->vcpu_id, priority, vcpu);
    }

    return 0;
}

static int cf_check fifo_audit(const struct lu_stream *s, struct domain *d)
{
    struct lu_evtchn_rec ports;
    struct lu_rec rec;
    struct vcpu *v;
    int rc;

    if ( !d )
        return 0;

    rc = lu_find(s, LU_REC_EVTCHN, d->domain_id, &rec);
    if ( !rc )
        rc = lu_rec_read(s, &rec, 0, &ports, sizeof(ports));
    if ( rc )
        return lu_error(rc, d, "evtchn: no record of the ports");

    if ( !(ports.flags & LU_EVTCHN_F_FIFO) != !d->evtchn_fifo )
        return lu_error(-EINVAL, d, "evtchn: the domain %s FIFO, its record %s",
                        d->evtchn_fifo ? "uses" : "does not use",
                        ports.flags & LU_EVTCHN_F_FIFO ? "did" : "did not");

    for_each_vcpu ( d, v )
        if ( !rc )
            rc = audit_vcpu(d, v);

    return rc;
}

const struct lu_kind lu_kind_evtchn_fifo = {
    .name = "EVTCHN_FIFO",
    .type = LU_REC_EVTCHN_FIFO,
    .size = sizeof(struct lu_evtchn_fifo_rec),
    .array = { LU_ARRAY(lu_evtchn_fifo_rec, nr_pages, uint64_t),
               LU_ARRAY(lu_evtchn_fifo_rec, nr_vcpus, struct lu_evtchn_fifo_vcpu_rec) },
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .check = fifo_check,
    .save = fifo_save,
    .restore = fifo_restore,
    .audit = fifo_audit,
};

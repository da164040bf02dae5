/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Event channels: the ports of a domain (record EVTCHN).
 *
 * Tail-included into common/event_channel.c, whose statics it uses.
 *
 * Pending and mask bits lie in the guest's memory and cross with it; the record
 * holds what only Xen knows.  Ports are written straight into the new domain:
 * binding them anew would signal peers, act for `current` and reset priorities.
 * Each side of an interdomain channel comes from its own domain's record; that
 * both agree is for the audit, when all domains are there.  The port ABI stays
 * 2-level meanwhile, as FIFO calls every port busy that is linked in the guest's
 * event array; evtchn_fifo.c switches over afterwards.  Ports of physical IRQs
 * are linked to them by lu_evtchn_link_pirq(), when the IRQ is there.
 *
 * What can fail: a port notifying a part of Xen that has no name in the stream,
 * a FLASK label or a dying peer blocks the update.  In the new Xen a port, peer,
 * vCPU or VIRQ that makes no sense fails the restore, naming the port.
 */
#include <xen/irq.h>
#ifdef CONFIG_HVM
#include <asm/hvm/irq.h>
#endif

#include "internal.h"

#ifndef NDEBUG
/*
 * Counts every port made pending.  Concurrent increments may get lost: all that
 * is asked is whether any happened while a single CPU was running.
 */
unsigned int lu_evtchn_gen;

static unsigned int gen_at_save;
static bool gen_taken;
#endif

bool lu_evtchn_unchanged(void)
{
#ifndef NDEBUG
    return !gen_taken || gen_at_save == lu_evtchn_gen;
#else
    return true;
#endif
}

/* ---- Blockers ----------------------------------------------------------- */

static int check_port(const struct domain *d, const struct evtchn *chn)
{
    int rc = 0;

    if ( consumer_is_xen(chn) &&
         xen_notification_fn(chn) != default_xen_notification_fn )
        rc = lu_blocker(-EOPNOTSUPP, d,
                        "evtchn %u: notifies a part of Xen that cannot be carried over",
                        chn->port);

    if ( chn->state == ECS_INTERDOMAIN &&
         chn->u.interdomain.remote_dom->is_dying )
    {
        int err = lu_blocker(-EBUSY, d,
                             "evtchn %u: peer d%d is being destroyed",
                             chn->port,
                             chn->u.interdomain.remote_dom->domain_id);

        rc = rc ?: err;
    }

    return rc;
}

static int cf_check evtchn_check(const struct domain *cd)
{
    struct domain *d = (struct domain *)cd; /* for the lock's sake only */
    unsigned int port;
    int rc = 0;

#ifdef CONFIG_XSM_FLASK
    /* Port 0 always exists and is labelled like any other. */
    if ( d->evtchn->ssid.flask_sid )
        rc = lu_blocker(-EOPNOTSUPP, d,
                        "event channels carry FLASK labels");
#endif

    /* A peer cannot go away while this is held: it would close the port. */
    read_lock(&d->event_lock);

    for ( port = 1; port_is_valid(d, port); port++ )
    {
        int err = check_port(d, evtchn_from_port(d, port));

        rc = rc ?: err;
    }

    read_unlock(&d->event_lock);

    return rc;
}

/* ---- Save --------------------------------------------------------------- */

/*
 * A free port counts as well if FIFO remembers it: as the tail of a queue, or as
 * pending before its event array page came.  Its next owner depends on that.
 */
static bool port_matters(const struct domain *d, const struct evtchn *chn)
{
    return (chn->state != ECS_FREE && chn->state != ECS_RESERVED) ||
           /* A reset to the 2-level ABI leaves these behind, out of its reach. */
           (d->evtchn_fifo && (chn->fifo_lastq || chn->pending));
}

static int port_to_wire(const struct evtchn *chn, struct lu_evtchn_port_rec *w)
{
    *w = (struct lu_evtchn_port_rec){
        .port = chn->port,
        .vcpu = chn->notify_vcpu_id,
        .priority = chn->priority,
        .flags = chn->pending ? LU_PORT_F_PENDING : 0,
    };
    lu_evtchn_lastq_get(chn, &w->last_vcpu, &w->last_priority);

    if ( consumer_is_xen(chn) )
    {
        if ( xen_notification_fn(chn) != default_xen_notification_fn )
            return -EOPNOTSUPP;
        w->consumer = LU_PORT_CONSUMER_IOREQ;
    }

    switch ( chn->state )
    {
    case ECS_FREE:
        w->state = LU_PORT_FREE;
        break;

    case ECS_UNBOUND:
        w->state = LU_PORT_UNBOUND;
        w->peer = chn->u.unbound.remote_domid;
        break;

    case ECS_INTERDOMAIN:
        w->state = LU_PORT_INTERDOMAIN;
        w->peer = chn->u.interdomain.remote_dom->domain_id;
        w->value = chn->u.interdomain.remote_port;
        break;

    case ECS_PIRQ:
        w->state = LU_PORT_PIRQ;
        w->value = chn->u.pirq.irq;
        break;

    case ECS_VIRQ:
        w->state = LU_PORT_VIRQ;
        w->value = chn->u.virq;
        break;

    case ECS_IPI:
        w->state = LU_PORT_IPI;
        break;

    default:
        return -EOPNOTSUPP;
    }

    return 0;
}

static int cf_check evtchn_save(struct lu_stream *s, struct domain *d)
{
    /* Dry: as many ports as there could be, ports may come and go meanwhile. */
    const bool dry = !s->page;
    struct lu_evtchn_port_rec w = {};
    struct lu_evtchn_rec head = {
        .id = lu_id(&lu_kind_evtchn, d, 0),
        .valid_ports = read_atomic(&d->valid_evtchns),
        .next_port = d->next_evtchn,
        .flags = d->evtchn_fifo ? LU_EVTCHN_F_FIFO : 0,
    };
    unsigned int port, virq;
    int rc;

    BUILD_BUG_ON(NR_VIRQS > sizeof(head.global_virqs) * 8);

#ifndef NDEBUG
    if ( dry )
        gen_taken = false;
    else if ( !gen_taken )
    {
        gen_taken = true;
        gen_at_save = lu_evtchn_gen;
    }
#endif

    for ( port = 1; port < head.valid_ports; port++ )
        if ( dry || port_matters(d, evtchn_from_port(d, port)) )
            head.nr++;

    for ( virq = 0; virq < NR_VIRQS; virq++ )
        if ( global_virq_handlers[virq] == d )
            head.global_virqs |= 1U << virq;

    rc = lu_rec_begin(s, LU_REC_EVTCHN);
    if ( !rc )
        rc = lu_rec_put(s, &head, sizeof(head));

    for ( port = 1; !rc && port < head.valid_ports; port++ )
    {
        const struct evtchn *chn = evtchn_from_port(d, port);

        if ( !dry )
        {
            if ( !port_matters(d, chn) )
                continue;

            rc = port_to_wire(chn, &w);
            if ( rc )
                break;
        }

        rc = lu_rec_put(s, &w, sizeof(w));
    }

    return rc ?: lu_rec_end(s);
}

/* ---- Restore ------------------------------------------------------------ */

/*
 * Buckets for ports below nr.  Done here as evtchn_allocate_port() would apply
 * the limit of the 2-level ABI to a domain that is going to be FIFO.
 */
static int grow_ports(struct domain *d, unsigned int nr)
{
    unsigned int port;

    for ( port = d->valid_evtchns; port < nr; port += EVTCHNS_PER_BUCKET )
    {
        struct evtchn *bucket;

        if ( !group_from_port(d, port) )
        {
            struct evtchn **group = xzalloc_array(struct evtchn *,
                                                  BUCKETS_PER_GROUP);

            if ( !group )
                return -ENOMEM;
            group_from_port(d, port) = group;
        }

        bucket = alloc_evtchn_bucket(d, port);
        if ( !bucket )
            return -ENOMEM;

        bucket_from_port(d, port) = bucket;
        smp_wmb(); /* as evtchn_allocate_port(): first the bucket, then the limit */
        write_atomic(&d->valid_evtchns, port + EVTCHNS_PER_BUCKET);
    }

    return 0;
}

/* The vCPU a port notifies; where none is needed yet, vCPU 0 may be missing. */
static int check_vcpu(const struct domain *d,
                      const struct lu_evtchn_port_rec *w)
{
    bool bound = w->state == LU_PORT_PIRQ || w->state == LU_PORT_VIRQ ||
                 w->state == LU_PORT_IPI;

    if ( (w->vcpu || bound) && !lu_vcpu(d, w->vcpu) )
        return lu_error(-EINVAL, d, "evtchn %u: notifies vCPU %u, which is not there",
                        w->port, w->vcpu);

    if ( w->last_vcpu && !lu_vcpu(d, w->last_vcpu) )
        return lu_error(-EINVAL, d, "evtchn %u: last queued on vCPU %u, which is not there",
                        w->port, w->last_vcpu);

    return 0;
}

static int restore_virq(struct domain *d, struct evtchn *chn,
                        const struct lu_evtchn_port_rec *w)
{
    struct vcpu *v;

    if ( w->value >= NR_VIRQS )
        return lu_error(-EINVAL, d, "evtchn %u: VIRQ %u is unknown",
                        w->port, w->value);

    v = lu_vcpu(d, virq_is_global(w->value) ? 0 : w->vcpu);
    if ( !v )
        return lu_error(-EINVAL, d, "evtchn %u: VIRQ %u without vCPU",
                        w->port, w->value);

    chn->state = ECS_VIRQ;
    chn->u.virq = w->value;

    return 0;
}

/*
 * Xen itself may raise a VIRQ at any time, for a line on its console, say: it finds
 * the port from now on.  Not before the domain's port ABI is known.
 */
int lu_evtchn_virqs(struct domain *d)
{
    unsigned int port;

    for ( port = 1; port_is_valid(d, port); port++ )
    {
        const struct evtchn *chn = evtchn_from_port(d, port);
        struct vcpu *v;

        if ( chn->state != ECS_VIRQ )
            continue;

        /* Both were checked when the port was restored. */
        v = d->vcpu[virq_is_global(chn->u.virq) ? 0 : chn->notify_vcpu_id];
        if ( v->virq_to_evtchn[chn->u.virq] )
            return lu_error(-EEXIST, d,
                            "evtchn %u: VIRQ %u of vCPU %u is port %u already",
                            port, chn->u.virq, v->vcpu_id,
                            v->virq_to_evtchn[chn->u.virq]);

        write_atomic(&v->virq_to_evtchn[chn->u.virq], port);
    }

    return 0;
}

static int restore_interdomain(struct domain *d, struct evtchn *chn,
                               const struct lu_evtchn_port_rec *w)
{
    /* The channel keeps no reference: a domain closes its ports when it dies. */
    struct domain *peer = rcu_lock_domain_by_id(w->peer);

    if ( !peer )
        return lu_error(-ESRCH, d, "evtchn %u: peer d%u is not there",
                        w->port, w->peer);

    chn->state = ECS_INTERDOMAIN;
    chn->u.interdomain.remote_dom = peer;
    chn->u.interdomain.remote_port = w->value;
    rcu_unlock_domain(peer);

    return 0;
}

static int restore_port(struct domain *d, const struct lu_evtchn_port_rec *w)
{
    struct evtchn *chn = evtchn_from_port(d, w->port);
    int rc = check_vcpu(d, w);

    if ( rc )
        return rc;

    if ( w->reserved || (w->flags & ~LU_PORT_F_PENDING) ||
         w->priority > EVTCHN_FIFO_PRIORITY_MIN ||
         w->last_priority > EVTCHN_FIFO_PRIORITY_MIN )
        return lu_error(-EINVAL, d, "evtchn %u: priority %u, last %u, flags %#x",
                        w->port, w->priority, w->last_priority, w->flags);

    if ( ((w->value || w->peer) && (w->state == LU_PORT_FREE ||
                                    w->state == LU_PORT_IPI)) ||
         (w->value && w->state == LU_PORT_UNBOUND) ||
         (w->peer && (w->state == LU_PORT_PIRQ || w->state == LU_PORT_VIRQ)) )
        return lu_error(-EINVAL, d, "evtchn %u: peer d%u, value %u in state %u",
                        w->port, w->peer, w->value, w->state);

    switch ( w->state )
    {
    case LU_PORT_FREE:
        if ( w->vcpu )
            return lu_error(-EINVAL, d, "evtchn %u: free but notifies vCPU %u",
                            w->port, w->vcpu);
        break;

    case LU_PORT_UNBOUND:
        chn->state = ECS_UNBOUND;
        chn->u.unbound.remote_domid = w->peer;
        break;

    case LU_PORT_INTERDOMAIN:
        rc = restore_interdomain(d, chn, w);
        break;

    case LU_PORT_PIRQ:
        if ( w->value >= d->nr_pirqs )
            return lu_error(-EINVAL, d, "evtchn %u: PIRQ %u of %u",
                            w->port, w->value, d->nr_pirqs);
        chn->state = ECS_PIRQ;
        chn->u.pirq.irq = w->value;
        chn->u.pirq.next_port = 0;
        chn->u.pirq.prev_port = 0;
        break;

    case LU_PORT_VIRQ:
        rc = restore_virq(d, chn, w);
        break;

    case LU_PORT_IPI:
        chn->state = ECS_IPI;
        break;

    default:
        rc = lu_error(-EINVAL, d, "evtchn %u: state %u is unknown",
                      w->port, w->state);
        break;
    }
    if ( rc )
        return rc;

    chn->notify_vcpu_id = w->vcpu;
    chn->priority = w->priority;
    chn->pending = w->flags & LU_PORT_F_PENDING;
    lu_evtchn_lastq_set(chn, w->last_vcpu, w->last_priority);

    if ( w->state != LU_PORT_FREE )
        write_atomic(&d->active_evtchns, d->active_evtchns + 1);

    switch ( w->consumer )
    {
    case LU_PORT_CONSUMER_NONE:
        return 0;

    case LU_PORT_CONSUMER_IOREQ:
        if ( w->state != LU_PORT_UNBOUND && w->state != LU_PORT_INTERDOMAIN )
            break;
        chn->xen_consumer = get_xen_consumer(NULL);
        write_atomic(&d->xen_evtchns, d->xen_evtchns + 1);
        return 0;
    }

    return lu_error(-EINVAL, d, "evtchn %u: consumer %u in state %u",
                    w->port, w->consumer, w->state);
}

static int restore_ports(const struct lu_stream *s, const struct lu_rec *rec,
                         struct domain *d, const struct lu_evtchn_rec *head)
{
    const unsigned int limit = head->flags & LU_EVTCHN_F_FIFO
                               ? EVTCHN_FIFO_NR_CHANNELS : max_evtchns(d);
    unsigned int i, last = 0;
    int rc = grow_ports(d, head->valid_ports);

    if ( rc )
        return lu_error(rc, d, "evtchn: room for %u ports", head->valid_ports);

    for ( i = 0; i < head->nr; i++ )
    {
        struct lu_evtchn_port_rec w;

        rc = lu_rec_read(s, rec, sizeof(*head) + i * sizeof(w), &w, sizeof(w));
        if ( rc )
            return lu_error(rc, d, "evtchn: entry %u of %u", i, head->nr);

        if ( w.port <= last || w.port >= head->valid_ports ||
             w.port >= limit || w.port > d->max_evtchn_port )
            return lu_error(-EINVAL, d, "evtchn %u: after %u, of %u, limit %u",
                            w.port, last, head->valid_ports,
                            min(limit - 1, d->max_evtchn_port));
        last = w.port;

        rc = restore_port(d, &w);
        if ( rc )
            return rc;
    }

    return 0;
}

static int cf_check evtchn_restore(const struct lu_stream *s,
                                   const struct lu_rec *rec, struct domain *d)
{
    struct lu_evtchn_rec head;
    unsigned int virq;
    int rc = lu_rec_read(s, rec, 0, &head, sizeof(head));

    if ( rc )
        return lu_error(rc, d, "evtchn: header");

    if ( !lu_array_fits(rec, sizeof(head), sizeof(struct lu_evtchn_port_rec),
                        head.nr) ||
         (head.flags & ~LU_EVTCHN_F_FIFO) || head.reserved ||
         head.valid_ports > MAX_NR_EVTCHNS ||
         head.next_port > head.valid_ports ||
         (head.global_virqs >> NR_VIRQS) )
        return lu_error(-EINVAL, d,
                        "evtchn: %u entries, %u ports, reset at %u, flags %#x, VIRQs %#x",
                        head.nr, head.valid_ports, head.next_port, head.flags,
                        head.global_virqs);

    if ( d->active_evtchns || d->evtchn_fifo )
        return lu_error(-EEXIST, d, "evtchn: the domain has ports already");

    write_lock(&d->event_lock);
    rc = restore_ports(s, rec, d, &head);
    if ( !rc && !(head.flags & LU_EVTCHN_F_FIFO) )
        rc = lu_evtchn_virqs(d);
    d->next_evtchn = head.next_port;
    write_unlock(&d->event_lock);

    for ( virq = 0; !rc && virq < NR_VIRQS; virq++ )
    {
        if ( !(head.global_virqs & (1U << virq)) )
            continue;

        rc = set_global_virq_handler(d, virq);
        if ( rc )
            lu_error(rc, d, "evtchn: handler of VIRQ %u", virq);
    }

    return rc;
}

int lu_evtchn_link_pirq(struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = _evtchn_from_port(d, port);
    struct pirq *info;
    struct vcpu *v;

    ASSERT(rw_is_write_locked(&d->event_lock));

    if ( !chn || chn->state != ECS_PIRQ )
        return lu_error(-EINVAL, d, "evtchn %u: not bound to a PIRQ", port);

    /* Both were checked when the port was restored. */
    v = d->vcpu[chn->notify_vcpu_id];

    info = pirq_get_info(d, chn->u.pirq.irq);
    if ( !info )
        return lu_error(-ENOMEM, d, "evtchn %u: PIRQ %u",
                        port, chn->u.pirq.irq);

    if ( info->evtchn )
        return lu_error(-EEXIST, d, "evtchn %u: PIRQ %u is port %u already",
                        port, chn->u.pirq.irq, info->evtchn);

    info->evtchn = port;
    link_pirq_port(port, chn, v);

    return v->vcpu_id;
}

/* ---- Audit and resume --------------------------------------------------- */

static int audit_peer(const struct domain *d, const struct evtchn *chn)
{
    const struct domain *peer = chn->u.interdomain.remote_dom;
    evtchn_port_t port = chn->u.interdomain.remote_port;
    const struct evtchn *back = _evtchn_from_port(peer, port);

    if ( !back || back->state != ECS_INTERDOMAIN ||
         back->u.interdomain.remote_dom != d ||
         back->u.interdomain.remote_port != chn->port )
        return lu_error(-EINVAL, d,
                        "evtchn %u: peer d%d port %u is not bound to it",
                        chn->port, peer->domain_id, port);

    return 0;
}

static int cf_check evtchn_audit(const struct lu_stream *s, struct domain *d)
{
    struct lu_rec rec;
    unsigned int port;
    int rc;

    if ( !d )
        return 0;

    rc = lu_find(s, LU_REC_EVTCHN, d->domain_id, &rec);
    if ( rc )
        return lu_error(rc, d, "evtchn: no record");

    for ( port = 1; port_is_valid(d, port); port++ )
    {
        const struct evtchn *chn = evtchn_from_port(d, port);

        if ( chn->state == ECS_INTERDOMAIN )
        {
            rc = audit_peer(d, chn);
            if ( rc )
                return rc;
        }

        if ( chn->state == ECS_PIRQ &&
             pirq_to_evtchn(d, chn->u.pirq.irq) != port )
            return lu_error(-EINVAL, d,
                            "evtchn %u: PIRQ %u is not linked to it",
                            port, chn->u.pirq.irq);
    }

    return 0;
}

static void pend_pirqs(struct domain *d)
{
    unsigned int port;

    for ( port = 1; port_is_valid(d, port); port++ )
    {
        struct evtchn *chn = evtchn_from_port(d, port);

        evtchn_read_lock(chn);
        if ( chn->state == ECS_PIRQ &&
             lu_takes_upcall(d->vcpu[chn->notify_vcpu_id]) )
            evtchn_port_set_pending(d, chn->notify_vcpu_id, chn);
        evtchn_read_unlock(chn);
    }
}

void lu_evtchn_resume(struct domain *d)
{
    /* Those whose receivers look for themselves what is new. */
    static const uint8_t virqs[] = {
        VIRQ_CONSOLE, VIRQ_DOM_EXC, VIRQ_CON_RING, VIRQ_PCPU_STATE,
    };
    struct vcpu *v;
    unsigned int i;

    /* Edges that came while the IRQ was masked, or after it was, are lost. */
    pend_pirqs(d);

    for ( i = 0; i < ARRAY_SIZE(virqs); i++ )
        if ( (global_virq_handlers[virqs[i]] ?: hardware_domain) == d )
            send_guest_global_virq(d, virqs[i]);

    for_each_vcpu ( d, v )
    {
        if ( !test_bit(_VPF_down, &v->pause_flags) && lu_takes_upcall(v) )
            send_guest_vcpu_virq(v, VIRQ_TIMER);

        /*
         * A vCPU that has an upcall pending already is not woken by one more
         * event.  Blocking and polling may end for no reason, so end them.
         */
        if ( !is_hvm_vcpu(v) )
            vcpu_unblock(v);
#ifdef CONFIG_HVM
        else
            lu_hvm_resume(v);
#endif
    }
}

const struct lu_kind lu_kind_evtchn = {
    .name = "EVTCHN",
    .type = LU_REC_EVTCHN,
    .size = sizeof(struct lu_evtchn_rec),
    .array = { LU_ARRAY(lu_evtchn_rec, nr, struct lu_evtchn_port_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .check = evtchn_check,
    .save = evtchn_save,
    .restore = evtchn_restore,
    .audit = evtchn_audit,
};

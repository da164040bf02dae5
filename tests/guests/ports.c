/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ports for the tests of both event channel ABIs.
 *
 * Happy path: ports_make() binds ports up to a number, most of them IPIs to the
 * vCPUs in turn, each eighth the end of a channel of this domain with itself.
 *
 * What can fail: ports_status() finds a port that is not what it was bound as.
 */
#include "ports.h"

#define NR_SPARE 40

struct port ports[MAX_PORT];
uint32_t last_port;

static uint32_t loop(uint16_t *sender)
{
    struct evtchn_alloc_unbound near = {
        .dom = DOMID_SELF, .remote_dom = DOMID_SELF,
    };
    struct evtchn_bind_interdomain far = { .remote_dom = DOMID_SELF };
    long rc = hc_event(EVTCHNOP_alloc_unbound, &near);

    far.remote_port = near.port;
    if ( !rc )
        rc = hc_event(EVTCHNOP_bind_interdomain, &far);
    if ( rc )
        die("no channel to myself: %ld", rc);
    *sender = far.local_port;

    return near.port;
}

void port_bind(uint32_t port, unsigned int vcpu)
{
    struct evtchn_bind_vcpu op = { .port = port, .vcpu = vcpu };

    want(hc_event(EVTCHNOP_bind_vcpu, &op), "bind_vcpu");
    ports[port].vcpu = vcpu;
}

void ports_make(uint32_t end, unsigned int vcpus)
{
    static uint16_t spare[NR_SPARE];
    unsigned int n;

    /* Other tests want ports too, which have to have a word by then. */
    for ( n = 0; n < NR_SPARE; n++ )
        spare[n] = port_ipi(0);

    for ( n = 0; last_port < end; n++ )
    {
        uint16_t sender = 0;
        uint32_t p = n % 8 ? port_ipi(n % vcpus) : loop(&sender);

        if ( p >= MAX_PORT )
            die("port %u is too high", p);
        ports[p].ours = true;
        ports[p].sender = sender;
        ports[p].vcpu = 0;
        if ( sender )
            port_bind(p, n / 8 % vcpus);
        else
            ports[p].vcpu = n % vcpus;
        last_port = p > last_port ? p : last_port;
    }

    for ( n = 0; n < NR_SPARE; n++ )
    {
        struct evtchn_close op = { .port = spare[n] };

        want(hc_event(EVTCHNOP_close, &op), "close");
    }
}

void port_raise(uint32_t p)
{
    port_send(ports[p].sender ?: p);
    ports[p].pending = true;
}

void mask(uint32_t p)
{
    port_mask(p);
    ports[p].masked = true;
}

void ports_status(void)
{
    uint32_t p;

    for_each_port ( p )
    {
        struct evtchn_status s = { .dom = DOMID_SELF, .port = p };
        const bool loop = ports[p].sender;
        long rc = hc_event(EVTCHNOP_status, &s);

        if ( rc || s.vcpu != ports[p].vcpu ||
             s.status != (loop ? EVTCHNSTAT_interdomain : EVTCHNSTAT_ipi) ||
             (loop && s.u.interdomain.port != ports[p].sender) )
            bad("port %u: status %u of vCPU %u (%ld), want vCPU %u, sender %u",
                p, s.status, s.vcpu, rc, ports[p].vcpu, ports[p].sender);
    }
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Event channels between two micro-guests.  Parameters: peer (domid), and for the
 * second step first=, the number of the peer's first port.
 *
 * Happy path: `set` offers NR ports to the peer, with consecutive numbers; called with
 * first=, it binds all but the last of the peer's to ports of its own, and raises
 * every other one.  After the update `verify` finds raised what the peer has raised
 * and nothing else; with step=1 it binds the last one, and raises all of its own ends;
 * with step=2 it finds what the peer has raised by that, and closes everything.
 *
 * What can fail: an event that is lost or nobody's, a port that has changed: bad.
 */
#include "micro.h"

#define NR 8

static uint32_t offered[NR], bound[NR], theirs;

static void raise(uint32_t port)
{
    struct evtchn_send op = { .port = port };

    want(hc_event(EVTCHNOP_send, &op), "send");
}

static void bind(unsigned int i)
{
    struct evtchn_bind_interdomain op = {
        .remote_dom = arg("peer", 0), .remote_port = theirs + i,
    };
    long rc = hc_event(EVTCHNOP_bind_interdomain, &op);

    if ( rc )
    {
        bad("port %u of the peer cannot be bound: %ld", theirs + i, rc);
        return;
    }

    bound[i] = op.local_port;
    port_mask(bound[i]);
    /* It is raised by binding it. */
    port_clear(bound[i]);
}

static void set(void)
{
    unsigned int i;

    theirs = arg("first", 0);
    for ( i = 0; !theirs && i < NR; i++ )
    {
        struct evtchn_alloc_unbound op = {
            .dom = DOMID_SELF, .remote_dom = arg("peer", 0),
        };

        want(hc_event(EVTCHNOP_alloc_unbound, &op), "alloc_unbound");
        offered[i] = op.port;
        if ( op.port != offered[0] + i )
            bad("port %u, want %u", op.port, offered[0] + i);
        port_mask(op.port);
        port_clear(op.port);
    }
    if ( !theirs )
    {
        note("first=%u", offered[0]);
        return;
    }

    for ( i = 0; i + 1 < NR; i++ )
    {
        bind(i);
        if ( i % 2 )
            raise(bound[i]);
    }
}

static void close_all(void)
{
    unsigned int i;

    for ( i = 0; i < NR; i++ )
    {
        struct evtchn_close op = { .port = bound[i] };

        want(hc_event(EVTCHNOP_close, &op), "close");
        op.port = offered[i];
        want(hc_event(EVTCHNOP_close, &op), "close");
    }
}

static void check(uint32_t port, bool raised, const char *when)
{
    if ( port_pending(port) != raised )
        bad("%s: port %u is%s raised", when, port, raised ? " not" : "");
    port_clear(port);
}

static void verify(void)
{
    unsigned int i;

    switch ( arg("step", 0) )
    {
    case 1:
        bind(NR - 1);
        for ( i = 0; i < NR; i++ )
            raise(bound[i]);
        return;

    case 2:
        for ( i = 0; i < NR; i++ )
            check(offered[i], true, "raised anew");
        close_all();
        return;
    }

    for ( i = 0; i < NR; i++ )
    {
        struct evtchn_status s = { .dom = DOMID_SELF, .port = offered[i] };

        want(hc_event(EVTCHNOP_status, &s), "status");
        if ( s.status != (i + 1 < NR ? EVTCHNSTAT_interdomain
                                     : EVTCHNSTAT_unbound) )
            bad("port %u has status %u", offered[i], s.status);
        check(offered[i], i + 1 < NR && i % 2, "after the update");
        if ( i + 1 < NR )
            check(bound[i], false, "after the update");
    }
}

const struct test test_peer = { "peer", "channels to the peer", set, verify };

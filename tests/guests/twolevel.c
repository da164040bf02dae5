/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 2-level event channels: pending, masked and selector bits of three vCPUs.
 *
 * Happy path: `set` raises, masks and unmasks ports at random.  `verify` finds the
 * bits as they were, does more of that, and takes what is due: by an upcall
 * on vCPU 0, by their selectors for the others.  Each event has to be there once.
 *
 * What can fail: an event that is lost or was not raised, a port whose status
 * has changed, an upcall that does not come: bad.
 */
#include "ports.h"

#define VCPUS 3

static unsigned int upcalls, taken;

static void unmask(uint32_t p)
{
    port_unmask(p);
    ports[p].masked = false;
}

/* What a vCPU's selector leads to. */
static void take_all(unsigned int vcpu)
{
    xen_ulong_t sel = __sync_lock_test_and_set(
                          &vcpu_info(vcpu)->evtchn_pending_sel, 0);
    unsigned int i, j;

    for ( i = 0; i < 64; i++ )
        for ( j = 0; (sel >> i) & 1 && j < 64; j++ )
        {
            const uint32_t p = i * 64 + j;

            if ( !ports[p].ours || ports[p].vcpu != vcpu ||
                 !port_pending(p) || port_masked(p) )
                continue;

            if ( !ports[p].pending || ports[p].masked )
                bad("port %u: came, but pending %u, masked %u", p,
                    ports[p].pending, ports[p].masked);
            port_clear(p);
            ports[p].pending = false;
            taken++;
        }
}

static void on_upcall(unsigned int vcpu)
{
    upcalls++;
    take_all(vcpu);
}

static unsigned int due(unsigned int vcpu)
{
    unsigned int n = 0;
    uint32_t p;

    for_each_port ( p )
        n += ports[p].vcpu == vcpu && ports[p].pending && !ports[p].masked;

    return n;
}

static void deliver(const char *when)
{
    unsigned int vcpu, before = due(0);
    uint32_t p;

    upcalls = 0;
    on_event(0, on_upcall);
    let_events_in();
    on_event(0, NULL);
    if ( before && !upcalls )
        bad("%s: %u events and no upcall", when, before);

    for ( vcpu = 1; vcpu < VCPUS; vcpu++ )
    {
        if ( due(vcpu) && !READ(vcpu_info(vcpu)->evtchn_upcall_pending) )
            bad("%s: vCPU %u has %u events and no upcall pending", when, vcpu,
                due(vcpu));
        READ(vcpu_info(vcpu)->evtchn_upcall_pending) = 0;
        take_all(vcpu);
    }

    for_each_port ( p )
        if ( ports[p].pending && !ports[p].masked )
            bad("%s: port %u of vCPU %u did not come", when, p, ports[p].vcpu);
}

static void set(void)
{
    uint64_t seed = arg("seed", 1);
    uint32_t p;

    if ( fifo )
        die("2l wants 2-level event channels");

    if ( !last_port )
    {
        ports_make(1500, VCPUS);
        for_each_port ( p )
        {
            if ( ports[p].sender )
                port_mask(ports[p].sender);
            unmask(p);
        }
        /* A channel's first end is told that the other one is there. */
        for_each_port ( p )
            port_clear(p);
    }

    for_each_port ( p )
        switch ( random(&seed) % 6 )
        {
        case 0 ... 1:
            port_raise(p);
            break;

        case 2:
            mask(p);
            port_raise(p);
            break;

        case 3:
            mask(p);
            break;

        case 4:
            port_raise(p);
            mask(p);
            break;
        }

    note("ports=%u due=%u", last_port, due(0) + due(1) + due(2));
}

static void verify(void)
{
    uint64_t seed = arg("seed", 1) + 77;
    uint32_t p;

    taken = 0;
    ports_status();

    for_each_port ( p )
    {
        if ( port_pending(p) != ports[p].pending ||
             port_masked(p) != ports[p].masked )
            bad("port %u: pending %u, masked %u, want %u and %u", p,
                port_pending(p), port_masked(p), ports[p].pending,
                ports[p].masked);
        if ( !(random(&seed) % 4) )
            port_raise(p);
        if ( ports[p].masked && random(&seed) % 2 )
            unmask(p);
    }
    deliver("after the update");

    for_each_port ( p )
        if ( ports[p].masked )
            unmask(p);
    deliver("after all was unmasked");

    for_each_port ( p )
        port_raise(p);
    deliver("after all was raised");

    note("taken=%u", taken);
}

const struct test test_2l = { "2l", "2-level event channels", set, verify };

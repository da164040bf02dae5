/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events that come while the update is under way: VIRQ_DEBUG of several vCPUs, which
 * a Xen of the lab raises at random moments of the pause, each vCPU's once or twice
 * (xen/common/liveupdate/raise.c).
 *
 * Happy path: `set` binds VIRQ_DEBUG of each vCPU, not masked, with FIFO on a queue of
 * its own priority, and another VIRQ that nobody raises.  `verify` finds each port
 * pending, on its queue once, an upcall pending for its vCPU; with raised=0, when Xen
 * does no such thing, nothing.
 *
 * What can fail: an event that is lost, queued twice or on another queue, one of
 * nobody, an upcall that is not pending: bad.
 */
#include "micro.h"

/* The first vCPUs' queues are those of other tests, and enough of them is enough. */
#define FIRST CPU_REGS
#define LAST CPU_QUEUED
/* The highest one is for timers. */
#define PRIO(vcpu) (1 + (vcpu) % (EVTCHN_FIFO_MAX_QUEUES - 1))

static uint32_t ports[NR_CPUS], quiet[NR_CPUS];

static uint32_t bind(unsigned int virq, unsigned int vcpu)
{
    struct evtchn_set_priority op = {
        .port = port_virq(virq, vcpu), .priority = PRIO(vcpu),
    };

    if ( fifo )
        want(hc_event(EVTCHNOP_set_priority, &op), "set_priority");
    port_unmask(op.port);

    return op.port;
}

/* How often the port of a vCPU is queued, or whether it is pending and selected. */
static unsigned int take(unsigned int vcpu)
{
    const uint32_t p = ports[vcpu];
    xen_ulong_t *sel = &vcpu_info(vcpu)->evtchn_pending_sel;
    unsigned int n = 0;
    uint32_t port;
    bool live;

    if ( !fifo )
    {
        n = port_pending(p);
        if ( n && !((READ(*sel) >> (p / 64)) & 1) )
            bad("port %u of vCPU %u is pending and not selected", p, vcpu);
        port_clear(p);
        __sync_fetch_and_and(sel, ~(1UL << (p / 64)));
        return n;
    }

    fifo_ready(vcpu);
    while ( fifo_take(vcpu, PRIO(vcpu), &port, &live) )
    {
        if ( port != p || !live )
            bad("queue %u of vCPU %u has port %u, want %u; live %u", PRIO(vcpu),
                vcpu, port, p, live);
        n++;
    }
    if ( *fifo_word(p) )
        bad("port %u of vCPU %u: word %x, want 0", p, vcpu, *fifo_word(p));

    return n;
}

static void set(void)
{
    unsigned int vcpu;

    for ( vcpu = FIRST; vcpu < LAST; vcpu++ )
    {
        if ( !ports[vcpu] )
        {
            ports[vcpu] = bind(VIRQ_DEBUG, vcpu);
            quiet[vcpu] = bind(VIRQ_XENOPROF, vcpu);
        }
        take(vcpu);
        READ(vcpu_info(vcpu)->evtchn_upcall_pending) = 0;
    }

    note("vcpus=%u-%u", FIRST, LAST - 1);
}

static void verify(void)
{
    const unsigned int should = arg("raised", 0);
    unsigned int vcpu, n;

    for ( vcpu = FIRST; vcpu < LAST; vcpu++ )
    {
        struct evtchn_status s = { .dom = DOMID_SELF, .port = ports[vcpu] };
        const bool upcall = READ(vcpu_info(vcpu)->evtchn_upcall_pending);

        want(hc_event(EVTCHNOP_status, &s), "status");
        if ( s.status != EVTCHNSTAT_virq || s.vcpu != vcpu ||
             s.u.virq != VIRQ_DEBUG )
            bad("port %u: status %u of vCPU %u", ports[vcpu], s.status, s.vcpu);

        n = take(vcpu);
        if ( n != should )
            bad("the event of vCPU %u is there %u times, want %u", vcpu, n, should);
        if ( n && !upcall )
            bad("vCPU %u has an event and no upcall pending", vcpu);
        if ( port_pending(quiet[vcpu]) )
            bad("vCPU %u has an event of nobody, port %u", vcpu, quiet[vcpu]);
    }
}

const struct test test_virqs = { "virqs", "events in the pause", set, verify };

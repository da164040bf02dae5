/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * FIFO event channels: priorities, masked and pending ports, queues in every state,
 * three pages of the event array and ports for which there is none yet.
 *
 * Happy path: `set` gives each port a priority and raises, masks, clears, moves
 * them at random, noting for each queue which ports Xen has to have put on it and in
 * what order; some queues are then emptied by a part, others wholly.  `verify`
 * raises and unmasks more, and empties all queues: by an upcall for vCPU 0,
 * by hand for vCPU 1, whose upcalls stay masked.  Each event has to be there
 * once, at its place.
 *
 * What can fail: an event that is lost, doubled, out of order or on another queue,
 * an upcall that does not come: bad.
 */
#include "ports.h"

#define NR_QUEUES EVTCHN_FIFO_MAX_QUEUES
#define VCPUS 2                 /* that have events */
#define PAGES 3
#define WORDS 1024

static struct {
    unsigned int n, at;
    uint16_t port[MAX_PORT];
} queues[VCPUS][NR_QUEUES];

static unsigned int taken, upcalls;
static bool broken;

/* ---- What should be ---- */

static void expect_link(uint32_t p)
{
    struct port *port = &ports[p];

    if ( port->masked || port->linked )
        return;

    port->linked = true;
    queues[port->vcpu][port->prio].port[queues[port->vcpu][port->prio].n++] = p;
}

static void raise(uint32_t p)
{
    port_raise(p);
    if ( p < fifo_pages() * WORDS )
        expect_link(p);
}

static void unmask(uint32_t p)
{
    port_unmask(p);
    ports[p].masked = false;
    if ( ports[p].pending )
        expect_link(p);
}

static void set_priority(uint32_t p, unsigned int priority)
{
    struct evtchn_set_priority op = { .port = p, .priority = priority };

    want(hc_event(EVTCHNOP_set_priority, &op), "set_priority");
    ports[p].prio = priority;
}

/* ---- What is ---- */

/* At most `most` of a queue; false when it does not agree with what should be. */
static bool take(unsigned int vcpu, unsigned int queue, unsigned int most)
{
    while ( most-- )
    {
        const unsigned int left = queues[vcpu][queue].n - queues[vcpu][queue].at;
        struct port *port;
        uint32_t p, should;
        bool live;

        if ( !fifo_take(vcpu, queue, &p, &live) )
        {
            if ( left )
                bad("queue %u of vCPU %u ends before port %u, %u to come",
                    queue, vcpu, queues[vcpu][queue].port[queues[vcpu][queue].at],
                    left);
            break;
        }

        should = left ? queues[vcpu][queue].port[queues[vcpu][queue].at] : 0;
        if ( p != should )
        {
            bad("queue %u of vCPU %u has port %u, want %u", queue, vcpu, p, should);
            broken = true;
            return false;
        }
        queues[vcpu][queue].at++;

        port = &ports[p];
        if ( live != (port->pending && !port->masked) )
            bad("port %u: %s, but pending %u, masked %u", p,
                live ? "live" : "not live", port->pending, port->masked);
        port->linked = false;
        if ( live )
            port->pending = false;
        taken++;
    }

    return true;
}

static void take_all(unsigned int vcpu)
{
    unsigned int queue;

    fifo_ready(vcpu);
    for ( queue = 0; queue < NR_QUEUES; queue++ )
        take(vcpu, queue, -1U);
}

static void on_upcall(unsigned int vcpu)
{
    upcalls++;
    take_all(vcpu);
}

static unsigned int left(unsigned int vcpu)
{
    unsigned int queue, n = 0;

    for ( queue = 0; queue < NR_QUEUES; queue++ )
        n += queues[vcpu][queue].n - queues[vcpu][queue].at;

    return n;
}

/* Empties all queues, vCPU 0's by an upcall. */
static void deliver(const char *when)
{
    unsigned int vcpu, queue, before = left(0);

    upcalls = 0;
    on_event(0, on_upcall);
    let_events_in();
    on_event(0, NULL);
    if ( before && !upcalls )
        bad("%s: %u events and no upcall", when, before);
    if ( left(0) )
        take_all(0);

    if ( left(1) && !READ(vcpu_info(1)->evtchn_upcall_pending) )
        bad("%s: vCPU 1 has %u events and no upcall pending", when, left(1));
    READ(vcpu_info(1)->evtchn_upcall_pending) = 0;
    take_all(1);

    for ( vcpu = 0; vcpu < VCPUS; vcpu++ )
        for ( queue = 0; queue < NR_QUEUES; queue++ )
            queues[vcpu][queue].n = queues[vcpu][queue].at = 0;
}

/* ---- The test ---- */

static void prepare(void)
{
    uint32_t p;

    if ( !fifo )
        die("fifo wants FIFO");

    while ( fifo_pages() < PAGES )
        fifo_expand(NULL);
    ports_make(PAGES * WORDS + 40, VCPUS);
    /* The ends that only send stay masked. */
    for_each_port ( p )
        if ( p < PAGES * WORDS )
            port_unmask(p);
    deliver("at first");
}

static void set(void)
{
    uint64_t seed = arg("seed", 1);
    unsigned int vcpu, queue;
    uint32_t p;

    if ( !last_port )
        prepare();

    for_each_port ( p )
    {
        set_priority(p, random(&seed) % NR_QUEUES);
        if ( p >= fifo_pages() * WORDS )
        {
            if ( p % 2 )
                raise(p);
            continue;
        }

        switch ( random(&seed) % 8 )
        {
        case 0 ... 1:
            raise(p);
            break;

        case 2:
            mask(p);
            raise(p);
            break;

        case 3:
            mask(p);
            break;

        case 4:
            raise(p);
            port_clear(p);
            ports[p].pending = false;
            break;

        case 5:
            raise(p);
            mask(p);
            break;

        case 6:                 /* the next time on another queue */
            raise(p);
            set_priority(p, random(&seed) % NR_QUEUES);
            if ( ports[p].sender )
                port_bind(p, random(&seed) % VCPUS);
            break;
        }
    }

    /* Queues that are full, partly read, and read to their end. */
    for ( vcpu = 0; vcpu < VCPUS; vcpu++ )
    {
        fifo_ready(vcpu);
        for ( queue = 0; queue < NR_QUEUES; queue++ )
        {
            unsigned int n = queues[vcpu][queue].n;

            switch ( (queue + vcpu + seed) % 3 )
            {
            case 1:
                take(vcpu, queue, n / 2);
                break;
            case 2:
                take(vcpu, queue, n);
                break;
            }
        }
    }

    for_each_port ( p )
        if ( p < fifo_pages() * WORDS && ports[p].prio < 12 &&
             !(random(&seed) % 8) )
            raise(p);

    note("ports=%u queued=%u", last_port, left(0) + left(1));
}

static void verify(void)
{
    uint64_t seed = arg("seed", 1) + 77;
    uint32_t p;

    taken = 0;
    broken = false;
    ports_status();

    for_each_port ( p )
    {
        if ( p >= fifo_pages() * WORDS )
            continue;
        if ( !(random(&seed) % 4) )
            raise(p);
        if ( ports[p].masked && random(&seed) % 2 )
            unmask(p);
    }

    /* What was raised before its page came is queued when it comes. */
    if ( last_port >= fifo_pages() * WORDS )
    {
        static uint32_t words[WORDS];
        const uint32_t first = fifo_pages() * WORDS;

        for ( p = 0; p < WORDS; p++ )
            words[p] = first + p < MAX_PORT && ports[first + p].ours
                       ? 0 : 1U << EVTCHN_FIFO_MASKED;
        fifo_expand(words);
        for_each_port ( p )
            if ( p >= first && ports[p].pending )
                expect_link(p);
    }

    deliver("after the update");

    for_each_port ( p )
    {
        uint32_t w = *fifo_word(p);

        if ( (w >> EVTCHN_FIFO_LINKED) & 1 ||
             ((w >> EVTCHN_FIFO_PENDING) & 1) != ports[p].pending ||
             ((w >> EVTCHN_FIFO_MASKED) & 1) != ports[p].masked )
            bad("port %u: word %x, want pending %u, masked %u, not linked", p, w,
                ports[p].pending, ports[p].masked);
    }

    for_each_port ( p )
        if ( ports[p].masked )
            unmask(p);
    deliver("after all was unmasked");

    for_each_port ( p )
        raise(p);
    deliver("after all was raised");

    note("taken=%u", taken);
}

const struct test test_fifo = { "fifo", "FIFO event channels", set, verify };

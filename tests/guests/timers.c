/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Single-shot timers: one that is due while all stand still, one long afterwards.
 *
 * Happy path: CPU_TIMER arms its timer with a time that is over before the update
 * ends, sleeps, and has its event once; with FIFO its port, of the highest priority
 * and not masked, is on its queue once.  vCPU 0 arms one for `later` ms from now,
 * which must not come before that time and has to come then.  A time in the past
 * comes at once.
 *
 * What can fail: an event too early, none, one too many: bad.
 */
#include "micro.h"

static uint32_t due_port, later_port;
static uint64_t due, later;
static volatile long armed;

static void arm(void *arg)
{
    struct vcpu_set_singleshot_timer t = {
        .timeout_abs_ns = now() + (uint64_t)arg * MS,
    };

    armed = hc_vcpu(VCPUOP_set_singleshot_timer, me(), &t);
}

/* How often the port of CPU_TIMER is queued, or pending. */
static unsigned int take_due(void)
{
    unsigned int n = 0;
    uint32_t port;
    bool live;

    if ( !fifo )
    {
        n = port_pending(due_port);
        port_clear(due_port);
        return n;
    }

    fifo_ready(CPU_TIMER);
    while ( fifo_take(CPU_TIMER, 0, &port, &live) )
    {
        if ( port != due_port || !live )
            bad("queue 0 of vCPU %u has port %u, live %u", CPU_TIMER, port, live);
        n++;
    }

    return n;
}

static void set(void)
{
    if ( !due_port )
    {
        struct evtchn_set_priority op = { .priority = 0 };

        /* It has to be up before its timer says anything of it. */
        vcpu_do(CPU_TIMER, arm, (void *)100000);
        if ( !vcpu_wait(CPU_TIMER, 5000) )
            bad("vCPU %u does not start", CPU_TIMER);
        hc_vcpu(VCPUOP_stop_periodic_timer, CPU_TIMER, NULL);
        hc_vcpu(VCPUOP_stop_periodic_timer, 0, NULL);
        due_port = port_virq(VIRQ_TIMER, CPU_TIMER);
        later_port = port_virq(VIRQ_TIMER, 0);
        port_mask(later_port);
        op.port = due_port;
        if ( fifo )
            want(hc_event(EVTCHNOP_set_priority, &op), "set_priority");
        port_unmask(due_port);
    }

    take_due();
    port_clear(later_port);
    later = now() + arg("later", 30000) * MS;
    arm((void *)arg("later", 30000));
    want(armed, "a timer of vCPU 0");

    /* With an update on the way, that is in the pause or not long before. */
    due = now() + arg("due", 1500) * MS;
    vcpu_do(CPU_TIMER, arm, (void *)arg("due", 1500));
    if ( !vcpu_wait(CPU_TIMER, 5000) )
        bad("vCPU %u does not arm its timer", CPU_TIMER);
    want(armed, "a timer");
}

static void verify(void)
{
    unsigned int n;
    uint64_t at;

    if ( now() < due + 50 * MS )
        nap((due + 50 * MS - now()) / MS + 1);
    n = take_due();
    if ( n != 1 )
        bad("the event of the timer is there %u times, want 1", n);
    nap(100);
    n = take_due();
    if ( n )
        bad("the event of the timer comes again, %u times", n);

    /* An update raises VIRQ_TIMER once for nothing. */
    port_clear(later_port);
    note("left_ms=%ld", (long)(later - now()) / 1000000);
    if ( now() < later )
    {
        while ( !port_pending(later_port) && now() < later + 5000 * MS )
            poll(later_port, later + 5000 * MS);
        at = now();
        if ( at < later )
            bad("the later timer came %lu ns too early", later - at);
        else if ( !port_pending(later_port) )
            bad("the later timer did not come");
        note("late_us=%lu", (at - later) / 1000);
    }
    else
        bad("it took more than %lu ms to get here", arg("later", 30000));

    port_clear(later_port);
    arm((void *)-1L);
    if ( !port_pending(later_port) )
        bad("a timer in the past does not come at once");
}

const struct test test_timers = { "timers", "single-shot timers", set, verify };

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SCHEDOP_poll: a vCPU that waits for one of three ports, and one that waits for a
 * port which never comes, with a timeout.
 *
 * Happy path: both wait across the update, which may wake them for no reason
 * (they look, and wait again).  `verify` raises the third port and waits until the
 * first vCPU has it, and for the second one's time to be over.
 *
 * What can fail: a vCPU that comes back too early, or not at all, or that is woken
 * again and again: bad.
 */
#include "micro.h"

/* More wake-ups than updates here.  Who polls several ports wakes for any other. */
#define SPURIOUS 10
#define SPURIOUS_ANY 10000

static uint32_t ports[4];
static volatile unsigned int wakes[2];
static volatile uint64_t deadline, ended;

static void wait_for_port(void *arg)
{
    struct sched_poll op = { .nr_ports = 3 };

    set_xen_guest_handle(op.ports, ports);
    while ( !port_pending(ports[2]) )
    {
        hc_sched(SCHEDOP_poll, &op);
        wakes[0]++;
    }
    port_clear(ports[2]);
}

static void wait_for_time(void *arg)
{
    while ( now() < deadline && !port_pending(ports[3]) )
    {
        poll(ports[3], deadline);
        wakes[1]++;
    }
    ended = now();
}

static void set(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(ports); i++ )
        if ( !ports[i] )
        {
            ports[i] = port_ipi(0);
            port_mask(ports[i]);
        }

    wakes[0] = wakes[1] = 0;
    deadline = now() + arg("timeout", 20000) * MS;
    vcpu_do(CPU_POLL, wait_for_port, NULL);
    vcpu_do(CPU_POLL_TIME, wait_for_time, NULL);
}

static void verify(void)
{
    uint64_t left;

    if ( vcpu_idle(CPU_POLL) )
        bad("vCPU 1 did not wait for its port");
    if ( wakes[0] > SPURIOUS_ANY || wakes[1] > SPURIOUS )
        bad("woken %u and %u times", wakes[0], wakes[1]);
    if ( vcpu_idle(CPU_POLL_TIME) && ended < deadline )
        bad("vCPU 2 was awake %lu ns too early", deadline - ended);

    port_send(ports[2]);
    if ( !vcpu_wait(CPU_POLL, 5000) )
        bad("vCPU 1 does not wake for its port");

    note("wakes=%u,%u", wakes[0], wakes[1]);
    left = deadline > now() ? (deadline - now()) / MS : 0;
    if ( !vcpu_wait(CPU_POLL_TIME, left + 5000) )
        bad("vCPU 2 does not wake when its time is over");
    else
        note("late_us=%lu", (ended - deadline) / 1000);
}

const struct test test_poll = { "poll", "SCHEDOP_poll", set, verify };

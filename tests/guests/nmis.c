/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NMI that waits for the end of another one.
 *
 * Happy path: CPU_NMI sends itself an NMI and stays in its handler across the update,
 * where a second one cannot come.  `verify` lets the handler return: then the second
 * one comes, once.
 *
 * What can fail: it comes too early, not at all, or twice: bad.
 */
#include "micro.h"

static volatile unsigned int nmis;
static volatile bool stop;

static bool nmi(struct frame *f)
{
    if ( me() != CPU_NMI )
        return false;

    if ( ++nmis == 1 )
        while ( !stop )
            nap(20);

    return true;
}

static void work(void *arg)
{
    hc_vcpu(VCPUOP_send_nmi, me(), NULL);
}

static void set(void)
{
    on_trap(2, nmi);
    nmis = 0;
    stop = false;
    vcpu_do(CPU_NMI, work, NULL);
    if ( !wait_until(nmis, 5000) )
        bad("no NMI");
    want(hc_vcpu(VCPUOP_send_nmi, CPU_NMI, NULL), "send_nmi");
}

static void verify(void)
{
    nap(50);
    if ( nmis != 1 )
        bad("%u NMIs while the first is handled", nmis);
    stop = true;
    if ( !vcpu_wait(CPU_NMI, 5000) )
        bad("the NMI's handler does not return");
    nap(50);
    if ( nmis != 2 )
        bad("%u NMIs in the end, want 2", nmis);
}

const struct test test_nmi = { "nmi", "an NMI behind another one", set, verify };

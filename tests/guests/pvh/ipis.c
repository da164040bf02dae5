/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPIs between two vCPUs, sent all the time, the second one being
 *
 *   asleep (second=0): in HLT until one comes, and answers each by one;
 *   busy (second=1): computing with interrupts on, answers as well;
 *   deaf (second=2): with interrupts off, so that what was sent is pending in its APIC.
 *
 * Happy path: the first sends one, sleeps in HLT until it has the answer, and sends the
 * next. Each arrives once, wherever it was when Xen was replaced: if longest_us, the longest
 * way and back, is no less than the pause, on its way. That is up to chance, but of a deaf
 * one the APIC says what is pending, and each vector comes once when interrupts are on again.
 *
 * What can fail: one that comes twice, or out of nothing (bad); one that is lost, which
 * the scenario sees as no answer.
 */
#include "pvh.h"

#define PING  0x71
#define PONG  0x72
#define EARLY 0x58      /* for a deaf one */
#define LATE  0xa4

enum { ASLEEP, BUSY, DEAF };

static unsigned int mode;
static volatile bool leave;
static uint64_t sent, longest, irr_early, irr_late;

static void pong(void)
{
    ipi_first(PONG);
}

/* ---- What the second one does ---- */

static void asleep(void)
{
    while ( !leave )
        halt();
}

static void busy(void)
{
    irqs_on();
    while ( !leave )
        barrier();
    irqs_off();
}

static void deaf(void)
{
    while ( !leave )
        nap(1);
    irr_early = apic_bit(APIC_IRR, EARLY);
    irr_late = apic_bit(APIC_IRR, LATE);
    irqs_on();
    nap(5);
    irqs_off();
}

/* ---- What the first one does meanwhile ---- */

static void play(void)
{
    const uint64_t begun = now();
    uint64_t took;

    ipi_second(PING);
    sent++;
    while ( READ(irqs[PONG].count) != sent )
    {
        if ( READ(irqs[PONG].count) > sent )
        {
            bad("more answers than questions");
            break;
        }
        halt();
    }
    took = now() - begun;
    if ( took > longest )
        longest = took;
}

static void set(void)
{
    static void (*const does[])(void) = { asleep, busy, deaf };

    mode = arg("second", ASLEEP);
    irqs[PING].count = irqs[PONG].count = irqs[EARLY].count = irqs[LATE].count = 0;
    irqs[PING].also = pong;
    sent = longest = 0;
    leave = false;
    second_run(does[mode]);
    if ( mode != DEAF )
    {
        pastime = play;
        return;
    }
    ipi_second(EARLY);
    ipi_second(LATE);
    nap(5);
    if ( irqs[EARLY].count || irqs[LATE].count )
        bad("a vCPU with interrupts off took one");
}

static void verify(void)
{
    pastime = NULL;
    if ( mode == DEAF && (irqs[EARLY].count || irqs[LATE].count) )
        bad("a vCPU with interrupts off took one");
    leave = true;
    if ( mode == ASLEEP )
        ipi_second(LATE);
    if ( !wait_until(second_idle(), 2000) )
        die("the second vCPU does not come back");

    if ( mode == DEAF && (!irr_early || !irr_late) )
        bad("pending: %lu of vector %x, %lu of %x", irr_early, EARLY, irr_late, LATE);
    if ( irqs[EARLY].count != (mode == DEAF) || irqs[LATE].count != (mode != BUSY) )
        bad("vector %x came %lu times, %x %lu times", EARLY, irqs[EARLY].count, LATE,
            irqs[LATE].count);
    if ( irqs[PING].count != sent || irqs[PONG].count != sent )
        bad("%lu sent, %lu came, %lu answers", sent, irqs[PING].count,
            irqs[PONG].count);
    if ( mode != DEAF && sent < 10 )
        bad("only %lu were sent", sent);
    note("sent=%lu longest_us=%lu", sent, longest / 1000);
}

const struct test test_ipis = { "ipis", "IPIs between two vCPUs", set, verify };

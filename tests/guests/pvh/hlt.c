/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HLT, right behind STI: for nothing but the console (wake=0), or with the APIC's timer
 * armed for `every` ms, again after each wake (wake=1), so that it is due in the gap.
 *
 * Happy path: each HLT ends with an interrupt, and each interrupt ends one HLT: none is
 * lost and none ends for nothing. With a timer the longest time it was late is the gap;
 * it is told as late_us.
 *
 * What can fail: a HLT that ends without an interrupt, or with two (bad); one that does
 * not end, which the scenario sees as no answer.
 */
#include "pvh.h"

#define VEC_TIMER 0xd2

static uint64_t wakes, spurious, doubled, before, every, due, late;
static bool timer;

static void arm(void)
{
    due = now() + every;
    apic_set(APIC_TMICT, every / 10);
}

static void halted(void)
{
    const uint64_t n = nr_irqs, ticks = irqs[VEC_TIMER].count;

    halt();
    wakes++;
    if ( nr_irqs == n )
        spurious++;
    /* The console and the timer may come at the same time, the timer twice may not. */
    if ( irqs[VEC_TIMER].count - ticks > 1 )
        doubled++;
    if ( irqs[VEC_TIMER].count != ticks )
    {
        const uint64_t at = irqs[VEC_TIMER].last;

        if ( at + MS / 2 < due )
            bad("the timer came %lu us too early", (due - at) / 1000);
        else if ( at > due && at - due > late )
            late = at - due;
        arm();
    }
}

static void set(void)
{
    timer = arg("wake", 0);
    every = arg("every", 5) * MS;
    wakes = spurious = doubled = late = 0;
    irqs[VEC_TIMER].count = irqs[VEC_UPCALL].count = 0;
    before = nr_irqs;
    pastime = halted;
    port_unmask(console_port());
    if ( timer )
    {
        apic_set(APIC_TDCR, 0xb);
        apic_set(APIC_LVTT, VEC_TIMER);
        arm();
    }
}

static void verify(void)
{
    const uint64_t n = nr_irqs - before;

    pastime = NULL;
    port_mask(console_port());
    apic_set(APIC_LVTT, LVTT_MASKED);
    apic_set(APIC_TMICT, 0);
    if ( spurious )
        bad("%lu of %lu HLTs ended without an interrupt", spurious, wakes);
    if ( doubled )
        bad("%lu of %lu HLTs ended with two interrupts of the timer", doubled, wakes);
    if ( !timer && irqs[VEC_TIMER].count )
        bad("a timer came that nobody armed");
    if ( n != irqs[VEC_TIMER].count + irqs[VEC_UPCALL].count )
        bad("%lu interrupts, of which nobody knows %lu", n,
            n - irqs[VEC_TIMER].count - irqs[VEC_UPCALL].count);
    note("wakes=%lu ticks=%lu upcalls=%lu late_us=%lu", wakes, irqs[VEC_TIMER].count,
         irqs[VEC_UPCALL].count, late / 1000);
    if ( timer && late < arg("gap_us", 0) )
        bad("the timer was late by %lu us, the gap was %lu", late / 1000,
            arg("gap_us", 0));
    irqs_on();
    irqs_off();
}

const struct test test_hlt = { "hlt", "HLT and what ends it", set, verify };

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts that are pending, and one in service, while the guest waits with
 * interrupts off.
 *
 * Happy path: IN_SERVICE has been taken and not ended; SAME is of its priority class and
 * waits for its end, ABOVE of a higher class waits for STI, TOP is held back by nothing
 * but interrupts that are off, and LOW waits for the task priority. After the update the
 * registers of the APIC say so, and each comes once, at its turn.
 *
 * What can fail: one that is lost, doubled or out of turn, another one: bad.
 */
#include "pvh.h"

#define IN_SERVICE 0x61
#define SAME       0x62
#define LOW        0x48
#define ABOVE      0x95
#define TOP        0xc3
#define TPR        0x50

static const uint8_t vectors[] = { IN_SERVICE, SAME, LOW, ABOVE, TOP };
static uint64_t others;

static void check_bits(const char *at, unsigned int reg, uint32_t low, uint32_t mid,
                       uint32_t above, uint32_t top)
{
    const uint32_t wanted[8] = { 0, 0, low, mid, above, 0, top, 0 };
    unsigned int i;

    for ( i = 0; i < 8; i++ )
        if ( apic(reg + i * 0x10) != wanted[i] )
            bad("%s: word %u of %s is %x, want %x", at, i,
                reg == APIC_IRR ? "IRR" : "ISR", apic(reg + i * 0x10), wanted[i]);
}

static void check_state(const char *at)
{
    check_bits(at, APIC_IRR, 1U << LOW % 32, 1U << SAME % 32, 1U << ABOVE % 32,
               1U << TOP % 32);
    check_bits(at, APIC_ISR, 0, 1U << IN_SERVICE % 32, 0, 0);
    if ( apic(APIC_TPR) != TPR || apic(APIC_PPR) != (IN_SERVICE & 0xf0) )
        bad("%s: TPR %x, PPR %x", at, apic(APIC_TPR), apic(APIC_PPR));
}

static void set(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(vectors); i++ )
        irqs[vectors[i]].count = 0;
    irqs[IN_SERVICE].keep = true;

    apic_set(APIC_SELF, IN_SERVICE);
    irqs_on();
    irqs_off();
    if ( irqs[IN_SERVICE].count != 1 )
        bad("an IPI to itself comes %lu times", irqs[IN_SERVICE].count);

    apic_set(APIC_TPR, TPR);
    for ( i = 1; i < ARRAY_SIZE(vectors); i++ )
        apic_set(APIC_SELF, vectors[i]);
    others = nr_irqs;
    check_state("at once");
}

/* All that came since the last time. */
static void came(const char *when, unsigned int a, unsigned int b)
{
    unsigned int i, wanted = !!a + !!b;

    irqs_on();
    irqs_off();
    for ( i = 1; i < ARRAY_SIZE(vectors); i++ )
    {
        const unsigned int v = vectors[i], n = v == a || v == b;

        if ( irqs[v].count != n )
            bad("%s: vector %x came %lu times, want %u", when, v, irqs[v].count, n);
        irqs[v].count = 0;
    }
    if ( nr_irqs - others != wanted )
        bad("%s: %lu interrupts, want %u", when, nr_irqs - others, wanted);
    others = nr_irqs;
}

static void verify(void)
{
    if ( nr_irqs != others )
        bad("%lu interrupts came while they were off", nr_irqs - others);
    check_state("after the update");

    came("interrupts on", ABOVE, TOP);
    apic_set(APIC_EOI, 0);
    came("end of interrupt", SAME, 0);
    apic_set(APIC_TPR, 0);
    came("task priority", LOW, 0);
    irqs_on();
    nap(50);
    irqs_off();
    came("later", 0, 0);
    if ( irqs[IN_SERVICE].count != 1 )
        bad("what was in service came %lu times", irqs[IN_SERVICE].count);
    check_bits("in the end", APIC_ISR, 0, 0, 0, 0);
    check_bits("in the end", APIC_IRR, 0, 0, 0, 0);
    irqs[IN_SERVICE].keep = false;
}

const struct test test_irr = { "irr", "interrupts pending and in service", set, verify };

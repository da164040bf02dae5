/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A second vCPU, which does what the first wants done.
 *
 * Happy path: second_run() brings it up when it is used for the first time, and leaves a
 * function for it; until there is one it sleeps in HLT. It has the first one's tables, a
 * stack of its own, and the handlers of interrupts: a vector should be used on one of
 * the two only.
 *
 * What can fail: Xen does not start it, or it does not begin: the guest ends with a
 * message.
 */
#include "pvh.h"

#include <xen/hvm/hvm_vcpu.h>

#define VEC_WORK 0xf0
#define APIC_ICR 0x300
/* Xen gives vCPU n the APIC ID 2n (vlapic_init()). */
#define SECOND_APIC_ID 2UL

extern char second_entry[], l4_table[];

static bool up;
static volatile bool begun;
static void (*volatile work)(void);

static inline void ipi(uint64_t apic_id, unsigned int vector)
{
    wrmsr(0x800 + (APIC_ICR >> 4), (apic_id << 32) | vector);
}

void ipi_first(unsigned int vector)
{
    ipi(0, vector);
}

void ipi_second(unsigned int vector)
{
    ipi(SECOND_APIC_ID, vector);
}

/* On the second one, with interrupts off. */
void second_start(void)
{
    idt_load();
    apic_init();

    for ( ; ; )
    {
        while ( !work )
            halt();
        begun = true;
        work();
        work = NULL;
    }
}

/* VCPUOP_initialise: it could be brought up then.  Xen looks at neither CR0 nor CR3. */
long second_prepare(uint64_t cr3)
{
    struct vcpu_hvm_context ctx = {
        .mode = VCPU_HVM_MODE_64B,
        .cpu_regs.x86_64 = {
            .rip = (uint64_t)second_entry,
            .rflags = 2,
            /* Without ET, which every processor has. */
            .cr0 = 0x80010023,
            .cr3 = cr3,
            .cr4 = 0x620,
            .efer = 0x500,
        },
    };

    return hc_vcpu(VCPUOP_initialise, 1, &ctx);
}

static void bring_up(void)
{
    const long rc = second_prepare((uint64_t)l4_table) ?: hc_vcpu(VCPUOP_up, 1, NULL);

    if ( rc )
        die("a second vCPU: %ld", rc);
    up = true;
}

/*
 * Returns when it has begun: before, its APIC may be off and drop what is sent, or it may
 * take that in HLT.
 */
void second_run(void (*fn)(void))
{
    begun = false;
    work = fn;
    if ( up )
        ipi_second(VEC_WORK);
    else
        bring_up();
    if ( !wait_until(begun, 2000) )
        die("the second vCPU does not begin");
}

bool second_idle(void)
{
    return !work;
}

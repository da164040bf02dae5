/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of a PVH micro-guest share, beyond micro.h: its vCPU and a second one,
 * the local APIC in x2APIC mode, and what interrupts did.
 *
 * Everything runs with interrupts off that does not say otherwise. A vector has a
 * record of how often it came and when; unless it is told to leave it (keep), trap()
 * writes the EOI.
 */
#ifndef PVH_H
#define PVH_H

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18

#ifndef __ASSEMBLY__

#include "../micro.h"

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

/* ---- main.c ---- */

#define VEC_UPCALL   0xe0

struct irq {
    uint64_t count;             /* since when a test has cleared it */
    uint64_t first, last;       /* system time */
    bool keep;                  /* no EOI */
    void (*also)(void);         /* is called, before the EOI */
};

extern struct irq irqs[256];
/* Of all vectors, since the guest began. */
extern uint64_t nr_irqs;

extern void (*pastime)(void);

void idt_load(void);
void apic_init(void);

/* ---- second.c ---- */

/* The second vCPU has begun fn(), interrupts off. It must be idle, as it is at first. */
void second_run(void (*fn)(void));
bool second_idle(void);
long second_prepare(uint64_t cr3);
void ipi_first(unsigned int vector);
void ipi_second(unsigned int vector);

static inline long hc_hvm(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_hvm_op, cmd, (unsigned long)arg, 0, 0);
}

uint64_t hvm_param(unsigned int index);
void hvm_param_set(unsigned int index, uint64_t value);

static inline void irqs_on(void)
{
    asm volatile ( "sti; nop" ::: "memory" );
}

static inline void irqs_off(void)
{
    asm volatile ( "cli" ::: "memory" );
}

/* Takes one interrupt at least, which may be there already. */
static inline void halt(void)
{
    asm volatile ( "sti; hlt; cli" ::: "memory" );
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    asm volatile ( "rdmsr" : "=a" (low), "=d" (high) : "c" (msr) : "memory" );

    return low | ((uint64_t)high << 32);
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile ( "wrmsr" :: "c" (msr), "a" ((uint32_t)value),
                   "d" ((uint32_t)(value >> 32)) : "memory" );
}

static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t *r)
{
    asm volatile ( "cpuid" : "=a" (r[0]), "=b" (r[1]), "=c" (r[2]), "=d" (r[3])
                   : "0" (leaf), "2" (sub) );
}

/* ---- Local APIC: registers by their offset in the page of old ---- */

#define APIC_TPR   0x080
#define APIC_PPR   0x0a0
#define APIC_EOI   0x0b0
#define APIC_SVR   0x0f0
#define APIC_ISR   0x100
#define APIC_IRR   0x200
#define APIC_LVTT  0x320
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR  0x3e0
#define APIC_SELF  0x3f0

#define LVTT_MASKED   (1U << 16)
#define LVTT_PERIODIC (1U << 17)
#define LVTT_DEADLINE (2U << 17)

#define MSR_TSC_DEADLINE 0x6e0

static inline uint32_t apic(unsigned int reg)
{
    return rdmsr(0x800 + (reg >> 4));
}

static inline void apic_set(unsigned int reg, uint32_t value)
{
    wrmsr(0x800 + (reg >> 4), value);
}

/* Is that vector set in the register of 256 bits that starts there? */
static inline bool apic_bit(unsigned int reg, unsigned int vector)
{
    return (apic(reg + vector / 32 * 0x10) >> (vector % 32)) & 1;
}

#endif /* __ASSEMBLY__ */

#define STACK_SIZE 32768

#endif

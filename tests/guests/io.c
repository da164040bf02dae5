/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen emulates of I/O for a vCPU: breakpoints on ports, and the bitmap that says
 * which ports it may use.
 *
 * Happy path: `set` makes CPU_IO switch on CR4.DE, give Xen a bitmap, and set
 * breakpoints on two ports and on a word of memory; it sleeps with these.  `verify`
 * wakes it: it finds the registers as they were, gets #DB for just the ports and
 * the word that are watched, and #GP for ports that the bitmap denies or ends before.
 *
 * What can fail: another value of a register, an exception too many or none: bad.
 */
#include "micro.h"

#define CR4_DE (1UL << 3)
#define BYTE_PORT (0x1200 + key * 8)
#define WORD_PORT (0x2300 + key * 8)
#define FREE_PORT 0x3400        /* allowed and not watched */
#define DENIED    0x3500
#define LIMIT     0x4000        /* ports that the bitmap knows */
/* L0 to L2; a port of one byte, one of two, writes of eight bytes. */
#define DR7 (0x400 | 0x15 | 0x2 << 16 | 0x6 << 20 | 0x9 << 24)

static uint8_t bitmap[LIMIT / 8 + 1];
static unsigned int key;
static volatile uint64_t watched;
static unsigned long cr4, dr[8];
static long failed;
static volatile unsigned int hits;
static volatile unsigned long dr6;
static struct seen {
    unsigned int vector, hits;
    unsigned long dr6;
} seen[6];

static bool debug_trap(struct frame *f)
{
    if ( me() != CPU_IO )
        return false;

    hits++;
    dr6 = hypercall(__HYPERVISOR_get_debugreg, 6, 0, 0, 0) & 15;
    hypercall(__HYPERVISOR_set_debugreg, 6, 0xffff0ff0, 0, 0);

    return true;
}

static unsigned long read_cr4(void)
{
    unsigned long value;

    asm volatile ( "mov %%cr4, %0" : "=r" (value) );

    return value;
}

static void load(void *unused)
{
    const unsigned long value[] = { BYTE_PORT, WORD_PORT, (unsigned long)&watched };
    struct physdev_set_iobitmap op = { .nr_ports = LIMIT };
    unsigned int i;

    asm volatile ( "mov %0, %%cr4" :: "r" (read_cr4() | CR4_DE) );
    cr4 = read_cr4();
    set_xen_guest_handle(op.bitmap, bitmap);
    failed = hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iobitmap,
                       (unsigned long)&op, 0, 0);
    for ( i = 0; i < ARRAY_SIZE(value); i++ )
        failed |= hypercall(__HYPERVISOR_set_debugreg, i, value[i], 0, 0);
    failed |= hypercall(__HYPERVISOR_set_debugreg, 7, DR7, 0, 0);
}

static void one(struct seen *s, unsigned int port)
{
    hits = 0;
    dr6 = 0;
    if ( port )
        s->vector = try_in(port);
    else
        watched++;
    s->hits = hits;
    s->dr6 = dr6;
}

static void look(void *unused)
{
    const unsigned int ports[] = {
        BYTE_PORT, WORD_PORT + 1, FREE_PORT, DENIED, LIMIT + 8, 0,
    };
    unsigned int i;

    failed = read_cr4() != cr4;
    for ( i = 0; i < 8; i++ )
        dr[i] = hypercall(__HYPERVISOR_get_debugreg, i, 0, 0, 0);
    for ( i = 0; i < ARRAY_SIZE(ports); i++ )
        one(&seen[i], ports[i]);
    hypercall(__HYPERVISOR_set_debugreg, 7, 0x400, 0, 0);
}

static void allow(unsigned int port)
{
    bitmap[port / 8] &= ~(1U << (port % 8));
}

static void set(void)
{
    key = arg("seed", 1) % 16;
    memset(bitmap, 0xff, sizeof(bitmap));
    allow(BYTE_PORT);
    allow(WORD_PORT + 1);
    allow(FREE_PORT);

    vcpu_do(CPU_IO, load, NULL);
    if ( !vcpu_wait(CPU_IO, 5000) )
        bad("vCPU %u does not load its registers", CPU_IO);
    if ( failed || !(cr4 & CR4_DE) )
        bad("registers cannot be loaded: %ld, CR4 %lx", failed, cr4);
}

static void verify(void)
{
    static const struct seen should[] = {
        { 0, 1, 1 }, { 0, 1, 2 }, { 0, 0, 0 }, { 13, 0, 0 }, { 13, 0, 0 },
        { 0, 1, 4 },
    };
    static const char *const what[] = {
        "a watched port", "a watched word port", "a port not watched",
        "a port that is denied", "a port beyond the bitmap", "a watched word",
    };
    const unsigned long regs[] = { BYTE_PORT, WORD_PORT, (unsigned long)&watched };
    handler *const before = on_trap(1, debug_trap);
    unsigned int i;

    memset(seen, 0, sizeof(seen));
    vcpu_do(CPU_IO, look, NULL);
    if ( !vcpu_wait(CPU_IO, 5000) )
        bad("vCPU %u does not look", CPU_IO);
    on_trap(1, before);

    if ( failed )
        bad("CR4 has changed, it was %lx", cr4);
    for ( i = 0; i < ARRAY_SIZE(regs); i++ )
        if ( dr[i] != regs[i] )
            bad("dr%u is %lx, want %lx", i, dr[i], regs[i]);
    if ( dr[7] != DR7 )
        bad("dr7 is %lx, want %x", dr[7], DR7);
    for ( i = 0; i < ARRAY_SIZE(should); i++ )
        if ( memcmp(&seen[i], &should[i], sizeof(seen[i])) )
            bad("%s: vector %u, %u hits, dr6 %lx, want %u, %u, %lx", what[i],
                seen[i].vector, seen[i].hits, seen[i].dr6, should[i].vector,
                should[i].hits, should[i].dr6);
}

const struct test test_io = { "io", "I/O breakpoints and bitmap", set, verify };

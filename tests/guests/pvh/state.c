/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers: general ones of a vCPU that computes, vector and x87 ones, debug registers
 * with a watchpoint that is armed, control registers, MSRs, MTRRs.
 *
 * Happy path: what has been written is read back. Whether the watchpoint traps is not
 * asked: in a guest TCG's do not, or do so late and elsewhere.
 *
 * What can fail: another value (bad); a register that cannot be written, which raises an
 * exception and so ends the guest.
 */
#include "pvh.h"

#define SPINS 500000UL

/* ---- General registers ---- */

/* rax, rcx, rdx, rbx, rbp, rsi, rdi, r8 to r15. */
static uint64_t gprs[15], got[15], spins, rounds, wrong;

static void spin(void)
{
    unsigned int i;

    spins = SPINS;
    asm volatile (
        ".set gprs_, %c[in]; .set got_, %c[out]\n"
        "push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15\n"
        "mov gprs_+0, %%rax; mov gprs_+8, %%rcx; mov gprs_+16, %%rdx\n"
        "mov gprs_+24, %%rbx; mov gprs_+32, %%rbp; mov gprs_+40, %%rsi\n"
        "mov gprs_+48, %%rdi; mov gprs_+56, %%r8; mov gprs_+64, %%r9\n"
        "mov gprs_+72, %%r10; mov gprs_+80, %%r11; mov gprs_+88, %%r12\n"
        "mov gprs_+96, %%r13; mov gprs_+104, %%r14; mov gprs_+112, %%r15\n"
        "1: decq %c[spins]; jnz 1b\n"
        "mov %%rax, got_+0; mov %%rcx, got_+8; mov %%rdx, got_+16\n"
        "mov %%rbx, got_+24; mov %%rbp, got_+32; mov %%rsi, got_+40\n"
        "mov %%rdi, got_+48; mov %%r8, got_+56; mov %%r9, got_+64\n"
        "mov %%r10, got_+72; mov %%r11, got_+80; mov %%r12, got_+88\n"
        "mov %%r13, got_+96; mov %%r14, got_+104; mov %%r15, got_+112\n"
        "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp"
        :: [in] "i" (gprs), [out] "i" (got), [spins] "i" (&spins)
        : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
          "r11" );

    for ( i = 0; i < ARRAY_SIZE(gprs); i++ )
        wrong += got[i] != gprs[i];
    rounds++;
}

/* ---- Vector and x87 registers ---- */

static uint8_t area[4096] __attribute__((aligned(64)));
static uint8_t wanted[4096] __attribute__((aligned(64)));
static uint64_t components;

static void xsave(void *to)
{
    memset(to, 0, sizeof(area));
    asm volatile ( "xsave64 (%0)" :: "r" (to), "a" ((uint32_t)components),
                   "d" ((uint32_t)(components >> 32)) : "memory" );
}

static bool vectors_start(uint64_t seed)
{
    uint32_t r[4], i, end = 576;

    cpuid(1, 0, r);
    if ( !(r[2] & (1U << 26)) )
        return false;
    asm volatile ( "mov %%cr4, %%rax; or $0x40000, %%rax; mov %%rax, %%cr4"
                   ::: "rax" );
    cpuid(0xd, 0, r);
    components = r[0] | ((uint64_t)r[3] << 32);
    asm volatile ( "xsetbv" :: "c" (0), "a" ((uint32_t)components),
                   "d" ((uint32_t)(components >> 32)) );

    /* 16 XMM registers from 160 on, their upper halves from 576 on. */
    memset(area, 0, sizeof(area));
    for ( i = 160; i < 416; i += 8 )
        *(uint64_t *)(area + i) = random(&seed);
    if ( components & 4 )
    {
        cpuid(0xd, 2, r);
        for ( end = r[1], i = 0; i < 256; i += 8, end += 8 )
            *(uint64_t *)(area + end) = random(&seed);
    }
    *(uint16_t *)area = 0x27f;
    *(uint32_t *)(area + 24) = 0x9fc0;
    *(uint64_t *)(area + 512) = components & 7;
    asm volatile ( "xrstor64 (%0)" :: "r" (area), "a" ((uint32_t)components),
                   "d" ((uint32_t)(components >> 32)) : "memory" );
    xsave(wanted);

    return true;
}

static void vectors_check(void)
{
    unsigned int i;
    uint32_t low, high;

    if ( !components )
        return;
    asm volatile ( "xgetbv" : "=a" (low), "=d" (high) : "c" (0) );
    if ( (low | ((uint64_t)high << 32)) != components )
        bad("XCR0 is %x, want %lx", low, components);
    xsave(area);
    for ( i = 0; i < sizeof(area); i += 8 )
        if ( *(uint64_t *)(area + i) != *(uint64_t *)(wanted + i) )
            bad("word at %u of the XSAVE area is %lx, want %lx", i,
                *(uint64_t *)(area + i), *(uint64_t *)(wanted + i));
}

/* ---- Debug registers ---- */

static uint64_t watched[2];

/* The first: 8 bytes, writes. */
#define DR7 0x00090401UL

static uint64_t dr(unsigned int i)
{
    uint64_t v;

    switch ( i )
    {
    case 0: asm volatile ( "mov %%dr0, %0" : "=r" (v) ); break;
    case 1: asm volatile ( "mov %%dr1, %0" : "=r" (v) ); break;
    case 2: asm volatile ( "mov %%dr2, %0" : "=r" (v) ); break;
    case 3: asm volatile ( "mov %%dr3, %0" : "=r" (v) ); break;
    case 6: asm volatile ( "mov %%dr6, %0" : "=r" (v) ); break;
    default: asm volatile ( "mov %%dr7, %0" : "=r" (v) ); break;
    }

    return v;
}

static bool debug_trap(struct frame *f)
{
    return true;
}

static void debug_start(void)
{
    asm volatile ( "mov %0, %%dr0" :: "r" (&watched[0]) );
    asm volatile ( "mov %0, %%dr1" :: "r" (&watched[1]) );
    asm volatile ( "mov %0, %%dr2" :: "r" (0x123456789abUL) );
    asm volatile ( "mov %0, %%dr3" :: "r" (0xfedcba987UL) );
    asm volatile ( "mov %0, %%dr6" :: "r" (0xffff4ff0UL) );
    asm volatile ( "mov %0, %%dr7" :: "r" (DR7) );
    on_trap(1, debug_trap);
}

static void debug_check(void)
{
    const uint64_t want_dr[] = {
        (uint64_t)&watched[0], (uint64_t)&watched[1], 0x123456789abUL, 0xfedcba987UL,
    };
    unsigned int i;

    for ( i = 0; i < 4; i++ )
        if ( dr(i) != want_dr[i] )
            bad("DR%u is %lx, want %lx", i, dr(i), want_dr[i]);
    if ( dr(6) != 0xffff4ff0UL || dr(7) != DR7 )
        bad("DR6 %lx, DR7 %lx, want %lx", dr(6), dr(7), DR7);
    asm volatile ( "mov %0, %%dr7" :: "r" (0x400UL) );
}

/* ---- MSRs ---- */

/* `fixed` tells what may be random: 0 an address, 1 nothing, 2 32 bits. */
static struct msr {
    uint32_t index, fixed;
    uint64_t value;
} msrs[] = {
    { 0xc0000080, 1 },                          /* EFER, as it is with SCE, NX */
    { 0xc0000081, 1, 0x0013000800000000UL },    /* STAR */
    { 0xc0000082, 0 },                          /* LSTAR */
    { 0xc0000083, 0 },                          /* CSTAR */
    { 0xc0000084, 2 },                          /* SFMASK */
    { 0xc0000100, 0 },                          /* FS base */
    { 0xc0000101, 0 },                          /* GS base */
    { 0xc0000102, 0 },                          /* KERNEL_GS base */
    { 0x174, 2 }, { 0x175, 0 }, { 0x176, 0 },   /* SYSENTER */
    { 0x268, 1, 0x0605040100060504UL },         /* MTRR: 0xc0000 on */
    { 0x200, 1, 0xd0000001UL },                 /* MTRR: first range */
    { 0x201, 1 },
    { 0x2ff, 1, 0xc06UL },                      /* MTRR: defaults */
};

static void msrs_start(uint64_t seed)
{
    struct msr *m;
    uint32_t r[4];

    cpuid(0x80000008, 0, r);
    for ( m = msrs; m < msrs + ARRAY_SIZE(msrs); m++ )
    {
        if ( m->fixed == 0 )
            m->value = 0xffff800000000000UL | (random(&seed) & 0x7fffffffffffUL);
        else if ( m->fixed == 2 )
            m->value = random(&seed) & 0xffffffff;
        else if ( m->index == 0xc0000080 )
            m->value = rdmsr(m->index) | 0x801;
        else if ( m->index == 0x201 )
            m->value = (((1UL << (r[0] & 0xff)) - 1) & ~0xfffffffUL) | 0x800;
        wrmsr(m->index, m->value);
    }
}

static void msrs_check(const char *at)
{
    const struct msr *m;

    for ( m = msrs; m < msrs + ARRAY_SIZE(msrs); m++ )
        if ( rdmsr(m->index) != m->value )
            bad("%s: MSR %x is %lx, want %lx", at, m->index, rdmsr(m->index),
                m->value);
}

/* ---- All ---- */

static uint64_t cr0, cr2, cr4;

static void control(uint64_t *c0, uint64_t *c2, uint64_t *c4)
{
    asm volatile ( "mov %%cr0, %0; mov %%cr2, %1; mov %%cr4, %2"
                   : "=r" (*c0), "=r" (*c2), "=r" (*c4) );
}

static void set(void)
{
    uint64_t seed = arg("seed", 1) * 0x9e3779b97f4a7c15UL;
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(gprs); i++ )
        gprs[i] = random(&seed) << 11 | i;
    rounds = wrong = 0;
    asm volatile ( "mov %0, %%cr2" :: "r" (random(&seed)) );
    asm volatile ( "mov %%cr4, %%rax; or $0x8, %%rax; mov %%rax, %%cr4" ::: "rax" );
    if ( !vectors_start(seed) )
        note("xsave=0");
    control(&cr0, &cr2, &cr4);
    debug_start();
    msrs_start(seed);
    msrs_check("at once");
    pastime = spin;
}

static void verify(void)
{
    uint64_t c0, c2, c4;

    pastime = NULL;
    vectors_check();
    control(&c0, &c2, &c4);
    if ( c0 != cr0 || c2 != cr2 || c4 != cr4 )
        bad("CR0 %lx CR2 %lx CR4 %lx, want %lx %lx %lx", c0, c2, c4, cr0, cr2, cr4);
    debug_check();
    msrs_check("after the update");
    note("rounds=%lu components=%lx", rounds, components);
    if ( wrong || !rounds )
        bad("%lu general registers are wrong in %lu rounds", wrong, rounds);
}

const struct test test_state = { "regs", "registers and MSRs", set, verify };

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers of a vCPU that runs without a pause: general ones, x87, SSE and AVX, the
 * bases of FS and GS, CR0.TS, and a periodic timer that ticks meanwhile.
 *
 * Happy path: `set` makes CPU_REGS fill its registers and go round in a loop that
 * compares; `verify` stops it, and it compares what the loop cannot.  With an odd
 * seed CR0.TS is set: the first x87 instruction has to be #NM.
 *
 * What can fail: a register with another value, a TS that went, no ticks any more, or
 * too many: bad.
 */
#include "micro.h"

#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_SHADOW_GS_BASE 0xc0000102
/* Not the one that a vCPU starts with. */
#define PERIOD (25 * MS)
#define TICKS 5

struct fx {
    uint8_t image[512];
} __attribute__((aligned(64)));

static struct fx want_fx, is_fx;
static uint8_t want_high[16][16], is_high[16][16];
static uint64_t bases[3];
static uint32_t timer_port;

static volatile bool stop;
static volatile unsigned int gpr_errors, wrong_base, ts_missing, failed;
static volatile uint64_t rounds;
static bool avx, ts;

static void cpuid(uint32_t leaf, uint32_t *c)
{
    uint32_t a = leaf, b, d;

    *c = 0;
    /* Xen's prefix: what it lets this domain see. */
    asm volatile ( ".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e; cpuid"
                   : "+a" (a), "=b" (b), "+c" (*c), "=d" (d) );
}

static void avx_enable(void)
{
    uint64_t cr4;
    uint32_t c;

    cpuid(1, &c);
    avx = (c >> 28) & (c >> 26) & 1;
    if ( !avx )
        return;

    asm volatile ( "mov %%cr4, %0" : "=r" (cr4) );
    asm volatile ( "mov %0, %%cr4" :: "r" (cr4 | (1UL << 18)) );
    asm volatile ( "xsetbv" :: "a" (7), "d" (0), "c" (0) );
}

#define EACH16(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) \
                   op(10) op(11) op(12) op(13) op(14) op(15)

static void load_high(void)
{
#define LOAD(n) asm volatile ( "vinsertf128 $1, %0, %%ymm" #n ", %%ymm" #n \
                               :: "m" (want_high[n]) );
    EACH16(LOAD)
}

static void store_high(void)
{
#define STORE(n) asm volatile ( "vextractf128 $1, %%ymm" #n ", %0" \
                                : "=m" (is_high[n]) );
    EACH16(STORE)
}

static void fill(uint64_t seed)
{
    unsigned int i;

    asm volatile ( "fninit" );
    asm volatile ( "fxsave %0" : "=m" (want_fx) );
    /* Control word, MXCSR without exceptions and rounding somehow, registers. */
    want_fx.image[0] = 0x7f;
    want_fx.image[1] = 0x03 | (seed & 3) << 2;
    want_fx.image[4] = 0xff;
    want_fx.image[25] = 0x1f | (seed & 3) << 5;
    for ( i = 0; i < 8; i++ )
        *(uint64_t *)&want_fx.image[32 + 16 * i] = random(&seed) | 1UL << 63;
    for ( i = 160; i < 416; i++ )
        want_fx.image[i] = random(&seed);
    memset(is_high, 0, sizeof(is_high));
    for ( i = 0; i < sizeof(want_high); i++ )
        want_high[i / 16][i % 16] = random(&seed);
}

static uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;

    asm volatile ( "rdmsr" : "=a" (low), "=d" (high) : "c" (index) );

    return low | (uint64_t)high << 32;
}

/* Until told to stop; the registers that were wrong then, if they ever are. */
static void go_round(uint64_t value)
{
    asm volatile (
        "push %%rbp\n"
        "mov %[v], %%rax\n"
        "lea 1(%%rax), %%rbx\n"  "lea 2(%%rax), %%rcx\n"
        "lea 3(%%rax), %%rdx\n"  "lea 4(%%rax), %%rbp\n"
        "lea 5(%%rax), %%rsi\n"  "lea 6(%%rax), %%rdi\n"
        "lea 7(%%rax), %%r8\n"   "lea 8(%%rax), %%r9\n"
        "lea 9(%%rax), %%r10\n"  "lea 10(%%rax), %%r11\n"
        "lea 11(%%rax), %%r12\n" "lea 12(%%rax), %%r13\n"
        "lea 13(%%rax), %%r14\n"
        "1: incq rounds(%%rip)\n"
        "cmpb $0, stop(%%rip)\n"
        "jne 9f\n"
        "lea 1(%%rax), %%r15\n"  "cmp %%r15, %%rbx\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%rcx\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%rdx\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%rbp\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%rsi\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%rdi\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r8\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r9\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r10\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r11\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r12\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r13\n jne 8f\n"
        "inc %%r15\n cmp %%r15, %%r14\n je 1b\n"
        "8: incl gpr_errors(%%rip)\n"
        "9: pop %%rbp\n"
        :: [v] "r" (value)
        : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
          "r12", "r13", "r14", "r15", "memory", "cc" );
}

static bool nm(struct frame *f)
{
    ts_missing = 0;

    return !hypercall(__HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0);
}

static void work(void *arg)
{
    struct vcpu_set_periodic_timer period = { .period_ns = PERIOD };
    unsigned int i;

    avx_enable();
    asm volatile ( "fxrstor %0" :: "m" (want_fx) );
    if ( avx )
        load_high();
    failed = hc_vcpu(VCPUOP_set_periodic_timer, me(), &period) != 0;
    for ( i = 0; i < 3; i++ )
        hypercall(__HYPERVISOR_set_segment_base, i, bases[i], 0, 0);
    if ( ts )
        hypercall(__HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0);

    go_round(bases[0]);

    if ( ts )
    {
        ts_missing = 1;
        asm volatile ( "fnop" );
    }
    asm volatile ( "fxsave %0" : "=m" (is_fx) );
    if ( avx )
        store_high();
    wrong_base = (rdmsr(MSR_FS_BASE) != bases[SEGBASE_FS]) |
                 (rdmsr(MSR_SHADOW_GS_BASE) != bases[SEGBASE_GS_USER]) << 1 |
                 (rdmsr(MSR_GS_BASE) != bases[SEGBASE_GS_KERNEL]) << 2;
    hc_vcpu(VCPUOP_stop_periodic_timer, me(), NULL);
}

static void set(void)
{
    uint64_t seed = arg("seed", 1);
    unsigned int i;

    if ( !timer_port )
    {
        timer_port = port_virq(VIRQ_TIMER, CPU_REGS);
        port_mask(timer_port);
        on_trap(7, nm);
    }

    ts = seed & 1;
    fill(seed);
    for ( i = 0; i < ARRAY_SIZE(bases); i++ )
        bases[i] = DIRECT_BASE + (random(&seed) & 0xffffff);
    stop = false;
    rounds = gpr_errors = wrong_base = ts_missing = 0;
    vcpu_do(CPU_REGS, work, NULL);
    if ( !wait_until(rounds > 100, 5000) )
        bad("the loop does not go round");
}

/* TCG keeps no last instruction and operand of x87, nor does it matter here. */
static void clean(struct fx *fx)
{
    memset(&fx->image[6], 0, 18);
    memset(&fx->image[28], 0, 4);
    memset(&fx->image[416], 0, 96);
}

static void verify(void)
{
    uint64_t before = rounds, begun;
    unsigned int i;

    if ( !wait_until(rounds > before + 100 || vcpu_idle(CPU_REGS), 5000) )
        bad("the loop does not go round any more");
    port_clear(timer_port);
    begun = now();
    for ( i = 0; i < TICKS; i++ )
    {
        if ( !wait_until(port_pending(timer_port), 2000) )
            bad("the periodic timer does not tick");
        port_clear(timer_port);
    }
    /* The first one may come at once, and any may be late. */
    if ( now() - begun < (TICKS - 2) * PERIOD )
        bad("%u ticks of %lu ms in %lu ms", TICKS, PERIOD / MS, (now() - begun) / MS);

    stop = true;
    if ( !vcpu_wait(CPU_REGS, 5000) )
        bad("the loop does not end");
    if ( gpr_errors )
        bad("a general register has changed");
    if ( failed )
        bad("no periodic timer");
    if ( wrong_base )
        bad("segment bases: %x are wrong", wrong_base);
    if ( ts_missing )
        bad("CR0.TS was set, and there is no #NM");

    clean(&want_fx);
    clean(&is_fx);
    for ( i = 0; i < sizeof(is_fx) / 8; i++ )
        if ( ((uint64_t *)&is_fx)[i] != ((uint64_t *)&want_fx)[i] )
            bad("x87 and SSE: word %u is %lx, want %lx", i,
                ((uint64_t *)&is_fx)[i], ((uint64_t *)&want_fx)[i]);
    if ( avx && memcmp(is_high, want_high, sizeof(is_high)) )
        bad("the upper halves of AVX registers have changed");

    note("rounds=%lu avx=%u ts=%u", READ(rounds), avx, ts);
}

const struct test test_regs = { "regs", "registers of a busy vCPU", set, verify };

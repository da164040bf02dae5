/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fpu: does every thread keep its floating point and vector registers?
 *
 * Two threads on each CPU, so that they are switched all the time.  Each loads
 * all vector registers (YMM where the CPU and the kernel offer them, XMM
 * otherwise), the eight x87 registers, MXCSR and the x87 control word with values
 * of its own, spins and yields with them loaded, stores them and compares.  The
 * whole of a round is one piece of assembly: the compiler touches nothing between.
 *
 * An error names the register, what it should hold and what it holds.
 */
#include <cpuid.h>
#include <sys/syscall.h>

#include "witness.h"

#define REGS     16
#define PER_CPU  2
#define MAX_THR  (W_MAX_CPUS * PER_CPU)

struct state
{
    uint64_t vec[REGS][4];
    int64_t x87[8];
    uint32_t mxcsr;
    uint16_t fcw;
};

static bool have_ymm;
static unsigned long rounds[MAX_THR];

#define EACH(op) \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) \
    op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_YMM(n)  "vmovdqu " #n "*32(%[in]), %%ymm" #n "\n\t"
#define STORE_YMM(n) "vmovdqu %%ymm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_XMM(n)  "movdqu " #n "*32(%[in]), %%xmm" #n "\n\t"
#define STORE_XMM(n) "movdqu %%xmm" #n ", " #n "*32(%[out])\n\t"

#define LOAD_X87(n)  "fildll " #n "*8(%[xin])\n\t"
#define STORE_X87(n) "fistpll " #n "*8(%[xout])\n\t"

#define CLOBBER(n) , "xmm" #n

/*
 * The registers are loaded, held over `spins` turns, a system call that lets the
 * other thread run, and `spins` turns more.  rcx and r11 belong to syscall.
 */
#define ROUND(LOAD, STORE)                                              \
    asm volatile (                                                      \
        "fninit\n\t"                                                    \
        "fldcw %[fin]\n\t"                                              \
        "ldmxcsr %[min]\n\t"                                            \
        LOAD_X87(0) LOAD_X87(1) LOAD_X87(2) LOAD_X87(3)                 \
        LOAD_X87(4) LOAD_X87(5) LOAD_X87(6) LOAD_X87(7)                 \
        EACH(LOAD)                                                      \
        "mov %[spins], %%r8\n\t"                                        \
        "1: dec %%r8\n\t"                                               \
        "jnz 1b\n\t"                                                    \
        "mov %[nr], %%eax\n\t"                                          \
        "syscall\n\t"                                                   \
        "mov %[spins], %%r8\n\t"                                        \
        "2: dec %%r8\n\t"                                               \
        "jnz 2b\n\t"                                                    \
        EACH(STORE)                                                     \
        STORE_X87(7) STORE_X87(6) STORE_X87(5) STORE_X87(4)             \
        STORE_X87(3) STORE_X87(2) STORE_X87(1) STORE_X87(0)             \
        "stmxcsr %[mout]\n\t"                                           \
        "fnstcw %[fout]\n\t"                                            \
        "fninit\n\t"                                                    \
        "ldmxcsr %[mdef]\n\t"                                           \
        : [mout] "=m" (out->mxcsr), [fout] "=m" (out->fcw)              \
        : [in] "r" (in->vec), [out] "r" (out->vec),                     \
          [xin] "r" (in->x87), [xout] "r" (out->x87),                   \
          [min] "m" (in->mxcsr), [fin] "m" (in->fcw),                   \
          [mdef] "m" (mxcsr_default), [spins] "r" (spins),              \
          [nr] "i" (SYS_sched_yield)                                    \
        : "rax", "rcx", "r8", "r11", "memory", "cc" EACH(CLOBBER) )

static const uint32_t mxcsr_default = 0x1f80;

static void round_of(const struct state *in, struct state *out, uint64_t spins)
{
    if ( have_ymm )
    {
        ROUND(LOAD_YMM, STORE_YMM);
        asm volatile ( "vzeroupper" );
    }
    else
        ROUND(LOAD_XMM, STORE_XMM);
}

static void choose(struct state *s, unsigned int thread, unsigned long round)
{
    /* Rounding modes differ per thread; exceptions stay masked. */
    static const uint16_t fcws[] = { 0x37f, 0x77f, 0xb7f, 0xf7f };
    static const uint32_t mxcsrs[] = { 0x1f80, 0x3f80, 0x5f80, 0x7f80 };

    for ( unsigned int r = 0; r < REGS; r++ )
        for ( unsigned int i = 0; i < 4; i++ )
            s->vec[r][i] = ((uint64_t)thread << 56) ^ ((uint64_t)r << 48) ^
                           ((uint64_t)i << 40) ^ (round * 0x9e3779b97f4a7c15ULL);
    for ( unsigned int i = 0; i < 8; i++ )
        s->x87[i] = ((int64_t)thread << 48) + ((int64_t)i << 32) + round;
    s->mxcsr = mxcsrs[thread % 4];
    s->fcw = fcws[(thread + 1) % 4];
}

static void compare(unsigned int thread, unsigned long round,
                    const struct state *in, const struct state *out)
{
    for ( unsigned int r = 0; r < REGS; r++ )
        for ( unsigned int i = 0; i < (have_ymm ? 4 : 2); i++ )
            if ( in->vec[r][i] != out->vec[r][i] )
                w_error("thread %u round %lu: %s%u[%u] is %#llx, want %#llx",
                        thread, round, have_ymm ? "ymm" : "xmm", r, i,
                        (unsigned long long)out->vec[r][i],
                        (unsigned long long)in->vec[r][i]);
    for ( unsigned int i = 0; i < 8; i++ )
        if ( in->x87[i] != out->x87[i] )
            w_error("thread %u round %lu: x87 value %u is %#llx, want %#llx",
                    thread, round, i, (unsigned long long)out->x87[i],
                    (unsigned long long)in->x87[i]);
    /* The sticky flags (low six bits) may have been raised. */
    if ( (in->mxcsr ^ out->mxcsr) & ~0x3fU )
        w_error("thread %u round %lu: mxcsr is %#x, want %#x", thread, round,
                out->mxcsr, in->mxcsr);
    if ( in->fcw != out->fcw )
        w_error("thread %u round %lu: x87 control word is %#x, want %#x",
                thread, round, out->fcw, in->fcw);
}

static void *worker(void *arg)
{
    unsigned int thread = (uintptr_t)arg;
    struct state in, out;
    int64_t slice = 0;

    w_pin(thread / PER_CPU);
    memset(&out, 0, sizeof(out));
    for ( unsigned long round = 0; !w_stop; round++ )
    {
        choose(&in, thread, round);
        round_of(&in, &out, 500 + round * 37 % 20000);
        if ( w_break && round == 50 )
            out.vec[7][1] ^= 1;
        compare(thread, round, &in, &out);
        rounds[thread]++;
        w_breathe(&slice);
    }

    return NULL;
}

static void fields(void)
{
    unsigned long sum = 0, least = -1UL;

    for ( unsigned int t = 0; t < w_cpus * PER_CPU; t++ )
    {
        sum += rounds[t];
        if ( rounds[t] < least )
            least = rounds[t];
    }
    printf(" registers=%s rounds=%lu least=%lu", have_ymm ? "ymm" : "xmm", sum,
           least);
}

static bool ymm_usable(void)
{
    unsigned int a, b, c, d, lo, hi;

    if ( !__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
         !(c & bit_AVX) )
        return false;
    asm volatile ( "xgetbv" : "=a" (lo), "=d" (hi) : "c" (0) );
    return (lo & 6) == 6;
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_THR];

    w_init("fpu", argc, argv, NULL, NULL);
    have_ymm = ymm_usable();
    for ( uintptr_t t = 0; t < w_cpus * PER_CPU; t++ )
        if ( pthread_create(&threads[t], NULL, worker, (void *)t) )
            w_fatal("cannot start thread %lu", (unsigned long)t);
    w_wait(fields);
    for ( unsigned int t = 0; t < w_cpus * PER_CPU; t++ )
        pthread_join(threads[t], NULL);
    return w_finish(fields);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's own page walk, over a P2M that maps in pages of several sizes.
 *
 * Happy path: `set` puts a number into each 2 MiB of its memory above the kernel, but for
 * what is a hole; `verify` finds each again, by a walk of its own after the TLB was
 * flushed, and in the first 64 MiB in each page of 4 KiB.
 *
 * What can fail: another number, or no memory there (bad).
 */
#include "pvh.h"

#define MiB (1UL << 20)
#define STEP (2 * MiB)
#define FIRST (16 * MiB)
#define DENSE (80 * MiB)

static uint64_t seed, top;

static uint64_t step(uint64_t at)
{
    return at < DENSE ? PAGE : STEP;
}

static uint64_t number(uint64_t at)
{
    return (at ^ seed) * 0x9e3779b97f4a7c15UL;
}

static void flush(void)
{
    uint64_t cr3;

    asm volatile ( "mov %%cr3, %0; mov %0, %%cr3" : "=r" (cr3) :: "memory" );
}

/* Also at once: there may be no memory. */
static void verify(void)
{
    uint64_t at, n = 0;

    flush();
    for ( at = FIRST; at < top; at += step(at), n++ )
        if ( *(volatile uint64_t *)at != number(at) )
            bad("at %lx: %lx, want %lx", at, *(volatile uint64_t *)at, number(at));
    note("words=%lu", n);
}

static void set(void)
{
    uint64_t at;

    seed = arg("seed", 1);
    top = arg("mib", 64) * MiB;
    for ( at = FIRST; at < top; at += step(at) )
        *(volatile uint64_t *)at = number(at);
    verify();
}

const struct test test_walk = { "walk", "a page walk over pages of all sizes", set, verify };

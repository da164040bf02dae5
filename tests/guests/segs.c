/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors and debug registers of a vCPU that sleeps: an LDT and a GDT of two
 * pages each, selectors of their second pages in FS and GS, breakpoints.
 *
 * Happy path: `set` makes CPU_SEGS load all that and go to sleep.  `verify` wakes it:
 * it reads through both segments, loads them again, changes a descriptor by
 * hypercall, and steps on a watchpoint.  Then the LDT goes while FS still has a
 * selector of it, and Xen has to call failsafe when it next runs this vCPU.
 *
 * What can fail: a wrong word, an unexpected exception or none, other debug
 * registers: bad.
 */
#include "micro.h"

#define LOW 0x10000000UL        /* what a descriptor's base can say */
#define ENTRIES 1024
#define LDT_INDEX 700
#define GDT_INDEX 600
#define LDT_SEL (LDT_INDEX << 3 | 4 | 3)
#define GDT_SEL (GDT_INDEX << 3 | 3)

static uint64_t *ldt[2], *gdt[2], *fs_page, *gs_page;
static unsigned long ldt_va;
static volatile uint64_t watched[4];
static uint64_t key;
static volatile bool stop;
static volatile unsigned int hits, failsafes;
static volatile uint64_t hit_dr6;
static uint64_t saw[4], saw_dr[8];
static long rc_set, rc_change;

static uint64_t descriptor(unsigned long base, unsigned int limit)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | 0xf3UL << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | 4UL << 52 | (base >> 24) << 56;
}

static uint64_t read_fs(void)
{
    uint64_t v;

    asm volatile ( "mov %%fs:0, %0" : "=r" (v) );

    return v;
}

static uint64_t read_gs(void)
{
    uint64_t v;

    asm volatile ( "mov %%gs:0, %0" : "=r" (v) );

    return v;
}

static void load(void)
{
    asm volatile ( "mov %w0, %%fs; mov %w1, %%gs"
                   :: "r" (LDT_SEL), "r" (GDT_SEL) );
}

static bool debug_trap(struct frame *f)
{
    hits++;
    hit_dr6 = hypercall(__HYPERVISOR_get_debugreg, 6, 0, 0, 0);
    hypercall(__HYPERVISOR_set_debugreg, 6, 0xffff0ff0, 0, 0);

    return true;
}

static bool failsafe(struct frame *f)
{
    failsafes++;

    return true;
}

static long set_ldt(unsigned int ents)
{
    mmuext_op_t op = { .cmd = MMUEXT_SET_LDT };

    op.arg1.linear_addr = ldt_va;
    op.arg2.nr_ents = ents;

    return hc_mmuext(&op, 1);
}

static void work(void *unused)
{
    unsigned long frames[2] = { mfn_of(gdt[0]), mfn_of(gdt[1]) };
    unsigned int i;

    rc_set = hypercall(__HYPERVISOR_set_gdt, (unsigned long)frames, ENTRIES, 0, 0);
    rc_set = rc_set ?: set_ldt(ENTRIES);
    if ( rc_set )
        return;
    load();
    for ( i = 0; i < 4; i++ )
        hypercall(__HYPERVISOR_set_debugreg, i, (unsigned long)&watched[i], 0, 0);
    /* Watch writes of eight bytes, the second one excepted. */
    hypercall(__HYPERVISOR_set_debugreg, 7, 0x99990400 | 0x51, 0, 0);

    while ( !stop )
        nap(50);

    saw[0] = read_fs();
    saw[1] = read_gs();
    for ( i = 0; i < 8; i++ )
        saw_dr[i] = hypercall(__HYPERVISOR_get_debugreg, i, 0, 0, 0);
    load();
    saw[2] = read_fs();
    watched[1] = 1;
    watched[2] = 1;
    hypercall(__HYPERVISOR_set_debugreg, 7, 0x400, 0, 0);

    /* GS moves to the other page by a change of its descriptor. */
    rc_change = hypercall(__HYPERVISOR_update_descriptor,
                          mfn_of(gdt[1]) * PAGE + (GDT_INDEX - 512) * 8,
                          descriptor(LOW, 0xfff), 0, 0);
    load();
    saw[3] = read_gs();

    failsafes = 0;
    rc_change = rc_change ?: set_ldt(0);
    for ( i = 0; i < 2000 && !failsafes; i++ )
        nap(1);
    asm volatile ( "mov %w0, %%fs; mov %w0, %%gs" :: "r" (0) );
    hypercall(__HYPERVISOR_set_gdt, (unsigned long)frames, 0, 0, 0);
}

static void make(void)
{
    unsigned int i;

    ldt_va = SCRATCH_BASE + (2UL << 30);
    map_scratch(ldt_va);
    map_scratch(LOW);
    fs_page = page_alloc();
    gs_page = page_alloc();
    want(hc_map(LOW, pte_of(fs_page, PTE_RAM)), "a low page");
    want(hc_map(LOW + PAGE, pte_of(gs_page, PTE_RAM)), "a low page");

    for ( i = 0; i < 2; i++ )
    {
        ldt[i] = page_alloc();
        gdt[i] = page_alloc();
    }
    ldt[1][LDT_INDEX - 512] = descriptor(LOW, 0xfff);
    gdt[1][GDT_INDEX - 512] = descriptor(LOW + PAGE, 0xfff);
    for ( i = 0; i < 2; i++ )
    {
        want(page_protect(ldt[i], false), "protecting an LDT");
        want(page_protect(gdt[i], false), "protecting a GDT");
        want(hc_map(ldt_va + i * PAGE, pte_of(ldt[i], PTE_RAM & ~PTE_RW)),
             "mapping an LDT");
    }

    on_trap(1, debug_trap);
    on_trap(VECTOR_FAILSAFE, failsafe);
}

static void set(void)
{
    if ( !fs_page )
        make();
    else
        want(hypercall(__HYPERVISOR_update_descriptor,
                       mfn_of(gdt[1]) * PAGE + (GDT_INDEX - 512) * 8,
                       descriptor(LOW + PAGE, 0xfff), 0, 0), "a descriptor");

    key = arg("seed", 1) * 0x100000001UL;
    fs_page[0] = key + 1;
    gs_page[0] = key + 2;
    hits = 0;
    stop = false;
    vcpu_do(CPU_SEGS, work, NULL);
}

static void verify(void)
{
    unsigned int i;

    stop = true;
    if ( !vcpu_wait(CPU_SEGS, 10000) )
    {
        bad("the vCPU does not come back");
        return;
    }
    if ( rc_set || rc_change )
        bad("set up: %ld, changes: %ld", rc_set, rc_change);
    if ( saw[0] != key + 1 || saw[2] != key + 1 )
        bad("the LDT's segment has %lx, loaded again %lx, want %lx", saw[0],
            saw[2], key + 1);
    if ( saw[1] != key + 2 || saw[3] != key + 1 )
        bad("the GDT's segment has %lx, want %lx, then %lx, want %lx", saw[1],
            key + 2, saw[3], key + 1);
    for ( i = 0; i < 4; i++ )
        if ( saw_dr[i] != (unsigned long)&watched[i] )
            bad("dr%u is %lx, want %lx", i, saw_dr[i], (unsigned long)&watched[i]);
    if ( saw_dr[7] != (0x99990400 | 0x51) )
        bad("dr7 is %lx", saw_dr[7]);
    if ( hits != 1 || !(hit_dr6 & 4) )
        bad("%u hits of watchpoints, want 1; dr6 %lx", hits, hit_dr6);
    if ( failsafes != 1 )
        bad("failsafe was called %u times, want 1", failsafes);
}

const struct test test_segs = { "segs", "LDT, GDT, debug registers", set, verify };

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries from Xen: the table of exceptions, the callbacks, and who wants them.
 *
 * Happy path: a test says on_trap() what it expects, and its handler changes the
 * frame as it likes.  Events go to the upcall of the vCPU (events.c).
 *
 * What can fail: an entry that nobody wants ends the guest, with its frame.
 */
#include "micro.h"

extern char exc_0[], exc_1[], exc_2[], exc_3[], exc_4[], exc_5[], exc_6[];
extern char exc_7[], exc_8[], exc_10[], exc_11[], exc_12[], exc_13[], exc_14[];
extern char exc_16[], exc_17[], exc_19[], exc_80[];
extern char cb_event[], cb_failsafe[], cb_syscall[];

/* With room for the entry of zeros that ends it. */
trap_info_t trap_table[20];

static const struct {
    uint8_t vector, flags;
    char *entry;
} entries[] = {
    { 0, 0, exc_0 }, { 1, 0, exc_1 }, { 2, 4, exc_2 }, { 3, 3, exc_3 },
    { 4, 3, exc_4 }, { 5, 0, exc_5 }, { 6, 0, exc_6 }, { 7, 0, exc_7 },
    { 8, 0, exc_8 }, { 10, 0, exc_10 }, { 11, 0, exc_11 },
    { 12, 0, exc_12 }, { 13, 0, exc_13 }, { 14, 0, exc_14 },
    { 16, 0, exc_16 }, { 17, 0, exc_17 }, { 19, 0, exc_19 },
    { 0x80, 3, exc_80 },
};

static handler *handlers[NR_VECTORS];

handler *on_trap(unsigned int vector, handler *fn)
{
    handler *const before = handlers[vector];

    handlers[vector] = fn;

    return before;
}

static unsigned long fixups[MAX_VCPUS];

/* Writes a word, if that can be done; the vector of the exception if not. */
unsigned int try_write(volatile uint64_t *to, uint64_t value)
{
    unsigned int vector = 0;

    asm volatile ( "lea 1f(%%rip), %%rax\n"
                   "mov %%rax, %[fixup]\n"
                   "mov %[value], %[to]\n"
                   "xor %%eax, %%eax\n"
                   "1: movq $0, %[fixup]"
                   : "=&a" (vector), [fixup] "=m" (fixups[me()]), [to] "=m" (*to)
                   : [value] "r" (value) );

    return vector;
}

/* Reads a byte from a port, likewise. */
unsigned int try_in(unsigned int port)
{
    unsigned int vector = 0;

    asm volatile ( "lea 1f(%%rip), %%rax\n"
                   "mov %%rax, %[fixup]\n"
                   "in %%dx, %%al\n"
                   "xor %%eax, %%eax\n"
                   "1: movq $0, %[fixup]"
                   : "=&a" (vector), [fixup] "=m" (fixups[me()])
                   : "d" (port) );

    return vector;
}

void trap(struct frame *f)
{
    handler *fn = handlers[f->vector];

    if ( fn && fn(f) )
        return;

    if ( f->vector < 32 && fixups[me()] )
    {
        f->rip = fixups[me()];
        f->rax = f->vector;
        return;
    }

    die("vCPU %u: vector %lu, error %lx, rip %lx, cs %lx, rsp %lx, rflags %lx, cr2 %lx",
        me(), f->vector, f->error, f->rip, f->cs, f->rsp, f->rflags,
        vcpu_info(me())->arch.cr2);
}

void traps_init(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(entries); i++ )
        trap_table[i] = (trap_info_t){
            .vector = entries[i].vector,
            .flags = entries[i].flags,
            .cs = FLAT_KERNEL_CS,
            .address = (unsigned long)entries[i].entry,
        };

    hypercall(__HYPERVISOR_set_trap_table, (unsigned long)trap_table, 0, 0, 0);
    hypercall(__HYPERVISOR_set_callbacks, (unsigned long)cb_event,
              (unsigned long)cb_failsafe, (unsigned long)cb_syscall, 0);
}

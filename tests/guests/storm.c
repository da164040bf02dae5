/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs that take exceptions and make hypercalls which Xen may interrupt, so that
 * an update stops them in the middle of one.
 *
 * Happy path: a round is five exceptions on purpose (#BP, #UD, #DE, #GP, #PF), each
 * with all registers full, a multicall, a batch of page table updates, and every few
 * rounds pages given away and got back.  Each frame, each register and each result
 * is looked at; `verify` wants as many exceptions of each kind as there were rounds.
 * Between two rounds there is nothing but #BP for a while: of all these, it is the one
 * that does not come again by itself when Xen forgets it.
 *
 * What can fail: an exception that is lost, comes twice or with another frame, a
 * register that changed, a hypercall with another result: bad.
 */
#include "micro.h"

#define BATCH 512
#define CALLS 64
#define GIVE 32

enum { BP, UD, DE, GP, PF, NR_KINDS };
static const uint8_t vectors[NR_KINDS] = { 3, 6, 0, 13, 14 };

struct storm {
    unsigned long at, next;     /* of the instruction that is to fault */
    unsigned long cr2;
    bool active;
    volatile uint64_t rounds, breaks, count[NR_KINDS];
    volatile unsigned int errors;
    const char *volatile what;  /* the first of them */
    volatile uint64_t is, should;
    unsigned long va;           /* BATCH pages that get mapped */
    uint64_t *table;            /* their L1 table */
    void *one, *two;            /* what is mapped there */
    void *give[GIVE];
    mmu_update_t updates[BATCH];
    multicall_entry_t calls[CALLS];
};

static struct storm storms[2];
static volatile bool stop;
static uint64_t rest;           /* ms */
extern void (*pastime)(void);

static struct storm *mine(void)
{
    return &storms[me() != 0];
}

static void check(struct storm *s, uint64_t is, uint64_t should, const char *what)
{
    if ( is == should || s->errors++ )
        return;

    s->is = is;
    s->should = should;
    s->what = what;
}

/* ---- Exceptions ---- */

static bool fault(struct frame *f)
{
    static const uint8_t kinds[] = {
        [0] = DE + 1, [3] = BP + 1, [6] = UD + 1, [13] = GP + 1, [14] = PF + 1,
    };
    struct storm *s = mine();

    if ( !s->active || f->rip != (f->vector == 3 ? s->next : s->at) )
        return false;

    s->count[kinds[f->vector] - 1]++;
    check(s, f->cs & 0xffff, FLAT_KERNEL_CS & ~3, "cs");
    check(s, f->ss & ~3, FLAT_KERNEL_SS & ~3, "ss");
    check(s, f->error, 0, "error code");
    check(s, (f->rflags >> 9) & 1, !vcpu_info(me())->evtchn_upcall_mask, "IF");
    if ( f->vector == 14 )
        check(s, vcpu_info(me())->arch.cr2, s->cr2, "cr2");
    f->rip = s->next;

    return true;
}

#define TAKE(s, insn, address)                                                  \
    ({                                                                          \
        uint64_t v_ = tsc(), sum_ = v_;                                         \
        asm volatile ( "lea 1f(%%rip), %%rax\n"                                 \
                       "mov %%rax, %[at]\n"                                     \
                       "lea 2f(%%rip), %%rax\n"                                 \
                       "mov %%rax, %[next]\n"                                   \
                       "lea 1(%[v]), %%rcx\n"   "lea 2(%[v]), %%rdi\n"          \
                       "lea 3(%[v]), %%r8\n"    "lea 4(%[v]), %%r9\n"           \
                       "lea 5(%[v]), %%r10\n"   "lea 6(%[v]), %%r11\n"          \
                       "lea 7(%[v]), %%r12\n"   "lea 8(%[v]), %%r13\n"          \
                       "lea 9(%[v]), %%r14\n"   "lea 10(%[v]), %%r15\n"         \
                       "xor %%edx, %%edx\n"                                     \
                       "1: " insn "\n"                                          \
                       "2: add %%rcx, %[v]\n add %%rdi, %[v]\n"                 \
                       "add %%r8, %[v]\n add %%r9, %[v]\n"                      \
                       "add %%r10, %[v]\n add %%r11, %[v]\n"                    \
                       "add %%r12, %[v]\n add %%r13, %[v]\n"                    \
                       "add %%r14, %[v]\n add %%r15, %[v]\n"                    \
                       : [v] "+b" (sum_), [at] "=m" ((s)->at),                  \
                         [next] "=m" ((s)->next)                                \
                       : "S" (address)                                          \
                       : "rax", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11",  \
                         "r12", "r13", "r14", "r15", "memory", "cc" );          \
        check(s, sum_, 11 * v_ + 55, "registers after " insn);                  \
    })

/* ---- Hypercalls ---- */

static void multicall(struct storm *s)
{
    unsigned int i;

    for ( i = 0; i < CALLS; i++ )
    {
        multicall_entry_t *c = &s->calls[i];
        void *page = i & 2 ? s->one : s->two;

        memset(c, 0, sizeof(*c));
        c->result = -1;
        if ( i & 1 )
        {
            c->op = __HYPERVISOR_update_va_mapping;
            c->args[0] = s->va;
            c->args[1] = pte_of(page, PTE_RAM);
            c->args[2] = UVMF_INVLPG;
        }
        else
            c->op = __HYPERVISOR_xen_version;
    }

    check(s, hc_multicall(s->calls, CALLS), 0, "multicall");
    for ( i = 0; i < CALLS; i++ )
        check(s, i & 1 ? s->calls[i].result : s->calls[i].result >> 16,
              i & 1 ? 0 : 4, "a call of a multicall");
    check(s, *(volatile uint64_t *)s->va, (unsigned long)s->one,
          "what the last of them maps");
}

static void batch(struct storm *s)
{
    void *page = s->rounds & 1 ? s->one : s->two;
    unsigned int i, done = 0;

    for ( i = 0; i < BATCH; i++ )
    {
        s->updates[i].ptr = mfn_of(s->table) * PAGE + i * 8;
        s->updates[i].val = pte_of(page, PTE_RAM);
    }

    check(s, hypercall(__HYPERVISOR_mmu_update, (unsigned long)s->updates, BATCH,
                       (unsigned long)&done, DOMID_SELF), 0, "mmu_update");
    check(s, done, BATCH, "updates done");
    for ( i = 0; i < BATCH; i++ )
        check(s, s->table[i] & PTE_MFN, mfn_of(page) * PAGE, "an entry updated");
    for ( i = 0; i < BATCH; i++ )
        s->updates[i].val = 0;
    check(s, hc_mmu_update(s->updates, BATCH), 0, "mmu_update");
    for ( i = 0; i < BATCH; i++ )
        check(s, s->table[i], 0, "an entry emptied");
}

static void give_and_take(struct storm *s)
{
    struct xen_memory_reservation r = {
        .nr_extents = GIVE, .domid = DOMID_SELF,
    };
    xen_pfn_t list[GIVE];
    unsigned int i;

    set_xen_guest_handle(r.extent_start, list);
    for ( i = 0; i < GIVE; i++ )
    {
        list[i] = mfn_of(s->give[i]);
        check(s, hc_map((unsigned long)s->give[i], 0), 0, "unmapping a page");
    }
    check(s, hc_memory(XENMEM_decrease_reservation, &r), GIVE,
          "pages given away");

    for ( i = 0; i < GIVE; i++ )
        list[i] = pfn_of(s->give[i]);
    check(s, hc_memory(XENMEM_populate_physmap, &r), GIVE, "pages got");
    for ( i = 0; i < GIVE; i++ )
    {
        const unsigned long *m2p = (const unsigned long *)__MACH2PHYS_VIRT_START;

        check(s, m2p[list[i]], pfn_of(s->give[i]), "the M2P of a page got");
        set_mfn(pfn_of(s->give[i]), list[i]);
        check(s, page_protect(s->give[i], true), 0, "mapping a page got");
        *(volatile uint64_t *)s->give[i] = i;
    }
}

static void round(struct storm *s)
{
    s->active = true;
    s->cr2 = s->va + BATCH * PAGE;
    TAKE(s, "int3", 0UL);
    TAKE(s, "ud2", 0UL);
    TAKE(s, "div %%edx", 0UL);
    TAKE(s, "mov (%%rsi), %%rax", 0x0000900000000000UL);
    TAKE(s, "mov (%%rsi), %%rax", s->cr2);
    s->active = false;

    multicall(s);
    batch(s);
    if ( !(s->rounds % 8) )
        give_and_take(s);
    s->rounds++;
}

#define BREAKS 256

/* Reading the clock is slow, so this does it rarely. */
static void breaks(struct storm *s)
{
    const uint64_t end = now() + 3 * rest * MS;

    s->active = true;
    while ( now() < end )
    {
        unsigned int n = BREAKS;

        asm volatile ( "lea 2f(%%rip), %%rax\n"
                       "mov %%rax, %[next]\n"
                       "1: int3\n"
                       "2: dec %[n]\n"
                       "jnz 1b\n"
                       : [n] "+r" (n), [next] "=m" (s->next)
                       :: "rax", "memory", "cc" );
        s->breaks += BREAKS;
    }
    s->active = false;
}

/* ---- The test ---- */

static void meanwhile(void)
{
    round(mine());
    breaks(mine());
    /* The host has other things to do. */
    nap(rest);
}

static void worker(void *arg)
{
    while ( !stop )
        meanwhile();
}

static void prepare(struct storm *s, unsigned int n)
{
    unsigned int i;

    /* The L1 table behind theirs is there and empty, so that the fault is plain. */
    s->va = SCRATCH_BASE + (3UL << 30) + n * (4UL << 20);
    map_scratch(s->va);
    map_scratch(s->va + BATCH * PAGE);
    s->table = table_at(s->va, 1);
    s->one = page_alloc();
    s->two = page_alloc();
    *(uint64_t *)s->one = (unsigned long)s->one;
    *(uint64_t *)s->two = (unsigned long)s->two;
    for ( i = 0; i < GIVE; i++ )
        s->give[i] = page_alloc();
}

static void set(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(vectors); i++ )
        on_trap(vectors[i], fault);

    for ( i = 0; i < 2; i++ )
    {
        if ( !storms[i].table )
            prepare(&storms[i], i);
        storms[i].rounds = storms[i].breaks = storms[i].errors = 0;
        memset((void *)storms[i].count, 0, sizeof(storms[i].count));
    }

    rest = arg("rest", 3);
    stop = false;
    pastime = meanwhile;
    vcpu_do(CPU_STORM, worker, NULL);
}

static void verify(void)
{
    uint64_t rounds = storms[1].rounds;
    unsigned int i, k;

    if ( !wait_until(storms[1].rounds > rounds + 2, 10000) )
        bad("vCPU %u does not go on", CPU_STORM);
    stop = true;
    pastime = NULL;
    if ( !vcpu_wait(CPU_STORM, 10000) )
        bad("vCPU %u does not stop", CPU_STORM);

    for ( i = 0; i < 2; i++ )
    {
        const struct storm *s = &storms[i];

        if ( s->errors )
            bad("vCPU %u: %u errors, the first: %s is %lx, want %lx",
                i ? CPU_STORM : 0, s->errors, s->what, s->is, s->should);
        for ( k = 0; k < NR_KINDS; k++ )
        {
            const uint64_t should = s->rounds + (k == BP ? s->breaks : 0);

            if ( s->count[k] != should )
                bad("vCPU %u: %lu exceptions of vector %u, want %lu",
                    i ? CPU_STORM : 0, s->count[k], vectors[k], should);
        }
    }

    note("rounds=%lu,%lu breaks=%lu,%lu", storms[0].rounds, storms[1].rounds,
         storms[0].breaks, storms[1].breaks);
}

const struct test test_storm = { "storm", "exceptions, hypercalls", set, verify };

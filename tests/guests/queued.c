/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions that Xen has queued for a vCPU and that have not arrived when the vCPU
 * stops: Xen lets its scheduler in between the two.
 *
 * Happy path: `set` makes each vCPU from CPU_QUEUED on take exceptions of one kind
 * without a pause, with all registers full and the number of the exception in r15, and
 * takes them down, and tells where that is: v<vcpu>=<vector with which the CPU enters
 * Xen>@<rip that Xen then has>.  `verify` step=0 lets them run on for a moment, again and
 * again, until dom0, which can see their registers (tests/lab/guest/queued.c), says
 * that each has an exception queued, and tells how many have come.  After the update
 * step=1 finds that there are no more, and removes the cause of those that are
 * faults, so that the instruction would not fault once more.  step=2 brings the vCPUs
 * up, and finds that exactly one came to each, and that all were right: number, frame,
 * stack, registers, mask of events.
 *
 * What can fail: an exception that is lost, comes twice or with another frame: bad.
 */
#include "micro.h"
#include "../lab/guest/queued.h"

#define CR4_DE       (1UL << 3)
#define DR7_WATCH    (0x400 | 1 | 2 << 16)      /* L0: a port of one byte */
#define WATCHED_PORT 0x1200
#define DENIED_PORT  0x3500
#define LIMIT        0x4000
#define FAULTING_VA  (SCRATCH_BASE + (4UL << 30))
#define USER_CS      0xe033

/* DF, OF, SF, ZF, AF, PF and CF; what is on top of it is Xen's or the vCPU's. */
#define FLAGS   0xcd5UL
#define IF      0x200UL

extern char queued_back[];
extern char loop_bp[], loop_pf[], loop_gp[], loop_db[];
extern char at_pf[], at_gp[];
extern char next_bp[], next_pf[], next_gp[], next_db[], end_bp[];
void queued_enter(struct frame *f, uint64_t *saved_rsp);

/* No instruction but the one in the middle touches flags or memory. */
#define LOOP(name, insn)                                                        \
    asm ( ".text\n"                                                             \
          "loop_" name ": lea 1(%r15), %r15\n"                                  \
          "at_" name ": " insn "\n"                                             \
          "next_" name ": jmp loop_" name "\n"                                  \
          "end_" name ":\n" )

LOOP("bp", "int3");
LOOP("pf", "mov %rax, (%rsi)");
LOOP("gp", "in %dx, %al");
LOOP("db", "in %dx, %al");

asm ( ".text\n"
      "queued_enter:\n"
      "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
      "mov %rsp, (%rsi)\n"
      "jmp resume\n"
      "queued_back:\n"
      "cld\n"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
      "ret\n" );

static const struct kind {
    const char *what;
    uint8_t vector, entry;      /* of the exception; with which the CPU enters Xen */
    uint8_t error;
    bool masks, user;           /* its gate masks events; from user space */
    char *loop, *at, *next;     /* at: rip in the frame */
    unsigned int port;
} kinds[] = {
    { "#BP", 3, 3, 0, false, false, loop_bp, next_bp, next_bp },
    { "#BP, masking events", 3, 3, 0, true, false, loop_bp, next_bp, next_bp },
    { "#PF", 14, 14, 2, false, false, loop_pf, at_pf, next_pf },
    { "#GP", 13, 13, 0, false, false, loop_gp, at_gp, next_gp, DENIED_PORT },
    { "#DB", 1, 13, 0, false, false, loop_db, next_db, next_db, WATCHED_PORT },
    { "#BP from user space", 3, 3, 0, false, true, loop_bp, next_bp, next_bp },
};

#define NR ARRAY_SIZE(kinds)
_Static_assert(NR == CPU_QUEUED_LAST - CPU_QUEUED + 1, "a vCPU for each kind");

static struct state {
    struct frame start, want;
    uint64_t saved_rsp, top;    /* of the worker's stack, of the frames' stack */
    volatile bool active;
    volatile uint64_t came;
    uint64_t before;            /* of them, when the update came */
    volatile unsigned int errors;
    const char *volatile what;  /* the first of them */
    volatile uint64_t is, should;
} states[NR];

static const uint8_t vectors[] = { 1, 3, 13, 14 };
static handler *handlers[ARRAY_SIZE(vectors)];

static uint8_t bitmap[LIMIT / 8 + 1];
static volatile bool stop;
static uint64_t seed;
static uint64_t *page;          /* that gets mapped at FAULTING_VA */
static void *user_root;
static volatile struct queued_box *box;

/* ---- The exceptions ---- */

static void check(struct state *s, uint64_t is, uint64_t should, const char *what)
{
    if ( is == should || s->errors++ )
        return;

    s->is = is;
    s->should = should;
    s->what = what;
}

static unsigned long in_loop(const struct kind *k, const char *label)
{
    return k->user ? USER + (label - k->loop) : (unsigned long)label;
}

static void check_frame(const struct kind *k, struct state *s, const struct frame *f)
{
    const uint64_t *is = (const uint64_t *)f;
    const uint64_t *should = (const uint64_t *)&s->want;
    unsigned int i;

    check(s, f->r15, s->came, "the number of the exception");
    for ( i = offsetof(struct frame, r14) / 8;
          i <= offsetof(struct frame, rax) / 8; i++ )
        check(s, is[i], should[i], "a register");
    check(s, f->error, s->want.error, "error code");
    check(s, f->rip, s->want.rip, "rip");
    check(s, f->cs & 0xffff, s->want.cs, "cs");
    check(s, f->rflags & (FLAGS | IF), s->want.rflags, "rflags");
    check(s, f->rsp, s->want.rsp, "rsp");
    check(s, f->ss & ~3, s->want.ss & ~3, "ss");
    check(s, (unsigned long)(f + 1), s->top, "the frame's place");
    check(s, vcpu_info(me())->evtchn_upcall_mask, k->masks, "the mask of events");
    if ( k->vector == 14 )
        check(s, vcpu_info(me())->arch.cr2, FAULTING_VA, "cr2 in vcpu_info");
}

/* What takes an exception of its own to find out. */
static void check_registers(const struct kind *k, struct state *s)
{
    uint64_t cr2;

    if ( k->vector == 14 )
    {
        asm volatile ( "mov %%cr2, %0" : "=r" (cr2) );
        check(s, cr2, FAULTING_VA, "cr2");
    }
    if ( k->vector == 1 )
        check(s, hypercall(__HYPERVISOR_get_debugreg, 6, 0, 0, 0) & 15, 1, "dr6");
}

static bool exception(struct frame *f)
{
    const unsigned int i = me() - CPU_QUEUED;
    const struct kind *k = &kinds[i];
    struct state *s = &states[i];

    if ( i >= NR || !s->active || f->vector != k->vector )
        return false;

    s->came++;
    check_frame(k, s, f);
    f->rip = in_loop(k, k->next);
    if ( !stop )
        return true;

    check_registers(k, s);
    f->rip = (unsigned long)queued_back;
    f->cs = FLAT_KERNEL_CS & ~3;
    f->ss = FLAT_KERNEL_SS;
    f->rsp = s->saved_rsp;
    f->rflags &= ~IF;                   /* events masked, as they were */

    return true;
}

static void handlers_in(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(vectors); i++ )
        handlers[i] = on_trap(vectors[i], exception);
}

static void handlers_out(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(vectors); i++ )
        on_trap(vectors[i], handlers[i]);
}

/* ---- The vCPUs ---- */

static void own_registers(const struct kind *k, struct state *s)
{
    struct physdev_set_iobitmap op = { .nr_ports = LIMIT };
    unsigned long cr4;

    set_xen_guest_handle(op.bitmap, bitmap);
    check(s, hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iobitmap,
                       (unsigned long)&op, 0, 0), 0, "set_iobitmap");
    if ( k->vector == 1 )
    {
        asm volatile ( "mov %%cr4, %0" : "=r" (cr4) );
        asm volatile ( "mov %0, %%cr4" :: "r" (cr4 | CR4_DE) );
        hypercall(__HYPERVISOR_set_debugreg, 0, WATCHED_PORT, 0, 0);
        hypercall(__HYPERVISOR_set_debugreg, 6, 0xffff0ff0, 0, 0);
        check(s, hypercall(__HYPERVISOR_set_debugreg, 7, DR7_WATCH, 0, 0), 0,
              "set_debugreg");
    }
    if ( k->masks )
    {
        const trap_info_t *t = trap_table;
        trap_info_t gate[2] = {};

        while ( t->vector != k->vector )
            t++;
        gate[0] = *t;
        gate[0].flags |= 4;
        check(s, hypercall(__HYPERVISOR_set_trap_table, (unsigned long)gate, 0, 0,
                           0), 0, "set_trap_table");
    }
    if ( k->user )
    {
        mmuext_op_t load = { .cmd = MMUEXT_NEW_USER_BASEPTR };

        load.arg1.mfn = mfn_of(user_root);
        check(s, hc_mmuext(&load, 1), 0, "loading the user's tables");
        check(s, hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, s->top, 0, 0),
              0, "stack_switch");
    }
}

/* Frames go to the middle of the worker's stack, of which it needs little itself. */
static void fill(const struct kind *k, struct state *s)
{
    extern char stacks[MAX_VCPUS][STACK_SIZE];
    struct frame *f = &s->want;
    uint64_t *reg = (uint64_t *)f, state = seed * NR_CPUS + me();
    unsigned int i;

    memset(f, 0, sizeof(*f));
    for ( i = 0; i <= offsetof(struct frame, rax) / 8; i++ )
        reg[i] = random(&state);
    f->r15 = 0;
    f->rax |= 0xff;                     /* what a port without a device reads */
    f->rdx = k->port;
    f->rsi = FAULTING_VA;
    f->error = k->error;
    f->rip = in_loop(k, k->at);
    f->cs = k->user ? USER_CS : FLAT_KERNEL_CS & ~3;
    f->ss = FLAT_KERNEL_SS;
    f->rflags = IF | FLAGS;
    s->top = (unsigned long)stacks[me()] + STACK_SIZE / 2;
    f->rsp = k->user ? USER + PAGE : s->top;

    s->start = s->want;
    s->start.rip = in_loop(k, k->loop);
    s->start.rflags |= 2;
}

static void work(void *arg)
{
    const struct kind *k = arg;
    struct state *s = &states[k - kinds];

    fill(k, s);
    own_registers(k, s);
    s->active = true;
    queued_enter(&s->start, &s->saved_rsp);
    s->active = false;
    if ( k->vector == 1 )
        hypercall(__HYPERVISOR_set_debugreg, 7, 0x400, 0, 0);
}

/* ---- The test ---- */

static void prepare(void)
{
    page = page_alloc();
    box = page_alloc();
    map_scratch(FAULTING_VA);
    user_root = user_space(loop_bp, end_bp - loop_bp);
}

/* Whether the instructions that fault would do so again. */
static void cause(bool there)
{
    const uint8_t bit = 1U << (DENIED_PORT % 8);

    want(hc_map(FAULTING_VA, there ? 0 : pte_of(page, PTE_RAM)),
         there ? "unmapping a page" : "mapping a page");
    if ( there )
        bitmap[DENIED_PORT / 8] |= bit;
    else
        bitmap[DENIED_PORT / 8] &= ~bit;
}

/* VCPUOP_up or VCPUOP_down, of those with a bit set. */
static void each(unsigned int op, uint32_t mask)
{
    unsigned int i;

    for ( i = CPU_QUEUED; i <= CPU_QUEUED_LAST; i++ )
        if ( mask & (1U << i) )
            want(hc_vcpu(op, i, NULL), op == VCPUOP_up ? "up" : "down");
}

static void set(void)
{
    unsigned int i;

    seed = arg("seed", 1);
    stop = false;
    if ( !page )
        prepare();
    memset(page, 0, PAGE);
    memset((void *)box, 0, sizeof(*box));
    memset(bitmap, 0xff, sizeof(bitmap));
    bitmap[WATCHED_PORT / 8] = 0;
    cause(true);
    handlers_in();

    for ( i = 0; i < NR; i++ )
    {
        states[i].came = states[i].errors = 0;
        vcpu_do(CPU_QUEUED + i, work, (void *)&kinds[i]);
    }
    for ( i = 0; i < NR; i++ )
    {
        if ( !wait_until(states[i].came > 3, 5000) )
            bad("%s: does not come", kinds[i].what);
        note("v%u=%u@%lx", CPU_QUEUED + i, kinds[i].entry,
             in_loop(&kinds[i], kinds[i].at));
    }
    /* The host has other things to do until step 0. */
    each(VCPUOP_down, ~0U);
    note("box=%lx", mfn_of((void *)box));
}

/* Other tests want other handlers of their own then. */
static void take_down(void)
{
    uint32_t mask;
    unsigned int i, turn;

    for ( turn = 1; ; turn++ )
    {
        box->down = turn;
        if ( !wait_until(box->seen == turn, 20000) )
        {
            bad("dom0 does not look, turn %u", turn);
            break;
        }
        mask = box->again;
        if ( !mask )
            break;
        each(VCPUOP_up, mask);
        nap(2);
        each(VCPUOP_down, mask);
    }

    for ( i = 0; i < NR; i++ )
    {
        states[i].before = states[i].came;
        note("v%u=%lu", CPU_QUEUED + i, states[i].before);
    }
    handlers_out();
}

static void none_yet(void)
{
    unsigned int i;

    nap(20);
    for ( i = 0; i < NR; i++ )
        if ( states[i].came != states[i].before )
            bad("%s: %lu have come while the vCPU was down", kinds[i].what,
                states[i].came - states[i].before);
    handlers_in();
    cause(false);
    stop = true;
}

static void one_more(void)
{
    unsigned int i;

    each(VCPUOP_up, ~0U);

    for ( i = 0; i < NR; i++ )
    {
        const struct state *s = &states[i];

        if ( !vcpu_wait(CPU_QUEUED + i, 2000) )
            bad("%s: does not come any more", kinds[i].what);
        if ( s->came != s->before + 1 )
            bad("%s: came %lu times, want 1", kinds[i].what, s->came - s->before);
        if ( s->errors )
            bad("%s: %u errors, the first: %s is %lx, want %lx", kinds[i].what,
                s->errors, s->what, s->is, s->should);
    }
    if ( *page )
        bad("#PF: the instruction has been executed");
    handlers_out();
}

static void verify(void)
{
    static void (*const steps[])(void) = { take_down, none_yet, one_more };
    uint64_t step = arg("step", 0);

    if ( step < ARRAY_SIZE(steps) )
        steps[step]();
    else
        bad("no such step");
}

const struct test test_queued = { "queued", "queued exceptions", set, verify };

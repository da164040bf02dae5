/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Callbacks of every kind with their flags, the trap table, the kernel's stack, IOPL,
 * and vm_assist, told apart by what happens on the way from and to user space.
 *
 * Happy path: `set` registers callbacks with or without masking of events, as the bits
 * of the seed say, sets an IOPL and loads user page tables.  `verify` runs a few
 * instructions in user space, 64 and 32 bits wide, each ending in an entry, and
 * sends itself an NMI; it looks at where each entry comes in, on which stack, and
 * whether events are masked then.  User space must not see the machine-to-phys
 * table (m2p_strict).
 *
 * What can fail: an entry at another place or with another mask, another IOPL: bad.
 * The sysenter callback is registered and cannot be entered: AMD's CPUs have no
 * such instruction in long mode.
 */
#include "micro.h"

#define USER_STACK (USER + 2 * PAGE)

extern char cb_event[], cb_failsafe[], cb_syscall[], cb_syscall32[];
extern char cb_sysenter[], cb_nmi[], exc_80[];
extern char user_code[], user_code_end[], user_back[];
extern char user_syscall[], user_int80[], user_m2p[], user_syscall32[];
extern uint64_t user_saved_rsp;
void user_enter(unsigned long rip, unsigned long rsp, unsigned long cs,
                unsigned long rflags);

asm ( ".text\n"
      "user_enter:\n"
      "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
      "mov %rsp, user_saved_rsp(%rip)\n"
      "push $0xe02b\n"                  /* ss */
      "push %rsi\n"
      "push %rcx\n"
      "push %rdx\n"
      "push %rdi\n"
      "push $0\n"
      "jmp hypercall_page + 23 * 32\n"
      "user_back:\n"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
      "ret\n"
      ".section .rodata\n"
      "user_code:\n"
      "user_syscall: mov $0x55, %eax; syscall; ud2\n"
      "user_int80: mov $0x66, %eax; int $0x80; ud2\n"
      "user_m2p: mov $0x77, %eax; movabs $0xffff800000000000, %rbx\n"
      "mov (%rbx), %rbx; ud2\n"
      ".code32\n"
      "user_syscall32: mov $0x88, %eax; syscall; ud2\n"
      ".code64\n"
      "user_code_end:\n"
      ".text\n"
      ".bss\n"
      "user_saved_rsp: .skip 8\n"
      ".text\n" );

/* The entry that user space ended in. */
static struct {
    bool wanted;
    uint64_t vector, rax, rflags, rip, cr2;
    bool masked, on_stack;
} got;

static volatile unsigned int nmis;
static volatile bool nmi_masked;
static unsigned int flags, level;
static void *root;

/* Half of this vCPU's stack is for entries from user space. */
static unsigned long kernel_sp(void)
{
    extern char stacks[MAX_VCPUS][STACK_SIZE];

    return (unsigned long)stacks[0] + STACK_SIZE / 2;
}

static bool from_user(struct frame *f)
{
    if ( !got.wanted || (f->cs & 3) != 3 )
        return false;

    got.wanted = false;
    got.vector = f->vector;
    got.rax = f->rax;
    got.rflags = f->rflags;
    got.rip = f->rip;
    got.cr2 = vcpu_info(0)->arch.cr2;
    got.masked = vcpu_info(0)->evtchn_upcall_mask;
    got.on_stack = (unsigned long)(f + 1) == kernel_sp();

    f->rip = (unsigned long)user_back;
    f->cs = FLAT_KERNEL_CS & ~3;
    f->ss = FLAT_KERNEL_SS;
    f->rsp = user_saved_rsp;
    f->rflags &= ~0x200UL;              /* events masked, as it was */

    return true;
}

/* An exception in the kernel shows the IOPL that was carried. */
static bool in_kernel(struct frame *f)
{
    got.rflags = f->rflags;

    return true;
}

static bool nmi(struct frame *f)
{
    nmis++;
    nmi_masked = vcpu_info(0)->evtchn_upcall_mask;

    return true;
}

static void run_user(const char *code, unsigned int cs)
{
    memset(&got, 0, sizeof(got));
    got.wanted = true;
    user_enter(USER + (code - user_code), USER_STACK, cs,
               0x202 | (unsigned long)level << 12);
}

static void register_one(unsigned int type, const char *entry, bool mask)
{
    struct callback_register op = {
        .type = type,
        .flags = mask ? CALLBACKF_mask_events : 0,
        .address = (unsigned long)entry,
    };

    want(hc_callback(CALLBACKOP_register, &op), "callback");
}

static void set(void)
{
    mmuext_op_t load = { .cmd = MMUEXT_NEW_USER_BASEPTR };
    struct physdev_set_iopl iopl;
    trap_info_t traps[2] = {};

    hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable,
              VMASST_TYPE_architectural_iopl, 0, 0);
    if ( !root )
    {
        hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable,
                  VMASST_TYPE_m2p_strict, 0, 0);
        root = user_space(user_code, user_code_end - user_code);
        load.arg1.mfn = mfn_of(root);
        want(hc_mmuext(&load, 1), "loading the user's tables");
        want(hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, kernel_sp(),
                       0, 0), "stack_switch");
    }

    /* Bits of it: masks of syscall, syscall32, int 0x80, failsafe. */
    flags = arg("seed", 1) * 0x5d;
    register_one(CALLBACKTYPE_event, cb_event, false);
    register_one(CALLBACKTYPE_failsafe, cb_failsafe, flags & 16);
    register_one(CALLBACKTYPE_syscall, cb_syscall, flags & 1);
    register_one(CALLBACKTYPE_syscall32, cb_syscall32, flags & 2);
    register_one(CALLBACKTYPE_sysenter, cb_sysenter, flags & 2);
    register_one(CALLBACKTYPE_nmi, cb_nmi, false);

    traps[0] = (trap_info_t){
        .vector = 0x80, .flags = 3 | (flags & 4), .cs = FLAT_KERNEL_CS,
        .address = (unsigned long)exc_80,
    };
    want(hypercall(__HYPERVISOR_set_trap_table, (unsigned long)traps, 0, 0, 0),
         "trap table");

    level = 1 + arg("seed", 1) % 3;
    iopl.iopl = level;
    want(hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl,
                   (unsigned long)&iopl, 0, 0), "iopl");
}

static void expect(const char *what, unsigned int vector, unsigned int rax,
                   bool masked)
{
    if ( got.vector != vector || got.rax != rax || !got.on_stack ||
         got.masked != masked || (got.rflags >> 12 & 3) != level )
        bad("%s: vector %lu, want %u; rax %lx; masked %u, want %u; own stack %u; "
            "rflags %lx, want IOPL %u; rip %lx, cr2 %lx",
            what, got.vector, vector, got.rax, got.masked, masked, got.on_stack,
            got.rflags, level, got.rip, got.cr2);
}

static void verify(void)
{
    static const unsigned int vectors[] = {
        VECTOR_SYSCALL, VECTOR_SYSCALL32, 0x80, 14, 6,
    };
    handler *const none = NULL;
    unsigned int i;

    on_trap(VECTOR_NMI, nmi);
    for ( i = 0; i < ARRAY_SIZE(vectors); i++ )
        on_trap(vectors[i], from_user);

    on_trap(3, in_kernel);
    asm volatile ( "int3" ::: "memory" );
    if ( (got.rflags >> 12 & 3) != level )
        bad("IOPL in rflags %lx, want %u", got.rflags, level);

    run_user(user_syscall, 0xe033);
    expect("syscall", VECTOR_SYSCALL, 0x55, flags & 1);
    run_user(user_syscall32, 0xe023);
    /* Whether that masks events is said by the other callback, as ever. */
    expect("syscall of 32 bits", VECTOR_SYSCALL32, 0x88, flags & 1);
    run_user(user_int80, 0xe033);
    expect("int 0x80", 0x80, 0x66, flags & 4);
    run_user(user_m2p, 0xe033);
    expect("reading the M2P", 14, 0x77, false);
    if ( got.cr2 != __MACH2PHYS_VIRT_START )
        bad("reading the M2P: cr2 is %lx", got.cr2);

    nmis = 0;
    want(hc_vcpu(VCPUOP_send_nmi, 0, NULL), "send_nmi");
    if ( !wait_until(nmis, 1000) )
        bad("no NMI");
    else if ( nmis != 1 || !nmi_masked )
        bad("%u NMIs, events masked %u", nmis, nmi_masked);

    for ( i = 0; i < ARRAY_SIZE(vectors); i++ )
        on_trap(vectors[i], none);
    on_trap(3, none);
    /* Under it a kernel may use any port, which is not for the other tests. */
    hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_disable,
              VMASST_TYPE_architectural_iopl, 0, 0);
    note("flags=%u iopl=%u", flags & 0x17, level);
}

const struct test test_calls = { "calls", "callbacks, user space", set, verify };

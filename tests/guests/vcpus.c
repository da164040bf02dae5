/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Further vCPUs: each sleeps in SCHEDOP_poll until it is given something to do.
 *
 * Happy path: vcpu_do() starts the vCPU when it is used for the first time, leaves
 * a function for it, and wakes it by an IPI port of its own; vcpu_idle() tells when
 * it has returned.
 *
 * What can fail: Xen does not start it: the guest dies.
 */
#include "micro.h"

char stacks[MAX_VCPUS][STACK_SIZE] __attribute__((aligned(STACK_SIZE)));

extern char vcpu_entry[], cb_event[], cb_failsafe[], cb_syscall[];

static struct {
    bool initialised, up;
    uint32_t port;
    void (*volatile fn)(void *);
    void *arg;
} cpus[MAX_VCPUS];

unsigned int me(void)
{
    char here;

    return (&here - stacks[0]) / STACK_SIZE;
}

bool vcpu_there(unsigned int vcpu)
{
    return hc_vcpu(VCPUOP_is_up, vcpu, NULL) >= 0;
}

/* VCPUOP_initialise: it could be brought up then. */
void vcpu_prepare(unsigned int vcpu)
{
    static vcpu_guest_context_t ctx;
    const trap_info_t *t;
    long rc;

    memset(&ctx, 0, sizeof(ctx));
    for ( t = trap_table; t->address; t++ )
        ctx.trap_ctxt[t->vector] = *t;
    ctx.flags = VGCF_in_kernel;
    ctx.user_regs.rip = (unsigned long)vcpu_entry;
    ctx.user_regs.rsp = (unsigned long)stacks[vcpu + 1];
    ctx.user_regs.rflags = 0x202;
    ctx.user_regs.cs = FLAT_KERNEL_CS;
    ctx.user_regs.ss = FLAT_KERNEL_SS;
    ctx.user_regs.ds = ctx.user_regs.es = FLAT_KERNEL_DS;
    ctx.user_regs.fs = ctx.user_regs.gs = FLAT_KERNEL_DS;
    ctx.kernel_ss = FLAT_KERNEL_SS;
    ctx.kernel_sp = (unsigned long)stacks[vcpu + 1];
    ctx.ctrlreg[3] = xen_pfn_to_cr3(root_mfn());
    ctx.event_callback_eip = (unsigned long)cb_event;
    ctx.failsafe_callback_eip = (unsigned long)cb_failsafe;
    ctx.syscall_callback_eip = (unsigned long)cb_syscall;

    rc = hc_vcpu(VCPUOP_initialise, vcpu, &ctx);
    if ( rc )
        die("vCPU %u cannot be initialised: %ld", vcpu, rc);
    cpus[vcpu].initialised = true;
}

void vcpu_main(void)
{
    const unsigned int vcpu = me();

    for ( ; ; )
    {
        void (*fn)(void *);

        port_clear(cpus[vcpu].port);
        fn = cpus[vcpu].fn;
        if ( fn )
        {
            fn(cpus[vcpu].arg);
            cpus[vcpu].fn = NULL;
        }
        else
            poll(cpus[vcpu].port, 0);
    }
}

static void bring_up(unsigned int vcpu)
{
    long rc;

    cpus[vcpu].port = port_ipi(vcpu);
    port_mask(cpus[vcpu].port);
    vcpu_info(vcpu)->evtchn_upcall_mask = 1;
    if ( !cpus[vcpu].initialised )
        vcpu_prepare(vcpu);
    rc = hc_vcpu(VCPUOP_up, vcpu, NULL);
    if ( rc )
        die("vCPU %u cannot be brought up: %ld", vcpu, rc);
    cpus[vcpu].up = true;
}

void vcpu_do(unsigned int vcpu, void (*fn)(void *), void *arg)
{
    if ( !vcpu_idle(vcpu) )
        die("vCPU %u has something to do already", vcpu);

    if ( !cpus[vcpu].up )
        bring_up(vcpu);
    cpus[vcpu].arg = arg;
    barrier();
    cpus[vcpu].fn = fn;
    port_send(cpus[vcpu].port);
}

bool vcpu_idle(unsigned int vcpu)
{
    return !cpus[vcpu].fn;
}

bool vcpu_wait(unsigned int vcpu, uint64_t ms)
{
    return wait_until(vcpu_idle(vcpu), ms);
}

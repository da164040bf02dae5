/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queued: meets vCPUs of a micro-guest while Xen has an exception queued for them.
 *
 *   queued catch <domid> <mfn> <vcpu>=<vector>@<rip>...
 *   queued show <domid> <vcpu>...                  their registers, a line for each
 *
 * The vCPUs take exceptions without a pause: the CPU enters Xen with the vector, and
 * the vCPU's instruction pointer is rip then.  When a vCPU has to stop after Xen has
 * queued the exception, it stops before it is delivered, which is what replaces the
 * instruction pointer and marks the vector.  So a vCPU that is down and has just this
 * pair has an exception queued.
 *
 * Happy path of "catch": the guest takes vCPUs down and says in the page at mfn that
 * it has (queued.h).  The answer there is the vCPUs that are not
 * in that state, which the guest lets run for another moment, until there are none.
 * Printed is how often that was, then what "show" prints.
 *
 * What can fail: Xen refuses something, the guest does nothing, or a vCPU is never met
 * in that state: the reason is on standard error, exit code 1, and vCPUs stay down.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/domctl.h>

#include "privcmd.h"
#include "queued.h"

#define MAX_VCPUS 32
#define TURNS 2000
#define WAITS 20000

struct target {
    unsigned int vcpu, vector;
    uint64_t rip;
};

/* Xen reads and writes these itself: they must be in memory. */
static struct {
    struct xen_domctl op;
    vcpu_guest_context_t ctx;
} *shared;
static int privcmd;
static unsigned int domid;

static struct xen_domctl *domctl_init(unsigned int cmd)
{
    struct xen_domctl *op = &shared->op;

    memset(op, 0, sizeof(*op));
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;

    return op;
}

static int domctl(const char *what)
{
    struct privcmd_call call = { __HYPERVISOR_domctl, { (uintptr_t)&shared->op } };
    int rc = ioctl(privcmd, PRIVCMD_CALL, &call);

    if ( rc )
        warn("d%u: %s", domid, what);

    return rc;
}

static int get_context(unsigned int vcpu)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_getvcpucontext);

    op->u.vcpucontext.vcpu = vcpu;
    op->u.vcpucontext.ctxt.p = (void *)&shared->ctx;

    return domctl("getvcpucontext");
}

static int show(unsigned int vcpu)
{
    const struct cpu_user_regs *r = &shared->ctx.user_regs;

    if ( get_context(vcpu) )
        return -1;

    printf("v%u vector=%u error=%#x rip=%#lx rsp=%#lx rflags=%#lx kernel=%d "
           "rax=%#lx rbx=%#lx rcx=%#lx rdx=%#lx rsi=%#lx rdi=%#lx rbp=%#lx "
           "r8=%#lx r9=%#lx r10=%#lx r11=%#lx r12=%#lx r13=%#lx r14=%#lx "
           "r15=%lu\n",
           vcpu, r->entry_vector, r->error_code, r->rip, r->rsp, r->rflags,
           !!(shared->ctx.flags & VGCF_in_kernel),
           r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->r8, r->r9,
           r->r10, r->r11, r->r12, r->r13, r->r14, r->r15);

    return 0;
}

static volatile struct queued_box *map_box(uint64_t frame)
{
    struct privcmd_mmap map = { .num = 1, .dom = domid, .frames = &frame };
    int error = 0;

    map.errors = &error;
    map.addr = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    if ( map.addr == MAP_FAILED )
        err(1, "mmap");
    if ( ioctl(privcmd, PRIVCMD_MMAP, &map) || error )
        errx(1, "d%u: frame %#lx cannot be mapped (%d)", domid,
             (unsigned long)frame, error);

    return map.addr;
}

/* The vCPUs with no exception queued, a bit for each. */
static uint32_t others(const struct target *t, unsigned int nr)
{
    uint32_t mask = 0;
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        if ( get_context(t[i].vcpu) )
            exit(1);
        if ( shared->ctx.user_regs.entry_vector != t[i].vector ||
             shared->ctx.user_regs.rip != t[i].rip )
            mask |= 1U << t[i].vcpu;
    }

    return mask;
}

static void catch(volatile struct queued_box *box, const struct target *t,
                  unsigned int nr)
{
    unsigned int waits, turns;
    uint32_t mask = ~0U;

    for ( turns = 1; mask && turns <= TURNS; turns++ )
    {
        for ( waits = 0; box->down != turns; waits++ )
        {
            if ( waits == WAITS )
                errx(1, "d%u: takes no vCPUs down, turn %u", domid, turns);
            usleep(500);
        }
        mask = others(t, nr);
        box->again = mask;
        __sync_synchronize();
        box->seen = turns;
    }

    if ( mask )
        errx(1, "d%u: vCPUs %#x never had an exception queued", domid, mask);
    printf("turns=%u\n", turns - 1);
}

int main(int argc, char **argv)
{
    const bool catching = argc > 4 && !strcmp(argv[1], "catch");
    const int first = catching ? 4 : 3;
    struct target t[MAX_VCPUS] = {};
    unsigned int i, nr = argc - first;

    if ( argc <= first || nr > MAX_VCPUS ||
         (!catching && strcmp(argv[1], "show")) )
        errx(2, "usage: queued catch domid mfn vcpu=vector@rip...\n"
                "       queued show domid vcpu...");

    domid = atoi(argv[2]);
    for ( i = 0; i < nr; i++ )
        if ( sscanf(argv[first + i], catching ? "%u=%u@%lx" : "%u", &t[i].vcpu,
                    &t[i].vector, &t[i].rip) != (catching ? 3 : 1) ||
             t[i].vcpu >= MAX_VCPUS )
            errx(2, "what is %s?", argv[first + i]);

    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if ( privcmd < 0 || shared == MAP_FAILED )
        err(1, "/dev/xen/privcmd");

    if ( catching )
        catch(map_box(strtoull(argv[3], NULL, 16)), t, nr);
    for ( i = 0; i < nr; i++ )
        if ( show(t[i].vcpu) )
            return 1;

    return 0;
}

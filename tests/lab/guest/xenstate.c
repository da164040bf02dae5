/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xenstate: what xl cannot tell of a domain, or cannot do to it, by hypercall.
 *
 *   xenstate own <domid>                  its pages: "<first MFN> <count>" lines
 *   xenstate take [pages]                 makes a domain that takes all free memory, or
 *                                         so many pages: its domid, then its pages
 *   xenstate build                        makes a domain with nothing in it, as it is at the
 *                                         very start of its life: its domid
 *   xenstate end <domid>                  destroys such a domain
 *   xenstate vnuma <domid>                one virtual NUMA node for it
 *   xenstate debugger <domid> <0|1>       an attached debugger
 *   xenstate log-dirty <domid> <0|1>
 *   xenstate monitor <domid>              a ring for events of its vCPUs
 *   xenstate affinity <domid> <cpu>       vCPU 0 may run on this CPU only; -1: on any
 *   xenstate claim <domid> <pages>        claims memory for it, 0: no more
 *   xenstate target <domid> <domid>       privilege over the second, an HVM domain
 *   xenstate assign <domid> <sbdf>        a PCI device, as 0x<segment><bus><dev.fn>
 *   xenstate bad <mfn> <0|1>              1: a page that is to be used no more
 *   xenstate pin <pin>                    sets up an IO-APIC's pin as old kernels do
 *   xenstate asleep <domid>               the ACPI state that it sleeps in: 3 or 0
 *   xenstate profile                      xenoprof's buffers for who calls it
 *
 * Happy path: exit code 0.  What Xen refuses is said on standard error, exit code 1.
 * All but "profile" want dom0.
 */
#include <errno.h>
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
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sysctl.h>
#include <xen/xenoprof.h>

#include "privcmd.h"

#define BATCH 1024U         /* what XEN_DOMCTL_getpageframeinfo3 takes at once */

/* Xen reads and writes these itself: they must be in memory. */
static struct shared {
    struct xen_domctl domctl;
    struct xen_sysctl sysctl;
    struct xen_memory_reservation reservation;
    struct xenoprof_get_buffer profile;
    struct physdev_apic apic;
    struct xen_hvm_param param;
    uint64_t list[BATCH];
} *shared;
static int privcmd;

static void fail(const char *what)
{
    fprintf(stderr, "xenstate: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long call(uint64_t op, uint64_t a, uint64_t b)
{
    struct privcmd_call c = { op, { a, b } };

    return ioctl(privcmd, PRIVCMD_CALL, &c);
}

static struct xen_domctl *domctl_init(unsigned int cmd, unsigned int domid)
{
    struct xen_domctl *op = &shared->domctl;

    memset(op, 0, sizeof(*op));
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;

    return op;
}

static long domctl(void)
{
    return call(__HYPERVISOR_domctl, (uintptr_t)&shared->domctl, 0);
}

static long memory_op(unsigned int cmd, unsigned int domid, unsigned long nr,
                      unsigned int order)
{
    struct xen_memory_reservation *r = &shared->reservation;

    memset(r, 0, sizeof(*r));
    if ( cmd == XENMEM_populate_physmap )
        r->extent_start.p = (void *)shared->list;
    r->nr_extents = nr;
    r->extent_order = order;
    r->domid = domid;

    return call(__HYPERVISOR_memory_op, cmd, (uintptr_t)r);
}

/* ---- Pages ------------------------------------------------------------------ */

static uint64_t first, count;

/* Ranges grow at both ends: the heap hands pages out from the top. */
static void put_range(uint64_t mfn, uint64_t nr)
{
    if ( count && nr && (first + count == mfn || mfn + nr == first) )
    {
        first = mfn < first ? mfn : first;
        count += nr;
        return;
    }
    if ( count )
        printf("%lx %lx\n", (unsigned long)first, (unsigned long)count);
    first = mfn;
    count = nr;
}

/*
 * Each page of the machine is asked for: Xen has no list for us.  It logs those that
 * are not the domain's, unless guest_loglvl is "none".
 */
static void own(unsigned int domid)
{
    unsigned long mfn, i, max = call(__HYPERVISOR_memory_op,
                                     XENMEM_maximum_ram_page, 0);

    if ( (long)max <= 0 )
        fail("XENMEM_maximum_ram_page");

    for ( mfn = 0; mfn <= max; mfn += BATCH )
    {
        struct xen_domctl *op = domctl_init(XEN_DOMCTL_getpageframeinfo3, domid);

        for ( i = 0; i < BATCH; i++ )
            shared->list[i] = mfn + i;
        op->u.getpageframeinfo3.num = BATCH;
        op->u.getpageframeinfo3.array.p = (void *)shared->list;
        if ( domctl() )
            fail("XEN_DOMCTL_getpageframeinfo3");
        for ( i = 0; i < BATCH; i++ )
            if ( (uint32_t)shared->list[i] != XEN_DOMCTL_PFINFO_XTAB )
                put_range(mfn + i, 1);
    }
    put_range(~0UL, 0);
}

/* ---- Domains ---------------------------------------------------------------- */

static unsigned int build(void)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_createdomain, 0);
    unsigned int domid;

    op->u.createdomain.max_vcpus = 1;
    op->u.createdomain.max_evtchn_port = 1023;
    op->u.createdomain.max_grant_frames = -1;
    op->u.createdomain.max_maptrack_frames = -1;
    op->u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(1);
    if ( domctl() )
        fail("XEN_DOMCTL_createdomain");
    domid = shared->domctl.domain;

    op = domctl_init(XEN_DOMCTL_max_mem, domid);
    op->u.max_mem.max_memkb = ~0UL >> 11;
    if ( domctl() )
        fail("XEN_DOMCTL_max_mem");

    return domid;
}

static void end(unsigned int domid)
{
    do {
        domctl_init(XEN_DOMCTL_destroydomain, domid);
        if ( !domctl() )
            return;
    } while ( errno == EAGAIN || errno == ERESTART );
    fail("XEN_DOMCTL_destroydomain");
}

/* Large extents while there are any: one page each would take long. */
static void take(unsigned long most)
{
    static const unsigned int orders[] = { 9, 4, 0 };
    const unsigned int domid = build();
    unsigned long gpfn = 0;
    unsigned int i;

    printf("%u\n", domid);
    for ( i = 0; i < sizeof(orders) / sizeof(*orders); i++ )
    {
        const unsigned long nr = 1UL << orders[i];
        long got, j, want;

        do {
            want = (most - gpfn) / nr < BATCH ? (most - gpfn) / nr : BATCH;
            for ( j = 0; j < BATCH; j++ )
                shared->list[j] = gpfn + j * nr;
            got = want ? memory_op(XENMEM_populate_physmap, domid, want, orders[i]) : 0;
            if ( got < 0 )
                fail("XENMEM_populate_physmap");
            for ( j = 0; j < got; j++ )
                put_range(shared->list[j], nr);
            gpfn += got * nr;
        } while ( got && got == want );
    }
    put_range(~0UL, 0);
}

/* ---- States ------------------------------------------------------------------ */

static void debugger(unsigned int domid, bool on)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_setdebugging, domid);

    op->u.setdebugging.enable = on;
    if ( domctl() )
        fail("XEN_DOMCTL_setdebugging");
}

/* One node, one vCPU, one range that is empty: all zeros. */
static void vnuma(unsigned int domid)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_setvnumainfo, domid);

    memset(shared->list, 0, sizeof(shared->list));
    op->u.vnuma.nr_vnodes = op->u.vnuma.nr_vmemranges = op->u.vnuma.nr_vcpus = 1;
    op->u.vnuma.vdistance.p = op->u.vnuma.vcpu_to_vnode.p =
        op->u.vnuma.vnode_to_pnode.p = (void *)shared->list;
    op->u.vnuma.vmemrange.p = (void *)shared->list;
    if ( domctl() )
        fail("XEN_DOMCTL_setvnumainfo");
}

static void log_dirty(unsigned int domid, bool on)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_shadow_op, domid);

    op->u.shadow_op.op = on ? XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY
                            : XEN_DOMCTL_SHADOW_OP_OFF;
    if ( domctl() )
        fail("XEN_DOMCTL_shadow_op");
}

static void monitor(unsigned int domid)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_vm_event_op, domid);

    op->u.vm_event_op.op = XEN_VM_EVENT_ENABLE;
    op->u.vm_event_op.mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR;
    if ( domctl() )
        fail("XEN_DOMCTL_vm_event_op");
}

static void affinity(unsigned int domid, long cpu)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_setvcpuaffinity, domid);

    memset(shared->list, cpu < 0 ? 0xff : 0, sizeof(shared->list));
    if ( cpu >= 0 )
        shared->list[cpu / 64 % BATCH] = 1ULL << cpu % 64;
    op->u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    op->u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)shared->list;
    op->u.vcpuaffinity.cpumap_hard.nr_bits = 8 * sizeof(shared->list);
    if ( domctl() )
        fail("XEN_DOMCTL_setvcpuaffinity");
}

static void target(unsigned int domid, unsigned int other)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_set_target, domid);

    op->u.set_target.target = other;
    if ( domctl() )
        fail("XEN_DOMCTL_set_target");
}

static void assign(unsigned int domid, uint32_t sbdf)
{
    struct xen_domctl *op = domctl_init(XEN_DOMCTL_assign_device, domid);

    op->u.assign_device.dev = XEN_DOMCTL_DEV_PCI;
    op->u.assign_device.u.pci.machine_sbdf = sbdf;
    if ( domctl() )
        fail("XEN_DOMCTL_assign_device");
}

static void bad_page(unsigned long mfn, bool bad)
{
    struct xen_sysctl *op = &shared->sysctl;

    memset(op, 0, sizeof(*op));
    op->cmd = XEN_SYSCTL_page_offline_op;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    op->u.page_offline.cmd = bad ? sysctl_page_offline : sysctl_page_online;
    op->u.page_offline.start = op->u.page_offline.end = mfn;
    op->u.page_offline.status.p = (void *)shared->list;
    if ( call(__HYPERVISOR_sysctl, (uintptr_t)op, 0) )
        fail("XEN_SYSCTL_page_offline_op");
}

/* Masked, as it has no device: by level, active low. */
static void pin(unsigned int nr)
{
    shared->apic.apic_physbase = 0xfec00000;
    shared->apic.reg = 0x10 + 2 * nr;
    shared->apic.value = 0x1a000;
    if ( call(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_write,
              (uintptr_t)&shared->apic) )
        fail("PHYSDEVOP_apic_write");
}

static unsigned int asleep(unsigned int domid)
{
    shared->param.domid = domid;
    shared->param.index = HVM_PARAM_ACPI_S_STATE;
    if ( call(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)&shared->param) )
        fail("HVM_PARAM_ACPI_S_STATE");

    return shared->param.value;
}

static void profile(void)
{
    memset(&shared->profile, 0, sizeof(shared->profile));
    shared->profile.max_samples = 64;
    if ( call(__HYPERVISOR_xenoprof_op, XENOPROF_get_buffer,
              (uintptr_t)&shared->profile) )
        fail("XENOPROF_get_buffer");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    unsigned int domid = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
    uint64_t arg = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;

    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if ( privcmd < 0 || shared == MAP_FAILED )
        fail("no hypercalls");

    if ( argc == 3 && !strcmp(what, "own") )
        own(domid);
    else if ( argc == 2 && !strcmp(what, "take") )
        take(~0UL);
    else if ( argc == 3 && !strcmp(what, "take") )
        take(strtoul(argv[2], NULL, 0));
    else if ( argc == 2 && !strcmp(what, "build") )
        printf("%u\n", build());
    else if ( argc == 3 && !strcmp(what, "end") )
        end(domid);
    else if ( argc == 3 && !strcmp(what, "vnuma") )
        vnuma(domid);
    else if ( argc == 4 && !strcmp(what, "debugger") )
        debugger(domid, arg);
    else if ( argc == 4 && !strcmp(what, "log-dirty") )
        log_dirty(domid, arg);
    else if ( argc == 3 && !strcmp(what, "monitor") )
        monitor(domid);
    else if ( argc == 4 && !strcmp(what, "affinity") )
        affinity(domid, strtol(argv[3], NULL, 0));
    else if ( argc == 4 && !strcmp(what, "claim") )
    {
        if ( memory_op(XENMEM_claim_pages, domid, arg, 0) )
            fail("XENMEM_claim_pages");
    }
    else if ( argc == 4 && !strcmp(what, "target") )
        target(domid, arg);
    else if ( argc == 4 && !strcmp(what, "assign") )
        assign(domid, arg);
    else if ( argc == 4 && !strcmp(what, "bad") )
        bad_page(strtoul(argv[2], NULL, 0), arg);
    else if ( argc == 3 && !strcmp(what, "pin") )
        pin(domid);
    else if ( argc == 3 && !strcmp(what, "asleep") )
        printf("%u\n", asleep(domid));
    else if ( argc == 2 && !strcmp(what, "profile") )
        profile();
    else
    {
        fprintf(stderr, "xenstate: see the top of xenstate.c\n");
        return 2;
    }

    return 0;
}

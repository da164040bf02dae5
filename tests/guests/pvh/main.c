/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PVH micro-guest: as the PV one (../main.c), for what Xen keeps of a vCPU with an
 * emulated local APIC.
 *
 * Happy path: it finds Xen's hypercalls by CPUID, its console by HVM parameters, and
 * obeys. It is also the kernel of an HVM guest, by QEMU and what SeaBIOS runs for
 * kernels that obey Multiboot. With one vCPU a test that needs it across an update has
 * a `pastime`, and one test at a time is set: the scenario makes a guest for each.
 * Option: via (upcalls by the domain's callback vector, not by one of the vCPU's own).
 *
 * What can fail: no Xen, no x2APIC, an exception or interrupt that nobody expects: the
 * guest ends with a message, if it has a console yet.
 */
#include "pvh.h"

#include <xen/arch-x86/cpuid.h>
#include <xen/arch-x86/hvm/start_info.h>

extern const struct test test_lapic, test_irr, test_hlt, test_state, test_upcall,
                         test_devices, test_platform, test_viridian, test_clocks,
                         test_down, test_ipis, test_walk, test_odd;

const struct test *const tests[] = {
    &test_lapic, &test_irr, &test_hlt, &test_state, &test_upcall,
    &test_devices, &test_platform, &test_viridian, &test_clocks,
    &test_down, &test_ipis, &test_walk, &test_odd,
};

const unsigned int nr_tests = ARRAY_SIZE(tests);

static uint8_t shared_page[PAGE] __attribute__((aligned(4096)));
vcpu_info_t *vcpu_infos[2];
shared_info_t *shared;

struct irq irqs[256];
uint64_t nr_irqs;

/* ---- Interrupts and exceptions ---- */

extern char stubs[];
static struct { uint64_t low, high; } idt[256];
static handler *handlers[32];

handler *on_trap(unsigned int vector, handler *fn)
{
    handler *const before = handlers[vector];

    handlers[vector] = fn;

    return before;
}

void trap(struct frame *f)
{
    struct irq *irq = &irqs[f->vector];
    uint64_t cr2;

    if ( f->vector < 32 )
    {
        if ( handlers[f->vector] && handlers[f->vector](f) )
            return;
        asm volatile ( "mov %%cr2, %0" : "=r" (cr2) );
        die("vector %lu, error %lx, rip %lx, cs %lx, rsp %lx, rflags %lx, cr2 %lx",
            f->vector, f->error, f->rip, f->cs, f->rsp, f->rflags, cr2);
    }

    irq->last = now();
    if ( !irq->count++ )
        irq->first = irq->last;
    nr_irqs++;
    if ( irq->also )
        irq->also();
    if ( !irq->keep )
        apic_set(APIC_EOI, 0);
}

/* For the vCPU that calls. */
void idt_load(void)
{
    struct { uint16_t size; uint64_t at; } __attribute__((packed)) pointer = {
        sizeof(idt) - 1, (uint64_t)idt,
    };

    asm volatile ( "lidt %0" :: "m" (pointer) );
}

static void idt_init(void)
{
    unsigned int i;

    for ( i = 0; i < 256; i++ )
    {
        const uint64_t at = (uint64_t)stubs + i * 16;

        idt[i].low = (at & 0xffff) | (SEL_CODE << 16) | (0x8eUL << 40) |
                     ((at >> 16 & 0xffff) << 48);
        idt[i].high = at >> 32;
    }
    idt_load();
}

/* ---- Xen ---- */

static void hypercalls_init(void)
{
    uint32_t base, r[4];

    for ( base = XEN_CPUID_FIRST_LEAF; ; base += 0x100 )
    {
        cpuid(base, 0, r);
        if ( r[1] == XEN_CPUID_SIGNATURE_EBX && r[2] == XEN_CPUID_SIGNATURE_ECX &&
             r[3] == XEN_CPUID_SIGNATURE_EDX )
            break;
        if ( base > XEN_CPUID_FIRST_LEAF + 0x10000 )
            asm volatile ( "ud2" );
    }
    cpuid(base + 2, 0, r);
    wrmsr(r[1], (uint64_t)hypercall_page);
}

uint64_t hvm_param(unsigned int index)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };
    const long rc = hc_hvm(HVMOP_get_param, &p);

    if ( rc )
        bad("HVM parameter %u: %ld", index, rc);

    return p.value;
}

void hvm_param_set(unsigned int index, uint64_t value)
{
    struct xen_hvm_param p = {
        .domid = DOMID_SELF, .index = index, .value = value,
    };

    want(hc_hvm(HVMOP_set_param, &p), "an HVM parameter");
}

static void shared_map(void)
{
    struct xen_add_to_physmap op = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info,
        .gpfn = (uint64_t)shared_page / PAGE,
    };

    hc_memory(XENMEM_add_to_physmap, &op);
    shared = (void *)shared_page;
    vcpu_infos[0] = &shared->vcpu_info[0];
    vcpu_infos[1] = &shared->vcpu_info[1];
    memset(shared->evtchn_mask, 0xff, sizeof(shared->evtchn_mask));
}

/* ---- Events: 2-level, masked unless a test wants an upcall ---- */

unsigned int me(void)
{
    extern char second_stack[];
    const char here = 0;

    return &here >= second_stack && &here < second_stack + STACK_SIZE;
}

void port_send(uint32_t port)
{
    struct evtchn_send op = { .port = port };

    hc_event(EVTCHNOP_send, &op);
}

void port_clear(uint32_t port)
{
    __sync_fetch_and_and(&shared->evtchn_pending[port / 64], ~(1UL << port % 64));
}

bool port_pending(uint32_t port)
{
    return READ(shared->evtchn_pending[port / 64]) >> port % 64 & 1;
}

void port_mask(uint32_t port)
{
    __sync_fetch_and_or(&shared->evtchn_mask[port / 64], 1UL << port % 64);
}

void port_unmask(uint32_t port)
{
    struct evtchn_unmask op = { .port = port };

    hc_event(EVTCHNOP_unmask, &op);
}

static void upcall_taken(void)
{
    vcpu_infos[0]->evtchn_upcall_pending = 0;
    barrier();
    vcpu_infos[0]->evtchn_pending_sel = 0;
}

void poll(uint32_t port, uint64_t until)
{
    struct sched_poll op = { .nr_ports = 1, .timeout = until };

    set_xen_guest_handle(op.ports, &port);
    hc_sched(SCHEDOP_poll, &op);
}

/* For so many ms, with interrupts as they are; nobody sends to port 0. */
void nap(uint64_t ms)
{
    const uint64_t until = now() + ms * MS;
    struct sched_poll op = { .timeout = until };

    while ( now() < until )
        hc_sched(SCHEDOP_poll, &op);
}

/* ---- Starting ---- */

/* Masks what a BIOS has left open; who has no PIC writes to nothing. */
static void pic_init(void)
{
    asm volatile ( "outb %0, $0x21; outb %0, $0xa1" :: "a" ((uint8_t)0xff) );
}

/* For the vCPU that calls. */
void apic_init(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    if ( !(r[2] & (1U << 21)) )
        die("no x2APIC");
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
    apic_set(APIC_SVR, 0x1ff);
    apic_set(APIC_LVTT, LVTT_MASKED);
}

static void upcalls_init(void)
{
    struct xen_hvm_evtchn_upcall_vector op = { .vector = VEC_UPCALL };

    irqs[VEC_UPCALL].also = upcall_taken;
    /* The vector that all vCPUs of a domain share does not go through the APIC. */
    irqs[VEC_UPCALL].keep = option("via");
    if ( option("via") )
        hvm_param_set(HVM_PARAM_CALLBACK_IRQ, (2UL << 56) | VEC_UPCALL);
    else if ( hc_hvm(HVMOP_set_evtchn_upcall_vector, &op) )
        die("no upcall vector");

    /* A vector that is new has an upcall at once if an event was there before. */
    irqs_on();
    irqs_off();
}

static bool deadline_offered(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);

    return r[2] & (1U << 24);
}

void start(const struct hvm_start_info *info)
{
    if ( info->cmdline_paddr )
        cmd_line = (const char *)info->cmdline_paddr;
    idt_init();
    hypercalls_init();
    shared_map();
    console_init((void *)(hvm_param(HVM_PARAM_CONSOLE_PFN) * PAGE),
                 hvm_param(HVM_PARAM_CONSOLE_EVTCHN));
    pic_init();
    apic_init();
    upcalls_init();

    say("micro: ready: PVH%s\n", deadline_offered() ? ", TSC deadline" : "");
    obey_for_ever();
}

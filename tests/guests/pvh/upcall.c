/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An event that is pending while interrupts are off, and one whose port is masked.
 *
 * Happy path: after the update the port, the vCPU's flag and, with a vector of the vCPU's
 * own, the APIC's IRR say what they said. With interrupts on there is one upcall; the
 * masked port has its one when it is unmasked; one that is raised then has its own.
 *
 * What can fail: an upcall too many or none: bad.
 */
#include "pvh.h"

static uint32_t open, masked;
static uint64_t others;

static uint32_t bind(void)
{
    struct evtchn_bind_ipi op = { .vcpu = 0 };

    want(hc_event(EVTCHNOP_bind_ipi, &op), "bind_ipi");

    return op.port;
}

static void check_state(const char *at)
{
    if ( !port_pending(open) || !port_pending(masked) )
        bad("%s: the open port is %spending, the masked one %spending", at,
            port_pending(open) ? "" : "not ", port_pending(masked) ? "" : "not ");
    if ( !vcpu_info(0)->evtchn_upcall_pending )
        bad("%s: the vCPU has no event", at);
    if ( vcpu_info(0)->evtchn_pending_sel != 1UL << open / 64 )
        bad("%s: selector %lx", at, vcpu_info(0)->evtchn_pending_sel);
    if ( apic_bit(APIC_IRR, VEC_UPCALL) == irqs[VEC_UPCALL].keep )
        bad("%s: the upcall's vector in IRR is %u", at,
            apic_bit(APIC_IRR, VEC_UPCALL));
    if ( nr_irqs != others )
        bad("%s: %lu interrupts while they are off", at, nr_irqs - others);
}

static void came(const char *when, unsigned int wanted)
{
    irqs_on();
    irqs_off();
    if ( nr_irqs - others != wanted )
        bad("%s: %lu upcalls, want %u", when, nr_irqs - others, wanted);
    others = nr_irqs;
}

static void set(void)
{
    if ( !open )
    {
        open = bind();
        masked = bind();
        port_unmask(open);
    }
    port_mask(masked);
    others = nr_irqs;
    came("before", 0);
    port_send(open);
    port_send(masked);
    check_state("at once");
}

static void verify(void)
{
    check_state("after the update");
    came("interrupts on", 1);
    port_clear(open);
    came("nothing more", 0);
    port_unmask(masked);
    came("unmasked", 1);
    port_clear(masked);
    port_send(open);
    came("raised again", 1);
    port_clear(open);
    irqs_on();
    nap(20);
    irqs_off();
    came("later", 0);
}

const struct test test_upcall = { "upcall", "events pending", set, verify };

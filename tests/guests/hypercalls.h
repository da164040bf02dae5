/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls, by way of the page that Xen fills with them.
 * They return what Xen returns: 0 or more, or a negative errno of Xen's.
 */
#ifndef MICRO_HYPERCALLS_H
#define MICRO_HYPERCALLS_H

#include <stdint.h>
#include <xen/xen.h>

extern char hypercall_page[];

static inline long hypercall(unsigned int nr, unsigned long a, unsigned long b,
                             unsigned long c, unsigned long d)
{
    register unsigned long r10 asm("r10") = d;
    unsigned long fn = (unsigned long)hypercall_page + nr * 32;
    long ret;

    asm volatile ( "call *%[fn]"
                   : "=a" (ret), "+D" (a), "+S" (b), "+d" (c), "+r" (r10)
                   : [fn] "0" (fn)
                   : "memory", "cc", "r8", "r9", "rcx", "r11" );

    return ret;
}

static inline long hc_event(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, cmd, (unsigned long)arg, 0, 0);
}

static inline long hc_sched(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_sched_op, cmd, (unsigned long)arg, 0, 0);
}

static inline long hc_vcpu(unsigned int cmd, unsigned int vcpu, void *arg)
{
    return hypercall(__HYPERVISOR_vcpu_op, cmd, vcpu, (unsigned long)arg, 0);
}

static inline long hc_memory(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_memory_op, cmd, (unsigned long)arg, 0, 0);
}

static inline long hc_grant(unsigned int cmd, void *arg, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, cmd, (unsigned long)arg, count, 0);
}

static inline long hc_callback(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_callback_op, cmd, (unsigned long)arg, 0, 0);
}

static inline long hc_mmu_update(const mmu_update_t *req, unsigned int count)
{
    return hypercall(__HYPERVISOR_mmu_update, (unsigned long)req, count, 0,
                     DOMID_SELF);
}

static inline long hc_mmuext(mmuext_op_t *op, unsigned int count)
{
    return hypercall(__HYPERVISOR_mmuext_op, (unsigned long)op, count, 0,
                     DOMID_SELF);
}

static inline long hc_map(unsigned long va, uint64_t pte)
{
    return hypercall(__HYPERVISOR_update_va_mapping, va, pte,
                     UVMF_INVLPG | UVMF_ALL, 0);
}

static inline long hc_multicall(multicall_entry_t *calls, unsigned int count)
{
    return hypercall(__HYPERVISOR_multicall, (unsigned long)calls, count, 0, 0);
}

#endif

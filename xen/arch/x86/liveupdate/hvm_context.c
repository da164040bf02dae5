/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HVM_CONTEXT: what Xen's own save format for HVM domains carries.  Included at the
 * end of arch/x86/hvm/save.c, whose table of handlers it uses.
 *
 * vCPU registers, local and I/O APICs, timers, interrupt lines, MTRRs, MSRs,
 * extended state: the format is the ABI of migration, so its entries cross as they
 * are, one after the other in one record.  hvm_save() and hvm_load() themselves are
 * not called: they print, and want softirqs, for each entry.  What a migration loses
 * or approximates is put right by HVM_DOMAIN, HVM_VCPU, VIRIDIAN, LAPIC_TIMER
 * and PLATFORM_TIMERS.
 *
 * While everything runs only the size is taken, as the handlers want vCPUs that
 * do not run.
 *
 * What can fail: entries this Xen does not know or that do not fit, and what a
 * handler refuses; fatal in the new Xen.  A guest can bring about registers that
 * hvm_load_cpu_ctxt() refuses, which is a blocker once they stand still.
 */
#include <xen/softirq.h>

#include <asm/hvm/irq.h>
#include <asm/hvm/svm/vmcb.h>

#include <public/hvm/params.h>

#include "../../../common/liveupdate/internal.h"

/* One handler's entries at a time; extended state is the largest. */
static uint8_t __aligned(8) entries[LU_XSAVE_MAX + PAGE_SIZE];

/* ---- Registers of a vCPU --------------------------------------------------------- */

static const unsigned int cpu_code = HVM_SAVE_CODE(CPU);

/*
 * SVM keeps the CR2 of a guest in the VMCB, while the handler of CPU entries takes what
 * Xen last put there: a guest between a page fault and reading CR2 would lose it.
 */
static void take_cr2(struct vcpu *v)
{
    if ( cpu_has_svm && v->arch.hvm.svm.vmcb )
        v->arch.hvm.guest_cr[2] = vmcb_get_cr2(v->arch.hvm.svm.vmcb);
}

/* v's entry goes to `entries`.  Frozen. */
static int save_cpu(struct vcpu *v, struct hvm_domain_context *h)
{
    bool down = false;
    int rc;

    take_cr2(v);
    /* The handler skips who is down; nobody else looks now. */
    if ( v->is_initialised )
        down = __test_and_clear_bit(_VPF_down, &v->pause_flags);
    rc = hvm_sr_handlers[cpu_code].save(v, h);
    if ( down )
        __set_bit(_VPF_down, &v->pause_flags);

    /* VCPUOP_initialise takes a CR0 without ET, which no processor has. */
    if ( h->cur )
        ((struct hvm_hw_cpu *)(entries + sizeof(struct hvm_save_descriptor)))->cr0
            |= X86_CR0_ET;

    return rc;
}

/*
 * With shadows svm_vmcb_restore() and vmx_restore_cr0_cr3() look for the page of CR3 in
 * the P2M.  A guest that has given it up since goes on with the page that Xen holds.
 */
static bool cr3_page_is_gone(struct domain *d, const struct hvm_hw_cpu *c)
{
    struct page_info *page;

    if ( paging_mode_hap(d) || !(c->cr0 & X86_CR0_PG) )
        return false;

    page = get_page_from_gfn(d, c->cr3 >> PAGE_SHIFT, NULL, P2M_ALLOC);
    if ( page )
        put_page(page);

    return !page;
}

/*
 * The register that hvm_load_cpu_ctxt() or the vendor's part of it would refuse, NULL
 * if there is none.  VCPUOP_initialise looks at CR4 and EFER only, and with HAP nobody
 * sees what a guest loads into CR3.
 */
static const char *refused(const struct vcpu *v, const struct hvm_hw_cpu *c)
{
    struct domain *d = v->domain;
    const uint64_t cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS |
                         X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
                         X86_CR0_NW | X86_CR0_CD | X86_CR0_PG;

    if ( (c->cr0 & ~cr0) ||
         (c->cr0 & (X86_CR0_PE | X86_CR0_PG)) == X86_CR0_PG )
        return "CR0";
    if ( c->cr3 >> d->arch.cpuid->extd.maxphysaddr || cr3_page_is_gone(d, c) )
        return "CR3";
    if ( c->cr4 & ~hvm_cr4_guest_valid_bits(d) )
        return "CR4";
    if ( hvm_efer_valid(v, c->msr_efer, MASK_EXTR(c->cr0, X86_CR0_PG)) )
        return "EFER";
    if ( c->msr_tsc_aux != (uint32_t)c->msr_tsc_aux )
        return "TSC_AUX";
    if ( c->pending_valid &&
         (c->pending_type == 1 || c->pending_type > (cpu_has_vmx ? 6 : 4) ||
          c->pending_reserved) )
        return "event";

    return NULL;
}

/* ---- Blockers ------------------------------------------------------------------ */

static int check_cpu(struct vcpu *v)
{
    struct hvm_domain_context h = {
        .data = (void *)entries, .size = sizeof(entries),
    };
    const char *what = NULL;

    if ( !save_cpu(v, &h) && h.cur )
        what = refused(v, (void *)(entries + sizeof(struct hvm_save_descriptor)));

    return what ? lu_blocker(-EOPNOTSUPP, v->domain,
                             "hvm-context: v%d has a value in %s that Xen does not load",
                             v->vcpu_id, what)
                : 0;
}

static int cf_check check_hvm_context(const struct domain *d)
{
    struct vcpu *v;
    unsigned int i;
    int first = 0;

    if ( !is_hvm_domain(d) || d->is_dying )
        return 0;

    for ( i = 0; i <= HVM_SAVE_CODE_MAX; i++ )
        if ( hvm_sr_handlers[i].size > sizeof(entries) )
            return lu_blocker(-EOPNOTSUPP, d, "hvm-context: %s takes %zu bytes",
                              hvm_sr_handlers[i].name, hvm_sr_handlers[i].size);

    /* Registers of a vCPU that runs are not to be had. */
    for_each_vcpu ( d, v )
    {
        int rc = lu_frozen ? check_cpu(v) : 0;

        first = first ?: rc;
    }

    return first;
}

/* ---- Save ---------------------------------------------------------------------- */

static int put_entries(struct lu_stream *s, struct vcpu *v, unsigned int i,
                       bool dry, uint32_t *size)
{
    struct hvm_domain_context h = {
        .data = (void *)entries, .size = sizeof(entries),
    };
    const struct hvm_hw_acpi acpi = v->domain->arch.hvm.acpi;
    int rc;

    if ( dry )
        h.cur = hvm_sr_handlers[i].size;
    else
    {
        rc = i == cpu_code ? save_cpu(v, &h) : hvm_sr_handlers[i].save(v, &h);
        /*
         * The ACPI timer's handler counts on, and not from where: as it is for a
         * domain that goes on here after all, and for PLATFORM_TIMERS.
         */
        v->domain->arch.hvm.acpi = acpi;
        if ( rc )
            return lu_error(-EIO, v->domain, "HVM_CONTEXT: v%d: %s (%d)",
                            v->vcpu_id, hvm_sr_handlers[i].name, rc);
    }
    *size += h.cur;

    return lu_rec_put(s, entries, h.cur);
}

static int cf_check save_hvm_context(struct lu_stream *s, struct domain *d)
{
    struct lu_hvm_context_rec r = { .id = lu_id(&lu_kind_hvm_context, d, 0) };
    const bool dry = local_irq_is_enabled();
    unsigned int i;
    int rc;

    if ( !is_hvm_domain(d) )
        return 0;

    rc = lu_rec_begin(s, LU_REC_HVM_CONTEXT) ?: lu_rec_put(s, &r, sizeof(r));

    for ( i = 0; i <= HVM_SAVE_CODE_MAX && !rc; i++ )
    {
        struct vcpu *v;

        if ( !hvm_sr_handlers[i].save )
            continue;

        for_each_vcpu ( d, v )
        {
            rc = put_entries(s, v, i, dry, &r.size);
            if ( rc || hvm_sr_handlers[i].kind != HVMSR_PER_VCPU )
                break;
        }
    }

    return rc ?: lu_rec_patch(s, 0, &r, sizeof(r)) ?: lu_rec_end(s);
}

/* ---- Restore ------------------------------------------------------------------- */

static int load_entry(const struct lu_stream *s, const struct lu_rec *rec,
                      struct domain *d, uint32_t *off, uint32_t end)
{
    struct hvm_domain_context h = { .data = (void *)entries };
    struct hvm_save_descriptor desc;
    hvm_load_handler load;
    int rc;

    if ( end - *off < sizeof(desc) )
        return lu_error(-EBADMSG, d, "HVM_CONTEXT: %u bytes are too many",
                        end - *off);
    rc = lu_rec_read(s, rec, *off, &desc, sizeof(desc));
    if ( rc )
        return rc;

    load = desc.typecode <= HVM_SAVE_CODE_MAX
           ? hvm_sr_handlers[desc.typecode].load : NULL;
    if ( !load )
        return lu_error(-EOPNOTSUPP, d,
                        "HVM_CONTEXT: entry of type %u is unknown to this Xen",
                        desc.typecode);
    h.size = sizeof(desc) + desc.length;
    if ( desc.length > end - *off - sizeof(desc) ||
         desc.length > sizeof(entries) - sizeof(desc) )
        return lu_error(-EBADMSG, d, "HVM_CONTEXT: %s %u: %u bytes",
                        hvm_sr_handlers[desc.typecode].name, desc.instance,
                        desc.length);

    rc = lu_rec_read(s, rec, *off, entries, h.size);
    if ( rc )
        return rc;
    rc = load(d, &h);
    if ( rc )
        return lu_error(rc, d, "HVM_CONTEXT: %s %u is refused",
                        hvm_sr_handlers[desc.typecode].name, desc.instance);
    *off += h.size;

    return 0;
}

static int cf_check restore_hvm_context(const struct lu_stream *s,
                                        const struct lu_rec *rec,
                                        struct domain *d)
{
    struct lu_hvm_context_rec r;
    uint32_t off = sizeof(r);
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !is_hvm_domain(d) || r.reserved ||
         !lu_array_fits(rec, sizeof(r), 1, r.size) )
        return lu_error(-EBADMSG, d, "HVM_CONTEXT: %u bytes in %u", r.size,
                        rec->length);

    while ( !rc && off < sizeof(r) + r.size )
    {
        rc = load_entry(s, rec, d, &off, sizeof(r) + r.size);
        process_pending_softirqs();
    }
    if ( rc )
        return rc;

    /*
     * Interrupt lines have been loaded without the one of event channels, which is
     * asserted again when a vCPU has events (hvm_assert_evtchn_irq()).
     */
    hvm_set_callback_via(d, d->arch.hvm.params[HVM_PARAM_CALLBACK_IRQ]);
    hvm_set_rdtsc_exiting(d, d->arch.vtsc);
    lu_lapic_timers_stop(d);
    lu_platform_timers_stop(d);

    return 0;
}

const struct lu_kind lu_kind_hvm_context = {
    .name = "HVM_CONTEXT",
    .type = LU_REC_HVM_CONTEXT,
    .size = sizeof(struct lu_hvm_context_rec),
    .array = { LU_ARRAY(lu_hvm_context_rec, size, uint8_t) },
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .check = check_hvm_context,
    .save = save_hvm_context,
    .restore = restore_hvm_context,
};

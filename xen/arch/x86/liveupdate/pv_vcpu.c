/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PV_VCPU: the vCPUs of a PV domain.
 *
 * A record carries one vCPU: registers, callbacks, tables it has loaded, what is
 * about to be delivered to it, and how it is paused.  Its FPU and extended state
 * are in PV_XSAVE (pv_xsave.c).
 * Restore fills in what creating the domain made; it takes the references that
 * CR3, the GDT and a registered vcpu_info hold, so it comes after all page types.
 *
 * The setters of migration are not used: they check what a guest chose freely
 * (an instruction pointer that runs off its half of the address space, say), and
 * what ends an attempt to migrate would here end the host.  Such values are
 * restored as they were, since Xen's exit paths cope with them.  Checked is what
 * the old Xen guarantees and Xen itself relies on.
 *
 * A vCPU that was blocked comes back runnable: waking up without a reason is
 * part of the ABI of SCHEDOP_block and SCHEDOP_poll, sleeping with one is not.
 * Not carried, because faulted in or made again: LDT mappings, map caches.
 *
 * What can fail: fields out of range, page tables that do not validate.
 */
#include <xen/domain.h>
#include <xen/guest_access.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/pv/domain.h>
#include <asm/pv/mm.h>

#include <public/arch-x86/hvm/save.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Save ------------------------------------------------------------------ */

#define LU_PV_MSRS 8

#define TBF_KNOWN (TBF_EXCEPTION | TBF_EXCEPTION_ERRCODE | TBF_INTERRUPT)

/* The MSRs of a PV vCPU that are not fields of the record; 0 are left out. */
static unsigned int collect_msrs(const struct vcpu *v,
                                 struct lu_msr_rec out[LU_PV_MSRS])
{
    const struct vcpu_msrs *m = v->arch.msrs;
    const struct lu_msr_rec all[] = {
        { .index = MSR_SPEC_CTRL, .value = m->spec_ctrl.raw },
        { .index = MSR_INTEL_MISC_FEATURES_ENABLES,
          .value = m->misc_features_enables.raw },
        { .index = MSR_TSC_AUX, .value = m->tsc_aux },
        { .index = MSR_VIRT_SPEC_CTRL, .value = m->virt_spec_ctrl.raw },
        { .index = MSR_AMD64_DR0_ADDRESS_MASK, .value = m->dr_mask[0] },
        { .index = MSR_AMD64_DR1_ADDRESS_MASK, .value = m->dr_mask[1] },
        { .index = MSR_AMD64_DR2_ADDRESS_MASK, .value = m->dr_mask[2] },
        { .index = MSR_AMD64_DR3_ADDRESS_MASK, .value = m->dr_mask[3] },
    };
    unsigned int i, nr = 0;

    BUILD_BUG_ON(ARRAY_SIZE(all) != LU_PV_MSRS);

    for ( i = 0; i < ARRAY_SIZE(all); i++ )
        if ( all[i].value )
            out[nr++] = all[i];

    return nr;
}

static bool trap_set(const struct trap_info *t)
{
    return t->address || t->cs || t->flags || t->vector;
}

static unsigned int count_traps(const struct vcpu *v)
{
    unsigned int i, nr = 0;

    for ( i = 0; i < X86_NR_VECTORS; i++ )
        nr += trap_set(&v->arch.pv.trap_ctxt[i]);

    return nr;
}

static int put_traps(struct lu_stream *s, const struct vcpu *v)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; !rc && i < X86_NR_VECTORS; i++ )
    {
        const struct trap_info *t = &v->arch.pv.trap_ctxt[i];
        const struct lu_trap_rec r = {
            .index = i,
            .vector = t->vector,
            .flags = t->flags,
            .cs = t->cs,
            .addr = t->address,
        };

        if ( trap_set(t) )
            rc = lu_rec_put(s, &r, sizeof(r));
    }

    return rc;
}

static uint64_t table_mfn(pagetable_t table)
{
    return pagetable_is_null(table) ? LU_NO_MFN : pagetable_get_pfn(table);
}

static void fill_regs(struct lu_pv_vcpu_rec *r, const struct cpu_user_regs *u)
{
    r->rax = u->rax;
    r->rbx = u->rbx;
    r->rcx = u->rcx;
    r->rdx = u->rdx;
    r->rsi = u->rsi;
    r->rdi = u->rdi;
    r->rbp = u->rbp;
    r->rsp = u->rsp;
    r->r8 = u->r8;
    r->r9 = u->r9;
    r->r10 = u->r10;
    r->r11 = u->r11;
    r->r12 = u->r12;
    r->r13 = u->r13;
    r->r14 = u->r14;
    r->r15 = u->r15;
    r->rip = u->rip;
    r->rflags = u->rflags;
    r->error_code = u->error_code;
    r->entry_vector = u->entry_vector;
    r->cs = u->cs;
    r->ss = u->ss;
    r->ds = u->ds;
    r->es = u->es;
    r->fs = u->fs;
    r->gs = u->gs;
}

static void fill_pv(struct lu_pv_vcpu_rec *r, const struct pv_vcpu *pv)
{
    unsigned int i;

    BUILD_BUG_ON(ARRAY_SIZE(r->gdt_mfn) < ARRAY_SIZE(pv->gdt_frames));
    BUILD_BUG_ON(ARRAY_SIZE(r->ctrlreg) != ARRAY_SIZE(pv->ctrlreg));

    r->vgc_flags = pv->vgc_flags;
    r->iopl = pv->iopl;
    r->fs_base = pv->fs_base;
    r->gs_base_kernel = pv->gs_base_kernel;
    r->gs_base_user = pv->gs_base_user;
    r->kernel_ss = pv->kernel_ss;
    r->kernel_sp = pv->kernel_sp;
    for ( i = 0; i < ARRAY_SIZE(r->ctrlreg); i++ )
        r->ctrlreg[i] = pv->ctrlreg[i];
    r->event_addr = pv->event_callback_eip;
    r->failsafe_addr = pv->failsafe_callback_eip;
    r->syscall_addr = pv->syscall_callback_eip;
    r->syscall32_addr = pv->syscall32_callback_eip;
    r->sysenter_addr = pv->sysenter_callback_eip;
    r->syscall32_cs = pv->syscall32_callback_cs;
    r->sysenter_cs = pv->sysenter_callback_cs;
    r->syscall32_disables_events = pv->syscall32_disables_events;
    r->sysenter_disables_events = pv->sysenter_disables_events;
    r->ldt_base = pv->ldt_ents ? pv->ldt_base : 0;
    r->ldt_ents = pv->ldt_ents;
    r->gdt_ents = pv->gdt_ents;
    for ( i = 0; i < DIV_ROUND_UP(pv->gdt_ents, 512); i++ )
        r->gdt_mfn[i] = pv->gdt_frames[i];
    r->dr7_emul = pv->dr7_emul;
    r->bounce_addr = pv->trap_bounce.eip;
    r->bounce_error_code = pv->trap_bounce.error_code;
    r->bounce_cs = pv->trap_bounce.cs;
    r->bounce_flags = pv->trap_bounce.flags;
    r->iobmp_addr = (unsigned long)pv->iobmp.p;
    r->iobmp_limit = pv->iobmp_limit;
}

static void fill_arch(struct lu_pv_vcpu_rec *r, const struct vcpu *v)
{
    const struct arch_vcpu *a = &v->arch;
    unsigned int i;

    BUILD_BUG_ON(ARRAY_SIZE(r->dr) != ARRAY_SIZE(a->dr));
    BUILD_BUG_ON(ARRAY_SIZE(r->async) != ARRAY_SIZE(a->async_exception_state));
    BUILD_BUG_ON(ARRAY_SIZE(r->mce_bank) != ARRAY_SIZE(a->vmce.bank));

    if ( a->flags & TF_kernel_mode )
        r->flags |= LU_PVV_F_KERNEL;
    r->cr3_mfn = table_mfn(a->guest_table);
    r->user_cr3_mfn = table_mfn(a->guest_table_user);
    for ( i = 0; i < ARRAY_SIZE(r->dr); i++ )
        r->dr[i] = a->dr[i];
    r->dr6 = a->dr6;
    r->dr7 = a->dr7;
    r->async_mask = a->async_exception_mask;
    for ( i = 0; i < ARRAY_SIZE(r->async); i++ )
    {
        r->async[i].pending = a->async_exception_state[i].pending;
        r->async[i].old_mask = a->async_exception_state[i].old_mask;
    }
    r->mcg_cap = a->vmce.mcg_cap;
    r->mcg_status = a->vmce.mcg_status;
    r->mcg_ext_ctl = a->vmce.mcg_ext_ctl;
    for ( i = 0; i < ARRAY_SIZE(r->mce_bank); i++ )
        r->mce_bank[i] = (struct lu_mce_bank_rec){
            .status = a->vmce.bank[i].mci_status,
            .addr = a->vmce.bank[i].mci_addr,
            .info = a->vmce.bank[i].mci_misc,
            .ctl2 = a->vmce.bank[i].mci_ctl2,
        };
}

static void fill_common(struct lu_pv_vcpu_rec *r, const struct vcpu *v)
{
    r->flags |= (v->is_initialised ? LU_PVV_F_INITIALISED : 0) |
                (v->pause_flags & VPF_down ? LU_PVV_F_DOWN : 0) |
                (v->pause_flags & VPF_blocked ? LU_PVV_F_BLOCKED : 0) |
                (v->paused_for_shutdown ? LU_PVV_F_SHUTDOWN : 0) |
                (v->defer_shutdown ? LU_PVV_F_DEFER_SHUTDOWN : 0);
    r->controller_pause_count = v->controller_pause_count;
    r->vcpu_info_mfn = LU_NO_MFN;
    if ( !mfn_eq(v->vcpu_info_mfn, INVALID_MFN) )
    {
        r->vcpu_info_mfn = mfn_x(v->vcpu_info_mfn);
        r->vcpu_info_offset = PAGE_OFFSET(v->vcpu_info);
    }
}

static int cf_check save_pv_vcpu(struct lu_stream *s, struct domain *d)
{
    const struct vcpu *v;
    int rc = 0;

    if ( !is_pv_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        struct lu_msr_rec msrs[LU_PV_MSRS];
        struct lu_pv_vcpu_rec r = {
            .id = lu_id(&lu_kind_pv_vcpu, d, v->vcpu_id),
            .nr_traps = count_traps(v),
            .nr_msrs = collect_msrs(v, msrs),
        };

        fill_common(&r, v);
        fill_arch(&r, v);
        fill_pv(&r, &v->arch.pv);
        fill_regs(&r, &v->arch.user_regs);

        rc = lu_rec_begin(s, LU_REC_PV_VCPU) ?:
             lu_rec_put(s, &r, sizeof(r)) ?:
             put_traps(s, v) ?:
             lu_rec_put(s, msrs, r.nr_msrs * sizeof(msrs[0])) ?:
             lu_rec_end(s);
        if ( rc )
            break;
    }

    return rc;
}

/* ---- Restore: what Xen relies on ------------------------------------------- */

#define PVV_F_KNOWN (LU_PVV_F_INITIALISED | LU_PVV_F_DOWN | LU_PVV_F_BLOCKED | \
                     LU_PVV_F_KERNEL | LU_PVV_F_SHUTDOWN |                     \
                     LU_PVV_F_DEFER_SHUTDOWN)

/* The name of the first field that no old Xen can have written, or NULL. */
static const char *bad_field(const struct lu_pv_vcpu_rec *r)
{
    const uint8_t async = (1U << VCPU_TRAP_NMI) | (1U << VCPU_TRAP_MCE);
    unsigned int i;

    if ( r->flags & ~PVV_F_KNOWN )
        return "flags";
    if ( r->reserved || r->reserved2 )
        return "reserved";
    if ( r->controller_pause_count > 255 )
        return "controller_pause_count";
    /* Loaded into Xen's own context, where a fault would be Xen's. */
    if ( !is_canonical_address(r->fs_base) )
        return "fs_base";
    if ( !is_canonical_address(r->gs_base_kernel) )
        return "gs_base_kernel";
    if ( !is_canonical_address(r->gs_base_user) )
        return "gs_base_user";
    if ( r->iopl & ~X86_EFLAGS_IOPL )
        return "iopl";
    if ( r->ldt_ents > 8192 )
        return "ldt_ents";
    if ( (r->ldt_base & ~PAGE_MASK) || !__addr_ok(r->ldt_base) )
        return "ldt_base";
    if ( r->gdt_ents > FIRST_RESERVED_GDT_ENTRY )
        return "gdt_ents";
    for ( i = DIV_ROUND_UP(r->gdt_ents, 512); i < ARRAY_SIZE(r->gdt_mfn); i++ )
        if ( r->gdt_mfn[i] )
            return "gdt_mfn";
    if ( r->vcpu_info_mfn == LU_NO_MFN && r->vcpu_info_offset )
        return "vcpu_info_offset";
    for ( i = 0; i < ARRAY_SIZE(r->dr); i++ )
        if ( !breakpoint_addr_ok(r->dr[i]) )
            return "dr";
    if ( r->dr7 & DR_GENERAL_DETECT )
        return "dr7";
    if ( r->dr7_emul & ~DR7_ACTIVE_MASK )
        return "dr7_emul";
    if ( r->bounce_flags & ~TBF_KNOWN )
        return "bounce_flags";
    if ( r->async_mask & ~async )
        return "async_mask";
    for ( i = 0; i < ARRAY_SIZE(r->async); i++ )
        if ( r->async[i].pending > 1 || (r->async[i].old_mask & ~async) )
            return "async";
    if ( r->iobmp_limit > 65536 )
        return "iobmp_limit";
    if ( r->iobmp_limit &&
         !access_ok(r->iobmp_addr, DIV_ROUND_UP(r->iobmp_limit, 8)) )
        return "iobmp_addr";
    if ( r->syscall32_disables_events > 1 )
        return "syscall32_disables_events";
    if ( r->sysenter_disables_events > 1 )
        return "sysenter_disables_events";

    if ( r->flags & LU_PVV_F_INITIALISED )
    {
        if ( r->cr3_mfn == LU_NO_MFN )
            return "cr3_mfn";
        if ( r->user_cr3_mfn == LU_NO_MFN && !(r->flags & LU_PVV_F_KERNEL) )
            return "user_cr3_mfn";
    }

    return NULL;
}

/* ---- Restore: setters ------------------------------------------------------ */

static void set_regs(struct vcpu *v, const struct lu_pv_vcpu_rec *r)
{
    const struct domain *d = v->domain;
    struct cpu_user_regs *u = &v->arch.user_regs;

    memset(u, 0, sizeof(*u));
    u->rax = r->rax;
    u->rbx = r->rbx;
    u->rcx = r->rcx;
    u->rdx = r->rdx;
    u->rsi = r->rsi;
    u->rdi = r->rdi;
    u->rbp = r->rbp;
    u->rsp = r->rsp;
    u->r8 = r->r8;
    u->r9 = r->r9;
    u->r10 = r->r10;
    u->r11 = r->r11;
    u->r12 = r->r12;
    u->r13 = r->r13;
    u->r14 = r->r14;
    u->r15 = r->r15;
    u->rip = r->rip;
    u->error_code = r->error_code;
    u->entry_vector = r->entry_vector;
    u->cs = r->cs;
    u->ss = r->ss;
    u->ds = r->ds;
    u->es = r->es;
    u->fs = r->fs;
    u->gs = r->gs;
    u->rflags = r->rflags;

    /* Whatever the stream says, it is a guest that runs with this. */
    if ( r->flags & LU_PVV_F_INITIALISED )
    {
        fixup_guest_code_selector(d, u->cs);
        fixup_guest_stack_selector(d, u->ss);
        u->rflags &= ~(0UL + (X86_EFLAGS_IOPL | X86_EFLAGS_VM));
        u->rflags |= X86_EFLAGS_IF | X86_EFLAGS_MBS;
    }
}

static void set_pv(struct vcpu *v, const struct lu_pv_vcpu_rec *r)
{
    const struct domain *d = v->domain;
    struct pv_vcpu *pv = &v->arch.pv;
    unsigned int i;

    pv->vgc_flags = r->vgc_flags;
    pv->iopl = r->iopl;
    pv->fs_base = r->fs_base;
    pv->gs_base_kernel = r->gs_base_kernel;
    pv->gs_base_user = r->gs_base_user;
    pv->kernel_ss = r->kernel_ss;
    if ( r->kernel_ss )
        fixup_guest_stack_selector(d, pv->kernel_ss);
    pv->kernel_sp = r->kernel_sp;

    for ( i = 0; i < ARRAY_SIZE(pv->ctrlreg); i++ )
        pv->ctrlreg[i] = r->ctrlreg[i];
    /* CR0.TS is all of it that is the guest's; CR4 is in part. */
    pv->ctrlreg[0] = (r->ctrlreg[0] & X86_CR0_TS) | (read_cr0() & ~X86_CR0_TS);
    pv->ctrlreg[4] = pv_fixup_guest_cr4(v, r->ctrlreg[4]);

    pv->event_callback_eip = r->event_addr;
    pv->failsafe_callback_eip = r->failsafe_addr;
    pv->syscall_callback_eip = r->syscall_addr;
    pv->syscall32_callback_eip = r->syscall32_addr;
    pv->sysenter_callback_eip = r->sysenter_addr;
    pv->syscall32_callback_cs = r->syscall32_cs;
    if ( r->syscall32_addr )
        fixup_guest_code_selector(d, pv->syscall32_callback_cs);
    pv->sysenter_callback_cs = r->sysenter_cs;
    if ( r->sysenter_addr )
        fixup_guest_code_selector(d, pv->sysenter_callback_cs);
    pv->syscall32_disables_events = r->syscall32_disables_events;
    pv->sysenter_disables_events = r->sysenter_disables_events;

    pv->ldt_ents = r->ldt_ents;
    pv->ldt_base = r->ldt_ents ? r->ldt_base : (unsigned long)ZERO_BLOCK_PTR;

    pv->trap_bounce = (struct trap_bounce){
        .error_code = r->bounce_error_code,
        .flags = r->bounce_flags,
        .cs = r->bounce_cs,
        .eip = r->bounce_addr,
    };
    if ( r->bounce_flags )
        fixup_guest_code_selector(d, pv->trap_bounce.cs);

    set_xen_guest_handle(pv->iobmp, (void *)r->iobmp_addr);
    pv->iobmp_limit = r->iobmp_limit;
    pv->dr7_emul = r->dr7_emul;
}

static int set_arch(struct vcpu *v, const struct lu_pv_vcpu_rec *r)
{
    struct arch_vcpu *a = &v->arch;
    const struct hvm_vmce_vcpu vmce = {
        .caps = r->mcg_cap,
        .mci_ctl2_bank0 = r->mce_bank[0].ctl2,
        .mci_ctl2_bank1 = r->mce_bank[1].ctl2,
        .mcg_ext_ctl = r->mcg_ext_ctl,
    };
    unsigned int i;
    int rc;

    if ( r->flags & LU_PVV_F_KERNEL )
        a->flags |= TF_kernel_mode;
    else
        a->flags &= ~TF_kernel_mode;

    for ( i = 0; i < ARRAY_SIZE(a->dr); i++ )
        a->dr[i] = r->dr[i];
    a->dr6 = (r->dr6 & ~DR_STATUS_RESERVED_ZERO) | DR_STATUS_RESERVED_ONE;
    a->dr7 = (r->dr7 & ~DR_CONTROL_RESERVED_ZERO) | DR_CONTROL_RESERVED_ONE;

    a->async_exception_mask = r->async_mask;
    for ( i = 0; i < ARRAY_SIZE(a->async_exception_state); i++ )
    {
        a->async_exception_state[i].pending = r->async[i].pending;
        a->async_exception_state[i].old_mask = r->async[i].old_mask;
    }

    rc = vmce_restore_vcpu(v, &vmce);
    a->vmce.mcg_status = r->mcg_status;
    for ( i = 0; i < ARRAY_SIZE(a->vmce.bank); i++ )
    {
        a->vmce.bank[i].mci_status = r->mce_bank[i].status;
        a->vmce.bank[i].mci_addr = r->mce_bank[i].addr;
        a->vmce.bank[i].mci_misc = r->mce_bank[i].info;
    }

    return rc;
}

static int set_traps(const struct lu_stream *s, const struct lu_rec *rec,
                     struct vcpu *v, uint32_t *off, unsigned int nr)
{
    int rc = 0;

    for ( ; !rc && nr; nr--, *off += sizeof(struct lu_trap_rec) )
    {
        struct lu_trap_rec r;
        struct trap_info *t;

        rc = lu_rec_read(s, rec, *off, &r, sizeof(r));
        if ( rc )
            break;
        if ( r.reserved || r.reserved2 )
            return lu_error(-EBADMSG, v->domain,
                            "PV_VCPU %d: trap %#x: reserved field set",
                            v->vcpu_id, r.index);

        BUILD_BUG_ON(X86_NR_VECTORS != 256);    /* what index can say */
        t = &v->arch.pv.trap_ctxt[r.index];
        t->vector = r.vector;
        t->flags = r.flags;
        t->cs = r.cs;
        fixup_guest_code_selector(v->domain, t->cs);
        t->address = r.addr;
    }

    return rc;
}

static int set_msrs(const struct lu_stream *s, const struct lu_rec *rec,
                    struct vcpu *v, uint32_t *off, unsigned int nr)
{
    int rc = 0;

    for ( ; !rc && nr; nr--, *off += sizeof(struct lu_msr_rec) )
    {
        struct lu_msr_rec r;

        rc = lu_rec_read(s, rec, *off, &r, sizeof(r));
        if ( rc )
            break;

        switch ( r.reserved ? 0 : r.index )
        {
        case MSR_SPEC_CTRL:
        case MSR_INTEL_MISC_FEATURES_ENABLES:
        case MSR_TSC_AUX:
        case MSR_VIRT_SPEC_CTRL:
        case MSR_AMD64_DR0_ADDRESS_MASK:
        case MSR_AMD64_DR1_ADDRESS_MASK ... MSR_AMD64_DR3_ADDRESS_MASK:
            if ( guest_wrmsr(v, r.index, r.value) == X86EMUL_OKAY )
                continue;
            /* Fallthrough */
        default:
            return lu_error(-EINVAL, v->domain,
                            "PV_VCPU %d: MSR %#x cannot be %#lx", v->vcpu_id,
                            r.index, r.value);
        }
    }

    return rc;
}

/* What an initialised vCPU has loaded.  Takes the references that go with it. */
static int set_tables(struct vcpu *v, const struct lu_pv_vcpu_rec *r)
{
    struct domain *d = v->domain;
    unsigned long gdt[ARRAY_SIZE(r->gdt_mfn)];
    unsigned int i;
    int rc;

    for ( i = 0; i < ARRAY_SIZE(gdt); i++ )
        gdt[i] = r->gdt_mfn[i];
    rc = pv_set_gdt(v, gdt, r->gdt_ents);
    if ( rc )
        return lu_error(rc, d, "PV_VCPU %d: GDT of %u entries at page %#lx",
                        v->vcpu_id, r->gdt_ents, gdt[0]);

    rc = lu_pv_get_table(d, r->cr3_mfn, 4);
    if ( rc )
        return rc;
    v->arch.guest_table = pagetable_from_mfn(_mfn(r->cr3_mfn));
    /* Whether user space sees the M2P is up to the guest (VMASST_m2p_strict). */
    if ( !VM_ASSIST(d, m2p_strict) )
        fill_ro_mpt(_mfn(r->cr3_mfn));

    if ( r->user_cr3_mfn != LU_NO_MFN )
    {
        rc = lu_pv_get_table(d, r->user_cr3_mfn, 4);
        if ( rc )
            return rc;
        v->arch.guest_table_user = pagetable_from_mfn(_mfn(r->user_cr3_mfn));
        if ( VM_ASSIST(d, m2p_strict) )
            zap_ro_mpt(_mfn(r->user_cr3_mfn));
    }

    v->is_initialised = true;
    update_cr3(v);

    return 0;
}

static void set_common(struct vcpu *v, const struct lu_pv_vcpu_rec *r)
{
    if ( r->flags & LU_PVV_F_DOWN )
        set_bit(_VPF_down, &v->pause_flags);
    else
        clear_bit(_VPF_down, &v->pause_flags);

    v->controller_pause_count = r->controller_pause_count;
    atomic_add(r->controller_pause_count, &v->pause_count);

    /* Creation has done this if the domain is marked as shutting down. */
    if ( (r->flags & LU_PVV_F_SHUTDOWN) && !v->paused_for_shutdown )
    {
        v->paused_for_shutdown = true;
        atomic_inc(&v->pause_count);
    }
    v->defer_shutdown = r->flags & LU_PVV_F_DEFER_SHUTDOWN;
}

static int cf_check restore_pv_vcpu(const struct lu_stream *s,
                                    const struct lu_rec *rec, struct domain *d)
{
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    struct lu_pv_vcpu_rec r;
    uint32_t off = sizeof(r);
    const char *bad;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !v || !is_pv_domain(d) || is_pv_32bit_domain(d) )
        return lu_error(-ESRCH, d, "PV_VCPU %u: no 64-bit PV vCPU",
                        rec->id.instance);
    if ( v->is_initialised )
        return lu_error(-EEXIST, d, "PV_VCPU %d: a second record", v->vcpu_id);
    if ( r.nr_traps > X86_NR_VECTORS || r.nr_msrs > LU_PV_MSRS ||
         rec->length < sizeof(r) + r.nr_traps * sizeof(struct lu_trap_rec) +
                       r.nr_msrs * sizeof(struct lu_msr_rec) )
        return lu_error(-EBADMSG, d,
                        "PV_VCPU %d: %u traps, %u MSRs in %u bytes",
                        v->vcpu_id, r.nr_traps, r.nr_msrs, rec->length);
    bad = bad_field(&r);
    if ( bad )
        return lu_error(-EBADMSG, d, "PV_VCPU %d: %s out of range", v->vcpu_id,
                        bad);

    set_regs(v, &r);
    set_pv(v, &r);
    rc = set_arch(v, &r) ?:
         set_traps(s, rec, v, &off, r.nr_traps) ?:
         set_msrs(s, rec, v, &off, r.nr_msrs);
    if ( !rc && r.vcpu_info_mfn != LU_NO_MFN )
        rc = lu_map_vcpu_info(v, r.vcpu_info_mfn, r.vcpu_info_offset);
    if ( !rc && (r.flags & LU_PVV_F_INITIALISED) )
        rc = set_tables(v, &r);
    if ( rc )
        return rc;

    set_common(v, &r);

    return 0;
}

const struct lu_kind lu_kind_pv_vcpu = {
    .name = "PV_VCPU",
    .type = LU_REC_PV_VCPU,
    .size = sizeof(struct lu_pv_vcpu_rec),
    .array = { LU_ARRAY(lu_pv_vcpu_rec, nr_traps, struct lu_trap_rec),
               LU_ARRAY(lu_pv_vcpu_rec, nr_msrs, struct lu_msr_rec) },
    .number = LU_ONE_IF_PV,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .per_vcpu = true,
    .save = save_pv_vcpu,
    .restore = restore_pv_vcpu,
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HVM_VCPU: the vCPUs of an HVM or PVH domain, as far as HVM_CONTEXT does not carry
 * them: how each is paused, what is about to be delivered to it, and its time.
 *
 * Restored after HVM_CONTEXT, which has woken whoever it gave registers.  The TSC
 * offset is put back as it was, since the host's TSC goes on; what HVM_CONTEXT has
 * computed from a guest TSC is overwritten.  So is the interrupt shadow, which a
 * migration loses: without it an interrupt could be taken between STI and HLT, and the
 * HLT sleep for ever.
 *
 * A halted vCPU comes back halted, as there is no wake-up without a reason in HLT's
 * ABI; lu_hvm_resume() looks whether it has one.  One in SCHEDOP_poll has to expect that
 * it ends for no reason, so it ends, and which port or time it waited for is not carried.
 *
 * What can fail, in the new Xen: fields out of range.
 */
#include <xen/domain.h>
#include <xen/event.h>
#include <xen/sched.h>

#include <asm/event.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/vcpu.h>
#include <asm/mce.h>

#include "../../../common/liveupdate/internal.h"

/* ---- Save ---------------------------------------------------------------------- */

static void fill_common(struct lu_hvm_vcpu_rec *r, const struct vcpu *v)
{
    const bool halted = (v->pause_flags & VPF_blocked) &&
                        !test_bit(v->vcpu_id, v->domain->poll_mask);

    r->flags = (v->is_initialised ? LU_HVMV_F_INITIALISED : 0) |
               (v->pause_flags & VPF_down ? LU_HVMV_F_DOWN : 0) |
               (halted ? LU_HVMV_F_BLOCKED : 0) |
               (v->paused_for_shutdown ? LU_HVMV_F_SHUTDOWN : 0) |
               (v->defer_shutdown ? LU_HVMV_F_DEFER_SHUTDOWN : 0);
    r->controller_pause_count = v->controller_pause_count;
    r->vcpu_info_mfn = LU_NO_MFN;
    if ( !mfn_eq(v->vcpu_info_mfn, INVALID_MFN) )
    {
        r->vcpu_info_mfn = mfn_x(v->vcpu_info_mfn);
        r->vcpu_info_offset = PAGE_OFFSET(v->vcpu_info);
    }
}

static void fill_exceptions(struct lu_hvm_vcpu_rec *r, const struct vcpu *v)
{
    const struct arch_vcpu *a = &v->arch;
    const struct x86_event *event = &a->hvm.inject_event;
    unsigned int i;

    BUILD_BUG_ON(ARRAY_SIZE(r->async) != ARRAY_SIZE(a->async_exception_state));
    BUILD_BUG_ON(ARRAY_SIZE(r->mce_bank) != ARRAY_SIZE(a->vmce.bank));

    r->inject_vector = event->vector;
    if ( event->vector != HVM_EVENT_VECTOR_UNSET )
    {
        r->inject_type = event->type;
        r->inject_len = event->insn_len;
        r->inject_error_code = event->error_code;
        r->inject_cr2 = event->cr2;
    }

    r->async_mask = a->async_exception_mask;
    for ( i = 0; i < ARRAY_SIZE(r->async); i++ )
    {
        r->async[i].pending = a->async_exception_state[i].pending;
        r->async[i].old_mask = a->async_exception_state[i].old_mask;
    }
    r->mcg_status = a->vmce.mcg_status;
    for ( i = 0; i < ARRAY_SIZE(r->mce_bank); i++ )
        r->mce_bank[i] = (struct lu_mce_bank_rec){
            .status = a->vmce.bank[i].mci_status,
            .addr = a->vmce.bank[i].mci_addr,
            .info = a->vmce.bank[i].mci_misc,
            .ctl2 = a->vmce.bank[i].mci_ctl2,
        };
}

static int cf_check save_hvm_vcpu(struct lu_stream *s, struct domain *d)
{
    /* The shadow of a vCPU that runs is not to be had, nor wanted. */
    const bool dry = local_irq_is_enabled();
    struct vcpu *v;
    int rc = 0;

    if ( !is_hvm_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        struct lu_hvm_vcpu_rec r = {
            .id = lu_id(&lu_kind_hvm_vcpu, d, v->vcpu_id),
            .tsc_offset = v->arch.hvm.cache_tsc_offset,
            .time_offset = v->arch.hvm.stime_offset,
            .guest_time = v->arch.hvm.guest_time,
            .upcall_vector = v->arch.hvm.evtchn_upcall_vector,
            .cache_mode = v->arch.hvm.cache_mode,
            .interrupt_shadow =
                dry ? 0 : alternative_call(hvm_funcs.get_interrupt_shadow, v),
        };

        fill_common(&r, v);
        fill_exceptions(&r, v);

        rc = lu_rec_write(s, LU_REC_HVM_VCPU, &r, sizeof(r));
        if ( rc )
            break;
    }

    return rc;
}

/* ---- Restore ------------------------------------------------------------------- */

#define HVMV_F_KNOWN (LU_HVMV_F_INITIALISED | LU_HVMV_F_DOWN |           \
                      LU_HVMV_F_BLOCKED | LU_HVMV_F_SHUTDOWN |           \
                      LU_HVMV_F_DEFER_SHUTDOWN)

/* The name of the first field that no old Xen can have written, or NULL. */
static const char *bad_field(const struct lu_hvm_vcpu_rec *r)
{
    const uint8_t async = (1U << VCPU_TRAP_NMI) | (1U << VCPU_TRAP_MCE);
    unsigned int i;

    if ( r->flags & ~HVMV_F_KNOWN )
        return "flags";
    if ( r->reserved )
        return "reserved";
    if ( r->controller_pause_count > 255 )
        return "controller_pause_count";
    if ( r->vcpu_info_mfn == LU_NO_MFN && r->vcpu_info_offset )
        return "vcpu_info_offset";
    if ( r->interrupt_shadow &
         ~(HVM_INTR_SHADOW_STI | HVM_INTR_SHADOW_MOV_SS | HVM_INTR_SHADOW_SMI |
           HVM_INTR_SHADOW_NMI) )
        return "interrupt_shadow";
    if ( r->inject_vector != HVM_EVENT_VECTOR_UNSET &&
         (r->inject_vector < 0 || r->inject_vector > UINT8_MAX ||
          r->inject_type > X86_EVENTTYPE_SW_EXCEPTION || r->inject_len > 15) )
        return "inject_vector";
    if ( r->upcall_vector && r->upcall_vector < 16 )
        return "upcall_vector";
    if ( r->cache_mode != NORMAL_CACHE_MODE &&
         r->cache_mode != NO_FILL_CACHE_MODE )
        return "cache_mode";
    if ( r->async_mask & ~async )
        return "async_mask";
    for ( i = 0; i < ARRAY_SIZE(r->async); i++ )
        if ( r->async[i].pending > 1 || (r->async[i].old_mask & ~async) )
            return "async";

    return NULL;
}

static void set_exceptions(struct vcpu *v, const struct lu_hvm_vcpu_rec *r)
{
    struct arch_vcpu *a = &v->arch;
    unsigned int i;

    if ( r->inject_vector != HVM_EVENT_VECTOR_UNSET )
        a->hvm.inject_event = (struct x86_event){
            .vector = r->inject_vector,
            .type = r->inject_type,
            .insn_len = r->inject_len,
            .error_code = r->inject_error_code,
            .cr2 = r->inject_cr2,
        };

    a->async_exception_mask = r->async_mask;
    for ( i = 0; i < ARRAY_SIZE(a->async_exception_state); i++ )
    {
        a->async_exception_state[i].pending = r->async[i].pending;
        a->async_exception_state[i].old_mask = r->async[i].old_mask;
    }

    /* Capabilities and controls are in HVM_CONTEXT. */
    a->vmce.mcg_status = r->mcg_status;
    for ( i = 0; i < ARRAY_SIZE(a->vmce.bank); i++ )
    {
        a->vmce.bank[i].mci_status = r->mce_bank[i].status;
        a->vmce.bank[i].mci_addr = r->mce_bank[i].addr;
        a->vmce.bank[i].mci_misc = r->mce_bank[i].info;
        a->vmce.bank[i].mci_ctl2 = r->mce_bank[i].ctl2;
    }
}

static void set_common(struct vcpu *v, const struct lu_hvm_vcpu_rec *r)
{
    if ( r->flags & LU_HVMV_F_DOWN )
        set_bit(_VPF_down, &v->pause_flags);
    else
        clear_bit(_VPF_down, &v->pause_flags);
    if ( r->flags & LU_HVMV_F_BLOCKED )
        set_bit(_VPF_blocked, &v->pause_flags);

    v->controller_pause_count = r->controller_pause_count;
    atomic_add(r->controller_pause_count, &v->pause_count);

    /* Creation has done this if the domain is marked as shutting down. */
    if ( (r->flags & LU_HVMV_F_SHUTDOWN) && !v->paused_for_shutdown )
    {
        v->paused_for_shutdown = true;
        atomic_inc(&v->pause_count);
    }
    v->defer_shutdown = r->flags & LU_HVMV_F_DEFER_SHUTDOWN;
}

static int cf_check restore_hvm_vcpu(const struct lu_stream *s,
                                     const struct lu_rec *rec, struct domain *d)
{
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    struct lu_hvm_vcpu_rec r;
    const char *bad;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !v || !is_hvm_domain(d) )
        return lu_error(-ESRCH, d, "HVM_VCPU %u: no HVM vCPU",
                        rec->id.instance);
    bad = bad_field(&r);
    if ( bad )
        return lu_error(-EBADMSG, d, "HVM_VCPU %d: %s out of range", v->vcpu_id,
                        bad);
    if ( v->is_initialised != !!(r.flags & LU_HVMV_F_INITIALISED) )
        return lu_error(-EINVAL, d, "HVM_VCPU %d: %s registers in HVM_CONTEXT",
                        v->vcpu_id, v->is_initialised ? "has" : "has no");

    v->arch.hvm.cache_tsc_offset = r.tsc_offset;
    hvm_set_tsc_offset(v, r.tsc_offset, 0);
    v->arch.hvm.stime_offset = r.time_offset;
    v->arch.hvm.guest_time = r.guest_time;
    v->arch.hvm.evtchn_upcall_vector = r.upcall_vector;
    v->arch.hvm.cache_mode = r.cache_mode;
    set_exceptions(v, &r);
    alternative_vcall(hvm_funcs.set_interrupt_shadow, v, r.interrupt_shadow);

    if ( r.vcpu_info_mfn != LU_NO_MFN )
    {
        rc = lu_map_vcpu_info(v, r.vcpu_info_mfn, r.vcpu_info_offset);
        if ( rc )
            return rc;
    }

    set_common(v, &r);

    return 0;
}

const struct lu_kind lu_kind_hvm_vcpu = {
    .name = "HVM_VCPU",
    .type = LU_REC_HVM_VCPU,
    .size = sizeof(struct lu_hvm_vcpu_rec),
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .per_vcpu = true,
    .save = save_hvm_vcpu,
    .restore = restore_hvm_vcpu,
};

/* ---- Letting go ---------------------------------------------------------------- */

/*
 * What do_block asks hvm_local_events_need_delivery(), which is for the vCPU that runs: it
 * looks at the registers at the stack's end.
 */
static bool has_event_to_take(struct vcpu *v)
{
    const struct hvm_intack intack = hvm_vcpu_has_pending_irq(v);
    unsigned long shadow;

    if ( intack.source == hvm_intsrc_none )
        return false;

    shadow = alternative_call(hvm_funcs.get_interrupt_shadow, v);
    if ( intack.source == hvm_intsrc_nmi )
        return !(shadow & HVM_INTR_SHADOW_NMI);

    if ( !(v->arch.user_regs.eflags & X86_EFLAGS_IF) )
        return false;

    return intack.source != hvm_intsrc_lapic ||
           (intack.vector & 0xf0) >
           (vlapic_get_reg(vcpu_vlapic(v), APIC_TASKPRI) & 0xf0);
}

/*
 * An upcall by vector that finds the APIC off is lost (hvm_assert_evtchn_irq()), and with
 * it each later one, as it stays pending.  So is the APIC of a guest in S3.
 */
bool lu_takes_upcall(const struct vcpu *v)
{
    return !is_hvm_vcpu(v) || !v->arch.hvm.evtchn_upcall_vector ||
           vlapic_enabled(vcpu_vlapic(v));
}

/*
 * The last before v's domain is unpaused: whoever is halted and has an interrupt or
 * event to take goes on.
 */
void lu_hvm_resume(struct vcpu *v)
{
    if ( vcpu_info(v, evtchn_upcall_pending) )
        hvm_assert_evtchn_irq(v);
    if ( (v->pause_flags & VPF_blocked) && has_event_to_take(v) )
        vcpu_unblock(v);
}

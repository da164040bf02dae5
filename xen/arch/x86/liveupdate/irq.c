/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical interrupts of domains (at the end of arch/x86/irq.c).
 *
 * Old Xen, domains frozen: lu_irq_mask_guests() masks every bound IRQ at its
 * source and then completes what is in service or on its way, as Xen does
 * after a millisecond without the guest's EOI: no local APIC has a vector of a
 * guest's in service or requested any more, no pin waits for an EOI.  A line
 * that is still asserted raises its interrupt again when its pin is unmasked.
 * A vector with a mask bit stays pending in its device.  Only edges and MSIs
 * without mask bit get lost while masked; those who wait for them are told to
 * look: lu_irq_unmask_guests() does if the update is given up,
 * lu_evtchn_resume() in the new Xen.
 *
 * New Xen: PIRQ numbers are the domain's, everything behind them is new.  The
 * record says what a number stands for: a GSI (set up by then, gsi.c) is
 * mapped, an MSI gets a new IRQ and vector, and what was bound is bound again,
 * which unmasks it.  An EOI that the guest still owes for the old Xen's
 * interrupt is taken and means nothing.
 *
 * What can fail: passed-through devices, a vPCI, a PIRQ that was unmapped
 * before its event channel was closed, and what msi.c says block the update.
 * In the new Xen any mapping or binding that does not succeed fails the
 * restore.
 */
#include <asm/apic.h>

#include "../../../common/liveupdate/internal.h"
#include "irq.h"

/* ---- Masking at the source ---------------------------------------------- */

/* Rounds of completing and looking again; what is masked soon runs dry. */
#define DRAIN_ROUNDS 64

static bool keeps_pending(const struct irq_desc *desc)
{
    return desc->msi_desc && msi_maskable_irq(desc->msi_desc);
}

/*
 * desc->lock held.  IRQ_DISABLED keeps ->end from unmasking; it does not keep
 * one that has left already from reaching its guests.
 */
static void mask_irq(struct irq_desc *desc)
{
    desc->status |= IRQ_DISABLED;

    if ( desc->msi_desc && !msi_maskable_irq(desc->msi_desc) )
        lu_msi_stop(desc);
    else if ( !desc->msi_desc && IO_APIC_IRQ(desc->irq) )
        lu_ioapic_mask(desc);
    else
        desc->handler->disable(desc);
}

static void unmask_irq(struct irq_desc *desc)
{
    desc->status &= ~IRQ_DISABLED;

    if ( desc->msi_desc && !msi_maskable_irq(desc->msi_desc) )
        lu_msi_start(desc);
    else
        desc->handler->enable(desc);
}

/* IRQs that were disabled for coming too often get enabled with the others. */
static void forget_rate_limits(void)
{
    struct irq_desc *desc, *tmp;

    if ( !irq_ratelimit_timer.function )
        return;

    stop_timer(&irq_ratelimit_timer);

    spin_lock_irq(&irq_ratelimit_lock);
    list_for_each_entry_safe ( desc, tmp, &irq_ratelimit_list, rl_link )
        list_del_init(&desc->rl_link);
    spin_unlock_irq(&irq_ratelimit_lock);
}

/* Do for the guests what ends the IRQ's service, wherever it is in service. */
static void complete_irq(struct irq_desc *desc)
{
    irq_guest_action_t *action;
    cpumask_t eoi_map;
    unsigned int i;
    bool in_flight;

    cpumask_clear(&eoi_map);

    spin_lock_irq(&desc->lock);

    action = guest_action(desc);
    if ( !action || action->ack_type == ACKTYPE_NONE )
    {
        spin_unlock_irq(&desc->lock);
        return;
    }

    stop_timer(&action->eoi_timer);

    in_flight = action->in_flight;
    for ( i = 0; i < action->nr_guests; i++ )
    {
        struct domain *d = action->guest[i];
        struct pirq *pirq = pirq_info(d, domain_irq_to_pirq(d, desc->irq));

        if ( test_and_clear_bool(pirq->masked) )
            action->in_flight--;
    }
    ASSERT(!action->in_flight);

    if ( action->ack_type == ACKTYPE_EOI )
        cpumask_and(&eoi_map, action->cpu_eoi_map, &cpu_online_map);
    else if ( in_flight && desc->handler->end )
        desc->handler->end(desc, 0);

    spin_unlock_irq(&desc->lock);

    if ( !cpumask_empty(&eoi_map) )
        on_selected_cpus(&eoi_map, set_eoi_ready, desc, 1);
}

/* One of Xen's own at an IO-APIC pin: the timer, the serial console. */
static bool xen_pin(const struct irq_desc *desc)
{
    return desc->irq < nr_irqs_gsi && !desc->msi_desc && desc->action &&
           !(desc->status & (IRQ_GUEST | IRQ_DISABLED));
}

static void mask_xen_pins(void)
{
    unsigned int irq;

    for ( irq = 0; irq < nr_irqs_gsi; irq++ )
    {
        struct irq_desc *desc = irq_to_desc(irq);

        if ( !irq_desc_initialized(desc) )
            continue;

        spin_lock_irq(&desc->lock);
        if ( xen_pin(desc) )
            lu_ioapic_mask(desc);
        spin_unlock_irq(&desc->lock);
    }
}

/*
 * As do_IRQ() runs them: without the lock, which a handler may want, with IRQs
 * on, and one at a time: an interrupt that comes meanwhile makes another round.
 * desc->lock held, and again on return.
 */
static void run_xen_handler(struct irq_desc *desc)
{
    const struct irqaction *action = desc->action;
    struct cpu_user_regs *regs = guest_cpu_user_regs();

    desc->status |= IRQ_PENDING;
    if ( desc->status & IRQ_INPROGRESS )
        return;

    desc->status |= IRQ_INPROGRESS;
    while ( desc->status & IRQ_PENDING )
    {
        desc->status &= ~IRQ_PENDING;
        spin_unlock_irq(&desc->lock);

        action->handler(desc->irq, action->dev_id, regs);

        spin_lock_irq(&desc->lock);
    }
    desc->status &= ~IRQ_INPROGRESS;
}

/* An edge that came while masked is lost: let the handlers look. */
static void unmask_xen_pins(void)
{
    unsigned int irq;

    for ( irq = 0; irq < nr_irqs_gsi; irq++ )
    {
        struct irq_desc *desc = irq_to_desc(irq);

        if ( !irq_desc_initialized(desc) )
            continue;

        spin_lock_irq(&desc->lock);
        if ( xen_pin(desc) )
        {
            desc->handler->enable(desc);
            run_xen_handler(desc);
        }
        spin_unlock_irq(&desc->lock);
    }
}

/* Is a device's vector in service or requested on this CPU?  IRQs off. */
static void cf_check look_for_vectors(void *data)
{
    bool found = pending_eoi_sp(this_cpu(pending_eoi));
    unsigned int i;

    for ( i = FIRST_DYNAMIC_VECTOR / 32; i < X86_NR_VECTORS / 32; i++ )
    {
        uint32_t irr = apic_read(APIC_IRR + i * 0x10);

        for ( ; irr; irr &= irr - 1 )
        {
            int irq = this_cpu(vector_irq)[i * 32 + ffs(irr) - 1];

            if ( irq >= 0 )
                found = true;
        }
    }

    if ( found )
        atomic_inc((atomic_t *)data);
}

int lu_irq_mask_guests(void)
{
    unsigned int irq, round;

    ASSERT(!smp_processor_id() && local_irq_is_enabled());

    forget_rate_limits();

    for ( irq = 1; irq < nr_irqs; irq++ )
    {
        struct irq_desc *desc = irq_to_desc(irq);

        if ( !irq_desc_initialized(desc) )
            continue;

        spin_lock_irq(&desc->lock);
        if ( guest_action(desc) )
            mask_irq(desc);
        spin_unlock_irq(&desc->lock);
    }

    /*
     * A vector that the next Xen finds requested is delivered before its
     * IO-APIC is set up, to a controller that does not end its service.
     */
    mask_xen_pins();

    for ( round = 0; round < DRAIN_ROUNDS; round++ )
    {
        atomic_t busy = ATOMIC_INIT(0);

        for ( irq = 1; irq < nr_irqs; irq++ )
            if ( irq_desc_initialized(irq_to_desc(irq)) )
                complete_irq(irq_to_desc(irq));

        on_selected_cpus(&cpu_online_map, look_for_vectors, &busy, 1);
        if ( !atomic_read(&busy) )
            return 0;
    }

    return lu_error(-EBUSY, NULL, "masked interrupts keep coming");
}

void lu_irq_unmask_guests(void)
{
    unsigned int irq, i;

    ASSERT(local_irq_is_enabled());

    unmask_xen_pins();

    for ( irq = 1; irq < nr_irqs; irq++ )
    {
        struct irq_desc *desc = irq_to_desc(irq);
        const irq_guest_action_t *action;

        if ( !irq_desc_initialized(desc) )
            continue;

        spin_lock_irq(&desc->lock);

        action = guest_action(desc);
        if ( action && (desc->status & IRQ_DISABLED) )
        {
            unmask_irq(desc);
            for ( i = 0; i < action->nr_guests && !keeps_pending(desc); i++ )
            {
                struct domain *d = action->guest[i];

                send_guest_pirq(d, pirq_info(d, domain_irq_to_pirq(d, irq)));
            }
        }

        spin_unlock_irq(&desc->lock);
    }
}

/* ---- Walking a domain's PIRQs ------------------------------------------- */

/*
 * The next from `from` on, or NULL.  Without the lock, which is not for IRQs
 * off: what the tree drops stays until RCU has seen this CPU idle.
 */
static struct pirq *next_pirq(const struct domain *d, unsigned int from)
{
    struct pirq *info;

    return radix_tree_gang_lookup((struct radix_tree_root *)&d->pirq_tree,
                                  (void **)&info, from, 1) ? info : NULL;
}

static bool hvm_emulated(const struct domain *d, const struct pirq *info)
{
    return is_hvm_domain(d) && info->arch.hvm.emuirq != IRQ_UNBOUND;
}

/* ---- Blockers ----------------------------------------------------------- */

static int check_one(const struct domain *d, const struct pirq *info)
{
    const char *why = NULL;
    struct irq_desc *desc;
    unsigned long flags;
    int rc = 0;

    desc = pirq_spin_lock_irq_desc(info, &flags);
    if ( desc )
    {
        if ( is_hvm_domain(d) )
        {
            why = "it is passed through";
            rc = -EOPNOTSUPP;
        }
        else if ( desc->msi_desc )
            why = lu_msi_blocker(desc->msi_desc, &rc);
        else if ( MSI_IRQ(desc->irq) )
        {
            why = "it is being set up";
            rc = -EAGAIN;
        }
        spin_unlock_irqrestore(&desc->lock, flags);
    }
    else if ( info->arch.irq < 0 &&
              (info->arch.irq != PIRQ_ALLOCATED || info->evtchn) )
    {
        why = "it was unmapped before its event channel was closed";
        rc = -EAGAIN;
    }
    else if ( info->evtchn && !info->arch.irq && !hvm_emulated(d, info) )
    {
        why = "it is bound and not mapped";
        rc = -EAGAIN;
    }

    return why ? lu_blocker(rc, d, "PIRQ %d: %s", info->pirq, why) : 0;
}

static int cf_check check_pirqs(const struct domain *d)
{
    const struct pirq *info;
    unsigned int from = 0;
    int first = 0, rc;

    if ( is_hvm_domain(d) && domain_get_irq_dpci(d) )
        first = lu_blocker(-EOPNOTSUPP, d, "it has passed-through interrupts");
    if ( has_vpci(d) )
    {
        rc = lu_blocker(-EOPNOTSUPP, d, "it has a virtual PCI bus (vPCI)");
        first = first ?: rc;
    }

    while ( (info = next_pirq(d, from)) != NULL )
    {
        from = info->pirq + 1;
        rc = check_one(d, info);
        first = first ?: rc;
    }

    return first;
}

/* ---- Save --------------------------------------------------------------- */

/* False: the entry is one that nobody uses. */
static bool fill_pirq(const struct domain *d, const struct pirq *info,
                      struct lu_pirq_rec *r)
{
    const irq_guest_action_t *action;
    struct irq_desc *desc;
    unsigned long flags;

    *r = (struct lu_pirq_rec){
        .pirq = info->pirq,
        .creator = DOMID_INVALID,
        .port = info->evtchn,
    };

    desc = pirq_spin_lock_irq_desc(info, &flags);
    if ( !desc )
    {
        if ( hvm_emulated(d, info) )
        {
            r->type = LU_PIRQ_TYPE_EMULATED;
            r->source = info->arch.hvm.emuirq;
        }
        else if ( info->arch.irq == PIRQ_ALLOCATED )
            r->type = LU_PIRQ_TYPE_ALLOCATED;

        return r->type;
    }

    if ( desc->msi_desc && desc->msi_desc->dev )
    {
        lu_msi_save(desc->msi_desc, r);
        r->creator = desc->arch.creator_domid;
    }
    else
    {
        r->type = LU_PIRQ_TYPE_GSI;
        r->source = desc->irq;
    }

    action = guest_action(desc);
    if ( action && action->shareable )
        r->flags |= LU_PIRQ_F_SHARED;

    spin_unlock_irqrestore(&desc->lock, flags);

    return true;
}

static int cf_check save_pirqs(struct lu_stream *s, struct domain *d)
{
    struct lu_pirqs_rec head = {
        .id = lu_id(&lu_kind_pirq, d, 0),
    };
    const struct pirq *info;
    unsigned int from = 0;
    int rc = lu_rec_begin(s, LU_REC_PIRQS) ?:
             lu_rec_put(s, &head, sizeof(head));

    while ( !rc && (info = next_pirq(d, from)) != NULL )
    {
        struct lu_pirq_rec r;

        from = info->pirq + 1;
        if ( !fill_pirq(d, info, &r) )
            continue;

        rc = lu_rec_put(s, &r, sizeof(r));
        head.nr++;
    }

    return rc ?: lu_rec_patch(s, 0, &head, sizeof(head)) ?: lu_rec_end(s);
}

/* ---- Restore ------------------------------------------------------------ */

static int map_irq(struct domain *d, unsigned int irq, struct pirq *info)
{
    struct irq_desc *desc = irq_to_desc(irq);
    struct pirq *same;
    unsigned long flags;
    int rc;

    if ( domain_irq_to_pirq(d, irq) == info->pirq && info->arch.irq == irq )
        return 0;       /* the 8259's, mapped from the start */
    if ( domain_irq_to_pirq(d, irq) || info->arch.irq )
        return -EEXIST;

    rc = prepare_domain_irq_pirq(d, irq, info->pirq, &same);
    if ( rc < 0 )
        return rc;

    spin_lock_irqsave(&desc->lock, flags);
    set_domain_irq_pirq(d, irq, same);
    spin_unlock_irqrestore(&desc->lock, flags);

    return 0;
}

/* The right to the IRQ's new number: for the owner, and who made it for him. */
static int grant_msi(struct domain *d, unsigned int irq,
                     const struct lu_pirq_rec *r)
{
    struct domain *creator;
    int rc = irq_permit_access(d, irq);

    if ( rc || r->creator == DOMID_INVALID )
        return rc;

    creator = lu_domain(r->creator);
    if ( !creator )
        return 0;       /* it is gone, and was only to lose the right again */

    irq_to_desc(irq)->arch.creator_domid = r->creator;

    return creator == d ? 0 : irq_permit_access(creator, irq);
}

static int map_msi(struct domain *d, const struct lu_pirq_rec *r,
                   struct pirq *info)
{
    const pci_sbdf_t sbdf = { .sbdf = r->source };
    struct pci_dev *pdev = pci_get_pdev(NULL, sbdf);
    struct irq_desc *desc;
    struct msi_desc *entry;
    unsigned long flags;
    int irq, rc;

    if ( !pdev || pdev->domain != d )
        return -ENODEV;

    irq = create_irq(NUMA_NO_NODE, false);
    if ( irq < 0 )
        return irq;

    rc = grant_msi(d, irq, r) ?: lu_msi_restore(pdev, irq, r, &entry);
    if ( rc )
        return rc;

    desc = irq_to_desc(irq);
    spin_lock_irqsave(&desc->lock, flags);
    ASSERT(desc->handler == &no_irq_type);
    rc = setup_msi_irq(desc, entry);
    if ( !rc && opt_irq_vector_map == OPT_IRQ_VECTOR_MAP_PERDEV &&
         !desc->arch.used_vectors )
    {
        desc->arch.used_vectors = &pdev->arch.used_vectors;
        if ( desc->arch.vector != IRQ_VECTOR_UNASSIGNED )
            set_bit(desc->arch.vector, desc->arch.used_vectors->_bits);
    }
    spin_unlock_irqrestore(&desc->lock, flags);

    return rc ?: map_irq(d, irq, info);
}

/* Binding leaves a maskable vector masked for the guest. */
static void finish_msi(struct pirq *info, const struct lu_pirq_rec *r)
{
    struct irq_desc *desc = irq_to_desc(info->arch.irq);
    unsigned long flags;

    spin_lock_irqsave(&desc->lock, flags);
    if ( !msi_maskable_irq(desc->msi_desc) )
        lu_msi_start(desc);
    else
        guest_mask_msi_irq(desc, r->flags & LU_PIRQ_F_MASKED);
    spin_unlock_irqrestore(&desc->lock, flags);
}

static int bind_pirq(struct domain *d, const struct lu_pirq_rec *r,
                     struct pirq *info)
{
    int vcpu = lu_evtchn_link_pirq(d, r->port);

    if ( vcpu < 0 )
        return vcpu;
    if ( info->evtchn != r->port )
        return -EINVAL; /* the port is bound to another PIRQ */

    return r->type == LU_PIRQ_TYPE_EMULATED
           ? 0
           : pirq_guest_bind(d->vcpu[vcpu], info,
                             !!(r->flags & LU_PIRQ_F_SHARED));
}

static int map_emulated(struct domain *d, const struct lu_pirq_rec *r,
                        struct pirq *info)
{
    int emuirq = r->source;

    if ( !is_hvm_domain(d) || emuirq >= (int)nr_irqs ||
         (emuirq < 0 && emuirq != IRQ_MSI_EMU) )
        return -EINVAL;
    if ( info->arch.hvm.emuirq != IRQ_UNBOUND )
        return -EEXIST;

    if ( emuirq == IRQ_MSI_EMU )
    {
        info->arch.hvm.emuirq = emuirq; /* many of them, so no way back */
        return 0;
    }

    return domain_emuirq_to_pirq(d, emuirq) != IRQ_UNBOUND
           ? -EEXIST
           : map_domain_emuirq_pirq(d, info->pirq, emuirq);
}

static int restore_one(struct domain *d, const struct lu_pirq_rec *r)
{
    const unsigned int msi_flags = LU_PIRQ_F_MASKED | LU_PIRQ_F_ENABLE |
                                   LU_PIRQ_F_INTX;
    const bool msi = r->type == LU_PIRQ_TYPE_MSI ||
                     r->type == LU_PIRQ_TYPE_MSIX;
    struct pirq *info;
    int rc;

    if ( r->pirq >= d->nr_pirqs || r->reserved ||
         (r->flags & ~(LU_PIRQ_F_SHARED | msi_flags)) )
        return -EINVAL;
    /* What only an MSI has. */
    if ( !msi && (r->entry || (r->flags & msi_flags) ||
                  r->creator != DOMID_INVALID) )
        return -EINVAL;

    info = pirq_get_info(d, r->pirq);
    if ( !info )
        return -ENOMEM;

    switch ( r->type )
    {
    case LU_PIRQ_TYPE_ALLOCATED:
        if ( r->port || r->source || r->flags )
            return -EINVAL;
        if ( info->arch.irq )
            return -EEXIST;
        info->arch.irq = PIRQ_ALLOCATED;
        return 0;

    case LU_PIRQ_TYPE_GSI:
        if ( !r->source || r->source >= nr_irqs_gsi )
            return -EINVAL;
        rc = map_irq(d, r->source, info);
        break;

    case LU_PIRQ_TYPE_MSI:
    case LU_PIRQ_TYPE_MSIX:
        rc = map_msi(d, r, info);
        break;

    case LU_PIRQ_TYPE_EMULATED:
        rc = map_emulated(d, r, info);
        break;

    default:
        return -EINVAL;
    }

    if ( !rc && r->port )
        rc = bind_pirq(d, r, info);

    if ( !rc && msi &&
         (r->port || !msi_maskable_irq(irq_to_desc(info->arch.irq)->msi_desc)) )
        finish_msi(info, r);

    return rc;
}

static const char *type_name(unsigned int type)
{
    static const char *const names[] = {
        [LU_PIRQ_TYPE_ALLOCATED] = "allocated",
        [LU_PIRQ_TYPE_GSI] = "GSI",
        [LU_PIRQ_TYPE_MSI] = "MSI of",
        [LU_PIRQ_TYPE_MSIX] = "MSI-X of",
        [LU_PIRQ_TYPE_EMULATED] = "emulated",
    };

    return type < ARRAY_SIZE(names) && names[type] ? names[type] : "type?";
}

static int cf_check restore_pirqs(const struct lu_stream *s,
                                  const struct lu_rec *rec, struct domain *d)
{
    struct lu_pirqs_rec head;
    unsigned int i;
    int64_t last = -1;
    int rc = lu_rec_read(s, rec, 0, &head, sizeof(head));

    if ( rc )
        return rc;

    if ( head.reserved ||
         !lu_array_fits(rec, sizeof(head), sizeof(struct lu_pirq_rec),
                        head.nr) )
        return lu_error(-EINVAL, d, "PIRQS: malformed");

    for ( i = 0; i < head.nr; i++ )
    {
        struct lu_pirq_rec r;

        rc = lu_rec_read(s, rec, sizeof(head) + i * sizeof(r), &r, sizeof(r));
        if ( rc )
            return rc;

        if ( r.pirq <= last )
            return lu_error(-EINVAL, d, "PIRQ %u: after %"PRId64, r.pirq, last);
        last = r.pirq;

        pcidevs_lock();
        write_lock(&d->event_lock);
        rc = restore_one(d, &r);
        write_unlock(&d->event_lock);
        pcidevs_unlock();

        if ( rc )
            return lu_error(rc, d, "PIRQ %u: %s %#x/%u, port %u, flags %#x",
                            r.pirq, type_name(r.type), r.source, r.entry,
                            r.port, r.flags);
    }

    return 0;
}

const struct lu_kind lu_kind_pirq = {
    .name = "PIRQS",
    .type = LU_REC_PIRQS,
    .size = sizeof(struct lu_pirqs_rec),
    .array = { LU_ARRAY(lu_pirqs_rec, nr, struct lu_pirq_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .per_domain = true,
    .check = check_pirqs,
    .save = save_pirqs,
    .restore = restore_pirqs,
};

#undef DRAIN_ROUNDS

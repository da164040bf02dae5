/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GSIs (at the end of arch/x86/mpparse.c): trigger and polarity of the pins
 * that dom0 set up, and the way of the timer's interrupt.
 *
 * The new Xen sets up the IO-APICs as at any boot, which clears what the old
 * one left behind, remote IRR included.  The pins that the firmware's tables
 * tell of are then as they were.  Those that dom0 set up with
 * PHYSDEVOP_setup_gsi are set up again from the record, masked until they are
 * bound (irq.c); dom0 will not do it a second time.  The timer's pin worked in
 * the old Xen, so the new one does not spend a tenth of a second on finding
 * that out.
 *
 * What can fail: no IO-APIC, pins set up behind ACPI's back, or a timer that
 * takes another way than its pin block the update.  In the new Xen another
 * number of GSIs, or a pin that cannot be set up, fails the restore.
 */
#include <asm/fixmap.h>
#include <asm/hpet.h>
#include <asm/io.h>
#include <asm/page.h>
#include <irq_vectors.h>

#include "../../../common/liveupdate/internal.h"

/* The IO-APIC of a GSI, or -1. */
static int gsi_ioapic(unsigned int gsi)
{
    unsigned int i;

    for ( i = 0; i < nr_ioapics; i++ )
        if ( gsi >= mp_ioapic_routing[i].gsi_base &&
             gsi <= mp_ioapic_routing[i].gsi_end )
            return i;

    return -1;
}

/* The lower half of a pin's entry, where all is but the destination. */
static struct IO_APIC_route_entry read_rte(unsigned int apic, unsigned int pin)
{
    struct IO_APIC_route_entry rte = { };
    uint32_t lo = IO_APIC_REDIR_MASKED;

    ioapic_guest_read(mp_ioapics[apic].mpc_apicaddr, 0x10 + 2 * pin, &lo);
    rte.raw = lo;

    return rte;
}

static bool gsi_programmed(unsigned int gsi, unsigned int *apic,
                           unsigned int *pin)
{
    int i = gsi_ioapic(gsi);

    if ( i < 0 )
        return false;

    *apic = i;
    *pin = gsi - mp_ioapic_routing[i].gsi_base;

    return *pin <= MP_MAX_IOAPIC_PIN &&
           test_bit(*pin, mp_ioapic_routing[i].pin_programmed);
}

/* ---- The timer's interrupt ---------------------------------------------- */

static bool timer_direct(void)
{
    unsigned int apic;
    int i;

    for ( i = 0; i < mp_irq_entries; i++ )
    {
        if ( mp_irqs[i].mpc_irqtype != mp_INT || mp_irqs[i].mpc_srcbusirq ||
             mp_bus_id_to_type[mp_irqs[i].mpc_srcbus] != MP_BUS_ISA )
            continue;

        for ( apic = 0; apic < nr_ioapics; apic++ )
            if ( mp_ioapics[apic].mpc_apicid == mp_irqs[i].mpc_dstapic )
                /* By way of the 8259 its line would be open there. */
                return read_rte(apic, mp_irqs[i].mpc_dstirq).vector ==
                       IRQ0_VECTOR && (inb(0x21) & 1);

        break;
    }

    return false;
}

/*
 * For want of a PIT, as opposed to waking CPUs: that gets set up on its own.
 * Whether there is an HPET is told by its mapping; hpet_address is gone after
 * boot.
 */
static bool timer_hpet(void)
{
    unsigned int slot = l1_table_offset(__fix_to_virt(FIX_HPET_BASE));

    return (l1e_get_flags(l1_fixmap[slot]) & _PAGE_PRESENT) &&
           (hpet_read32(HPET_CFG) & HPET_CFG_LEGACY) &&
           !hpet_broadcast_is_available();
}

bool __init lu_timer_trusted(void)
{
    struct lu_gsis_rec head;
    struct lu_rec rec;

    if ( !lu_booting ||
         lu_boot_record(LU_REC_GSIS, LU_DOMID_HOST, &rec, &head,
                        sizeof(head)) ||
         !(head.timer & LU_TIMER_F_DIRECT) )
        return false;

    if ( head.timer & LU_TIMER_F_HPET )
        hpet_enable_legacy_replacement_mode();

    return true;
}

/* ---- Blockers, save, restore -------------------------------------------- */

static int cf_check check_gsis(const struct domain *d)
{
    unsigned int gsi, apic, pin;

    if ( !nr_ioapics )
        return lu_blocker(-EOPNOTSUPP, NULL,
                          "interrupts come by the 8259, not by an IO-APIC");

    if ( !timer_direct() )
        return lu_blocker(-EOPNOTSUPP, NULL,
                          "the timer's interrupt does not come by its IO-APIC pin");

    /* Without ACPI the MP table, not PHYSDEVOP_setup_gsi, tells of these. */
    if ( acpi_disabled )
        return 0;

    for ( gsi = 16; gsi < nr_irqs_gsi; gsi++ )
    {
        const struct irq_desc *desc = irq_to_desc(gsi);

        if ( irq_desc_initialized(desc) && desc->handler != &no_irq_type &&
             !desc->msi_desc && !gsi_programmed(gsi, &apic, &pin) )
            return lu_blocker(-EOPNOTSUPP, NULL,
                              "GSI %u was set up by PHYSDEVOP_apic_write", gsi);
    }

    return 0;
}

static int cf_check save_gsis(struct lu_stream *s, struct domain *d)
{
    struct lu_gsis_rec head = {
        .id = lu_id(&lu_kind_gsi, NULL, 0),
        .nr_gsis = nr_irqs_gsi,
        .timer = (timer_direct() ? LU_TIMER_F_DIRECT : 0) |
                 (timer_hpet() ? LU_TIMER_F_HPET : 0),
    };
    unsigned int gsi, apic, pin;
    int rc = lu_rec_begin(s, LU_REC_GSIS) ?: lu_rec_put(s, &head, sizeof(head));

    for ( gsi = 0; gsi < nr_irqs_gsi && !rc; gsi++ )
    {
        struct lu_gsi_rec g = { .gsi = gsi };
        struct IO_APIC_route_entry rte;

        if ( !gsi_programmed(gsi, &apic, &pin) )
            continue;

        rte = read_rte(apic, pin);
        g.flags = (rte.trigger ? LU_GSI_F_LEVEL : 0) |
                  (rte.polarity ? LU_GSI_F_LOW : 0);
        rc = lu_rec_put(s, &g, sizeof(g));
        head.nr++;
    }

    return rc ?: lu_rec_patch(s, 0, &head, sizeof(head)) ?: lu_rec_end(s);
}

static int cf_check restore_gsis(const struct lu_stream *s,
                                 const struct lu_rec *rec, struct domain *d)
{
    struct lu_gsis_rec head;
    unsigned int i;
    int64_t last = -1;
    int rc = lu_rec_read(s, rec, 0, &head, sizeof(head));

    if ( rc )
        return rc;

    if ( head.reserved ||
         (head.timer & ~(LU_TIMER_F_DIRECT | LU_TIMER_F_HPET)) ||
         !lu_array_fits(rec, sizeof(head), sizeof(struct lu_gsi_rec), head.nr) )
        return lu_error(-EINVAL, NULL, "GSIS: malformed");

    if ( head.nr_gsis != nr_irqs_gsi )
        return lu_error(-EINVAL, NULL,
                        "GSIS: there are %u of them, there were %u",
                        nr_irqs_gsi, head.nr_gsis);

    for ( i = 0; i < head.nr; i++ )
    {
        struct lu_gsi_rec g;

        rc = lu_rec_read(s, rec, sizeof(head) + i * sizeof(g), &g, sizeof(g));
        if ( rc )
            return rc;

        if ( g.gsi >= nr_irqs_gsi || gsi_ioapic(g.gsi) < 0 || g.gsi <= last ||
             (g.flags & ~(LU_GSI_F_LEVEL | LU_GSI_F_LOW)) )
            return lu_error(-EINVAL, NULL, "GSIS: GSI %u of %u, flags %#x, after %"PRId64,
                            g.gsi, nr_irqs_gsi, g.flags, last);
        last = g.gsi;

        rc = mp_register_gsi(g.gsi, !!(g.flags & LU_GSI_F_LEVEL),
                             !!(g.flags & LU_GSI_F_LOW));
        if ( rc == -EEXIST )
            /* Binding it will tell if a domain needs it. */
            printk(XENLOG_WARNING
                   "live-update: GSI %u: Xen uses it now, it is left alone\n",
                   g.gsi);
        else if ( rc < 0 )
            return lu_error(rc, NULL, "GSI %u: cannot be set up", g.gsi);
    }

    return 0;
}

const struct lu_kind lu_kind_gsi = {
    .name = "GSIS",
    .type = LU_REC_GSIS,
    .size = sizeof(struct lu_gsis_rec),
    .array = { LU_ARRAY(lu_gsis_rec, nr, struct lu_gsi_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .check = check_gsis,
    .save = save_gsis,
    .restore = restore_gsis,
};

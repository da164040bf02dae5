/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Masking IO-APIC pins (at the end of arch/x86/io_apic.c).
 *
 * The controller of edge triggered pins has no way to mask them, as nothing in
 * Xen wants that: a masked pin forgets edges.  Over an update that is right,
 * as the receiver is told to look in any case, and a vector that arrives in a
 * Xen that has no idea of it is not.  To unmask, both kinds have ->enable.
 *
 * Nothing can fail.
 */
#include "irq.h"

void lu_ioapic_mask(struct irq_desc *desc)
{
    mask_IO_APIC_irq(desc);
}

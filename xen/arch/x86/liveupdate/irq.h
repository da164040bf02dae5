/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interrupt files of live update, each at the end of one file of
 * Xen's, offer each other.  irq.c is the user of all of it but for pci.c's.
 */
#ifndef LU_X86_IRQ_H
#define LU_X86_IRQ_H

#include <xen/irq.h>
#include <xen/pci.h>
#include <public/liveupdate.h>

struct msi_desc;

/* ioapic.c: mask an edge or level GSI; desc->lock held, IRQs off. */
void lu_ioapic_mask(struct irq_desc *desc);

/*
 * msi.c.  Silence the device of an MSI that has no mask bit, without letting
 * it fall back to INTx, and undo that.  desc->lock held, IRQs off.
 */
void lu_msi_stop(struct irq_desc *desc);
void lu_msi_start(struct irq_desc *desc);

/* Why the vectors of `entry` cannot cross (a message), or NULL.  desc->lock. */
const char *lu_msi_blocker(const struct msi_desc *entry, int *rc);

/* Fill type, source, entry and flags of the record.  desc->lock held. */
void lu_msi_save(const struct msi_desc *entry, struct lu_pirq_rec *r);

/*
 * The descriptor of one vector of a live device, everything masked, nothing
 * toggled that the device could see.  The message is setup_msi_irq()'s to
 * write. pcidevs lock held; -errno without a message.
 */
int lu_msi_restore(struct pci_dev *pdev, int irq, const struct lu_pirq_rec *r,
                   struct msi_desc **entry);

/*
 * The device's MSI-X state beyond its vectors: page ranges that the owner must
 * not write, use count, mask-all bits.  pcidevs lock held.  Restoring adds the
 * ranges to mmio_ro_ranges: after the domains' page tables have been
 * validated, which would turn mappings read-only that were made before the
 * ranges were. Valid: what was saved makes sense for the device as it is now.
 */
void lu_msix_save(const struct pci_dev *pdev, struct lu_pci_dev_rec *r);
bool lu_msix_valid(const struct pci_dev *pdev, const struct lu_pci_dev_rec *r);
int lu_msix_restore(struct pci_dev *pdev, const struct lu_pci_dev_rec *r);

#endif /* LU_X86_IRQ_H */

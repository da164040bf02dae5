/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI and MSI-X of live devices (at the end of arch/x86/msi.c).
 *
 * The devices stay as they are across an update, with MSI or MSI-X enabled by
 * their owner.  The old Xen masks every vector in the device: per vector masks
 * keep what happens meanwhile pending there.  An MSI without mask bit is
 * silenced by clearing MSI Enable; Interrupt Disable is set before, else the
 * device would turn to a line that nobody listens to.  What it wants to say
 * then is lost, so whoever starts it again must tell its owner to look.
 *
 * The new Xen builds its descriptors from the stream and reads of the device
 * what is fixed there (position and shape of the capability, BARs).  It writes
 * new messages while the vectors are still masked, and neither toggles MSI-X
 * Enable nor sizes a BAR.
 *
 * What can fail: several vectors in one MSI capability, or a device that
 * sleeps with its MSI-X table out of reach, block the update.  A record that
 * does not fit the device it finds fails the restore.
 */
#include "../../../common/liveupdate/internal.h"
#include "irq.h"

static bool silenced_by_enable(const struct msi_desc *entry)
{
    return !msi_maskable_irq(entry);
}

/*
 * Nothing else uses the two mask flags of a vector that cannot be masked: they
 * say what lu_msi_start() has to undo.
 */
static void stop_msi(struct msi_desc *entry)
{
    struct pci_dev *pdev = entry->dev;
    unsigned int reg = msi_control_reg(entry->msi_attrib.pos);

    if ( !(pci_conf_read16(pdev->sbdf, reg) & PCI_MSI_FLAGS_ENABLE) )
        return;

    if ( !(pci_conf_read16(pdev->sbdf, PCI_COMMAND) &
           PCI_COMMAND_INTX_DISABLE) )
    {
        pci_intx(pdev, false);
        entry->msi_attrib.guest_masked = 1;
    }

    msi_set_enable(pdev, 0);
    entry->msi_attrib.host_masked = 1;
}

void lu_msi_stop(struct irq_desc *desc)
{
    ASSERT(silenced_by_enable(desc->msi_desc));
    stop_msi(desc->msi_desc);
}

void lu_msi_start(struct irq_desc *desc)
{
    struct msi_desc *entry = desc->msi_desc;

    ASSERT(silenced_by_enable(entry));

    if ( entry->msi_attrib.host_masked )
        msi_set_enable(entry->dev, 1);
    if ( entry->msi_attrib.guest_masked )
        pci_intx(entry->dev, true);

    entry->msi_attrib.host_masked = 0;
    entry->msi_attrib.guest_masked = 0;
}

const char *lu_msi_blocker(const struct msi_desc *entry, int *rc)
{
    *rc = -EOPNOTSUPP;

    switch ( entry->msi_attrib.type )
    {
    case PCI_CAP_ID_MSI:
        if ( entry->msi_attrib.entry_nr || entry->msi.nvec != 1 )
            return "one of several vectors of an MSI capability";
        return NULL;

    case PCI_CAP_ID_MSIX:
        *rc = -EAGAIN;
        if ( !memory_decoded(entry->dev) )
            return "the device sleeps, its MSI-X table is out of reach";
        return NULL;
    }

    return "no MSI of a PCI device";
}

void lu_msi_save(const struct msi_desc *entry, struct lu_pirq_rec *r)
{
    r->source = entry->dev->sbdf.sbdf;
    r->entry = entry->msi_attrib.entry_nr;

    if ( entry->msi_attrib.type == PCI_CAP_ID_MSIX )
        r->type = LU_PIRQ_TYPE_MSIX;
    else
        r->type = LU_PIRQ_TYPE_MSI;

    if ( !silenced_by_enable(entry) )
        r->flags |= entry->msi_attrib.guest_masked ? LU_PIRQ_F_MASKED : 0;
    else
        r->flags |= (entry->msi_attrib.host_masked ? LU_PIRQ_F_ENABLE : 0) |
                    (entry->msi_attrib.guest_masked ? LU_PIRQ_F_INTX : 0);
}

static int restore_msi(struct pci_dev *pdev, int irq,
                       const struct lu_pirq_rec *r, struct msi_desc **out)
{
    unsigned int pos = pci_find_cap_offset(pdev->seg, pdev->bus, pdev->sbdf.dev,
                                           pdev->sbdf.fn, PCI_CAP_ID_MSI);
    struct msi_desc *entry;
    uint16_t control;
    bool maskable;

    if ( !pos )
        return -ENODEV;
    if ( !list_empty(&pdev->msi_list) )
        return -EEXIST;

    control = pci_conf_read16(pdev->sbdf, msi_control_reg(pos));
    maskable = is_mask_bit_support(control);
    if ( r->entry ||
         (r->flags & (maskable ? LU_PIRQ_F_ENABLE | LU_PIRQ_F_INTX
                               : LU_PIRQ_F_MASKED)) )
        return -EINVAL;

    entry = alloc_msi_entry(1);
    if ( !entry )
        return -ENOMEM;

    entry->msi_attrib.type = PCI_CAP_ID_MSI;
    entry->msi_attrib.pos = pos;
    entry->msi_attrib.maskbit = maskable;
    entry->msi_attrib.is_64 = is_64bit_address(control);
    entry->msi_attrib.entry_nr = 0;
    entry->msi.nvec = 1;
    entry->dev = pdev;
    entry->irq = irq;

    if ( maskable )
    {
        uint32_t bits;

        entry->msi.mpos = msi_mask_bits_reg(pos, is_64bit_address(control));
        entry->msi_attrib.host_masked = 1;
        entry->msi_attrib.guest_masked = !!(r->flags & LU_PIRQ_F_MASKED);

        bits = pci_conf_read32(pdev->sbdf, entry->msi.mpos);
        bits |= ~0U >> (32 - pdev->msi_maxvec);
        pci_conf_write32(pdev->sbdf, entry->msi.mpos, bits);
    }
    else
    {
        entry->msi.mpos = 0;
        entry->msi_attrib.host_masked = !!(r->flags & LU_PIRQ_F_ENABLE);
        entry->msi_attrib.guest_masked = !!(r->flags & LU_PIRQ_F_INTX);
        /* One that was not bound has not been stopped by the old Xen. */
        stop_msi(entry);
    }

    list_add_tail(&entry->list, &pdev->msi_list);
    *out = entry;

    return 0;
}

static int restore_msix_entry(struct pci_dev *pdev, int irq,
                              const struct lu_pirq_rec *r,
                              struct msi_desc **out)
{
    struct arch_msix *msix = pdev->msix;
    struct msi_desc *entry;
    paddr_t table, addr;
    unsigned int pos;
    uint32_t offset;
    int idx;

    if ( !msix )
        return -ENODEV;
    if ( r->entry >= msix->nr_entries || !msix->table.first ||
         (r->flags & (LU_PIRQ_F_ENABLE | LU_PIRQ_F_INTX)) )
        return -EINVAL;

    list_for_each_entry ( entry, &pdev->msi_list, list )
        if ( entry->msi_attrib.type != PCI_CAP_ID_MSIX ||
             entry->msi_attrib.entry_nr == r->entry )
            return -EEXIST;

    /* Its table would not be there to be written. */
    if ( !memory_decoded(pdev) )
        return -ENXIO;

    pos = pci_find_cap_offset(pdev->seg, pdev->bus, pdev->sbdf.dev,
                              pdev->sbdf.fn, PCI_CAP_ID_MSIX);
    offset = pci_conf_read32(pdev->sbdf, msix_table_offset_reg(pos));
    table = pfn_to_paddr(msix->table.first) +
            PAGE_OFFSET(offset & ~PCI_MSIX_BIRMASK);
    addr = table + r->entry * PCI_MSIX_ENTRY_SIZE;

    entry = alloc_msi_entry(1);
    if ( !entry )
        return -ENOMEM;

    idx = msix_get_fixmap(msix, table, addr);
    if ( idx < 0 )
    {
        xfree(entry);
        return idx;
    }

    entry->msi_attrib.type = PCI_CAP_ID_MSIX;
    entry->msi_attrib.pos = pos;
    entry->msi_attrib.maskbit = 1;
    entry->msi_attrib.is_64 = 1;
    entry->msi_attrib.entry_nr = r->entry;
    entry->msi_attrib.host_masked = 1;
    entry->msi_attrib.guest_masked = !!(r->flags & LU_PIRQ_F_MASKED);
    entry->mask_base = fix_to_virt(idx) + PAGE_OFFSET(addr);
    entry->dev = pdev;
    entry->irq = irq;

    /*
     * With MSI-X off (its owner has mapped it and not come to enable it yet) a
     * write may be ignored, but then startup and setup see to the mask.
     */
    writel(1, entry->mask_base + PCI_MSIX_ENTRY_VECTOR_CTRL_OFFSET);

    list_add_tail(&entry->list, &pdev->msi_list);
    *out = entry;

    return 0;
}

int lu_msi_restore(struct pci_dev *pdev, int irq, const struct lu_pirq_rec *r,
                   struct msi_desc **entry)
{
    ASSERT(pcidevs_locked());

    /* As dom0 cannot map any then, there is none to be restored. */
    if ( !use_msi )
        return -EPERM;

    return r->type == LU_PIRQ_TYPE_MSIX
           ? restore_msix_entry(pdev, irq, r, entry)
           : restore_msi(pdev, irq, r, entry);
}

/* ---- MSI-X state of a device -------------------------------------------- */

void lu_msix_save(const struct pci_dev *pdev, struct lu_pci_dev_rec *r)
{
    const struct arch_msix *msix = pdev->msix;

    r->msix_warned = DOMID_INVALID;
    if ( !msix )
        return;

    r->flags |= LU_PCI_F_MSIX | (msix->host_maskall ? LU_PCI_F_MSIX_HOST : 0) |
                (msix->guest_maskall ? LU_PCI_F_MSIX_GUEST : 0);
    r->msix_warned = msix->warned;
    r->msix_used = msix->used_entries;
    if ( !msix->used_entries )
        return;

    r->msix_table_first = msix->table.first;
    r->msix_table_last = msix->table.last;
    r->msix_pba_first = msix->pba.first;
    r->msix_pba_last = msix->pba.last;
}

/* Where the device has the structure that `offset` (a register) points to. */
static paddr_t msix_paddr(const struct pci_dev *pdev, uint32_t offset)
{
    uint8_t bus = pdev->bus, devfn = pdev->devfn;
    paddr_t bar;

    if ( pdev->info.is_virtfn )
    {
        bus = pdev->info.physfn.bus;
        devfn = pdev->info.physfn.devfn;
    }

    bar = read_pci_mem_bar(pdev->seg, bus, PCI_SLOT(devfn), PCI_FUNC(devfn),
                           offset & PCI_MSIX_BIRMASK,
                           pdev->info.is_virtfn ? pdev->sbdf.bdf : -1);

    return bar ? bar + (offset & ~PCI_MSIX_BIRMASK) : 0;
}

/*
 * Pages of a structure of at most `size` bytes: where the device says that it
 * is, if that can be found out (a virtual function's may not), and in no case
 * RAM.
 */
static bool range_ok(const struct pci_dev *pdev, unsigned int reg,
                     uint64_t first, uint64_t last, size_t size)
{
    paddr_t addr = msix_paddr(pdev, pci_conf_read32(pdev->sbdf, reg));
    uint64_t mfn;

    if ( !first || first > last || last >= 1UL << (paddr_bits - PAGE_SHIFT) ||
         last - first > PFN_UP(size) )
        return false;

    if ( addr && (first != PFN_DOWN(addr) || last > PFN_DOWN(addr + size - 1)) )
        return false;

    for ( mfn = first; mfn <= last; mfn++ )
        if ( page_is_ram_type(mfn, RAM_TYPE_CONVENTIONAL) )
            return false;

    return true;
}

bool lu_msix_valid(const struct pci_dev *pdev, const struct lu_pci_dev_rec *r)
{
    const struct arch_msix *msix = pdev->msix;
    unsigned int pos;

    if ( !msix || !r->msix_used )
        return !r->msix_used && !r->msix_table_first && !r->msix_table_last &&
               !r->msix_pba_first && !r->msix_pba_last;

    pos = pci_find_cap_offset(pdev->seg, pdev->bus, pdev->sbdf.dev,
                              pdev->sbdf.fn, PCI_CAP_ID_MSIX);

    return pos && r->msix_used <= msix->nr_entries + 1 &&
           range_ok(pdev, msix_table_offset_reg(pos),
                    r->msix_table_first, r->msix_table_last,
                    msix->nr_entries * PCI_MSIX_ENTRY_SIZE) &&
           range_ok(pdev, msix_pba_offset_reg(pos),
                    r->msix_pba_first, r->msix_pba_last,
                    DIV_ROUND_UP(msix->nr_entries, 64) * 8);
}

int lu_msix_restore(struct pci_dev *pdev, const struct lu_pci_dev_rec *r)
{
    struct arch_msix *msix = pdev->msix;

    ASSERT(pcidevs_locked());

    if ( !(r->flags & LU_PCI_F_MSIX) != !msix )
        return -ENODEV;
    if ( !msix )
        return 0;

    if ( !lu_msix_valid(pdev, r) )
        return -EINVAL;
    if ( msix->used_entries )
        return -EBUSY;

    msix->host_maskall = !!(r->flags & LU_PCI_F_MSIX_HOST);
    msix->guest_maskall = !!(r->flags & LU_PCI_F_MSIX_GUEST);
    msix->warned = r->msix_warned;
    if ( !r->msix_used )
        return 0;

    msix->table.first = r->msix_table_first;
    msix->table.last = r->msix_table_last;
    msix->pba.first = r->msix_pba_first;
    msix->pba.last = r->msix_pba_last;
    msix->used_entries = r->msix_used;

    return rangeset_add_range(mmio_ro_ranges, msix->table.first,
                              msix->table.last) ?:
           rangeset_add_range(mmio_ro_ranges, msix->pba.first, msix->pba.last);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI devices (at the end of drivers/passthrough/pci.c): which there are, what
 * dom0 told about them, whose they are.
 *
 * dom0 reports its devices once, when it finds them.  The new Xen takes them
 * from the stream in the order they were reported.  It reads their
 * configuration as for a report, but writes none of it: no BAR of a virtual
 * function is sized, no MSI-X capability is put into the state it should have
 * after reset.
 *
 * What can fail: a device of any domain but dom0, an IOMMU, MSI-X state that
 * the new Xen could not make sense of block the update.  In the new Xen a
 * record that does not fit the device, or a device that this Xen keeps for
 * itself and the old one did not, fails the restore.
 */
#include "../../../common/liveupdate/internal.h"
#include "irq.h"

#define ALL_FLAGS (LU_PCI_F_EXTFN | LU_PCI_F_VIRTFN | LU_PCI_F_QUARANTINE | \
                   LU_PCI_F_BROKEN | LU_PCI_F_MSIX | LU_PCI_F_MSIX_HOST | \
                   LU_PCI_F_MSIX_GUEST)

/* Proximity domains are the firmware's, and small numbers with all of them. */
#define MAX_PXM 1024U

static uint32_t node_pxm(nodeid_t node)
{
    uint32_t pxm;

    if ( node != NUMA_NO_NODE )
        for ( pxm = 0; pxm < MAX_PXM; pxm++ )
            if ( pxm_to_node(pxm) == node )
                return pxm;

    return LU_PXM_NONE;
}

/*
 * The list is safe without its lock once nothing else runs, and the lock is
 * not one to be taken with IRQs off.
 */
static int walk_devices(int (*fn)(struct pci_seg *pseg, void *arg), void *arg)
{
    const bool lock = local_irq_is_enabled();
    int rc;

    if ( lock )
        pcidevs_lock();
    rc = pci_segments_iterate(fn, arg);
    if ( lock )
        pcidevs_unlock();

    return rc;
}

static void fill_device(const struct pci_dev *pdev, struct lu_pci_dev_rec *r)
{
    unsigned int i;

    *r = (struct lu_pci_dev_rec){
        .id = lu_id(&lu_kind_pci, NULL, pdev->sbdf.sbdf),
        .flags = (pdev->info.is_extfn ? LU_PCI_F_EXTFN : 0) |
                 (pdev->info.is_virtfn ? LU_PCI_F_VIRTFN : 0) |
                 (pdev->quarantine ? LU_PCI_F_QUARANTINE : 0) |
                 (pdev->broken ? LU_PCI_F_BROKEN : 0),
        .owner = pdev->domain ? pdev->domain->domain_id : DOMID_INVALID,
        .physfn = pdev->info.is_virtfn ? (pdev->info.physfn.bus << 8) |
                                         pdev->info.physfn.devfn
                                       : 0,
        .pxm = node_pxm(pdev->node),
        .msix_warned = DOMID_INVALID,
    };

    BUILD_BUG_ON(ARRAY_SIZE(r->vf_bar_size) != ARRAY_SIZE(pdev->vf_rlen));
    for ( i = 0; i < ARRAY_SIZE(r->vf_bar_size); i++ )
        r->vf_bar_size[i] = pdev->vf_rlen[i];

    /* What Xen hides it also drives; the next Xen does so by itself. */
    if ( pdev->domain != dom_xen )
        lu_msix_save(pdev, r);
}

/* ---- Blockers ----------------------------------------------------------- */

static int cf_check check_segment(struct pci_seg *pseg, void *arg)
{
    const struct pci_dev *pdev;
    int *first = arg;

    list_for_each_entry ( pdev, &pseg->alldevs_list, alldevs_list )
    {
        const struct domain *d = pdev->domain;
        struct lu_pci_dev_rec r;
        int rc = 0;

        fill_device(pdev, &r);

        if ( d && d != dom_xen && d != dom_io && !is_hardware_domain(d) )
            rc = lu_blocker(-EOPNOTSUPP, d,
                            "device %pp is assigned to it, detach it",
                            &pdev->sbdf);
        else if ( d != dom_xen && !lu_msix_valid(pdev, &r) )
            rc = lu_blocker(-EOPNOTSUPP, d,
                            "device %pp: its MSI-X tables are not where its BARs are",
                            &pdev->sbdf);
        *first = *first ?: rc;
    }

    /* All of them are reported, so go on. */
    return 0;
}

static int cf_check check_pci(const struct domain *d)
{
    int first = 0;

    if ( iommu_enabled )
        first = lu_blocker(-EOPNOTSUPP, NULL,
                           "an IOMMU is in use (boot with iommu=0)");

    walk_devices(check_segment, &first);

    return first;
}

/* ---- Save --------------------------------------------------------------- */

static int cf_check save_segment(struct pci_seg *pseg, void *arg)
{
    const struct pci_dev *pdev;
    int rc = 0;

    /* New ones go to the head of the list. */
    list_for_each_entry_reverse ( pdev, &pseg->alldevs_list, alldevs_list )
    {
        struct lu_pci_dev_rec r;

        fill_device(pdev, &r);
        rc = lu_rec_write(arg, LU_REC_PCI_DEV, &r, sizeof(r));
        if ( rc )
            break;
    }

    return rc;
}

static int cf_check save_pci(struct lu_stream *s, struct domain *d)
{
    return walk_devices(save_segment, s);
}

/* ---- Restore ------------------------------------------------------------ */

static int check_record(const struct lu_pci_dev_rec *r)
{
    unsigned int i, reserved = 0;

    for ( i = 0; i < ARRAY_SIZE(r->reserved); i++ )
        reserved |= r->reserved[i];

    for ( i = 0; i < ARRAY_SIZE(r->vf_bar_size); i++ )
        if ( (r->vf_bar_size[i] & (r->vf_bar_size[i] - 1)) ||
             (r->vf_bar_size[i] && (r->flags & LU_PCI_F_VIRTFN)) )
            return -EINVAL;

    /* Without MSI-X its fields say nothing; with it lu_msix_restore() looks. */
    if ( !(r->flags & LU_PCI_F_MSIX) &&
         ((r->flags & (LU_PCI_F_MSIX_HOST | LU_PCI_F_MSIX_GUEST)) ||
          r->msix_used || r->msix_table_first || r->msix_table_last ||
          r->msix_pba_first || r->msix_pba_last ||
          r->msix_warned != DOMID_INVALID) )
        return -EINVAL;

    return reserved || (r->flags & ~ALL_FLAGS) ||
           (r->pxm >= MAX_PXM && r->pxm != LU_PXM_NONE) ||
           (!(r->flags & LU_PCI_F_VIRTFN) && r->physfn) ? -EINVAL : 0;
}

static struct domain *find_owner(uint16_t domid)
{
    switch ( domid )
    {
    case DOMID_XEN:
        return dom_xen;

    case DOMID_IO:
        return dom_io;
    }

    return lu_domain(domid);
}

static int restore_device(pci_sbdf_t sbdf, const struct lu_pci_dev_rec *r)
{
    struct pci_seg *pseg = alloc_pseg(sbdf.seg);
    struct pci_dev *pdev = pseg ? alloc_pdev(pseg, sbdf.bus, sbdf.devfn) : NULL;
    struct domain *owner = NULL;
    unsigned int i;

    if ( !pdev )
        return -ENOMEM;

    pdev->info.is_extfn = !!(r->flags & LU_PCI_F_EXTFN);
    pdev->info.is_virtfn = !!(r->flags & LU_PCI_F_VIRTFN);
    pdev->info.physfn.bus = r->physfn >> 8;
    pdev->info.physfn.devfn = r->physfn;
    pdev->quarantine = !!(r->flags & LU_PCI_F_QUARANTINE);
    pdev->broken = !!(r->flags & LU_PCI_F_BROKEN);
    pdev->node = r->pxm < MAX_PXM ? pxm_to_node(r->pxm) : NUMA_NO_NODE;
    for ( i = 0; i < ARRAY_SIZE(pdev->vf_rlen); i++ )
        pdev->vf_rlen[i] = r->vf_bar_size[i];

    if ( r->owner != DOMID_INVALID )
    {
        owner = find_owner(r->owner);
        if ( !owner )
            return -ESRCH;
    }

    /* This Xen has only those that it hides: any other came of this stream. */
    if ( pdev->domain )
        return pdev->domain != owner ? -EBUSY : owner != dom_xen ? -EEXIST : 0;
    if ( !owner )
        return 0;

    pdev->domain = owner;
    list_add(&pdev->domain_list, &owner->pdev_list);

    return owner == dom_xen ? 0 : lu_msix_restore(pdev, r);
}

static int cf_check restore_pci(const struct lu_stream *s,
                                const struct lu_rec *rec, struct domain *d)
{
    const pci_sbdf_t sbdf = { .sbdf = rec->id.instance };
    struct lu_pci_dev_rec r = { };
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r)) ?: check_record(&r);

    if ( !rc )
    {
        pcidevs_lock();
        rc = restore_device(sbdf, &r);
        pcidevs_unlock();
    }

    return rc ? lu_error(rc, NULL, "PCI_DEV %pp: flags %#x, owner %u", &sbdf,
                         r.flags, r.owner)
              : 0;
}

const struct lu_kind lu_kind_pci = {
    .name = "PCI_DEV",
    .type = LU_REC_PCI_DEV,
    .size = sizeof(struct lu_pci_dev_rec),
    .number = LU_EACH,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_WIRE,
    .check = check_pci,
    .save = save_pci,
    .restore = restore_pci,
};

#undef ALL_FLAGS
#undef MAX_PXM

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Areas of extended PCI configuration space (MMCFG).
 *
 * The new Xen finds the areas in ACPI's MCFG as the old one did, and uses
 * those that the E820 has reserved.  The others need dom0's word that they are
 * reserved (PHYSDEVOP_pci_mmcfg_reserved), which it gives once: it is carried.
 * That comes before any device is looked at, and before domains' page tables
 * are validated, which need the area's slot of the page tables and its
 * read-only ranges.
 *
 * What can fail: in the new Xen an area in use that it does not find fails the
 * restore, as the devices there would be out of reach.
 */
#include <xen/acpi.h>
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/pci.h>
#include <public/physdev.h>

#include "../../../common/liveupdate/internal.h"
#include "../x86_64/mmconfig.h"

static bool in_use(uint64_t address, unsigned int start_bus)
{
    unsigned int seg, bdf;

    return pci_mmcfg_decode(PFN_DOWN(address) + PCI_BDF(start_bus, 0, 0),
                            &seg, &bdf);
}

static int cf_check save_mmcfg(struct lu_stream *s, struct domain *d)
{
    struct lu_mmcfg_rec head = {
        .id = lu_id(&lu_kind_mmcfg, NULL, 0),
        .nr = pci_mmcfg_config_num,
    };
    unsigned int i;
    int rc = lu_rec_begin(s, LU_REC_MMCFG) ?:
             lu_rec_put(s, &head, sizeof(head));

    for ( i = 0; i < head.nr && !rc; i++ )
    {
        const struct acpi_mcfg_allocation *cfg = &pci_mmcfg_config[i];
        struct lu_mmcfg_area_rec a = {
            .address = cfg->address,
            .segment = cfg->pci_segment,
            .start_bus = cfg->start_bus_number,
            .end_bus = cfg->end_bus_number,
            .in_use = in_use(cfg->address, cfg->start_bus_number),
        };

        rc = lu_rec_put(s, &a, sizeof(a));
    }

    return rc ?: lu_rec_end(s);
}

static int cf_check restore_mmcfg(const struct lu_stream *s,
                                  const struct lu_rec *rec, struct domain *d)
{
    struct lu_mmcfg_rec head;
    unsigned int i;
    int rc = lu_rec_read(s, rec, 0, &head, sizeof(head));

    if ( rc )
        return rc;

    if ( head.reserved ||
         !lu_array_fits(rec, sizeof(head), sizeof(struct lu_mmcfg_area_rec),
                        head.nr) )
        return lu_error(-EINVAL, NULL, "MMCFG: malformed");

    for ( i = 0; i < head.nr; i++ )
    {
        struct lu_mmcfg_area_rec a;

        rc = lu_rec_read(s, rec, sizeof(head) + i * sizeof(a), &a, sizeof(a));
        if ( rc )
            return rc;

        if ( a.in_use > 1 || a.start_bus > a.end_bus )
            return lu_error(-EINVAL, NULL, "MMCFG: area %u: malformed", i);

        if ( a.in_use == in_use(a.address, a.start_bus) )
            continue;

        rc = pci_mmcfg_reserved(a.address, a.segment, a.start_bus, a.end_bus,
                                a.in_use ? XEN_PCI_MMCFG_RESERVED : 0);
        if ( rc )
            return lu_error(rc, NULL, "MMCFG: %#lx segment %04x bus %02x-%02x",
                            a.address, a.segment, a.start_bus, a.end_bus);
    }

    return 0;
}

const struct lu_kind lu_kind_mmcfg = {
    .name = "MMCFG",
    .type = LU_REC_MMCFG,
    .size = sizeof(struct lu_mmcfg_rec),
    .array = { LU_ARRAY(lu_mmcfg_rec, nr, struct lu_mmcfg_area_rec) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_HOST,
    .save = save_mmcfg,
    .restore = restore_mmcfg,
};

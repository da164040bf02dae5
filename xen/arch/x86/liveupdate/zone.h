/* SPDX-License-Identifier: GPL-2.0-only */
/* Geometry of the live update zone; see zone.c. */
#ifndef LU_ZONE_H
#define LU_ZONE_H

#include <xen/sizes.h>
#include <xen/types.h>

#define LU_ZONE_MIN   MB(16)    /* clear of low memory and of the link address */
#define LU_SLOT_SIZE  MB(16)    /* xen.lds.S asserts that an image fits */
#define LU_SLOT_NONE  2U

struct lu_zone {
    paddr_t start;              /* of the region; 0: no zone, feature off */
    uint64_t region_size;       /* bytes */
    unsigned int slot;          /* this Xen's: 0, 1 or LU_SLOT_NONE */
};

extern struct lu_zone lu_zone;

static inline paddr_t lu_slot_start(unsigned int slot)
{
    return lu_zone.start + lu_zone.region_size + slot * LU_SLOT_SIZE;
}

static inline paddr_t lu_zone_end(void)
{
    return lu_slot_start(2);
}

/* The slot that the running Xen is not in. */
static inline unsigned int lu_free_slot(void)
{
    return lu_zone.slot == 0 ? 1 : 0;
}

/* From the command line, before the zone is judged: is there an address? */
bool lu_zone_at(paddr_t *addr);

#endif /* LU_ZONE_H */

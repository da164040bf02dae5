/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The grants that each micro-guest makes for the other (grants.c), known to that one
 * by their number (maps.c): NR of each kind, all over the frames of the table.
 */
#ifndef MICRO_GRANTS_H
#define MICRO_GRANTS_H

#include "micro.h"

enum kind {
    G_RW,                       /* mapped */
    G_RO,                       /* granted read-only, mapped read-only */
    G_TWICE,                    /* mapped twice, by two vCPUs */
    G_GONE,                     /* mapped; the owner may give the page away */
    G_REPLACE,                  /* unmapped by GNTTABOP_unmap_and_replace */
    G_PTE,                      /* mapped by naming the page table entry */
    G_DEVICE,                   /* mapped for devices only */
    G_LATE,                     /* not mapped before the update */
    G_COPY,                     /* copied from and to */
    G_SUB,                      /* version 2: a part of a page */
    G_TRANS,                    /* version 2: a G_COPY of the peer, handed on */
    G_MOVE,                     /* a page that the peer gives (GNTTABOP_transfer) */
    G_KINDS
};

#define NR_EACH 12
#define NR_FRAMES 12
#define SUB_OFFSET 512
#define SUB_LENGTH 1024

#define ref_of(kind, i) (8 + (kind) + 16 * (i) * 15)

static inline uint64_t pattern(unsigned int domid, unsigned int ref,
                               unsigned int word)
{
    return 0x0001000100010001UL * domid + ((uint64_t)ref << 32) + word + 1;
}

/* What a mapper writes into the second word of what it may write. */
static inline uint64_t reply(unsigned int domid, unsigned int ref)
{
    return ~pattern(domid, ref, 1);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Room for the next Xen: what its boot allocator will have, and whether its
 * frame table fits.
 *
 * The boot allocator's table holds 256 ranges, so a Xen that is updated to feeds
 * it the largest free ones only, counted in 2 MiB pages, which is what the frame
 * table is made of.  The old Xen collects the same ranges during its dry save
 * and goes through the same allocations on paper: alignment, 1 GiB pages where
 * init_frametable_chunk() (arch/x86/mm.c) would take them, highest range first
 * as alloc_boot_pages() (common/page_alloc.c) does.
 *
 * What can fail: there is no room, or not in large enough pieces.  The update is
 * refused with the size that is missing; in the new Xen it would be a BUG().
 */
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/pdx.h>
#include <xen/pfn.h>
#include <xen/smp.h>

#include <asm/cpufeature.h>
#include <asm/e820.h>
#include <asm/page.h>

#include "../../../common/liveupdate/internal.h"

static unsigned long big_pages(unsigned long s, unsigned long e)
{
    s = ROUNDUP(s, 1UL << PAGETABLE_ORDER) >> PAGETABLE_ORDER;
    e >>= PAGETABLE_ORDER;

    return e > s ? e - s : 0;
}

void lu_room_add(struct lu_room *room, unsigned long s, unsigned long e)
{
    unsigned int i, smallest = 0;
    unsigned long size = big_pages(s, e);

    if ( s >= e )
        return;
    room->pages += e - s;

    /* Boot memory is used through the directmap. */
    if ( e > PFN_DOWN(__pa(HYPERVISOR_VIRT_END - 1)) )
        return;

    if ( room->nr < LU_ROOM_RANGES )
    {
        room->range[room->nr++] = (struct lu_room_range){ s, e };
        return;
    }

    for ( i = 1; i < room->nr; i++ )
        if ( big_pages(room->range[i].s, room->range[i].e) <
             big_pages(room->range[smallest].s, room->range[smallest].e) )
            smallest = i;

    if ( size > big_pages(room->range[smallest].s, room->range[smallest].e) )
        room->range[smallest] = (struct lu_room_range){ s, e };
}

/* ---- On paper -------------------------------------------------------------- */

/* As the boot allocator: the highest place; splits a range in two. */
static bool take(struct lu_room *room, unsigned long nr)
{
    struct lu_room_range *best = NULL;
    unsigned long at = 0;
    unsigned int i;

    for ( i = 0; i < room->nr; i++ )
    {
        struct lu_room_range *r = &room->range[i];
        unsigned long p = (r->e - nr) & ~(nr - 1);

        if ( r->e >= nr && p >= r->s && (!best || p > at) )
        {
            best = r;
            at = p;
        }
    }

    if ( !best )
        return false;

    if ( at + nr < best->e && room->nr < ARRAY_SIZE(room->range) )
        room->range[room->nr++] = (struct lu_room_range){ at + nr, best->e };
    best->e = at;

    return true;
}

/* Bytes that do not fit, of a frame table from byte `s` to `e`. */
static uint64_t place_chunk(struct lu_room *room, uint64_t s, uint64_t e)
{
    uint64_t missing = 0;

    while ( s < e )
    {
        unsigned int shift = cpu_has_page1gb && !(s & (GB(1) - 1)) &&
                             s + GB(1) <= e + 4 * PAGE_SIZE
                             ? L3_PAGETABLE_SHIFT : L2_PAGETABLE_SHIFT;

        if ( !take(room, 1UL << (shift - PAGE_SHIFT)) )
            missing += 1UL << shift;
        s += 1UL << shift;
    }

    return missing;
}

/*
 * `page_info_size` is the next Xen's.  Uses the room up.  The frame table comes
 * in runs of groups of pages that hold RAM (common/pdx.c).
 */
int lu_room_check(struct lu_room *room, unsigned int page_info_size)
{
    unsigned long group = (1UL << L2_PAGETABLE_SHIFT) /
                          (page_info_size & -page_info_size);
    unsigned long first = 0, last = 0, free = room->pages;
    /* Besides: stacks and areas of CPUs, heap metadata, domains. */
    unsigned long spare = PFN_UP(MB(32)) + num_present_cpus() * 32UL;
    uint64_t missing = 0, total = 0;
    bool run = false;
    unsigned int i;

    for ( i = 0; i <= e820.nr_map; i++ )
    {
        unsigned long s = 0, e = 0;

        if ( i < e820.nr_map )
        {
            if ( e820.map[i].type != E820_RAM || !e820.map[i].size )
                continue;
            s = pfn_to_pdx(PFN_DOWN(e820.map[i].addr)) / group;
            e = pfn_to_pdx(PFN_UP(e820.map[i].addr + e820.map[i].size) - 1) /
                group + 1;
            if ( run && s <= last )
            {
                last = max(last, e);
                continue;
            }
        }

        if ( run )
        {
            total += (last - first) * group * page_info_size;
            missing += place_chunk(room, first * group * page_info_size,
                                   last * group * page_info_size);
        }
        first = s;
        last = e;
        run = true;
    }

    if ( missing )
        return lu_error(-ENOMEM, NULL,
                        "room: %lu KiB of the %lu KiB of the new Xen's frame table are missing",
                        missing >> 10, total >> 10);

    if ( free < PFN_UP(total) + spare )
        return lu_error(-ENOMEM, NULL,
                        "room: the new Xen needs %lu KiB, free or private are %lu KiB",
                        (PFN_UP(total) + spare) << (PAGE_SHIFT - 10),
                        free << (PAGE_SHIFT - 10));

    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The live update zone: the memory set aside for ever for updates.
 *
 *     start                 start + size         + 16M            + 32M
 *       | breadcrumb page, | slot A             | slot B           |
 *       | purgatory,       | one Xen image      | the other one    |
 *       | multiboot info   | and its boot pages |                  |
 *
 * The running Xen lives in one slot (or, until the first update, where the boot
 * loader put it), the next one is loaded into the other: nothing that runs or
 * that a guest owns is ever overwritten by an image.
 *
 * `liveupdate=<size>` asks for a zone, which is placed as high as possible below
 * 4 GiB.  `liveupdate=<size>@<addr>`, appended by kexec-tools, tells a Xen that
 * is being updated to where its predecessor keeps it; the last occurrence wins.
 * The zone stays RAM in `e820`, since kexec-tools only places images in RAM,
 * but leaves `boot_e820`, and so never reaches any allocator.
 *
 * Nonsense in the option, or no room, costs the feature and not the boot: a
 * warning, and the host comes up without live update.
 */
#include <xen/init.h>
#include <xen/kexec.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/multiboot.h>
#include <xen/param.h>
#include <xen/pdx.h>
#include <xen/pfn.h>

#include <asm/liveupdate.h>
#include <asm/page.h>
#include <asm/setup.h>

#include <public/liveupdate.h>

#include "zone.h"

struct lu_zone __ro_after_init lu_zone;

/* The option as given; judged in lu_zone_reserve(), where printk works. */
static __initdata uint64_t opt_size;
static __initdata paddr_t opt_addr;
static __initdata bool opt_given, opt_at, opt_bad;

static int __init cf_check parse_liveupdate(const char *s)
{
    const char *end;

    opt_given = true;
    opt_at = opt_bad = false;
    opt_addr = 0;
    opt_size = parse_size_and_unit(s, &end);

    if ( *end == '@' )
    {
        opt_at = true;
        opt_addr = simple_strtoull(end + 1, &end, 0);
    }
    opt_bad = *end || end == s;

    return opt_bad ? -EINVAL : 0;
}
custom_param("liveupdate", parse_liveupdate);

bool __init lu_zone_at(paddr_t *addr)
{
    *addr = opt_addr;

    return opt_at && !opt_bad;
}

static bool __init overlaps_module(paddr_t s, paddr_t e, const module_t *mod,
                                   unsigned int nr, paddr_t *below)
{
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        paddr_t ms = pfn_to_paddr(mod[i].mod_start);

        if ( s < ms + PAGE_ALIGN(mod[i].mod_end) && ms < e )
        {
            *below = ms;
            return true;
        }
    }

    return false;
}

/* Highest 2 MiB aligned place for `len` bytes of boot RAM below 4 GiB, or 0. */
static paddr_t __init find_room(const struct e820map *map, uint64_t len,
                                const module_t *mod, unsigned int nr_mods)
{
    int i;

    for ( i = map->nr_map - 1; i >= 0; i-- )
    {
        paddr_t s = max_t(paddr_t, ROUNDUP(map->map[i].addr, MB(2)),
                          LU_ZONE_MIN);
        paddr_t e = min_t(paddr_t, map->map[i].addr + map->map[i].size, GB(4));

        if ( map->map[i].type != E820_RAM )
            continue;

        for ( e &= ~(MB(2) - 1); e > s && e - s >= len; )
        {
            paddr_t below;

            if ( !overlaps_module(e - len, e, mod, nr_mods, &below) )
                return e - len;
            e = below & ~(MB(2) - 1);
        }
    }

    return 0;
}

void __init lu_zone_reserve(struct e820map *map, const module_t *mod,
                            unsigned int nr_mods)
{
    const char *why;
    paddr_t addr = opt_addr;
    uint64_t len;

    if ( !opt_given )
        return;

    why = "not <size> or <size>@<address>";
    if ( opt_bad )
        goto off;

    why = "the size is below 4M";
    if ( opt_size < MB(4) )
        goto off;

    why = "the size is above 1G";
    if ( opt_size > GB(1) )
        goto off;

    why = "the size is no multiple of 2M";
    if ( opt_size & (MB(2) - 1) )
        goto off;

    len = opt_size + 2 * LU_SLOT_SIZE;

    if ( opt_at )
    {
        why = "the address is no multiple of 2M";
        if ( addr & (MB(2) - 1) )
            goto off;
        why = "the address is below 16M";
        if ( addr < LU_ZONE_MIN )
            goto off;
        why = "the address is above 4G";
        if ( addr > GB(4) || len > GB(4) - addr )
            goto off;
    }
    else
    {
        why = "no such room in RAM below 4G";
        addr = find_room(map, len, mod, nr_mods);
        if ( !addr )
            goto off;
    }

    why = "it is not all RAM";
    if ( !reserve_e820_ram(map, addr, addr + len) )
        goto off;

    lu_zone.start = addr;
    lu_zone.region_size = opt_size;
    lu_zone.slot = LU_SLOT_NONE;
    if ( xen_phys_start &&
         __pa(_start) >= lu_slot_start(0) && __pa(_start) < lu_zone_end() )
        lu_zone.slot = (__pa(_start) - lu_slot_start(0)) / LU_SLOT_SIZE;

    printk(XENLOG_INFO
           "live-update: region %#lx+%luM, slots %#lx and %#lx, Xen in %s\n",
           lu_zone.start, lu_zone.region_size >> 20, lu_slot_start(0),
           lu_slot_start(1), lu_zone.slot == LU_SLOT_NONE
                             ? "neither" : lu_zone.slot ? "B" : "A");
    return;

 off:
    if ( lu_booting )
        panic("live-update: liveupdate= of the new Xen: %s\n", why);
    printk(XENLOG_WARNING
           "live-update: disabled: liveupdate=: %s\n", why);
}

/*
 * The RAM walk of __start_xen skips what is not in boot_e820, so the zone is
 * mapped here.  2 MiB aligned below 4 GiB: no page table has to be allocated.
 */
void __init lu_zone_map(void)
{
    paddr_t s = lu_zone.start, e = lu_zone_end();

    if ( !s )
        return;

    set_pdx_range(PFN_DOWN(s), PFN_DOWN(e));
    map_pages_to_xen((unsigned long)__va(s), maddr_to_mfn(s), PFN_DOWN(e - s),
                     PAGE_HYPERVISOR);

    /* One that a reset left behind: no later update may take it for its own. */
    if ( !lu_booting )
        clear_page(__va(s));
}

bool lu_enabled(void)
{
    return lu_zone.start;
}

/* Of the page frame: does it belong to the zone? Any context. */
bool lu_zone_mfn(unsigned long mfn)
{
    paddr_t ma = pfn_to_paddr(mfn);

    return lu_zone.start && ma >= lu_zone.start && ma < lu_zone_end();
}

/* .init of an image in a slot is part of the slot and never freed. */
bool lu_keeps_init(void)
{
    return lu_zone.start && lu_zone.slot != LU_SLOT_NONE;
}

/*
 * KEXEC_RANGE_MA_LIVEUPDATE; -ENODEV without a zone.  That is where kexec-tools
 * give up, without a word on the reason.
 */
int lu_kexec_region(xen_kexec_range_t *range)
{
    if ( !lu_zone.start )
    {
        printk(XENLOG_G_WARNING
               "live-update: no memory was set aside: boot Xen with liveupdate=<size> (%d)\n",
               -ENODEV);
        return -ENODEV;
    }

    range->start = lu_zone.start;
    range->size = lu_zone.region_size;

    return 0;
}

/*
 * KEXEC_RANGE_MA_XEN: with a zone, the slot that the next image has to go to;
 * only multiboot2 loading of a Xen asks for it.
 */
bool lu_kexec_xen(xen_kexec_range_t *range)
{
    if ( !lu_zone.start )
        return false;

    range->start = lu_slot_start(lu_free_slot());
    range->size = LU_SLOT_SIZE;

    return true;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Early boot of a Xen that is being updated to.
 *
 * Happy path, in the order __start_xen() calls it:
 *   lu_boot_detect()       command line and breadcrumb say: this is an update
 *   lu_zone_reserve/map()  the zone is where the old Xen had it (zone.c)
 *   lu_boot_memory()       the boot allocator gets the tail of our own slot, and
 *                          nothing else, so that RAM can be mapped
 *   lu_boot_parse()        the stream is checked, its MEMORY record read, and
 *                          what no extent covers goes to the boot allocator
 *   lu_boot_heap()         ... and the rest of it waits to join the heap, as
 *                          does what the boot allocator leaves (heap.c)
 * A page that is not handed out keeps its zeroed page_info, which means "in use,
 * owned by nobody": claiming guest memory is not freeing it.
 *
 * What can fail: without a breadcrumb, or with a stale one, this is an ordinary
 * boot.  From a valid breadcrumb on there is no way back: damage is a panic that
 * names what did not match, before any page is touched.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/multiboot.h>
#include <xen/param.h>
#include <xen/xxhash.h>

#include <asm/e820.h>
#include <asm/liveupdate.h>
#include <asm/page.h>
#include <asm/setup.h>

#include "../../../common/liveupdate/internal.h"
#include "zone.h"

bool __read_mostly lu_booting;

static struct lu_crumb_rec __initdata crumb;
static struct lu_stream boot_stream;
static const uint64_t *stream_mfns;

static void *cf_check stream_page(void *ctx, uint32_t idx)
{
    const uint64_t *mfns = ctx;

    return maddr_to_virt(pfn_to_paddr(mfns[idx]));
}

const struct lu_stream *lu_stream_boot(void)
{
    return boot_stream.page ? &boot_stream : NULL;
}

static uint64_t crumb_hash(struct lu_crumb_rec c)
{
    c.crc = 0;

    return xxh64(&c, sizeof(c), 0);
}

/*
 * Called right after the command line was parsed.  kexec-tools passes no
 * modules: the caller gets an empty, writable table, since __start_xen() writes
 * one entry behind the last module.
 */
module_t *__init lu_boot_detect(multiboot_info_t *mbi, module_t *mod,
                                const char *loader)
{
    static module_t __initdata no_modules[2];
    paddr_t addr;
    module_t page;
    struct lu_crumb_rec *c;

    if ( !lu_zone_at(&addr) || strncmp(loader, "kexec", 5) ||
         (addr & (PAGE_SIZE - 1)) || addr < LU_ZONE_MIN || addr >= GB(4) )
        return mod;

    page.mod_start = PFN_DOWN(addr);
    page.mod_end = PAGE_SIZE;
    c = bootstrap_map(&page);
    if ( !c )
        return mod;

    if ( c->magic == LU_CRUMB_MAGIC )
    {
        crumb = *c;
        lu_booting = true;
        lu_progress.start_tsc = rdtsc();
        lu_progress.saved_tsc = crumb.saved_tsc;
        /* Whatever happens now, nobody believes this breadcrumb again. */
        c->magic = 0;
    }
    bootstrap_map(NULL);

    if ( !lu_booting )
        return mod;

    if ( mbi->mods_count )
        return mod;

    mbi->flags |= MBI_MODULES;

    return no_modules;
}

/* After the console is up: what the breadcrumb says, or why it is refused. */
static void __init check_crumb(void)
{
    unsigned int i;

    if ( crumb.version != LU_CRUMB_VERSION || crumb.size != sizeof(crumb) )
        panic("live-update: breadcrumb: version %u, size %u; this Xen reads version %u, size %zu\n",
              crumb.version, crumb.size, LU_CRUMB_VERSION, sizeof(crumb));

    if ( crumb.crc != crumb_hash(crumb) )
        panic("live-update: breadcrumb: checksum %#lx, computed %#lx\n",
              crumb.crc, crumb_hash(crumb));

    for ( i = 0; i < ARRAY_SIZE(crumb.reserved); i++ )
        if ( crumb.reserved[i] )
            panic("live-update: breadcrumb: reserved field set\n");

    if ( crumb.region_start != lu_zone.start ||
         crumb.region_size != lu_zone.region_size ||
         crumb.slot_size != LU_SLOT_SIZE || crumb.slot != lu_zone.slot )
        panic("live-update: breadcrumb: region %#lx+%#lx slot %u+%#lx, but the command line says %#lx+%#lx and Xen is in slot %u+%#llx\n",
              crumb.region_start, crumb.region_size, crumb.slot,
              crumb.slot_size, lu_zone.start, lu_zone.region_size,
              lu_zone.slot, LU_SLOT_SIZE);
}

/* Before RAM is mapped: give the boot allocator the tail of our slot. */
void __init lu_boot_memory(void)
{
    if ( !lu_booting )
        return;

    check_crumb();
    init_boot_pages(ROUNDUP(__pa(__2M_rwdata_end), MB(2)),
                    lu_slot_start(lu_zone.slot) + LU_SLOT_SIZE);
}

/* The ordinary RAM walk of __start_xen(): not while updating. */
void __init lu_init_boot_pages(paddr_t ps, paddr_t pe)
{
    if ( !lu_booting )
        init_boot_pages(ps, pe);
}

int lu_boot_record(uint32_t type, uint16_t domid, struct lu_rec *rec,
                   void *dst, size_t len)
{
    struct lu_rec local;
    int rc;

    if ( !boot_stream.page )
        return -ENOENT;

    if ( !rec )
        rec = &local;

    rc = lu_find(&boot_stream, type, domid, rec);

    return rc ?: lu_rec_read(&boot_stream, rec, 0, dst, len);
}

/* ---- The complement of the preserved extents ---------------------------- */

/* Free ranges of RAM in ascending order; `fn` gets page aligned mfns [s, e). */
static void __init for_each_free(const struct e820map *map,
                                 void (*fn)(unsigned long s, unsigned long e))
{
    struct lu_memory_rec mem;
    struct lu_rec rec;
    struct lu_extent_rec ext = { };
    unsigned int i, next = 0;

    if ( lu_boot_record(LU_REC_MEMORY, LU_DOMID_HOST, &rec, &mem,
                        sizeof(mem)) )
        panic("live-update: no MEMORY record\n");

    for ( i = 0; i < map->nr_map; i++ )
    {
        unsigned long s, e;

        if ( map->map[i].type != E820_RAM )
            continue;

        /* As __start_xen(): the first MiB is nobody's. */
        s = PFN_UP(max_t(uint64_t, map->map[i].addr, MB(1)));
        e = min_t(unsigned long, max_page,
                  PFN_DOWN(map->map[i].addr + map->map[i].size));

        while ( s < e )
        {
            /* ext is the last extent read: the first to end above s. */
            while ( ext.mfn + ext.count <= s )
            {
                if ( next == mem.nr_extents )
                {
                    ext.mfn = ~0UL >> 1;
                    ext.count = 1;
                }
                else if ( lu_read_extent(&boot_stream, &rec, &mem, next++,
                                         &ext) )
                    panic("live-update: MEMORY: extent %u is missing\n", next);
            }

            if ( s < ext.mfn )
                fn(s, min_t(unsigned long, e, ext.mfn));
            s = ext.mfn + ext.count;
        }
    }
}

/* What the boot allocator gets; lu_room_add() says why these (room.c). */
static struct lu_room __initdata boot_room;

static void __init cf_check keep_largest(unsigned long s, unsigned long e)
{
    lu_room_add(&boot_room, s, e);
}

static void __init cf_check to_heap(unsigned long s, unsigned long e)
{
    unsigned int i;

    for ( i = 0; i < boot_room.nr; i++ )
        if ( boot_room.range[i].s == s )
            return;

    lu_init_heap_pages(mfn_to_page(_mfn(s)), e - s);
}

/* What both Xens must agree on before a single page is given away. */
static void __init check_memory(const struct e820map *map)
{
    const struct lu_range_rec crash = lu_crash_area();
    struct lu_memory_rec mem;
    struct lu_host_rec host;
    struct lu_rec rec;
    uint64_t end = 0;
    unsigned int i;
    int rc;

    rc = lu_boot_record(LU_REC_HOST, LU_DOMID_HOST, &rec, &host, sizeof(host));
    if ( rc )
        panic("live-update: no HOST record (%d)\n", rc);
    if ( host.max_page != max_page )
        panic("live-update: HOST: max_page %#lx, this Xen sees %#lx\n",
              host.max_page, max_page);

    rc = lu_boot_record(LU_REC_MEMORY, LU_DOMID_HOST, &rec, &mem, sizeof(mem));
    if ( rc )
        panic("live-update: no MEMORY record (%d)\n", rc);
    if ( !lu_array_fits(&rec, sizeof(mem), sizeof(struct lu_range_rec),
                        mem.nr_ram) ||
         !lu_array_fits(&rec, sizeof(mem) +
                              mem.nr_ram * sizeof(struct lu_range_rec),
                        sizeof(struct lu_extent_rec), mem.nr_extents) )
        panic("live-update: MEMORY: %u ranges and %u extents do not fit %u bytes\n",
              mem.nr_ram, mem.nr_extents, rec.length);

    for ( i = 0; i < mem.nr_ram; i++ )
    {
        struct lu_range_rec ram;

        if ( lu_rec_read(&boot_stream, &rec, sizeof(mem) + i * sizeof(ram),
                         &ram, sizeof(ram)) )
            panic("live-update: MEMORY: range %u is missing\n", i);
        if ( ram.mfn >= max_page || ram.count > max_page - ram.mfn ||
             !e820_all_mapped(pfn_to_paddr(ram.mfn),
                              pfn_to_paddr(ram.mfn + ram.count), E820_RAM) )
            panic("live-update: MEMORY: RAM %#lx+%#lx of the old Xen is none here\n",
                  ram.mfn, ram.count);
    }

    for ( i = 0; i < mem.nr_extents; i++ )
    {
        struct lu_extent_rec ext;

        if ( lu_read_extent(&boot_stream, &rec, &mem, i, &ext) )
            panic("live-update: MEMORY: extent %u is missing\n", i);
        if ( ext.mfn < end || !ext.count || ext.mfn >= max_page ||
             ext.count > max_page - ext.mfn )
            panic("live-update: MEMORY: extent %u, %#lx+%#x, is out of order or bounds\n",
                  i, ext.mfn, ext.count);
        end = ext.mfn + ext.count;
        if ( pfn_to_paddr(ext.mfn) < lu_zone_end() &&
             pfn_to_paddr(end) > lu_zone.start )
            panic("live-update: MEMORY: extent %u, %#lx+%#x, lies in the zone\n",
                  i, ext.mfn, ext.count);
        if ( ext.mfn < crash.mfn + crash.count && end > crash.mfn )
            panic("live-update: MEMORY: extent %u, %#lx+%#x, lies in the crash area\n",
                  i, ext.mfn, ext.count);
        if ( !e820_all_mapped(pfn_to_paddr(ext.mfn), pfn_to_paddr(end),
                              E820_RAM) )
            panic("live-update: MEMORY: extent %u, %#lx+%#x, is no RAM\n",
                  i, ext.mfn, ext.count);
    }
}

/* The extent that ends above mfn first; MEMORY has been checked. */
static struct lu_extent_rec __init extent_above(unsigned long mfn)
{
    struct lu_memory_rec mem = { };
    struct lu_extent_rec ext = { };
    struct lu_rec rec;
    uint32_t lo = 0, hi;

    if ( lu_boot_record(LU_REC_MEMORY, LU_DOMID_HOST, &rec, &mem,
                        sizeof(mem)) )
        return ext;

    for ( hi = mem.nr_extents; lo < hi; )
    {
        const uint32_t mid = lo + (hi - lo) / 2;

        if ( lu_read_extent(&boot_stream, &rec, &mem, mid, &ext) )
            return (struct lu_extent_rec){ };
        if ( ext.mfn + ext.count <= mfn )
            lo = mid + 1;
        else
            hi = mid;
    }

    if ( lo == mem.nr_extents ||
         lu_read_extent(&boot_stream, &rec, &mem, lo, &ext) )
        return (struct lu_extent_rec){ };

    return ext;
}

/* Chunks become Xen's page tables and writable: they must be what was kept. */
static void __init check_m2p(void)
{
    struct lu_m2p_rec head;
    struct lu_rec rec;
    unsigned int i;

    if ( lu_boot_record(LU_REC_M2P, LU_DOMID_HOST, &rec, &head,
                        sizeof(head)) || head.reserved )
        panic("live-update: M2P: reserved field set\n");

    for ( i = 0; i < head.nr; i++ )
    {
        struct lu_m2p_chunk_rec c;
        struct lu_extent_rec ext;
        unsigned long pages;

        if ( lu_rec_read(&boot_stream, &rec, sizeof(head) + i * sizeof(c), &c,
                         sizeof(c)) )
            panic("live-update: M2P: chunk %u is missing\n", i);
        if ( (c.order != PAGETABLE_ORDER && c.order != 2 * PAGETABLE_ORDER) ||
             c.reserved )
            panic("live-update: M2P: chunk %u: order %u, reserved %#x\n", i,
                  c.order, c.reserved);

        pages = 1UL << c.order;
        if ( c.first_mfn >= max_page || c.chunk_mfn >= max_page ||
             (c.chunk_mfn & (pages - 1)) ||
             c.first_mfn % ((pages << PAGE_SHIFT) / sizeof(unsigned long)) )
            panic("live-update: M2P: chunk %u at %#lx, of mfn %#lx on, is out of bounds\n",
                  i, c.chunk_mfn, c.first_mfn);

        ext = extent_above(c.chunk_mfn);
        if ( ext.kind != LU_EXT_M2P || ext.mfn > c.chunk_mfn ||
             ext.mfn + ext.count < c.chunk_mfn + pages )
            panic("live-update: M2P: chunk %u at %#lx lies in no extent that was kept for it\n",
                  i, c.chunk_mfn);
    }
}

/*
 * What is left of the tail of our slot must not end up in the heap: the next
 * image but one is loaded there.  It is the only range so far, given out from
 * its end, so one page shows where the rest ends.
 */
static void __init close_boot_memory(void)
{
    unsigned long s = PFN_DOWN(ROUNDUP(__pa(__2M_rwdata_end), MB(2)));
    unsigned long e = mfn_x(alloc_boot_pages(1, 1));

    if ( e > s )
        alloc_boot_pages(e - s, 1);
}

/* All of RAM is mapped: open the stream, feed the boot allocator. */
void __init lu_boot_parse(struct e820map *map)
{
    unsigned int i;
    int rc;

    if ( !lu_booting )
        return;

    stream_mfns = maddr_to_virt(crumb.array_maddr);
    if ( !crumb.nr_pages || crumb.stream_bytes >
                            (uint64_t)crumb.nr_pages * LU_STREAM_PAGE ||
         crumb.array_maddr & (PAGE_SIZE - 1) ||
         !e820_all_mapped(crumb.array_maddr, crumb.array_maddr +
                          crumb.nr_pages * sizeof(*stream_mfns), E820_RAM) )
        panic("live-update: breadcrumb: %u stream pages listed at %#lx are not in RAM\n",
              crumb.nr_pages, crumb.array_maddr);

    for ( i = 0; i < crumb.nr_pages; i++ )
        if ( stream_mfns[i] >= max_page ||
             !e820_all_mapped(pfn_to_paddr(stream_mfns[i]),
                              pfn_to_paddr(stream_mfns[i] + 1), E820_RAM) )
            panic("live-update: stream page %u at mfn %#lx is not in RAM\n",
                  i, stream_mfns[i]);

    rc = lu_read_init(&boot_stream, stream_page, (void *)stream_mfns,
                      crumb.stream_bytes);
    if ( rc )
        panic("live-update: the stream is damaged: framing or checksum (%d)\n",
              rc);

    lu_check_rules(&boot_stream);
    lu_boot_restore_crash_area(map);
    check_memory(map);
    check_m2p();
    close_boot_memory();

    for_each_free(map, keep_largest);
    for ( i = 0; i < boot_room.nr; i++ )
        init_boot_pages(pfn_to_paddr(boot_room.range[i].s),
                        pfn_to_paddr(boot_room.range[i].e));
}

/* Multiples of 2 MiB: words, where memset() takes bytes unless they are fast. */
void *__init lu_clear_frametable(void *start, int c, size_t len)
{
    unsigned long *p = start, n = len / sizeof(*p);

    ASSERT(!c && !(len % sizeof(*p)));
    asm volatile ( "rep stosq" : "+D" (p), "+c" (n) : "a" (0UL) : "memory" );

    return start;
}

/*
 * After end_boot_allocator(): the free ranges the boot allocator did not get.
 * Nothing reads the stream about them any more.
 */
void __init lu_boot_heap(const struct e820map *map)
{
    if ( lu_booting )
        for_each_free(map, to_heap);
}

/* The walk of RAM above the directmap: lu_boot_heap() has given that too. */
void __init lu_init_domheap_pages(paddr_t ps, paddr_t pe)
{
    if ( !lu_booting )
        init_domheap_pages(ps, pe);
}

void lu_boot_close(struct lu_stream *s)
{
    *s = boot_stream;
    memset(&boot_stream, 0, sizeof(boot_stream));
}

/* ---- The machine to phys table ------------------------------------------ */

/* Chunks are adopted where they lie: guests map them, and they are current. */
static bool adopted_m2p(unsigned long first_mfn, unsigned int order, mfn_t *mfn)
{
    struct lu_m2p_rec head;
    struct lu_m2p_chunk_rec chunk;
    struct lu_rec rec;
    unsigned int i;

    if ( lu_boot_record(LU_REC_M2P, LU_DOMID_HOST, &rec, &head,
                        sizeof(head)) ||
         !lu_array_fits(&rec, sizeof(head), sizeof(chunk), head.nr) )
        return false;

    for ( i = 0; i < head.nr; i++ )
    {
        unsigned long entries;

        if ( lu_rec_read(&boot_stream, &rec, sizeof(head) + i * sizeof(chunk),
                         &chunk, sizeof(chunk)) )
            return false;

        entries = (1UL << (chunk.order + PAGE_SHIFT)) / sizeof(unsigned long);
        if ( first_mfn < chunk.first_mfn ||
             first_mfn - chunk.first_mfn >= entries || order > chunk.order )
            continue;

        *mfn = _mfn(chunk.chunk_mfn + (((first_mfn - chunk.first_mfn) *
                                        sizeof(unsigned long)) >> PAGE_SHIFT));
        return true;
    }

    return false;
}

/* In place of alloc_domheap_pages() in paging_init(); va is the chunk's. */
struct page_info *__init lu_m2p_alloc(unsigned long idx, unsigned int order,
                                      unsigned int memflags)
{
    mfn_t mfn;
    unsigned long first = (idx << L2_PAGETABLE_SHIFT) / sizeof(unsigned long);

    if ( lu_booting && adopted_m2p(first, order, &mfn) )
        return mfn_to_page(mfn);

    /* What lies in several chunks must not be replaced by one empty one. */
    if ( lu_booting && order > PAGETABLE_ORDER )
        return NULL;

    return alloc_domheap_pages(NULL, order, memflags);
}

/* In place of its memset(): a chunk that was adopted keeps its contents. */
void *__init lu_m2p_fill(void *va, int c, size_t len)
{
    unsigned long first = ((unsigned long)va - RDWR_MPT_VIRT_START) /
                          sizeof(unsigned long);
    mfn_t mfn;

    if ( lu_booting && adopted_m2p(first, get_order_from_bytes(len), &mfn) )
        return va;

    return memset(va, c, len);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stream that this Xen was restored from, kept for tools to look at.
 *
 * Its pages, and the array that lists them, are in no heap: the new Xen's boot
 * has left them out as it did those of domains (extents of kind INTERNAL), and
 * here they stay Xen's.  They are read in chunks (XEN_LIVE_UPDATE_dump) until
 * an image is loaded or unloaded: then each page is scrubbed before the heap
 * gets it, since they hold every domain's registers.  Loading comes before any
 * update, so that no stream is there twice.
 *
 * What can fail: no memory for the list of pages, or a stream that lies
 * elsewhere than it says.  That is told in the log, and nothing can be read, or
 * the pages stay unused.
 */
#include <xen/event.h>
#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/nospec.h>

#include "internal.h"

/* Pages between two looks at whether somebody else wants the CPU. */
#define BATCH 64

static struct lu_stream stream;
static uint64_t readable;               /* bytes of it, 0: it is gone */
static struct lu_range_rec *range;      /* ascending; */
static unsigned int nr_ranges;
static unsigned long nr_pages;          /* ... of all ranges */

uint64_t lu_dump_bytes(void)
{
    return readable;
}

unsigned long lu_dump_pages(void)
{
    return nr_pages;
}

static bool is_kept(unsigned long mfn)
{
    unsigned int lo = 0, hi = nr_ranges;

    while ( lo < hi )
    {
        const unsigned int mid = lo + (hi - lo) / 2;

        if ( range[mid].mfn + range[mid].count <= mfn )
            lo = mid + 1;
        else
            hi = mid;
    }

    return lo < nr_ranges && range[lo].mfn <= mfn;
}

static bool is_internal(const struct lu_rec *rec,
                        const struct lu_memory_rec *mem, unsigned int i,
                        struct lu_extent_rec *ext)
{
    return !lu_read_extent(&stream, rec, mem, i, ext) &&
           ext->kind == LU_EXT_INTERNAL;
}

void lu_dump_keep(void)
{
    struct lu_memory_rec mem;
    struct lu_rec rec;
    struct lu_extent_rec ext;
    unsigned int i, nr = 0;

    lu_boot_close(&stream);
    if ( lu_find(&stream, LU_REC_MEMORY, LU_DOMID_HOST, &rec) ||
         lu_rec_read(&stream, &rec, 0, &mem, sizeof(mem)) )
        return;

    /* Most extents are of domains: count those that matter first. */
    for ( i = 0; i < mem.nr_extents; i++ )
        nr += is_internal(&rec, &mem, i, &ext);

    range = xmalloc_array(struct lu_range_rec, nr ?: 1);
    if ( !range )
    {
        printk(XENLOG_WARNING
               "live-update: no memory to list the stream's: it stays unused\n");
        return;
    }

    for ( i = 0; i < mem.nr_extents; i++ )
        if ( is_internal(&rec, &mem, i, &ext) )
        {
            range[nr_ranges].mfn = ext.mfn;
            range[nr_ranges++].count = ext.count;
            nr_pages += ext.count;
        }

    for ( i = 0; i < DIV_ROUND_UP(stream.size, LU_STREAM_PAGE); i++ )
        if ( !is_kept(virt_to_mfn(stream.page(stream.ctx, i))) )
        {
            printk(XENLOG_WARNING
                   "live-update: page %u of the stream lies in no extent: no dump\n",
                   i);
            return;
        }

    readable = stream.size;
}

int lu_dump_read(uint32_t chunk, struct xen_live_update_dump *out)
{
    uint64_t at = (uint64_t)chunk * sizeof(out->data);
    uint32_t done = 0;

    if ( at >= readable )
        return -ENOENT;

    at = array_index_nospec(at, readable);
    memset(out, 0, sizeof(*out));
    out->total = readable;
    out->len = min_t(uint64_t, sizeof(out->data), readable - at);

    while ( done < out->len )
    {
        const uint32_t off = (at + done) % LU_STREAM_PAGE;
        const uint32_t n = min(out->len - done, LU_STREAM_PAGE - off);

        memcpy(out->data + done,
               stream.page(stream.ctx, (at + done) / LU_STREAM_PAGE) + off, n);
        done += n;
    }

    return 0;
}

int lu_dump_drop(void)
{
    unsigned int done = 0;

    readable = 0;

    while ( nr_ranges )
    {
        struct lu_range_rec *r = &range[nr_ranges - 1];
        paddr_t addr;

        if ( !r->count )
        {
            nr_ranges--;
            continue;
        }

        /* A running Xen takes what it is given for clean. */
        addr = pfn_to_paddr(r->mfn + --r->count);
        scrub_one_page(maddr_to_page(addr));
        init_domheap_pages(addr, addr + PAGE_SIZE);
        nr_pages--;

        if ( !(++done % BATCH) && hypercall_preempt_check() )
            return -ERESTART;
    }

    XFREE(range);

    return 0;
}

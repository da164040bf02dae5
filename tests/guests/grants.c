/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Grants: who gives them.  Parameters: peer, me (domids), version.
 *
 * Happy path: `set` makes grants of every kind (grants.h) for the peer, which maps
 * them; called again with away=1 it gives away pages that the peer keeps mapped, which
 * an update has to refuse.  For each G_MOVE it gives a page back to Xen and says that
 * the peer may put one in its place.
 * `verify` with inuse=1 finds in the table what the peer maps; with inuse=0, when
 * the peer has let go, that nothing is in use, and what the peer has written; then
 * it takes the grants back, and pages for those that have gone.
 *
 * What can fail: a grant that is in use and should not be, or the other way round, a
 * page with other contents, a domain with another number of pages: bad.
 */
#include "grants.h"

#define TABLE (SCRATCH_BASE + (1UL << 30))

static grant_entry_v1_t *v1;
static grant_entry_v2_t *v2;
static grant_status_t *status;
static void *pages[G_KINDS][NR_EACH];
static bool gone;

static void map_frames(unsigned long va, const uint64_t *frames, unsigned int nr)
{
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        map_scratch(va + i * PAGE);
        if ( hc_map(va + i * PAGE, frames[i] * PAGE | PTE_RAM) )
            die("grant frame %u (%lx) cannot be mapped", i, frames[i]);
    }
}

static void table_init(unsigned int version)
{
    struct gnttab_set_version v = { .version = version };
    uint64_t frames[NR_FRAMES];
    struct gnttab_setup_table t = { .dom = DOMID_SELF, .nr_frames = NR_FRAMES };
    const unsigned int nr_status = version == 2 ? 2 : 0;
    struct gnttab_get_status_frames s = {
        .dom = DOMID_SELF, .nr_frames = nr_status,
    };
    long rc = hc_grant(GNTTABOP_set_version, &v, 1);

    if ( rc || v.version != version )
        die("grant table version %u: %ld, %u", version, rc, v.version);

    set_xen_guest_handle(t.frame_list, frames);
    rc = hc_grant(GNTTABOP_setup_table, &t, 1);
    if ( rc || t.status )
        die("grant table: %ld, %d", rc, t.status);
    map_frames(TABLE, frames, NR_FRAMES);

    if ( version == 1 )
    {
        v1 = (void *)TABLE;
        return;
    }

    v2 = (void *)TABLE;
    set_xen_guest_handle(s.frame_list, frames);
    rc = hc_grant(GNTTABOP_get_status_frames, &s, 1);
    if ( rc || s.status )
        die("grant status frames: %ld, %d", rc, s.status);
    status = (void *)(TABLE + NR_FRAMES * PAGE);
    map_frames((unsigned long)status, frames, nr_status);
}

static bool used_kind(enum kind kind)
{
    return v2 || (kind != G_SUB && kind != G_TRANS);
}

/* ---- Giving pages away, and getting others ---- */

static void give_away(void *page)
{
    xen_pfn_t mfn = mfn_of(page);
    struct xen_memory_reservation r = {
        .nr_extents = 1, .domid = DOMID_SELF,
    };
    long rc;

    want(hc_map((unsigned long)page, 0), "unmapping a page to give away");
    set_xen_guest_handle(r.extent_start, &mfn);
    rc = hc_memory(XENMEM_decrease_reservation, &r);
    if ( rc != 1 )
        bad("decrease_reservation: %ld", rc);
}

static void got(void *page, unsigned long mfn)
{
    set_mfn(pfn_of(page), mfn);
    want(page_protect(page, true), "mapping a new page");
}

static void get_back(void *page)
{
    xen_pfn_t pfn = pfn_of(page);
    struct xen_memory_reservation r = {
        .nr_extents = 1, .domid = DOMID_SELF,
    };
    long rc;

    set_xen_guest_handle(r.extent_start, &pfn);
    rc = hc_memory(XENMEM_populate_physmap, &r);
    if ( rc != 1 )
        bad("populate_physmap: %ld", rc);
    else
        got(page, pfn);
}

/* ---- Making them ---- */

static void make(enum kind kind, unsigned int i)
{
    const unsigned int ref = ref_of(kind, i), self = arg("me", 0);
    const domid_t peer = arg("peer", 0);
    uint16_t flags = GTF_permit_access | (kind == G_RO ? GTF_readonly : 0);
    unsigned int w;
    uint64_t *page;

    if ( !pages[kind][i] )
        pages[kind][i] = page_alloc();
    page = pages[kind][i];
    for ( w = 0; w < PAGE / 8; w++ )
        page[w] = pattern(self, ref, w);

    if ( kind == G_MOVE )
    {
        give_away(page);
        flags = GTF_accept_transfer;
    }

    if ( v1 )
    {
        v1[ref].frame = kind == G_MOVE ? pfn_of(page) : mfn_of(page);
        v1[ref].domid = peer;
        barrier();
        v1[ref].flags = flags;
        return;
    }

    status[ref] = 0;
    v2[ref].hdr.domid = peer;
    switch ( kind )
    {
    case G_SUB:
        flags |= GTF_sub_page;
        v2[ref].sub_page.page_off = SUB_OFFSET;
        v2[ref].sub_page.length = SUB_LENGTH;
        v2[ref].sub_page.frame = mfn_of(page);
        break;

    case G_TRANS:
        flags = GTF_transitive;
        v2[ref].transitive.trans_domid = peer;
        v2[ref].transitive.gref = ref_of(G_COPY, i);
        break;

    default:
        v2[ref].full_page.frame = kind == G_MOVE ? pfn_of(page) : mfn_of(page);
        break;
    }
    barrier();
    v2[ref].hdr.flags = flags;
}

static void set(void)
{
    unsigned int kind, i;

    if ( arg("away", 0) )
    {
        for ( i = 0; i < NR_EACH; i++ )
            give_away(pages[G_GONE][i]);
        gone = true;
        return;
    }

    if ( !v1 && !v2 )
        table_init(arg("version", 1));

    for ( kind = 0; kind < G_KINDS; kind++ )
        for ( i = 0; used_kind(kind) && i < NR_EACH; i++ )
            make(kind, i);
}

/* ---- Verifying ---- */

static unsigned int in_use(unsigned int ref)
{
    return (v1 ? READ(v1[ref].flags) : READ(status[ref])) &
           (GTF_reading | GTF_writing);
}

/* How a mapped grant has to look. */
static unsigned int mapped(enum kind kind)
{
    switch ( kind )
    {
    case G_RO:
        return GTF_reading;
    case G_LATE: case G_COPY: case G_SUB: case G_TRANS: case G_MOVE:
        return 0;
    default:
        return GTF_reading | GTF_writing;
    }
}

static void check_page(enum kind kind, unsigned int i)
{
    const unsigned int ref = ref_of(kind, i), self = arg("me", 0);
    const uint64_t *page = pages[kind][i];
    unsigned int w;

    for ( w = 0; w < PAGE / 8; w++ )
    {
        uint64_t should = pattern(self, ref, w);

        if ( w == 1 && (kind == G_RW || kind == G_TWICE || kind == G_REPLACE ||
                        kind == G_PTE || kind == G_LATE || kind == G_COPY ||
                        kind == G_GONE) )
            should = reply(self, ref);
        if ( READ(page[w]) != should )
        {
            bad("grant %u: word %u is %lx, want %lx", ref, w, page[w], should);
            return;
        }
    }
}

/* What the peer has put in the place of a page; before that only the offer. */
static void check_moved(unsigned int i, bool before)
{
    const unsigned long *m2p = (const unsigned long *)__MACH2PHYS_VIRT_START;
    const unsigned int ref = ref_of(G_MOVE, i), peer = arg("peer", 0);
    const unsigned int flags = v1 ? READ(v1[ref].flags) : READ(v2[ref].hdr.flags);
    const unsigned long mfn = v1 ? v1[ref].frame : v2[ref].full_page.frame;
    const unsigned int should = before ? GTF_accept_transfer :
        GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed;
    uint64_t *page = pages[G_MOVE][i];
    unsigned int w;

    if ( flags != should )
        bad("grant %u: flags of a transfer are %x, want %x", ref, flags, should);
    if ( before )
        return;
    if ( flags != should )
    {
        get_back(page);
        return;
    }

    got(page, mfn);
    if ( m2p[mfn] != pfn_of(page) )
        bad("grant %u: the M2P of page %lx is %lx, want %lx", ref, mfn, m2p[mfn],
            pfn_of(page));
    for ( w = 0; w < PAGE / 8; w++ )
        if ( page[w] != pattern(peer, ref, w) )
        {
            bad("grant %u: word %u of a page got is %lx, want %lx", ref, w, page[w],
                pattern(peer, ref, w));
            break;
        }
}

static void revoke(unsigned int ref)
{
    if ( v1 )
        v1[ref].flags = 0;
    else
        v2[ref].hdr.flags = 0;
}

static void verify(void)
{
    const bool expect = arg("inuse", 0);
    struct gnttab_get_version v = { .dom = DOMID_SELF };
    domid_t self = DOMID_SELF;
    unsigned int kind, i;
    long nr;

    hc_grant(GNTTABOP_get_version, &v, 1);
    if ( v.version != (v1 ? 1 : 2) )
        bad("grant table is version %u", v.version);

    for ( kind = 0; kind < G_KINDS; kind++ )
        for ( i = 0; used_kind(kind) && i < NR_EACH; i++ )
        {
            const unsigned int ref = ref_of(kind, i);
            const unsigned int should = expect ? mapped(kind) : 0;

            if ( kind == G_MOVE )
            {
                check_moved(i, expect);
                if ( !expect )
                    revoke(ref);
                continue;
            }
            if ( in_use(ref) != should )
                bad("grant %u of kind %u is in use as %x, want %x", ref, kind,
                    in_use(ref), should);
            if ( expect )
                continue;
            revoke(ref);
            if ( kind != G_GONE || !gone )
                check_page(kind, i);
        }

    if ( expect )
        return;

    for ( i = 0; gone && i < NR_EACH; i++ )
        get_back(pages[G_GONE][i]);
    gone = false;
    nr = hc_memory(XENMEM_current_reservation, &self);
    if ( nr != (long)start_info->nr_pages )
        bad("%ld pages, want %lu", nr, start_info->nr_pages);
}

const struct test test_grant = { "grant", "grants for the peer", set, verify };

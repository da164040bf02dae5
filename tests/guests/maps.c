/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Grants: who maps them.  Parameters: peer, me (domids), version (the peer's).
 *
 * Happy path: `set` maps what the peer has granted (grants.h), some of it on another
 * vCPU, which has handles of its own.  `verify` reads and writes through each
 * mapping, unmaps it by the handle it has, and copies; a new mapping gets a handle
 * that is nobody's.  Where the peer accepts a page it gets one.
 *
 * What can fail: other contents, a read-only mapping that can be written, a handle
 * that is not known any more or is known for too long, a copy beyond what is granted,
 * a page that cannot be given, a page table entry that is left: bad.
 */
#include "grants.h"

#define NONE (~0U)

static struct map {
    unsigned long va;
    grant_handle_t handle, second;
    uint64_t bus;
} maps[G_KINDS][NR_EACH];

static unsigned int self, peer, version;
static uint8_t *buffer;

static bool mapped_kind(enum kind kind)
{
    return kind < G_LATE;
}

static long map(struct map *m, enum kind kind, unsigned int i,
                unsigned long va, grant_handle_t *handle)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = va,
        .flags = GNTMAP_host_map | (kind == G_RO ? GNTMAP_readonly : 0),
        .ref = ref_of(kind, i),
        .dom = peer,
    };
    long rc;

    if ( kind == G_DEVICE )
        op.flags = GNTMAP_device_map;
    if ( kind == G_PTE )
    {
        op.flags |= GNTMAP_contains_pte;
        op.host_addr = mfn_of(pte_at(va)) * PAGE +
                       ((unsigned long)pte_at(va) & (PAGE - 1));
    }

    rc = hc_grant(GNTTABOP_map_grant_ref, &op, 1);
    *handle = op.handle;
    m->bus = op.dev_bus_addr;
    if ( rc || op.status )
    {
        bad("grant %u of kind %u cannot be mapped: %ld, %d", op.ref, kind, rc,
            op.status);
        *handle = NONE;
    }

    return rc ?: op.status;
}

static unsigned long va_for(enum kind kind, unsigned int i, bool second)
{
    return SCRATCH_BASE + (kind * 2 + second) * 0x200000UL + i * PAGE;
}

/* On a vCPU that is not the one which unmaps. */
static void map_second(void *arg)
{
    unsigned int i;

    for ( i = 0; i < NR_EACH; i++ )
        map(&maps[G_TWICE][i], G_TWICE, i, va_for(G_TWICE, i, true),
            &maps[G_TWICE][i].second);
}

static void check(unsigned long va, enum kind kind, unsigned int i)
{
    const unsigned int ref = ref_of(kind, i);
    const uint64_t *page = (const uint64_t *)va;
    unsigned int w;

    for ( w = 0; w < PAGE / 8; w++ )
        if ( READ(page[w]) != pattern(peer, ref, w) &&
             (w != 1 || READ(page[w]) != reply(peer, ref)) )
        {
            bad("grant %u of kind %u: word %u is %lx, want %lx", ref, kind, w,
                page[w], pattern(peer, ref, w));
            return;
        }
}

static void set(void)
{
    unsigned int kind, i;

    self = arg("me", 0);
    peer = arg("peer", 0);
    version = arg("version", 1);
    if ( !buffer )
        buffer = page_alloc();

    for ( kind = 0; kind < G_KINDS; kind++ )
        for ( i = 0; mapped_kind(kind) && i < NR_EACH; i++ )
        {
            struct map *m = &maps[kind][i];

            m->va = va_for(kind, i, false);
            map_scratch(m->va);
            map_scratch(va_for(kind, i, true));
            if ( map(m, kind, i, m->va, &m->handle) == 0 && kind != G_DEVICE )
                check(m->va, kind, i);
        }

    vcpu_do(CPU_POLL, map_second, NULL);
    if ( !vcpu_wait(CPU_POLL, 5000) )
        bad("the other vCPU does not map");
}

/* ---- Verifying ---- */

static int unmap(struct map *m, enum kind kind, unsigned long va,
                 grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = va, .handle = handle };
    struct gnttab_unmap_and_replace swap = { .host_addr = va, .handle = handle };
    uint64_t *spare;

    switch ( kind )
    {
    case G_REPLACE:
        /* A page of our own takes its place, and goes from where it was. */
        spare = page_alloc();
        spare[0] = 42;
        swap.new_addr = va_for(kind, 100, true);
        want(hc_map(swap.new_addr, pte_of(spare, PTE_RAM)), "mapping a spare page");
        hc_grant(GNTTABOP_unmap_and_replace, &swap, 1);
        if ( !swap.status && (*(uint64_t *)va != 42 || *pte_at(swap.new_addr)) )
            bad("unmap_and_replace did not move the other page");
        if ( !swap.status )
            want(hc_map(va, 0), "unmapping a spare page");
        page_free(spare);
        return swap.status;

    case G_PTE:
        op.host_addr = mfn_of(pte_at(va)) * PAGE +
                       ((unsigned long)pte_at(va) & (PAGE - 1));
        break;

    case G_DEVICE:
        op.host_addr = 0;
        op.dev_bus_addr = m->bus;
        break;

    default:
        break;
    }

    hc_grant(GNTTABOP_unmap_grant_ref, &op, 1);

    return op.status;
}

static void verify_map(enum kind kind, unsigned int i, unsigned long va,
                       grant_handle_t handle)
{
    struct map *m = &maps[kind][i];
    const unsigned int ref = ref_of(kind, i);
    unsigned int vector;
    int rc;

    if ( handle == NONE )
        return;

    if ( kind != G_DEVICE )
    {
        check(va, kind, i);
        vector = try_write((uint64_t *)va + 1, reply(peer, ref));
        if ( vector != (kind == G_RO ? 14 : 0) )
            bad("grant %u of kind %u: writing it ends in vector %u", ref, kind,
                vector);
    }

    rc = unmap(m, kind, va, handle);
    if ( rc )
        bad("grant %u of kind %u: handle %u cannot be unmapped: %d", ref, kind,
            handle, rc);
    if ( kind != G_DEVICE && *pte_at(va) )
        bad("grant %u of kind %u leaves the entry %lx", ref, kind, *pte_at(va));
    rc = unmap(m, kind == G_REPLACE ? G_RW : kind, va, handle);
    if ( rc != GNTST_bad_handle )
        bad("grant %u of kind %u: handle %u again: %d", ref, kind, handle, rc);
}

/* What is mapped now must not get a handle that is in use. */
static void verify_late(unsigned int i)
{
    struct map *m = &maps[G_LATE][i];
    unsigned int kind, j;

    m->va = va_for(G_LATE, i, false);
    map_scratch(m->va);
    if ( map(m, G_LATE, i, m->va, &m->handle) )
        return;

    for ( kind = 0; kind < G_LATE; kind++ )
        for ( j = 0; j < NR_EACH; j++ )
            if ( m->handle == maps[kind][j].handle ||
                 (kind == G_TWICE && m->handle == maps[kind][j].second) )
                bad("handle %u is given out twice", m->handle);
}

static int copy(bool out, unsigned int ref, unsigned int offset, unsigned int len)
{
    struct gnttab_copy op = { .len = len };
    struct gnttab_copy_ptr *theirs = out ? &op.source : &op.dest;
    struct gnttab_copy_ptr *ours = out ? &op.dest : &op.source;

    op.flags = out ? GNTCOPY_source_gref : GNTCOPY_dest_gref;
    theirs->u.ref = ref;
    theirs->domid = peer;
    theirs->offset = offset;
    ours->u.gmfn = mfn_of(buffer);
    ours->domid = DOMID_SELF;
    ours->offset = 0;
    memset(buffer, out ? 0xaa : 0, PAGE);
    if ( !out )
        *(uint64_t *)buffer = reply(peer, ref);
    hc_grant(GNTTABOP_copy, &op, 1);

    return op.status;
}

static void want_copy(bool out, unsigned int ref, unsigned int offset,
                      unsigned int len, int should, const char *what)
{
    int rc = copy(out, ref, offset, len);

    if ( rc != should )
        bad("copy of %s, grant %u, %u bytes at %u: %d, want %d", what, ref, len,
            offset, rc, should);
}

static void verify_copies(unsigned int i)
{
    const unsigned int ref = ref_of(G_COPY, i), sub = ref_of(G_SUB, i);
    const uint64_t *words = (const uint64_t *)buffer;

    want_copy(true, ref, 0, PAGE, GNTST_okay, "a page");
    if ( words[5] != pattern(peer, ref, 5) )
        bad("copy of grant %u: %lx", ref, words[5]);
    want_copy(false, ref, 8, 8, GNTST_okay, "a word to a page");
    want_copy(false, ref_of(G_RO, i), 8, 8, GNTST_general_error,
              "a word to a read-only page");

    if ( version != 2 )
        return;

    want_copy(true, sub, SUB_OFFSET, SUB_LENGTH, GNTST_okay, "a part");
    if ( words[3] != pattern(peer, sub, SUB_OFFSET / 8 + 3) )
        bad("copy of sub-page grant %u: %lx", sub, words[3]);
    want_copy(true, sub, SUB_OFFSET - 8, 8, GNTST_general_error, "before a part");
    want_copy(true, sub, SUB_OFFSET, SUB_LENGTH + 8, GNTST_general_error,
              "more than a part");

    want_copy(true, ref_of(G_TRANS, i), 0, PAGE, GNTST_okay, "our own, handed on");
    if ( words[5] != pattern(self, ref, 5) )
        bad("copy by transitive grant %u: %lx, want %lx", ref_of(G_TRANS, i),
            words[5], pattern(self, ref, 5));
}

/* Gives a page to the peer, and gets another one from Xen. */
static void move(unsigned int i)
{
    const unsigned int ref = ref_of(G_MOVE, i);
    uint64_t *page = page_alloc();
    xen_pfn_t pfn = pfn_of(page);
    struct gnttab_transfer op = {
        .mfn = mfn_of(page), .domid = peer, .ref = ref,
    };
    struct xen_memory_reservation r = {
        .nr_extents = 1, .domid = DOMID_SELF,
    };
    unsigned int w;
    long rc;

    for ( w = 0; w < PAGE / 8; w++ )
        page[w] = pattern(self, ref, w);
    want(hc_map((unsigned long)page, 0), "unmapping a page to give");
    rc = hc_grant(GNTTABOP_transfer, &op, 1);
    if ( rc || op.status )
        bad("grant %u: no page can be given: %ld, %d", ref, rc, op.status);

    set_xen_guest_handle(r.extent_start, &pfn);
    rc = hc_memory(XENMEM_populate_physmap, &r);
    if ( rc != 1 )
    {
        bad("populate_physmap: %ld", rc);
        return;
    }
    set_mfn(pfn_of(page), pfn);
    want(page_protect(page, true), "mapping a new page");
    page_free(page);
}

static void verify(void)
{
    unsigned int kind, i;

    for ( i = 0; i < NR_EACH; i++ )
    {
        move(i);
        verify_copies(i);
        verify_late(i);
    }

    for ( kind = 0; kind <= G_LATE; kind++ )
        for ( i = 0; i < NR_EACH; i++ )
        {
            if ( kind == G_TWICE )
                verify_map(kind, i, va_for(kind, i, true), maps[kind][i].second);
            verify_map(kind, i, maps[kind][i].va, maps[kind][i].handle);
        }
}

const struct test test_map = { "map", "grants of the peer", set, verify };

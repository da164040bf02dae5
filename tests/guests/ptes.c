/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two million page table entries: 4096 L1 tables that map a few pages again and again.
 *
 * Happy path: the first `set` builds them below one L3 table, which two pinned L4
 * tables and the one in use share; every other L1 table is pinned itself, and one
 * L4 table has an entry for itself.  `verify` reads all entries back, uses some,
 * and finds that none of the tables can be mapped writable; it changes entries, and
 * with last=1 unpins and unlinks everything, after which all can be written again.
 *
 * `linear` links one L4 table into another one, which an update has to refuse; its
 * `end` takes the link back.
 *
 * What can fail: an entry with another page or other rights, a table that has lost its
 * type or cannot lose it: bad.
 */
#include "micro.h"

#define NR_L2 8
#define NR_L1 (NR_L2 * 512)
#define NR_DATA 256
#define SLOT 300                /* in the L4 table in use */
#define VIEW (0xffff000000000000UL | (unsigned long)SLOT << 39)

static uint64_t *l1[NR_L1], *l2[NR_L2], *l3, *l4[2], *data[NR_DATA];
static uint8_t versions[NR_L1];

static unsigned int hash(unsigned int i, unsigned int j)
{
    uint64_t h = ((versions[i] * NR_L1 + i) * 512UL + j) * 0x9e3779b97f4a7c15UL;

    return h >> 32;
}

static uint64_t entry(unsigned int i, unsigned int j)
{
    unsigned int h = hash(i, j);

    return pte_of(data[h % NR_DATA], PTE_P | PTE_A | (h >> 31 ? PTE_RW : 0));
}

static long pin(unsigned int cmd, void *table)
{
    mmuext_op_t op = { .cmd = cmd };

    op.arg1.mfn = mfn_of(table);

    return hc_mmuext(&op, 1);
}

static void build(void)
{
    unsigned int i, j;

    for ( i = 0; i < NR_DATA; i++ )
    {
        data[i] = page_alloc();
        data[i][0] = i + 1;
    }

    for ( i = 0; i < NR_L1; i++ )
    {
        l1[i] = page_alloc();
        for ( j = 0; j < 512; j++ )
            l1[i][j] = entry(i, j);
        want(page_protect(l1[i], false), "protecting an L1 table");
    }
    for ( i = 0; i < NR_L2; i++ )
    {
        l2[i] = page_alloc();
        for ( j = 0; j < 512; j++ )
            l2[i][j] = pte_of(l1[i * 512 + j], PTE_RAM | PTE_US);
        want(page_protect(l2[i], false), "protecting an L2 table");
    }
    l3 = page_alloc();
    for ( i = 0; i < NR_L2; i++ )
        l3[i] = pte_of(l2[i], PTE_RAM | PTE_US);
    want(page_protect(l3, false), "protecting the L3 table");

    for ( i = 0; i < 2; i++ )
    {
        l4[i] = page_alloc();
        l4[i][5 + i] = pte_of(l3, PTE_RAM | PTE_US);
        if ( i )
            l4[i][SLOT + 1] = pte_of(l4[i], PTE_P | PTE_A);
        want(page_protect(l4[i], false), "protecting an L4 table");
        want(pin(MMUEXT_PIN_L4_TABLE, l4[i]), "pinning an L4 table");
    }
    for ( i = 1; i < NR_L1; i += 2 )
        want(pin(MMUEXT_PIN_L1_TABLE, l1[i]), "pinning an L1 table");

    want(pte_set(root_mfn(), SLOT, pte_of(l3, PTE_RAM | PTE_US)), "linking the L3");
}

static void set(void)
{
    if ( !l3 )
        build();
    note("entries=%u left=%lu", NR_L1 * 512, pages_left());
}

static void verify_entries(void)
{
    const uint64_t mask = PTE_MFN | PTE_P | PTE_RW;
    unsigned int i, j;

    for ( i = 0; i < NR_L1; i++ )
        for ( j = 0; j < 512; j++ )
            if ( (READ(l1[i][j]) ^ entry(i, j)) & mask )
            {
                bad("L1 table %u, entry %u is %lx, want %lx", i, j, l1[i][j],
                    entry(i, j));
                break;
            }
}

static void verify_use(void)
{
    unsigned int i, vector;

    for ( i = 0; i < NR_L1; i++ )
    {
        unsigned int j = (i * 37 + 5) % 512, h = hash(i, j);
        uint64_t *p = (uint64_t *)(VIEW + ((unsigned long)i * 512 + j) * PAGE);

        if ( READ(*p) != h % NR_DATA + 1 )
            bad("page %u of table %u has %lx, want %x", j, i, *p,
                h % NR_DATA + 1);
        vector = try_write(p + 1, 1);
        if ( vector != (h >> 31 ? 0 : 14) )
            bad("writing page %u of table %u: vector %u", j, i, vector);
    }
}

/* What is a page table must not be mapped writable. */
static bool verify_types(bool table)
{
    bool all = true;
    unsigned int i;
    long rc;

    for ( i = 0; i < NR_L1 + NR_L2 + 3; i++ )
    {
        void *page = i < NR_L1 ? l1[i] : i < NR_L1 + NR_L2 ? l2[i - NR_L1] :
                     i < NR_L1 + NR_L2 + 1 ? l3 : l4[i - NR_L1 - NR_L2 - 1];

        rc = page_protect(page, true);
        if ( !rc == !table )
            continue;
        bad("mapping table %u writable: %ld, while it is %s", i, rc,
            table ? "one" : "none any more");
        all = false;
    }

    return all;
}

/* Other entries in some tables, pinned ones and others. */
static void change(void)
{
    static mmu_update_t req[512];
    unsigned int i, j;

    for ( i = 0; i < NR_L1; i += 61 )
    {
        versions[i]++;
        for ( j = 0; j < 512; j++ )
            req[j] = (mmu_update_t){
                .ptr = mfn_of(l1[i]) * PAGE + j * 8, .val = entry(i, j),
            };
        want(hc_mmu_update(req, 512), "changing entries");
    }
}

static void tear_down(void)
{
    unsigned int i;

    want(pte_set(root_mfn(), SLOT, 0), "unlinking the L3");
    for ( i = 1; i < NR_L1; i += 2 )
        want(pin(MMUEXT_UNPIN_TABLE, l1[i]), "unpinning an L1 table");
    for ( i = 0; i < 2; i++ )
        want(pin(MMUEXT_UNPIN_TABLE, l4[i]), "unpinning an L4 table");
}

static void verify(void)
{
    unsigned int i, j;

    verify_entries();
    verify_use();
    verify_types(true);
    change();
    verify_entries();

    if ( arg("last", 0) )
    {
        tear_down();
        if ( !verify_types(false) )
            return;
        for ( i = 0; i < NR_L1; i++ )
            for ( j = 0; j < 512; j++ )
                l1[i][j] = 0;
    }
}

const struct test test_ptes = { "ptes", "two million entries", set, verify };

/* ---- Linear page tables ---- */

static uint64_t *linked[2];

static void linear_set(void)
{
    unsigned int i;

    for ( i = 0; i < 2; i++ )
    {
        linked[i] = page_alloc();
        if ( i )
            linked[1][SLOT] = pte_of(linked[0], PTE_P | PTE_A);
        want(page_protect(linked[i], false), "protecting an L4 table");
        want(pin(MMUEXT_PIN_L4_TABLE, linked[i]), "pinning an L4 table");
    }
}

static void linear_end(void)
{
    unsigned int i;

    for ( i = 2; i--; )
    {
        want(pin(MMUEXT_UNPIN_TABLE, linked[i]), "unpinning an L4 table");
        want(page_protect(linked[i], true), "an L4 table's page");
    }
}

const struct test test_linear = {
    "linear", "tables linked with one of their level", linear_set, NULL, linear_end,
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory: a direct map of all of it, pages to hand out, page table entries.
 *
 * Happy path: pages_init() adds to the tables of the domain builder, which map the
 * first megabytes linearly, a direct map of everything (DIRECT_BASE) in which page
 * tables are read-only.  What lies behind the builder's own map is handed out.
 *
 * What can fail: Xen refuses a mapping, or memory runs out: the guest dies.
 */
#include "micro.h"

static unsigned long *p2m;
static unsigned long next_pfn;
static void *free_pages;
static unsigned long tables_first, tables_end;
static char window[PAGE] __attribute__((aligned(PAGE)));

void *va_of(unsigned long pfn)
{
    return (void *)(DIRECT_BASE + pfn * PAGE);
}

/* Of an address in the direct map or in what the builder has mapped. */
unsigned long pfn_of(const void *va)
{
    unsigned long a = (unsigned long)va;

    return (a >= VIRT_BASE ? a - VIRT_BASE : a - DIRECT_BASE) / PAGE;
}

unsigned long mfn_of(const void *va)
{
    return p2m[pfn_of(va)];
}

/* Who gives pages away, or gets others in exchange, says so here. */
void set_mfn(unsigned long pfn, unsigned long mfn)
{
    p2m[pfn] = mfn;
}

uint64_t pte_of(const void *va, uint64_t flags)
{
    return (mfn_of(va) * PAGE) | flags;
}

unsigned long root_mfn(void)
{
    return p2m[pfn_of((void *)start_info->pt_base)];
}

/* Writes one entry of a page table. */
long pte_set(unsigned long table_mfn, unsigned int index, uint64_t pte)
{
    mmu_update_t req = {
        .ptr = table_mfn * PAGE + index * sizeof(pte) | MMU_NORMAL_PT_UPDATE,
        .val = pte,
    };

    return hc_mmu_update(&req, 1);
}

/* In the direct map. */
long page_protect(void *va, bool writable)
{
    return hc_map((unsigned long)va,
                  pte_of(va, writable ? PTE_RAM : PTE_RAM & ~PTE_RW));
}

/* The table of that level (1-4) on the way to an address, or NULL. */
uint64_t *table_at(unsigned long va, unsigned int level)
{
    const unsigned long *m2p = (const unsigned long *)__MACH2PHYS_VIRT_START;
    uint64_t *table = (uint64_t *)start_info->pt_base;
    unsigned int l;

    for ( l = 4; l > level; l-- )
    {
        uint64_t e = READ(table[(va >> (12 + 9 * (l - 1))) & 511]);

        if ( !(e & PTE_P) )
            return NULL;
        table = va_of(m2p[(e & PTE_MFN) / PAGE]);
    }

    return table;
}

uint64_t *pte_at(unsigned long va)
{
    uint64_t *table = table_at(va, 1);

    return table ? &table[(va / PAGE) & 511] : NULL;
}

void *page_alloc(void)
{
    void *va = free_pages;

    if ( va )
        free_pages = *(void **)va;
    else
    {
        if ( next_pfn >= start_info->nr_pages )
            die("out of memory");
        va = va_of(next_pfn++);
    }

    return memset(va, 0, PAGE);
}

void page_free(void *va)
{
    *(void **)va = free_pages;
    free_pages = va;
}

unsigned long pages_left(void)
{
    return start_info->nr_pages - next_pfn;
}

/* Makes the tables down to the L1 for an address of the tests. */
void map_scratch(unsigned long va)
{
    unsigned int level;

    for ( level = 4; level > 1; level-- )
        if ( !table_at(va, level - 1) )
        {
            uint64_t *above = table_at(va, level);
            void *page = page_alloc();

            if ( page_protect(page, false) ||
                 pte_set(mfn_of(above),
                         (va >> (12 + 9 * (level - 1))) & 511,
                         pte_of(page, PTE_RAM | PTE_US)) )
                die("no L%u table for %lx", level - 1, va);
        }
}

/* The pinned root of an address space with one page of code and one of stack. */
void *user_space(const void *code, size_t size)
{
    mmuext_op_t pin = { .cmd = MMUEXT_PIN_L4_TABLE };
    void *page = page_alloc(), *stack = page_alloc();
    uint64_t *t[4];
    unsigned int i;

    memcpy(page, code, size);
    for ( i = 0; i < 4; i++ )
        t[i] = page_alloc();
    t[0][USER / PAGE & 511] = pte_of(page, PTE_P | PTE_A | PTE_US);
    t[0][(USER / PAGE & 511) + 1] = pte_of(stack, PTE_RAM | PTE_US);
    t[1][USER >> 21 & 511] = pte_of(t[0], PTE_RAM | PTE_US);
    t[2][0] = pte_of(t[1], PTE_RAM | PTE_US);
    t[3][0] = pte_of(t[2], PTE_RAM | PTE_US);
    for ( i = 0; i < 4; i++ )
        want(page_protect(t[i], false), "protecting a user's table");

    pin.arg1.mfn = mfn_of(t[3]);
    want(hc_mmuext(&pin, 1), "pinning the user's tables");

    return t[3];
}

/* A page that is not mapped yet, for a moment. */
static uint64_t *peep(unsigned long pfn)
{
    if ( hc_map((unsigned long)window, p2m[pfn] * PAGE | PTE_RAM) )
        die("no window to page %lx", pfn);

    return (uint64_t *)window;
}

static bool is_table(unsigned long pfn)
{
    const unsigned long pt = pfn_of((void *)start_info->pt_base);

    return (pfn >= pt && pfn < pt + start_info->nr_pt_frames) ||
           (pfn >= tables_first && pfn < tables_end);
}

void pages_init(unsigned long stack)
{
    const unsigned long nr = start_info->nr_pages;
    const unsigned long nr_l1 = (nr + 511) / 512;
    unsigned long i, j, l2, l3;
    uint64_t *t;

    (void)stack;
    p2m = (unsigned long *)start_info->mfn_list;

    /* Two megabytes for each L1 table of the builder's: all but three tables. */
    tables_first = (start_info->nr_pt_frames - 3) * 512;
    l2 = tables_first + nr_l1;
    l3 = l2 + 1;
    tables_end = l3 + 1;
    if ( nr_l1 > 512 || tables_end >= nr )
        die("%lu pages are too many, or too few", nr);

    for ( i = 0; i < nr_l1; i++ )
    {
        t = peep(tables_first + i);
        for ( j = 0; j < 512; j++ )
        {
            unsigned long pfn = i * 512 + j;

            t[j] = pfn >= nr ? 0 : p2m[pfn] * PAGE |
                   (is_table(pfn) ? PTE_RAM & ~PTE_RW : PTE_RAM);
        }
    }

    t = memset(peep(l2), 0, PAGE);
    for ( i = 0; i < nr_l1; i++ )
        t[i] = p2m[tables_first + i] * PAGE | PTE_RAM | PTE_US;

    t = memset(peep(l3), 0, PAGE);
    t[0] = p2m[l2] * PAGE | PTE_RAM | PTE_US;

    if ( hc_map((unsigned long)window, pte_of(window, PTE_RAM)) ||
         pte_set(root_mfn(), (DIRECT_BASE >> 39) & 511,
                 p2m[l3] * PAGE | PTE_RAM | PTE_US) )
        die("no direct map");

    next_pfn = tables_end;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU with a CR3 that Xen takes from its guest, and not from a stream: an address that
 * no processor has or, with gone=1 and shadow paging, a page that the guest gives up.
 *
 * Happy path: `set` initialises the second vCPU with it, and leaves it down. An update is
 * refused until the guest is gone. With gone=1 there is no answer: sh_remove_shadows()
 * crashes the domain, since the page is a root in use.
 *
 * What can fail: Xen does not initialise it, or lets the domain go on without the page: bad.
 */
#include "pvh.h"

static uint8_t root[PAGE] __attribute__((aligned(4096)));

static void give_up(void *page)
{
    xen_pfn_t gfn = (uint64_t)page / PAGE;
    struct xen_memory_reservation op = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(op.extent_start, &gfn);
    bad("a root in use is given up: %ld", hc_memory(XENMEM_decrease_reservation, &op));
}

static void set(void)
{
    const bool gone = arg("gone", 0);

    want(second_prepare(gone ? (uint64_t)root : 1UL << 60), "an odd CR3");
    if ( gone )
        give_up(root);
}

const struct test test_odd = { "odd", "a CR3 that cannot be loaded", set };

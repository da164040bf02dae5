/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU with a register that Xen takes from its guest, and not from a stream: CR3, with
 * an address that no processor has.
 *
 * Happy path: `set` initialises the second vCPU with it, and leaves it down. An update is
 * refused until the guest is gone.
 *
 * What can fail: Xen does not initialise it: bad.
 */
#include "pvh.h"

static void set(void)
{
    want(second_prepare(1UL << 60), "a CR3 beyond all addresses");
}

const struct test test_odd = { "odd", "a CR3 that cannot be loaded", set };

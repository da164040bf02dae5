/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live patches: tail-included into common/livepatch.c, for its count of them.
 *
 * A patch is made for one build and cannot cross into another.  It would be gone
 * without a word, and with it what it mended: so it is for the administrator to
 * say that the new image has the same, by taking the patch out first, or that the loss
 * is allowed.
 *
 * What can fail: any payload that is loaded, applied or not, is a blocker otherwise.
 */
#include "internal.h"

static int cf_check check_livepatch(const struct domain *d)
{
    const unsigned int nr = ACCESS_ONCE(payload_cnt);

    if ( nr )
        return lu_loss(LU_LOSS_LIVEPATCH, -EBUSY,
                       "livepatch: %u live patches are loaded (xen-livepatch list)",
                       nr);

    return 0;
}

const struct lu_kind lu_kind_livepatch = {
    .name = "livepatch",
    .check = check_livepatch,
};

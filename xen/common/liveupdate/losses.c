/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blockers that an administrator may choose to lose.
 *
 * Nothing in this table is state of a guest: what is lost is the host's, can be
 * brought back by hand, and no domain notices.  XEN_LIVE_UPDATE_loss lists it,
 * and XEN_LIVE_UPDATE_allow takes names for the updates and checks to come,
 * until an image is loaded or unloaded.  By default nothing may be lost.  The
 * check that finds such a thing calls lu_loss() in place of lu_blocker(), and
 * the update that loses it says so.
 *
 * What can fail: a name that is none of these, -ENOENT: nothing is allowed
 * then.
 */
#include <xen/lib.h>
#include <xen/nospec.h>
#include <xen/string.h>

#include "internal.h"

static const struct loss {
    const char *name;           /* with which the blocker's message begins */
    const char *lost;
} losses[] = {
    [LU_LOSS_KEXEC_IMAGE] = {
        "kexec-image",
        "the image loaded for kexec -e; load it again",
    },
    [LU_LOSS_CRASH_IMAGE] = {
        "crash-image",
        "the crash image loaded by kexec -p; load it again",
    },
    [LU_LOSS_LIVEPATCH] = {
        "livepatch",
        "live patches, and what they mend unless the new image has it",
    },
};

static unsigned int allowed;    /* bit n: losses[n] */

bool lu_loss_allowed(enum lu_loss which)
{
    return allowed & (1U << which);
}

void lu_losses_reset(void)
{
    allowed = 0;
}

int lu_loss_get(unsigned int i, struct xen_live_update_loss *out)
{
    BUILD_BUG_ON(ARRAY_SIZE(losses) > sizeof(allowed) * 8);

    if ( i >= ARRAY_SIZE(losses) )
        return -ENOENT;

    i = array_index_nospec(i, ARRAY_SIZE(losses));
    memset(out, 0, sizeof(*out));
    strlcpy(out->name, losses[i].name, sizeof(out->name));
    strlcpy(out->text, losses[i].lost, sizeof(out->text));
    out->allowed = lu_loss_allowed(i);

    return 0;
}

int lu_loss_allow(const struct xen_live_update_loss *in)
{
    unsigned int i;

    if ( strnlen(in->name, sizeof(in->name)) == sizeof(in->name) )
        return -EINVAL;

    for ( i = 0; i < ARRAY_SIZE(losses); i++ )
        if ( !strcmp(in->name, losses[i].name) )
        {
            allowed |= 1U << i;
            return 0;
        }

    lu_losses_reset();

    return in->name[0] ? -ENOENT : 0;
}

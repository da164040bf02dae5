/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What live update says: blockers and errors.
 *
 * Both carry the domain and the errno in one format, so that the log can be
 * searched:  live-update: dN: what (-errno).
 */
#include <xen/lib.h>
#include <xen/version.h>

#include "internal.h"

static char line[200];
static DEFINE_SPINLOCK(line_lock);

static void say(const char *level, int rc, const struct domain *d,
                const char *what, const char *fmt, va_list args)
{
    unsigned long flags;

    /* Messages of two CPUs must not mix; one of them may have IRQs off. */
    spin_lock_irqsave(&line_lock, flags);
    vsnprintf(line, sizeof(line), fmt, args);
    if ( d )
        printk("%slive-update: %s%pd: %s (%d)\n", level, what, d, line, rc);
    else
        printk("%slive-update: %s%s (%d)\n", level, what, line, rc);
    spin_unlock_irqrestore(&line_lock, flags);
}

int lu_blocker(int rc, const struct domain *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(XENLOG_WARNING, rc, d, "blocked by ", fmt, args);
    va_end(args);

    return rc;
}

int lu_error(int rc, const struct domain *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(XENLOG_ERR, rc, d, "", fmt, args);
    va_end(args);

    return rc;
}

struct vcpu *lu_vcpu(const struct domain *d, uint32_t instance)
{
    if ( !d || instance >= d->max_vcpus )
        return NULL;

    return d->vcpu[array_index_nospec(instance, d->max_vcpus)];
}

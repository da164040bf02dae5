/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What live update says: blockers, losses and errors.
 *
 * They carry the domain and the errno in one format, so that the log can be
 * searched:  live-update: dN: what (-errno).  What is found by a load, a check or an
 * execution is kept as well, until the next of them, for tools to ask for it.
 *
 * What can fail: there are more findings than room.  The first ones are kept, the
 * others counted.
 */
#include <xen/lib.h>
#include <xen/version.h>

#include "internal.h"

struct lu_reports lu_reports;

static char line[sizeof(lu_reports.report->text)];
static DEFINE_SPINLOCK(line_lock);

static const char *feature;
/* An attempt is under way; it is only kept and not logged. */
static bool open, quiet;

void lu_report_begin(unsigned int op)
{
    feature = NULL;
    lu_reports.op = op;
    lu_reports.attempt++;
    lu_reports.nr = lu_reports.lost = 0;
    quiet = op == XEN_LIVE_UPDATE_OP_check;
    open = true;
}

int lu_report_end(int rc)
{
    if ( open )
    {
        /* kexec_load() and kimage_alloc() themselves fail without a word. */
        if ( rc && lu_reports.op == XEN_LIVE_UPDATE_OP_load && !lu_reports.nr )
            lu_error(rc, NULL, "load: kexec does not take the image");
        lu_reports.rc = rc;
    }
    open = quiet = false;

    return rc;
}

void lu_report_feature(const char *name)
{
    feature = name;
}

static void keep(int rc, const struct domain *d, unsigned int flags)
{
    struct xen_live_update_report *r = &lu_reports.report[lu_reports.nr];

    if ( lu_reports.nr == ARRAY_SIZE(lu_reports.report) )
    {
        lu_reports.lost++;
        return;
    }

    memset(r, 0, sizeof(*r));
    r->domid = d ? d->domain_id : DOMID_INVALID;
    r->flags = flags;
    r->error = -rc;
    strlcpy(r->feature, feature ?: "image", sizeof(r->feature));
    strlcpy(r->text, line, sizeof(r->text));
    lu_reports.nr++;
}

const char *lu_report_prefix(unsigned int flags)
{
    return flags & XEN_LIVE_UPDATE_R_BLOCKER ? "blocked by "
           : flags & XEN_LIVE_UPDATE_R_LOSS ? "will be lost: " : "";
}

/* `what` are XEN_LIVE_UPDATE_R_*. */
static void say(const char *level, int rc, const struct domain *d,
                unsigned int what, const char *fmt, va_list args)
{
    const char *how = lu_report_prefix(what);
    unsigned long flags;

    /* Messages of two CPUs must not mix; one of them may have IRQs off. */
    spin_lock_irqsave(&line_lock, flags);
    vsnprintf(line, sizeof(line), fmt, args);
    if ( open )
        keep(rc, d, what);
    if ( quiet )
        ;
    else if ( d )
        printk("%slive-update: %s%pd: %s (%d)\n", level, how, d, line, rc);
    else
        printk("%slive-update: %s%s (%d)\n", level, how, line, rc);
    spin_unlock_irqrestore(&line_lock, flags);
}

int lu_blocker(int rc, const struct domain *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(XENLOG_WARNING, rc, d, XEN_LIVE_UPDATE_R_BLOCKER, fmt, args);
    va_end(args);

    return rc;
}

int lu_loss(enum lu_loss which, int rc, const char *fmt, ...)
{
    const bool ok = lu_loss_allowed(which);
    va_list args;

    /* Checks come again in the freeze: once is enough. */
    if ( ok && lu_frozen )
        return 0;

    va_start(args, fmt);
    say(XENLOG_WARNING, ok ? 0 : rc, NULL,
        ok ? XEN_LIVE_UPDATE_R_LOSS : XEN_LIVE_UPDATE_R_BLOCKER, fmt, args);
    va_end(args);

    return ok ? 0 : rc;
}

int lu_error(int rc, const struct domain *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(XENLOG_ERR, rc, d, 0, fmt, args);
    va_end(args);

    return rc;
}

struct vcpu *lu_vcpu(const struct domain *d, uint32_t instance)
{
    if ( !d || instance >= d->max_vcpus )
        return NULL;

    return d->vcpu[array_index_nospec(instance, d->max_vcpus)];
}

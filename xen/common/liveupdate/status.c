/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tools may ask: KEXEC_CMD_kexec_live_update, the part that only looks.
 *
 * Status, gaps, what the last attempt found, and which records an image reads; the
 * last stream.  The caller (load.c) has asked XSM, holds the flag that keeps other
 * kexec hypercalls out, and copies the answer to the domain.
 *
 * What can fail: an operation that does not exist, -EOPNOTSUPP, or an index behind the
 * last, -ENOENT.  Nothing is changed.
 */
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/nospec.h>
#include <xen/version.h>

#include "internal.h"

uint64_t lu_tsc_ns(uint64_t from, uint64_t to)
{
    return to > from ? (to - from) * 1000000 / cpu_khz : 0;
}

static void set_build_id(struct xen_live_update_version *v, const void *id,
                         unsigned int len)
{
    v->build_id_len = min_t(unsigned int, len, sizeof(v->build_id));
    memcpy(v->build_id, id, v->build_id_len);
}

static void times(struct xen_live_update_status *s)
{
    const struct lu_host_rec *from = &lu_progress.from;

    s->paused_ns = lu_tsc_ns(from->pause_tsc, lu_progress.released_tsc);
    s->freeze_ns = lu_tsc_ns(from->pause_tsc, from->parked_tsc);
    s->save_ns = lu_tsc_ns(from->parked_tsc, lu_progress.saved_tsc);
    s->jump_ns = lu_tsc_ns(lu_progress.saved_tsc, lu_progress.start_tsc);
    s->boot_ns = lu_tsc_ns(lu_progress.start_tsc, lu_progress.pass[LU_PASS_HOST]);
    s->restore_ns = lu_tsc_ns(lu_progress.pass[LU_PASS_HOST], lu_progress.restored_tsc);
    s->release_ns = lu_tsc_ns(lu_progress.restored_tsc, lu_progress.released_tsc);
}

static void status(struct xen_live_update_status *s,
                   const struct kexec_image *image)
{
    const struct lu_host_rec *from = &lu_progress.from;
    xen_kexec_range_t region, slot;
    const uint8_t *id;
    const void *own;
    unsigned int len;

    memset(s, 0, sizeof(*s));

    if ( !lu_kexec_region(&region) && lu_kexec_xen(&slot) )
    {
        s->flags |= XEN_LIVE_UPDATE_F_ENABLED;
        s->zone_start = region.start;
        s->region_size = region.size;
        s->slot_size = slot.size;
        s->zone_size = region.size + 2 * slot.size;
    }
    s->wait_ms = lu_wait_ms();
    s->dump_bytes = lu_dump_bytes();
    s->dump_pages = lu_dump_pages();
    if ( image && lu_waiting() )
        s->flags |= XEN_LIVE_UPDATE_F_WAITING;

    s->last_op = lu_reports.op;
    s->last_error = -lu_reports.rc;
    s->attempt = lu_reports.attempt;
    s->nr_reports = lu_reports.nr;
    s->lost_reports = lu_reports.lost;

    s->running.xen_major = xen_major_version();
    s->running.xen_minor = xen_minor_version();
    strlcpy(s->running.extraversion, xen_extra_version(),
            sizeof(s->running.extraversion));
    if ( !xen_build_id(&own, &len) )
        set_build_id(&s->running, own, len);

    if ( image )
    {
        const struct lu_note_rec *n = lu_image_note();

        s->flags |= XEN_LIVE_UPDATE_F_LOADED;
        if ( n->flags & LU_NOTE_F_DEBUG )
            s->flags |= XEN_LIVE_UPDATE_F_DEBUG;
        s->loaded.xen_major = n->xen_major;
        s->loaded.xen_minor = n->xen_minor;
        /* The image's own bytes: they may lack an end. */
        memcpy(s->loaded.extraversion, n->extraversion,
               sizeof(s->loaded.extraversion) - 1);
        len = lu_image_build_id(&id);
        set_build_id(&s->loaded, id, len);
    }

    if ( !lu_progress.updates )
        return;

    s->flags |= XEN_LIVE_UPDATE_F_UPDATED;
    s->updates = lu_progress.updates;
    s->nr_domains = from->nr_domains;
    s->kept_pages = lu_progress.kept;
    s->previous.xen_major = from->xen_major;
    s->previous.xen_minor = from->xen_minor;
    strlcpy(s->previous.extraversion, from->extraversion,
            sizeof(s->previous.extraversion));
    set_build_id(&s->previous, from->build_id, from->build_id_len);
    times(s);
}

static int record(struct xen_live_update_record *r, unsigned int i,
                  const struct kexec_image *image)
{
    struct lu_note_entry_rec e;
    unsigned int nr;

    if ( !(image ? lu_image_record(i, &e) : lu_own_record(i, &e)) )
        return -ENOENT;

    memset(r, 0, sizeof(*r));
    r->type = e.type;
    r->min_version = e.min_version;
    r->max_version = e.max_version;
    nr = lu_kind_index(e.type);
    if ( e.type && nr < lu_nr_kinds )
    {
        const struct lu_kind *k = lu_kinds[nr];

        r->written = k->save ? k->version : 0;
        strlcpy(r->name, k->name, sizeof(r->name));
    }

    return 0;
}

int lu_query(struct xen_live_update *op, const struct kexec_image *image)
{
    /* The ABI: the same for callers of 32 bits. */
    BUILD_BUG_ON(sizeof(*op) != 512 || sizeof(op->u.status) != 400 ||
                 sizeof(op->u.report) != 232 || sizeof(op->u.record) != 40 ||
                 sizeof(op->u.gap) != 16 || sizeof(op->u.dump) != 496 ||
                 sizeof(op->u.loss) != 232);

    switch ( op->op )
    {
    case XEN_LIVE_UPDATE_status:
        if ( op->index )
            return -EINVAL;
        status(&op->u.status, image);
        return 0;

    case XEN_LIVE_UPDATE_report:
        if ( op->index >= lu_reports.nr )
            return -ENOENT;
        op->u.report = lu_reports.report[array_index_nospec(op->index,
                                                            lu_reports.nr)];
        return 0;

    case XEN_LIVE_UPDATE_record:
        return record(&op->u.record, op->index, image);

    case XEN_LIVE_UPDATE_dump:
        return lu_dump_read(op->index, &op->u.dump);

    case XEN_LIVE_UPDATE_loss:
        return lu_loss_get(op->index, &op->u.loss);

    case XEN_LIVE_UPDATE_gap:
        return lu_gap(op->index, &op->u.gap);
    }

    return -EOPNOTSUPP;
}

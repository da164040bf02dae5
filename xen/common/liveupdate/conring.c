/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CONRING: the text of Xen's console ring, which `xl dmesg` shows.
 * Included at the end of drivers/char/console.c, whose variables these are.
 *
 * The new Xen has printed its boot messages into a ring of its own when this is
 * restored.  The old text is put before them, and the indices go on where the
 * old Xen's stood: who reads increments, as xenconsoled does, misses nothing and
 * sees nothing twice.  What was cleared (xl dmesg -c) stays cleared.
 *
 * The record is optional: an image that does not know it starts with an empty
 * ring.  What can fail: the ring is full, then the oldest text goes, as ever.  A
 * ring smaller than what there was is told in the log.  Without memory to set its
 * own messages aside the new Xen keeps only those, and says so.
 */
#include <xen/xmalloc.h>

#include "internal.h"

static int cf_check save_conring(struct lu_stream *s, struct domain *d)
{
    uint32_t c = read_atomic(&conringc), p = read_atomic(&conringp);
    struct lu_conring_rec r = {
        .id = lu_id(&lu_kind_conring, NULL, 0),
        .first = c,
        /* Another CPU may be printing while this is for practice. */
        .nr = min(p - c, conring_size),
    };
    uint32_t start = CONRING_IDX_MASK(c);
    uint32_t head = min(r.nr, conring_size - start);

    return lu_rec_begin(s, LU_REC_CONRING | LU_REC_OPTIONAL) ?:
           lu_rec_put(s, &r, sizeof(r)) ?:
           lu_rec_put(s, &conring[start], head) ?:
           lu_rec_put(s, conring, r.nr - head) ?:
           lu_rec_end(s);
}

/* Copies `len` bytes of text, from index i of the ring on. */
static void ring_read(char *dst, uint32_t i, uint32_t len)
{
    while ( len-- )
        *dst++ = conring[CONRING_IDX_MASK(i++)];
}

static int cf_check restore_conring(const struct lu_stream *s,
                                    const struct lu_rec *rec, struct domain *d)
{
    struct lu_conring_rec r;
    uint32_t room, fresh, keep, start, head;
    unsigned long flags;
    char *text;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !lu_array_fits(rec, sizeof(r), 1, r.nr) )
        return lu_error(-EBADMSG, NULL, "CONRING: %u bytes of text in %u",
                        r.nr, rec->length);

    /* Other CPUs may say something until the lock is held. */
    room = read_atomic(&conringp) - read_atomic(&conringc) + KB(1);
    text = xmalloc_array(char, room);
    if ( !text )
    {
        lu_error(-ENOMEM, NULL, "CONRING: the old Xen's messages are lost");
        return 0;
    }

    flags = console_lock_recursive_irqsave();

    fresh = min(conringp - conringc, room);
    ring_read(text, conringp - fresh, fresh);

    keep = min(r.nr, conring_size - min(fresh, conring_size));
    conringp = r.first + r.nr;
    conringc = conringp - keep;

    start = CONRING_IDX_MASK(conringc);
    head = min(keep, conring_size - start);
    rc = lu_rec_read(s, rec, sizeof(r) + r.nr - keep, &conring[start], head) ?:
         lu_rec_read(s, rec, sizeof(r) + r.nr - keep + head, conring,
                     keep - head);

    conring_puts(text, fresh);

    console_unlock_recursive_irqrestore(flags);
    xfree(text);

    if ( r.nr > conring_size )
        printk(XENLOG_WARNING
               "live-update: the console ring had %u KiB of text, this one has room for %u KiB\n",
               r.nr >> 10, conring_size >> 10);

    return rc;
}

const struct lu_kind lu_kind_conring = {
    .name = "CONRING",
    .type = LU_REC_CONRING,
    .size = sizeof(struct lu_conring_rec),
    .array = { LU_ARRAY(lu_conring_rec, nr, uint8_t) },
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_HOST,
    .optional = true,
    .save = save_conring,
    .restore = restore_conring,
};

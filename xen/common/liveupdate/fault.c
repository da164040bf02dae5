/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection: makes the next update fail where it is told to.  Lab only.
 *
 * dom0 writes one order to the hypfs leaf /params/lu-fault:
 *   none             take the order back
 *   alloc=<n>        allocation number n (from 1) of the next update fails
 *   freeze           the domains are frozen, then the update is refused
 *   again=<n>        the same n times, as if it were over in a moment
 *   jump             all is saved and sealed, then the update is refused
 *   crumb            the breadcrumb is damaged after its checksum was made
 *   record=<t>:<b>   byte b of the first record of type t is flipped after sealing
 *   reseal=<t>:<b>   the same, and the checksum is made to fit: the stream is whole
 *                    and says something that is wrong
 *   hide=<t>         the first record of type t is made one that nobody knows and
 *                    that may be skipped; the checksum fits
 * A flip is of bit 0; b counts the body's bytes.  An order serves one update (again=:
 * n tries) and is gone then.
 *
 * What can fail: an order that is not understood is refused with -EINVAL, one
 * that names no record lets the update fail with -ENOENT.
 */
#include <xen/errno.h>
#include <xen/hypfs.h>
#include <xen/lib.h>
#include <xen/param.h>

#include "internal.h"

static enum {
    NONE, ALLOC, FREEZE, AGAIN, JUMP, CRUMB, RECORD, RESEAL, HIDE
} order;
static unsigned int alloc_nr, again_nr, rec_type, rec_byte;

static char text[32] = "none";

static void cf_check init_text(struct param_hypfs *par)
{
    custom_runtime_set_var(par, text);
}

static int cf_check parse_order(const char *s);
custom_runtime_only_param("lu-fault", parse_order, init_text);

static int cf_check parse_order(const char *s)
{
    const char *end = s + strlen(s);

    if ( !strcmp(s, "none") )
        order = NONE;
    else if ( !strncmp(s, "alloc=", 6) )
    {
        alloc_nr = simple_strtoul(s + 6, &end, 0);
        order = ALLOC;
    }
    else if ( !strcmp(s, "freeze") )
        order = FREEZE;
    else if ( !strncmp(s, "again=", 6) )
    {
        again_nr = simple_strtoul(s + 6, &end, 0);
        order = again_nr ? AGAIN : NONE;
    }
    else if ( !strcmp(s, "jump") )
        order = JUMP;
    else if ( !strcmp(s, "crumb") )
        order = CRUMB;
    else if ( !strncmp(s, "record=", 7) || !strncmp(s, "reseal=", 7) )
    {
        rec_type = simple_strtoul(s + 7, &end, 0);
        if ( *end++ != ':' )
            return -EINVAL;
        rec_byte = simple_strtoul(end, &end, 0);
        order = s[2] == 'c' ? RECORD : RESEAL;
    }
    else if ( !strncmp(s, "hide=", 5) )
    {
        rec_type = simple_strtoul(s + 5, &end, 0);
        order = HIDE;
    }
    else
        return -EINVAL;

    if ( *end )
    {
        order = NONE;
        return -EINVAL;
    }

    strlcpy(text, s, sizeof(text));
    custom_runtime_set_var(param_2_parfs(parse_order), text);

    return 0;
}

static bool take(unsigned int which)
{
    if ( order != which )
        return false;

    order = NONE;
    strlcpy(text, "none", sizeof(text));

    return true;
}

bool lu_fault_alloc(void)
{
    return order == ALLOC && !--alloc_nr && take(ALLOC);
}

int lu_fault_frozen(void)
{
    if ( order == AGAIN )
    {
        if ( !--again_nr )
            take(AGAIN);
        return lu_error(-EAGAIN, NULL, "fault: %u more times", again_nr);
    }

    return take(FREEZE) ? lu_error(-EIO, NULL, "fault: after the freeze")
                        : 0;
}

static uint8_t *byte_at(const struct lu_stream *s, uint64_t pos)
{
    return (uint8_t *)s->page(s->ctx, pos / LU_STREAM_PAGE) +
           pos % LU_STREAM_PAGE;
}

/* END once more, of what the stream has become. */
static int seal_again(const struct lu_stream *s)
{
    struct lu_stream w = *s;

    w.pos -= sizeof(struct lu_hdr_rec) + sizeof(struct lu_end_rec);
    w.sealed = false;

    return lu_stream_seal(&w);
}

int lu_fault_sealed(struct lu_stream *s)
{
    const unsigned int what = order;
    struct lu_stream r;
    struct lu_rec rec;
    uint64_t pos;
    unsigned int i;
    int rc;

    if ( take(JUMP) )
        return lu_error(-EIO, NULL, "fault: before the jump");

    if ( !take(RECORD) && !take(RESEAL) && !take(HIDE) )
        return 0;

    rc = lu_read_init(&r, s->page, s->ctx, s->pos);
    if ( rc )
        return lu_error(rc, NULL, "fault: the sealed stream does not read");
    if ( lu_find(&r, rec_type, LU_DOMID_HOST, &rec) &&
         lu_find(&r, rec_type, 0, &rec) )
        return lu_error(-ENOENT, NULL, "fault: no record of type %#x",
                        rec_type);

    if ( what == HIDE )
    {
        /* All bits of a type: LU_REC_OPTIONAL, and no record has the others. */
        pos = rec.offset - sizeof(struct lu_hdr_rec);
        for ( i = 0; i < sizeof(uint32_t); i++ )
            *byte_at(s, pos + i) = 0xff;

        return seal_again(s);
    }

    if ( rec_byte >= rec.length )
        return lu_error(-ENOENT, NULL, "fault: record %#x has %u bytes",
                        rec_type, rec.length);

    *byte_at(s, rec.offset + rec_byte) ^= 1;

    return what == RESEAL ? seal_again(s) : 0;
}

bool lu_fault_crumb(void)
{
    return take(CRUMB);
}

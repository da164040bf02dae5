/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection: makes the next update fail where it is told to.  Lab only.
 *
 * dom0 writes one order to the hypfs leaf /params/lu-fault:
 *   none             take the order back
 *   alloc=<n>        allocation number n (from 1) of the next update fails
 *   freeze           the domains are frozen, then the update is refused
 *   jump             all is saved and sealed, then the update is refused
 *   crumb            the breadcrumb is damaged after its checksum was made
 *   record=<t>:<b>   byte b of the first record of type t is flipped after sealing
 * An order serves one update and is gone then.
 *
 * What can fail: an order that is not understood is refused with -EINVAL, one
 * that names no record lets the update fail with -ENOENT.
 */
#include <xen/errno.h>
#include <xen/hypfs.h>
#include <xen/lib.h>
#include <xen/param.h>

#include "internal.h"

static enum { NONE, ALLOC, FREEZE, JUMP, CRUMB, RECORD } order;
static unsigned int alloc_nr, rec_type, rec_byte;

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
    else if ( !strcmp(s, "jump") )
        order = JUMP;
    else if ( !strcmp(s, "crumb") )
        order = CRUMB;
    else if ( !strncmp(s, "record=", 7) )
    {
        rec_type = simple_strtoul(s + 7, &end, 0);
        if ( *end++ != ':' )
            return -EINVAL;
        rec_byte = simple_strtoul(end, &end, 0);
        order = RECORD;
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
    return take(FREEZE) ? lu_error(-EIO, NULL, "fault: after the freeze")
                        : 0;
}

int lu_fault_sealed(struct lu_stream *s)
{
    struct lu_stream r;
    struct lu_rec rec;
    uint64_t pos;
    int rc;

    if ( take(JUMP) )
        return lu_error(-EIO, NULL, "fault: before the jump");

    if ( !take(RECORD) )
        return 0;

    rc = lu_read_init(&r, s->page, s->ctx, s->pos);
    if ( rc )
        return lu_error(rc, NULL, "fault: the sealed stream does not read");
    if ( lu_find(&r, rec_type, LU_DOMID_HOST, &rec) &&
         lu_find(&r, rec_type, 0, &rec) )
        return lu_error(-ENOENT, NULL, "fault: no record of type %#x",
                        rec_type);
    if ( rec_byte >= rec.length )
        return lu_error(-ENOENT, NULL, "fault: record %#x has %u bytes",
                        rec_type, rec.length);

    pos = rec.offset + rec_byte;
    ((uint8_t *)s->page(s->ctx, pos / LU_STREAM_PAGE))[pos % LU_STREAM_PAGE] ^= 1;

    return 0;
}

bool lu_fault_crumb(void)
{
    return take(CRUMB);
}

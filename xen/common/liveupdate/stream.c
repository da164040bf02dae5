/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Codec of the live update stream: framing, bounds and checksum.
 *
 * Writing: lu_write_init, then per record lu_rec_begin / lu_rec_put / lu_rec_end
 * (or lu_rec_write), then lu_stream_seal.  Without pages the same calls measure.
 * Reading: lu_read_init proves the whole stream once, then lu_next and lu_find
 * walk it, and lu_rec_read copies out of bodies.
 *
 * What fails: running out of room leaves the stream as it was before the call
 * (-ENOSPC); calls out of order are refused (-EINVAL); a malformed stream is
 * refused as a whole by lu_read_init (-EBADMSG) and then has no records.
 *
 * Built into Xen and into the host tools: see stream.h for the contract.
 */
#include "stream.h"

#ifdef __XEN__
#include <xen/errno.h>
#include <xen/string.h>
#include <xen/xxhash.h>
#else
#include <errno.h>
#include <string.h>
#include "host-xxhash.h"
#endif

#define HDR_SIZE  ((uint64_t)sizeof(struct lu_hdr_rec))
#define ID_SIZE   ((uint64_t)sizeof(struct lu_id_rec))
#define END_SIZE  ((uint64_t)sizeof(struct lu_end_rec))

static uint64_t padded(uint64_t len)
{
    return (len + 7) & ~(uint64_t)7;
}

/* ---- Pages -------------------------------------------------------------- */

/* The byte at pos, and how many follow it on the same page. */
static void *locate(const struct lu_stream *s, uint64_t pos, size_t *room)
{
    uint32_t off = pos % LU_STREAM_PAGE;
    uint8_t *page = s->page(s->ctx, pos / LU_STREAM_PAGE);

    *room = LU_STREAM_PAGE - off;

    return page + off;
}

static void store(const struct lu_stream *s, uint64_t pos, const void *src,
                  size_t len)
{
    if ( !s->page )
        return;

    while ( len )
    {
        size_t room;
        void *dst = locate(s, pos, &room);

        if ( room > len )
            room = len;
        memcpy(dst, src, room);
        src = (const uint8_t *)src + room;
        pos += room;
        len -= room;
    }
}

static void fetch(const struct lu_stream *s, uint64_t pos, void *dst,
                  size_t len)
{
    while ( len )
    {
        size_t room;
        const void *src = locate(s, pos, &room);

        if ( room > len )
            room = len;
        memcpy(dst, src, room);
        dst = (uint8_t *)dst + room;
        pos += room;
        len -= room;
    }
}

/* Headers and ids are 8 bytes at multiples of 8: never across pages. */
static uint64_t fetch_word(const struct lu_stream *s, uint64_t pos)
{
    size_t room;
    uint64_t word;

    memcpy(&word, locate(s, pos, &room), sizeof(word));

    return word;
}

static struct lu_hdr_rec fetch_hdr(const struct lu_stream *s, uint64_t pos)
{
    uint64_t word = fetch_word(s, pos);

    return (struct lu_hdr_rec){ .type = word, .length = word >> 32 };
}

static struct lu_id_rec fetch_id(const struct lu_stream *s, uint64_t pos)
{
    uint64_t word = fetch_word(s, pos);

    return (struct lu_id_rec){
        .version = word,
        .domid = word >> 16,
        .instance = word >> 32,
    };
}

static uint64_t checksum(const struct lu_stream *s, uint64_t bytes)
{
    struct xxh64_state state;
    uint64_t pos = 0;

    xxh64_reset(&state, 0);
    while ( pos < bytes )
    {
        size_t room;
        const void *src = locate(s, pos, &room);

        if ( room > bytes - pos )
            room = bytes - pos;
        xxh64_update(&state, src, room);
        pos += room;
    }

    return xxh64_digest(&state);
}

/* ---- Writer ------------------------------------------------------------- */

void lu_write_init(struct lu_stream *s, lu_page_fn *page, void *ctx,
                   uint64_t size)
{
    *s = (struct lu_stream){
        .page = page,
        .ctx = ctx,
        .size = page ? size : ~(uint64_t)0,
    };
}

int lu_rec_begin(struct lu_stream *s, uint32_t type)
{
    struct lu_hdr_rec hdr = { .type = type };

    if ( s->open || s->sealed || (type & ~LU_REC_OPTIONAL) == LU_REC_END )
        return -EINVAL;
    if ( s->size - s->pos < HDR_SIZE )
        return -ENOSPC;

    store(s, s->pos, &hdr, sizeof(hdr));
    s->rec = s->pos;
    s->pos += HDR_SIZE;
    s->body_end = s->pos;
    s->open = true;

    return 0;
}

int lu_rec_put(struct lu_stream *s, const void *data, size_t len)
{
    if ( !s->open || len > ~(uint32_t)0 - (s->pos - s->rec - HDR_SIZE) )
        return -EINVAL;
    if ( len > s->size - s->pos )
        return -ENOSPC;

    store(s, s->pos, data, len);
    s->pos += len;
    s->body_end = s->pos;

    return 0;
}

int lu_rec_end(struct lu_stream *s)
{
    static const uint64_t zero;
    uint64_t length = s->pos - s->rec - HDR_SIZE;
    uint64_t pad = padded(length) - length;
    uint32_t wire = length;

    if ( !s->open || length < ID_SIZE )
        return -EINVAL;
    if ( pad > s->size - s->pos )
        return -ENOSPC;

    store(s, s->pos, &zero, pad);
    store(s, s->rec + offsetof(struct lu_hdr_rec, length), &wire, sizeof(wire));
    s->pos += pad;
    s->open = false;

    return 0;
}

int lu_rec_write(struct lu_stream *s, uint32_t type, const void *body,
                 size_t len)
{
    uint64_t pos = s->pos, rec = s->rec, body_end = s->body_end;
    int rc = lu_rec_begin(s, type);

    if ( rc )
        return rc;

    rc = lu_rec_put(s, body, len);
    if ( !rc )
        rc = lu_rec_end(s);
    if ( rc )
    {
        s->pos = pos;
        s->rec = rec;
        s->body_end = body_end;
        s->open = false;
    }

    return rc;
}

int lu_rec_patch(struct lu_stream *s, uint32_t off, const void *data,
                 size_t len)
{
    uint64_t body = s->rec + HDR_SIZE;

    /* body_end is 0 before the first record. */
    if ( s->sealed || s->body_end < body || off > s->body_end - body ||
         len > s->body_end - body - off )
        return -EINVAL;

    store(s, body + off, data, len);

    return 0;
}

int lu_stream_seal(struct lu_stream *s)
{
    struct lu_hdr_rec hdr = {
        .type = LU_REC_END,
        .length = sizeof(struct lu_end_rec),
    };
    struct lu_end_rec end = { .bytes = s->pos };

    if ( s->open || s->sealed )
        return -EINVAL;
    if ( s->size - s->pos < HDR_SIZE + END_SIZE )
        return -ENOSPC;

    if ( s->page )
        end.checksum = checksum(s, s->pos);
    store(s, s->pos, &hdr, sizeof(hdr));
    store(s, s->pos + HDR_SIZE, &end, sizeof(end));
    s->pos += HDR_SIZE + END_SIZE;
    s->sealed = true;

    return 0;
}

/* ---- Reader ------------------------------------------------------------- */

static unsigned int span_of(uint16_t domid)
{
    return domid == LU_DOMID_HOST ? LU_NR_SPANS - 1
                                  : domid % (LU_NR_SPANS - 1);
}

/*
 * The header at pos, if a whole record follows it within the stream.  Needs
 * pos <= size, both multiples of 8; room is what lies between them.
 */
static int read_hdr(const struct lu_stream *s, uint64_t pos,
                    struct lu_hdr_rec *hdr)
{
    uint64_t room = s->size - pos;

    if ( room < HDR_SIZE )
        return -EBADMSG;
    *hdr = fetch_hdr(s, pos);

    if ( padded(hdr->length) > room - HDR_SIZE )
        return -EBADMSG;

    if ( hdr->type == LU_REC_END )
        return hdr->length == END_SIZE && room == HDR_SIZE + END_SIZE
               ? 0 : -EBADMSG;

    /* An END that may be skipped is not one, and every other body has an id. */
    if ( (hdr->type & ~LU_REC_OPTIONAL) == LU_REC_END || hdr->length < ID_SIZE )
        return -EBADMSG;

    return 0;
}

static bool padding_is_zero(const struct lu_stream *s, uint64_t end)
{
    unsigned int pad = padded(end) - end;

    /* Padding is the last bytes, so the high ones, of its word. */
    return !pad || !(fetch_word(s, end & ~(uint64_t)7) >> (64 - 8 * pad));
}

static int read_framing(struct lu_stream *s)
{
    uint64_t pos = 0;

    if ( s->size % 8 || s->size / LU_STREAM_PAGE > ~(uint32_t)0 )
        return -EBADMSG;

    for ( ; ; )
    {
        struct lu_hdr_rec hdr;
        struct lu_span *span;

        if ( read_hdr(s, pos, &hdr) )
            return -EBADMSG;

        if ( hdr.type == LU_REC_END )
            break;

        if ( !padding_is_zero(s, pos + HDR_SIZE + hdr.length) )
            return -EBADMSG;

        span = &s->span[span_of(fetch_id(s, pos + HDR_SIZE).domid)];
        if ( !span->end )
            span->start = pos;
        pos += HDR_SIZE + padded(hdr.length);
        span->end = pos;
    }

    s->pos = pos;

    return 0;
}

int lu_read_init(struct lu_stream *s, lu_page_fn *page, void *ctx,
                 uint64_t size)
{
    struct lu_end_rec end;
    int rc;

    *s = (struct lu_stream){ .page = page, .ctx = ctx, .size = size };

    rc = read_framing(s);
    if ( !rc )
    {
        fetch(s, s->pos + HDR_SIZE, &end, sizeof(end));
        if ( end.bytes != s->pos || end.checksum != checksum(s, s->pos) )
            rc = -EBADMSG;
    }

    if ( rc )
        *s = (struct lu_stream){};
    else
        s->sealed = true;

    return rc;
}

/* The record whose header is at pos. */
static int read_rec(const struct lu_stream *s, uint64_t pos,
                    struct lu_rec *rec)
{
    struct lu_hdr_rec hdr;

    if ( pos > s->size || read_hdr(s, pos, &hdr) )
    {
        /* Stand on END, so that a caller's loop ends whatever it tests for. */
        *rec = (struct lu_rec){ .offset = s->size };
        return -EBADMSG;
    }

    *rec = (struct lu_rec){
        .type = hdr.type & ~LU_REC_OPTIONAL,
        .length = hdr.length,
        .offset = pos + HDR_SIZE,
        .optional = hdr.type & LU_REC_OPTIONAL,
    };
    if ( rec->type == LU_REC_END )
        return 0;
    rec->id = fetch_id(s, rec->offset);

    return 1;
}

int lu_next(const struct lu_stream *s, struct lu_rec *rec)
{
    if ( !s->sealed )
        return -EBADMSG;

    if ( !rec->offset )
        return read_rec(s, 0, rec);

    if ( rec->type == LU_REC_END )
        return 0;

    return read_rec(s, rec->offset + padded(rec->length), rec);
}

int lu_find(const struct lu_stream *s, uint32_t type, uint16_t domid,
            struct lu_rec *rec)
{
    const struct lu_span *span = &s->span[span_of(domid)];
    uint64_t pos = span->start;

    if ( !s->sealed )
        return -EBADMSG;

    type &= ~LU_REC_OPTIONAL;
    while ( pos < span->end )
    {
        int rc = read_rec(s, pos, rec);

        if ( rc <= 0 )
            return -EBADMSG;
        if ( rec->type == type && rec->id.domid == domid )
            return 0;
        pos = rec->offset + padded(rec->length);
    }

    return -ENOENT;
}

int lu_rec_read(const struct lu_stream *s, const struct lu_rec *rec,
                uint32_t off, void *dst, size_t len)
{
    if ( off > rec->length || len > rec->length - off ||
         rec->offset > s->size || rec->length > s->size - rec->offset )
        return -EBADMSG;

    fetch(s, rec->offset + off, dst, len);

    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: the reader of the stream and what stands on it.
 *
 * The first byte of an input says how the rest is used:
 *   0  a stream as it is: framing, bounds and checksum see the raw bytes;
 *   1  records, to which END with the right checksum is added: no fuzzer guesses
 *      XXH64, and behind it are lu_next, lu_find, decoding and the rules;
 *   2  an image that is searched for a capability note;
 *   3  calls of the writer, whose result must read back.
 *
 * What is found: anything the sanitizers see, a page asked for beyond the
 * stream (each lies in a block of its own, the last one cut off where the stream
 * ends), a proven stream with a malformed record, a written one that does not
 * read back, a refusal that cannot be explained.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host-xxhash.h"
#include "schema.h"

#define CHECK(cond) do { if ( !(cond) ) __builtin_trap(); } while ( 0 )
#define MAX_PAGES 64U

struct pages {
    uint32_t nr;
    uint8_t *page[MAX_PAGES];
};

static FILE *sink;

static void *page_of(void *ctx, uint32_t idx)
{
    const struct pages *p = ctx;

    CHECK(idx < p->nr);

    return p->page[idx];
}

/* The last page is only as long as needed: the address sanitizer guards it. */
static void pages_make(struct pages *p, const uint8_t *data, size_t size)
{
    p->nr = 0;
    while ( size )
    {
        size_t len = size < LU_STREAM_PAGE ? size : LU_STREAM_PAGE;

        CHECK(p->nr < MAX_PAGES);
        p->page[p->nr] = malloc(len);
        CHECK(p->page[p->nr]);
        if ( data )
        {
            memcpy(p->page[p->nr], data, len);
            data += len;
        }
        p->nr++;
        size -= len;
    }
}

static void pages_free(struct pages *p)
{
    while ( p->nr )
        free(p->page[--p->nr]);
}

/* A proven stream: every record can be read, found and printed. */
static void walk(const struct lu_stream *s)
{
    struct lu_note_entry_rec table[64];
    struct lu_rec rec = {}, found;
    uint64_t next = 0;
    int rc;

    while ( (rc = lu_next(s, &rec)) == 1 )
    {
        uint8_t *body = malloc(rec.length);

        CHECK(body && rec.offset == next + sizeof(struct lu_hdr_rec));
        CHECK(rec.length >= sizeof(rec.id));
        CHECK(!lu_rec_read(s, &rec, 0, body, rec.length));
        CHECK(!memcmp(body, &rec.id, sizeof(rec.id)));
        CHECK(lu_rec_read(s, &rec, 1, body, rec.length) == -EBADMSG);
        CHECK(!lu_find(s, rec.type, rec.id.domid, &found));
        CHECK(found.offset <= rec.offset && found.type == rec.type &&
              found.id.domid == rec.id.domid);
        lu_print_record(sink, &rec, body, 4);
        next = rec.offset + ((rec.length + 7ULL) & ~7ULL);
        free(body);
    }
    CHECK(!rc && rec.type == LU_REC_END && rec.offset + rec.length == s->size);

    CHECK(lu_nr_descs <= 64);
    lu_own_table(table);
    lu_verify(sink, s, table, lu_nr_descs);
    lu_verify(sink, s, table, lu_nr_descs / 2);
}

static void read_raw(const uint8_t *data, size_t size)
{
    struct pages p;
    struct lu_stream s;

    pages_make(&p, data, size);
    if ( !lu_read_init(&s, page_of, &p, size) )
        walk(&s);
    else
        lu_explain(sink, page_of, &p, size);
    pages_free(&p);
}

static void read_sealed(const uint8_t *data, size_t size)
{
    const struct lu_hdr_rec hdr = { LU_REC_END, sizeof(struct lu_end_rec) };
    struct lu_end_rec end;
    uint8_t *all;

    size &= ~(size_t)7;
    all = malloc(size + sizeof(hdr) + sizeof(end));
    CHECK(all);
    end = (struct lu_end_rec){ .checksum = xxh64(data, size, 0), .bytes = size };
    memcpy(all, data, size);
    memcpy(all + size, &hdr, sizeof(hdr));
    memcpy(all + size + sizeof(hdr), &end, sizeof(end));
    read_raw(all, size + sizeof(hdr) + sizeof(end));
    free(all);
}

static void search_note(const uint8_t *data, size_t size)
{
    unsigned int damaged;
    size_t where;

    if ( lu_note_scan(data, size, 8, &where, &damaged) )
        lu_note_print(sink, data, where);
}

/*
 * The input drives the writer: byte pairs (call, argument).  A dry run makes the
 * same calls and must come to the same size.
 */
static void write_both(const uint8_t *data, size_t size)
{
    static const uint8_t bytes[256 * 16];
    struct pages p;
    struct lu_stream real, dry, s;
    uint64_t room, i, pos;
    int rc, rc_dry;

    if ( size < 2 )
        return;
    room = data[0] * 64ULL;
    pages_make(&p, NULL, room);
    lu_write_init(&real, page_of, &p, room);
    lu_write_init(&dry, NULL, NULL, 0);

    for ( i = 1; i + 1 < size; i += 2 )
    {
        uint32_t arg = data[i + 1];

        pos = real.pos;
        switch ( data[i] % 5 )
        {
        case 0:
            rc = lu_rec_begin(&real, arg << 24 | arg);
            rc_dry = lu_rec_begin(&dry, arg << 24 | arg);
            break;

        case 1:
            rc = lu_rec_put(&real, bytes, arg * 16);
            rc_dry = lu_rec_put(&dry, bytes, arg * 16);
            break;

        case 2:
            rc = lu_rec_put(&real, data, arg < size ? arg : size);
            rc_dry = lu_rec_put(&dry, data, arg < size ? arg : size);
            break;

        case 3:
            rc = lu_rec_patch(&real, arg, data, size < 9 ? size : 9);
            rc_dry = lu_rec_patch(&dry, arg, data, size < 9 ? size : 9);
            break;

        default:
            rc = lu_rec_end(&real);
            rc_dry = lu_rec_end(&dry);
            break;
        }

        if ( rc == -ENOSPC )
        {
            CHECK(real.pos == pos && !rc_dry);
            pages_free(&p);
            return;
        }
        CHECK(rc == rc_dry && real.pos == dry.pos && real.pos <= room);
    }

    if ( !lu_stream_seal(&real) )
    {
        CHECK(!lu_stream_seal(&dry) && real.pos == dry.pos);
        CHECK(!lu_read_init(&s, page_of, &p, real.pos));
        walk(&s);
    }
    pages_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if ( !sink && !(sink = fopen("/dev/null", "w")) )
        abort();
    if ( !size || size > (MAX_PAGES - 1) * LU_STREAM_PAGE )
        return 0;

    switch ( data[0] % 4 )
    {
    case 0: read_raw(data + 1, size - 1); break;
    case 1: read_sealed(data + 1, size - 1); break;
    case 2: search_note(data + 1, size - 1); break;
    default: write_both(data + 1, size - 1); break;
    }

    return 0;
}

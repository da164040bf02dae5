/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Codec of the live update stream (docs/specs/live-update-stream.md).
 *
 * Framing, bounds and checksum only: it knows no record's body.  It depends on
 * nothing of Xen's but XXH64 and is built into Xen and into the host tools.
 *
 * The stream lies in 4 KiB pages that need not be contiguous; `page` maps one.
 * A reader never hands out a pointer into the stream: bodies are copied out, and
 * every copy is checked against the record, every record against the stream.
 *
 * Nothing here allocates, locks or prints.  Errors are negative errno values:
 *   -ENOSPC   the writer ran out of room (the stream stays as it was before)
 *   -EINVAL   misuse: begin and end not in pairs, a body shorter than its
 *             struct lu_id_rec or longer than 32 bits tell, a patch outside the
 *             record, anything after sealing
 *   -EBADMSG  the reader met bytes that are no stream: truncated, lying length,
 *             non-zero padding, missing END, wrong checksum
 */
#ifndef LU_STREAM_H
#define LU_STREAM_H

#ifdef __XEN__
#include <xen/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif
#include <public/liveupdate.h>

#define LU_STREAM_PAGE 4096U

/*
 * Maps page `idx` of the stream; valid until the stream is dropped.  Asked only
 * for pages that lie within the size given to init, and must not fail then.
 */
typedef void *lu_page_fn(void *ctx, uint32_t idx);

/*
 * Reader: where the records of some domains lie, [start, end), so that lu_find
 * need not walk the whole stream.  Domains share a span modulo; the host has the
 * last one for itself.
 */
#define LU_NR_SPANS 33

struct lu_span {
    uint64_t start;
    uint64_t end;
};

struct lu_stream {
    lu_page_fn *page;           /* NULL: a dry run, nothing is stored */
    void *ctx;
    uint64_t size;              /* writer: room; reader: length with END */
    uint64_t pos;               /* writer: bytes so far; reader: END's header */
    uint64_t rec;               /* writer: header of the open or last record */
    uint64_t body_end;          /* writer: end of that record's body */
    bool open;                  /* writer: between begin and end */
    bool sealed;                /* writer: has END; reader: proven */
    struct lu_span span[LU_NR_SPANS];
};

/* One record as the reader sees it. */
struct lu_rec {
    uint32_t type;              /* without LU_REC_OPTIONAL */
    uint32_t length;            /* of the body */
    uint64_t offset;            /* of the body in the stream */
    bool optional;
    struct lu_id_rec id;        /* zero for END */
};

/* Writer.  `page` NULL makes a dry run that only measures (any size). */
void lu_write_init(struct lu_stream *s, lu_page_fn *page, void *ctx,
                   uint64_t size);
int lu_rec_begin(struct lu_stream *s, uint32_t type);
int lu_rec_put(struct lu_stream *s, const void *data, size_t len);
int lu_rec_end(struct lu_stream *s);
/* begin, put of a whole fixed body, end. */
int lu_rec_write(struct lu_stream *s, uint32_t type, const void *body,
                 size_t len);
/*
 * Overwrite `len` bytes at `off` of the body that is open or was ended last.
 * They must have been put before.
 */
int lu_rec_patch(struct lu_stream *s, uint32_t off, const void *data,
                 size_t len);
/*
 * Appends END with the checksum; the stream takes no more records.  s->pos is
 * now the length of the stream, the same after a dry run.
 */
int lu_stream_seal(struct lu_stream *s);

/*
 * Reader.  lu_read_init checks framing, padding, END and checksum of the whole
 * stream once; after it has returned 0 lu_next cannot meet a malformed record.
 */
int lu_read_init(struct lu_stream *s, lu_page_fn *page, void *ctx,
                 uint64_t size);
/*
 * Start with *rec zeroed.  1: *rec is the next record; 0: it was END; -EBADMSG:
 * the stream was not proven by lu_read_init, or changed since.
 */
int lu_next(const struct lu_stream *s, struct lu_rec *rec);
/*
 * The first record of that type and domain from the start; 0, -ENOENT, or
 * -EBADMSG as above.  *rec can be handed to lu_next to go on from there.
 */
int lu_find(const struct lu_stream *s, uint32_t type, uint16_t domid,
            struct lu_rec *rec);
/* Copies `len` bytes at `off` of the body; -EBADMSG beyond its end. */
int lu_rec_read(const struct lu_stream *s, const struct lu_rec *rec,
                uint32_t off, void *dst, size_t len);

#endif /* LU_STREAM_H */

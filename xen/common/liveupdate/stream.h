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
 *   -EINVAL   misuse: unbalanced begin/end, a length that is no multiple of ...
 *   -EBADMSG  the reader met bytes that are no stream: truncated, lying length,
 *             non-zero padding, missing END, wrong checksum
 */
#ifndef LU_STREAM_H
#define LU_STREAM_H

#ifdef __XEN__
#include <xen/types.h>
#include <xen/stdbool.h>
#include <xen/xxhash.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif
#include <public/liveupdate.h>

#define LU_STREAM_PAGE 4096U

/* Maps page `idx` of the stream; valid until the stream is dropped. */
typedef void *lu_page_fn(void *ctx, uint32_t idx);

struct lu_stream {
    lu_page_fn *page;           /* NULL: a dry run, nothing is stored */
    void *ctx;
    uint64_t size;              /* writer: room; reader: length with END */
    uint64_t pos;               /* writer: bytes so far */
    uint64_t rec;               /* writer: offset of the open record's header */
    bool open;                  /* writer: between begin and end */
    bool sealed;
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
/* Overwrite `len` bytes at `off` of the record's body written last or open. */
int lu_rec_patch(struct lu_stream *s, uint32_t off, const void *data,
                 size_t len);
/* Appends END with the checksum; the stream takes no more records. */
int lu_stream_seal(struct lu_stream *s);

/*
 * Reader.  lu_read_init checks framing, padding, END and checksum of the whole
 * stream once; after it has returned 0 lu_next cannot meet a malformed record.
 */
int lu_read_init(struct lu_stream *s, lu_page_fn *page, void *ctx,
                 uint64_t size);
/* Start with *rec zeroed.  1: *rec is the next record; 0: it was END. */
int lu_next(const struct lu_stream *s, struct lu_rec *rec);
/* The first record of that type and domain from the start; 0 or -ENOENT. */
int lu_find(const struct lu_stream *s, uint32_t type, uint16_t domid,
            struct lu_rec *rec);
/* Copies `len` bytes at `off` of the body; -EBADMSG beyond its end. */
int lu_rec_read(const struct lu_stream *s, const struct lu_rec *rec,
                uint32_t off, void *dst, size_t len);

#endif /* LU_STREAM_H */

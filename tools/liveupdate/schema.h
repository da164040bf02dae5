/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host tools know about the records of a live update stream: which
 * there are (records.c, by hand) and what their bodies hold (generated from the
 * public header by gen-fields).  Constant data, no state, no locking.
 */
#ifndef LU_SCHEMA_H
#define LU_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "stream.h"

struct lu_const {
    const char *name;           /* NULL ends a list */
    uint64_t value;
};

struct lu_struct;

struct lu_field {
    const char *name;
    uint32_t offset;            /* in the struct, bytes */
    uint32_t width;             /* of one element, bytes */
    uint32_t count;             /* of elements; 1 for what is no array */
    /*
     * 'u' decimal, 'i' signed, 'x' hexadecimal, 'e' one of consts, 'f' a set of
     * consts, 's' NUL terminated text, 'b' bytes, 'r' the struct sub.
     */
    char format;
    const struct lu_const *consts;
    const struct lu_struct *sub;
};

struct lu_struct {
    const char *name;           /* as in the header */
    uint32_t size;              /* bytes */
    uint32_t nr_fields;
    const struct lu_field *fields;
};

/* What follows the fixed part of a body; count NULL: nothing more. */
struct lu_array {
    const char *count;          /* the field of the fixed part that counts it */
    const char *name;           /* for printing */
    const struct lu_struct *elem;
};

#define LU_MAX_ARRAYS 3

enum lu_scope {
    LU_SCOPE_HOST,
    LU_SCOPE_DOMAIN,
    LU_SCOPE_VCPU,              /* id.instance is the vCPU */
};

enum lu_number {
    LU_ONE,                     /* exactly one, of the host, domain or vCPU */
    LU_ONE_IF_PV,               /* exactly one of a PV domain, none of others */
    LU_ONE_IF_HVM,              /* exactly one of any other */
    LU_MAYBE,                   /* none or one of it */
    LU_EACH,                    /* any number, instances differ */
    LU_ANY,                     /* any number */
};

struct lu_desc {
    uint32_t type;              /* without LU_REC_OPTIONAL */
    const char *name;           /* as in the specification */
    const struct lu_struct *body;
    uint16_t min_version, max_version;
    enum lu_scope scope;
    enum lu_number number;
    struct lu_array array[LU_MAX_ARRAYS];
};

/* All structs of the header, NULL at the end. */
extern const struct lu_struct *const lu_structs[];
/* By its name in the header; NULL if there is none. */
const struct lu_struct *lu_struct_of(const char *name);

extern const struct lu_desc lu_descs[];
extern const unsigned int lu_nr_descs;

/* NULL if there is none of that type. */
const struct lu_desc *lu_desc_of(uint32_t type);

/* The record's name, or "type 0x..." in a static buffer. */
const char *lu_name_of(uint32_t type);

/* Value of an unsigned field of the struct at `body`, by name; 0 if none. */
uint64_t lu_field_value(const struct lu_struct *st, const void *body,
                        const char *name);

/*
 * Does a reader with that table understand the record?  The table is that of a
 * capability note.
 */
enum lu_verdict {
    LU_READ,                    /* known, in a version the reader reads */
    LU_SKIP,                    /* unknown type, and may be skipped */
    LU_UNKNOWN,                 /* unknown type that must not be skipped */
    LU_VERSION,                 /* known type, but not in this version */
};

enum lu_verdict lu_understands(const struct lu_note_entry_rec *table,
                               unsigned int nr, const struct lu_rec *rec);

/* The table of these tools: lu_nr_descs entries. */
void lu_own_table(struct lu_note_entry_rec *table);

/*
 * Checks a body's length against its fixed part and counts.  `body` holds all
 * rec->length bytes.  0, or -EBADMSG with the reason in `why`.
 */
int lu_body_check(const struct lu_desc *desc, const void *body,
                  uint32_t length, char *why, size_t size);

/* decode.c: prints one record's fields; `max` elements of each array. */
void lu_print_struct(FILE *out, const struct lu_struct *st, const void *body,
                     const char *indent);
void lu_print_record(FILE *out, const struct lu_rec *rec, const void *body,
                     uint64_t max);
void lu_print_schema(FILE *out);

/*
 * verify.c: the rules of the specification beyond framing.  Prints one line per
 * violation, returns how many there are.  `s` must have passed lu_read_init.
 */
unsigned int lu_verify(FILE *out, const struct lu_stream *s,
                       const struct lu_note_entry_rec *table, unsigned int nr);
/* Why lu_read_init refused a stream: one line.  Reads s->page, s->size only. */
void lu_explain(FILE *out, lu_page_fn *page, void *ctx, uint64_t size);

/*
 * diff.c: prints what differs in two streams that have passed lu_read_init; returns
 * in how many records.
 */
unsigned int lu_diff(FILE *out, const struct lu_stream *from,
                     const struct lu_stream *to);

/*
 * note.c: looks for capability notes in `len` bytes at steps of `step`.  Returns
 * how many are valid; *where is the offset of the first.  `damaged` counts
 * those with the magic but a wrong version, size or tail.
 */
unsigned int lu_note_scan(const void *image, size_t len, size_t step,
                          size_t *where, unsigned int *damaged);
/* Prints the note at `image` + where, which lu_note_scan found. */
void lu_note_print(FILE *out, const void *image, size_t where);

#endif /* LU_SCHEMA_H */

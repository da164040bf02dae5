/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Prints records: every field by name, one line each, then the elements of the
 * arrays behind the fixed part, one line each.
 *
 * A body that is shorter or longer than its own counts say is printed as far as
 * it goes, followed by what is wrong with it; an unknown one is printed as
 * bytes.  Nothing here fails.
 */
#include <inttypes.h>
#include <string.h>

#include "schema.h"

static void print_number(FILE *out, const struct lu_field *f,
                         const uint8_t *p)
{
    const struct lu_const *c;
    uint64_t value = 0, left;
    unsigned int shift = 64 - 8 * f->width;

    memcpy(&value, p, f->width);

    switch ( f->format )
    {
    case 'i':
        fprintf(out, "%" PRId64, (int64_t)(value << shift) >> shift);
        break;

    case 'e':
        for ( c = f->consts; c->name && c->value != value; c++ )
            continue;
        if ( c->name )
            fprintf(out, "0x%" PRIx64 " (%s)", value, c->name);
        else
            fprintf(out, "0x%" PRIx64 " (unknown)", value);
        break;

    case 'f':
        fprintf(out, "0x%" PRIx64, value);
        left = value;
        for ( c = f->consts; c->name; c++ )
            if ( value & c->value )
            {
                fprintf(out, "%c%s", left == value ? ' ' : '|', c->name);
                left &= ~c->value;
            }
        if ( left && left != value )
            fprintf(out, "|%#" PRIx64, left);
        break;

    case 'x':
        fprintf(out, "0x%" PRIx64, value);
        break;

    default:
        fprintf(out, "%" PRIu64, value);
        break;
    }
}

static void print_text(FILE *out, const uint8_t *p, uint32_t size)
{
    uint32_t i;

    putc('"', out);
    for ( i = 0; i < size && p[i]; i++ )
        if ( p[i] < 0x20 || p[i] > 0x7e || p[i] == '"' || p[i] == '\\' )
            fprintf(out, "\\x%02x", p[i]);
        else
            putc(p[i], out);
    putc('"', out);
}

static void print_bytes(FILE *out, const uint8_t *p, uint32_t size)
{
    uint32_t i;

    for ( i = 0; i < size; i++ )
        fprintf(out, "%02x", p[i]);
}

static void print_inline(FILE *out, const struct lu_struct *st,
                         const uint8_t *body);

static void print_value(FILE *out, const struct lu_field *f,
                        const uint8_t *body)
{
    const uint8_t *p = body + f->offset;
    uint32_t i;

    if ( f->format == 's' )
        print_text(out, p, f->width);
    else if ( f->format == 'b' )
        print_bytes(out, p, f->width * f->count);
    else
        for ( i = 0; i < f->count; i++, p += f->width )
        {
            if ( i )
                putc(' ', out);
            if ( f->format == 'r' )
            {
                putc('{', out);
                print_inline(out, f->sub, p);
                putc('}', out);
            }
            else
                print_number(out, f, p);
        }
}

static void print_inline(FILE *out, const struct lu_struct *st,
                         const uint8_t *body)
{
    uint32_t i;

    for ( i = 0; i < st->nr_fields; i++ )
    {
        if ( i )
            putc(' ', out);
        if ( *st->fields[i].name )
            fprintf(out, "%s=", st->fields[i].name);
        print_value(out, &st->fields[i], body);
    }
}

void lu_print_struct(FILE *out, const struct lu_struct *st, const void *body,
                     const char *indent)
{
    uint32_t i;

    for ( i = 0; i < st->nr_fields; i++ )
    {
        const struct lu_field *f = &st->fields[i];

        /* The record's own line shows it. */
        if ( f->sub && !strcmp(f->sub->name, "lu_id_rec") && !f->offset )
            continue;
        fprintf(out, "%s%s = ", indent, f->name);
        print_value(out, f, body);
        putc('\n', out);
    }
}

static void print_raw(FILE *out, const char *name, const uint8_t *body,
                      uint64_t length, uint64_t max)
{
    uint64_t pos, line;

    for ( pos = 0; pos < length && pos / 16 < max; pos += 16 )
    {
        line = length - pos < 16 ? length - pos : 16;
        fprintf(out, "    %s[%" PRIu64 "]: ", name, pos);
        print_bytes(out, body + pos, line);
        putc('\n', out);
    }
    if ( pos < length )
        fprintf(out, "    ... %" PRIu64 " bytes of %s more\n", length - pos,
                name);
}

void lu_print_record(FILE *out, const struct lu_rec *rec, const void *body,
                     uint64_t max)
{
    const struct lu_desc *desc = lu_desc_of(rec->type);
    const struct lu_array *a;
    uint64_t pos, i;
    char why[160];

    fprintf(out, "0x%08" PRIx64 " %s%s", rec->offset - sizeof(struct lu_hdr_rec),
            lu_name_of(rec->type), rec->optional ? " (optional)" : "");

    if ( rec->type == LU_REC_END )
    {
        fprintf(out, ", %u bytes\n", rec->length);
        lu_print_struct(out, lu_struct_of("lu_end_rec"), body, "    ");
        return;
    }

    if ( rec->id.domid == LU_DOMID_HOST )
        fprintf(out, " host");
    else
        fprintf(out, " d%u", rec->id.domid);
    if ( rec->id.instance || (desc && desc->scope == LU_SCOPE_VCPU) )
        fprintf(out, "%s%u", desc && desc->scope == LU_SCOPE_VCPU ? "v" : " #",
                rec->id.instance);
    fprintf(out, " version %u, %u bytes\n", rec->id.version, rec->length);

    if ( !desc || rec->id.version < desc->min_version ||
         rec->id.version > desc->max_version ||
         rec->length < desc->body->size )
    {
        print_raw(out, "body", body, rec->length, max);
        return;
    }

    lu_print_struct(out, desc->body, body, "    ");

    pos = desc->body->size;
    for ( a = desc->array; a < desc->array + LU_MAX_ARRAYS && a->count; a++ )
    {
        uint64_t nr = lu_field_value(desc->body, body, a->count);
        uint64_t fits = (rec->length - pos) / a->elem->size;

        if ( nr > fits )
            nr = fits;
        for ( i = 0; i < nr && i < max; i++ )
        {
            /* Plain bytes: 16 in a line. */
            if ( a->elem->fields->format == 'b' )
            {
                print_raw(out, a->name, (const uint8_t *)body + pos, nr, max);
                i = nr;
                break;
            }

            fprintf(out, "    %s[%" PRIu64 "]: ", a->name, i);
            print_inline(out, a->elem,
                         (const uint8_t *)body + pos + i * a->elem->size);
            putc('\n', out);
        }
        if ( i < nr )
            fprintf(out, "    ... %" PRIu64 " of %s more\n", nr - i, a->name);
        pos += nr * a->elem->size;
    }

    if ( lu_body_check(desc, body, rec->length, why, sizeof(why)) )
        fprintf(out, "    ! %s\n", why);
}

void lu_print_schema(FILE *out)
{
    static const char *const scope[] = { "host", "domain", "vcpu" };
    static const char *const number[] = {
        "one", "one-if-pv", "one-if-hvm", "maybe", "each", "any"
    };
    const struct lu_struct *const *st;
    const struct lu_array *a;
    unsigned int i;

    for ( st = lu_structs; *st; st++ )
    {
        fprintf(out, "struct %s %u\n", (*st)->name, (*st)->size);
        for ( i = 0; i < (*st)->nr_fields; i++ )
        {
            const struct lu_field *f = &(*st)->fields[i];

            fprintf(out, "  field %u %u %s\n", f->offset,
                    f->width * f->count, f->name);
        }
    }

    for ( i = 0; i < lu_nr_descs; i++ )
    {
        const struct lu_desc *d = &lu_descs[i];

        fprintf(out, "record %#x %s %s %u %u %s %s\n", d->type, d->name,
                d->body->name, d->min_version, d->max_version,
                scope[d->scope], number[d->number]);
        for ( a = d->array; a < d->array + LU_MAX_ARRAYS && a->count; a++ )
            fprintf(out, "  array %s %s %s\n", a->count, a->name,
                    a->elem->name);
    }
}

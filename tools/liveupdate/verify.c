/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks a stream against the specification: what a Xen with a given record
 * table would say to it, and what holds for every stream.
 *
 * lu_verify walks a well framed stream once: is each record understood, does its
 * body add up, is reserved space zero, does it come in its place and in its
 * number.  Each violation is one line; the walk always goes to the end.
 * lu_explain says where a stream that is not well framed goes wrong.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "host-xxhash.h"
#include "schema.h"

struct seen {
    struct lu_rec rec;
    uint64_t promise;           /* HOST: domains; DOMAIN: vCPUs to come */
    bool pv;                    /* DOMAIN: it is a PV domain */
};

struct verify {
    FILE *out;
    unsigned int violations;
    const struct seen *seen;    /* all records so far */
    unsigned int nr;
};

__attribute__((format(printf, 3, 4)))
static void violation(struct verify *v, const struct lu_rec *rec,
                      const char *fmt, ...)
{
    va_list args;

    v->violations++;
    if ( rec )
    {
        fprintf(v->out, "0x%" PRIx64 ": %s ",
                rec->offset - sizeof(struct lu_hdr_rec),
                lu_name_of(rec->type));
        if ( rec->id.domid == LU_DOMID_HOST )
            fputs("host", v->out);
        else
            fprintf(v->out, "d%u", rec->id.domid);
        if ( rec->id.instance )
            fprintf(v->out, " #%u", rec->id.instance);
        fputs(": ", v->out);
    }
    va_start(args, fmt);
    vfprintf(v->out, fmt, args);
    va_end(args);
    putc('\n', v->out);
}

/* Reserved fields are zero and texts end within their field. */
static void check_fields(struct verify *v, const struct lu_rec *rec,
                         const struct lu_struct *st, const uint8_t *body)
{
    uint32_t i, j;

    for ( i = 0; i < st->nr_fields; i++ )
    {
        const struct lu_field *f = &st->fields[i];
        const uint8_t *p = body + f->offset;
        uint32_t size = f->width * f->count;

        if ( f->format == 's' && !memchr(p, 0, size) )
            violation(v, rec, "%s.%s is not terminated", st->name, f->name);
        if ( f->format == 'r' )
            for ( j = 0; j < f->count; j++ )
                check_fields(v, rec, f->sub, p + j * f->width);
        if ( strncmp(f->name, "reserved", 8) && strncmp(f->name, "pad", 3) )
            continue;
        for ( j = 0; j < size; j++ )
            if ( p[j] )
            {
                violation(v, rec, "%s.%s is not zero", st->name, f->name);
                break;
            }
    }
}

static void check_body(struct verify *v, const struct lu_rec *rec,
                       const struct lu_desc *desc, const uint8_t *body)
{
    const struct lu_array *a;
    const uint8_t *p = body + desc->body->size;
    char why[160];

    if ( lu_body_check(desc, body, rec->length, why, sizeof(why)) )
    {
        violation(v, rec, "%s", why);
        return;
    }

    check_fields(v, rec, desc->body, body);
    for ( a = desc->array; a < desc->array + LU_MAX_ARRAYS && a->count; a++ )
    {
        uint64_t nr = lu_field_value(desc->body, body, a->count);

        for ( ; nr; nr--, p += a->elem->size )
            check_fields(v, rec, a->elem, p);
    }
}

static unsigned int count(const struct verify *v, uint32_t type,
                          uint16_t domid)
{
    unsigned int i, nr = 0;

    for ( i = 0; i < v->nr; i++ )
        nr += v->seen[i].rec.type == type && v->seen[i].rec.id.domid == domid;

    return nr;
}

/* vCPUs come in order, and other records have no number of their own. */
static void check_instance(struct verify *v, const struct lu_rec *rec,
                           const struct lu_desc *desc)
{
    if ( desc->number == LU_ANY || desc->number == LU_EACH )
        return;

    if ( desc->scope != LU_SCOPE_VCPU )
    {
        if ( rec->id.instance )
            violation(v, rec, "id.instance is not 0");
        return;
    }

    if ( rec->id.instance != count(v, rec->type, rec->id.domid) )
        violation(v, rec, "the vCPUs are not in order, or not all there");
}

/* Same type, domain and instance as one before: which numbers forbid that? */
static void check_number(struct verify *v, const struct lu_rec *rec,
                         const struct lu_desc *desc)
{
    unsigned int i;

    if ( desc->number == LU_ANY )
        return;

    for ( i = 0; i < v->nr; i++ )
    {
        const struct lu_rec *other = &v->seen[i].rec;

        if ( other->type != rec->type || other->id.domid != rec->id.domid )
            continue;
        if ( other->id.instance == rec->id.instance ||
             (desc->number != LU_EACH && desc->scope != LU_SCOPE_VCPU) )
        {
            violation(v, rec, "a duplicate of the one at 0x%" PRIx64,
                      other->offset - sizeof(struct lu_hdr_rec));
            return;
        }
    }
}

static void check_place(struct verify *v, const struct lu_rec *rec,
                        const struct lu_desc *desc)
{
    const struct lu_rec *prev = v->nr ? &v->seen[v->nr - 1].rec : NULL;
    bool host = rec->id.domid == LU_DOMID_HOST;
    unsigned int i;

    if ( (rec->type == LU_REC_HOST) != !prev )
        violation(v, rec, "HOST is first and nothing else is");

    if ( desc && host != (desc->scope == LU_SCOPE_HOST) )
        violation(v, rec, host ? "needs a domain" : "belongs to the host");

    if ( !prev || prev->id.domid == rec->id.domid )
        return;

    if ( host )
    {
        violation(v, rec, "a record of the host after one of a domain");
        return;
    }

    if ( rec->type != LU_REC_DOMAIN )
        violation(v, rec, "d%u does not start with DOMAIN", rec->id.domid);
    for ( i = 0; i < v->nr; i++ )
        if ( v->seen[i].rec.id.domid == rec->id.domid )
        {
            violation(v, rec, "the records of d%u are not together",
                      rec->id.domid);
            return;
        }
    if ( prev->id.domid != LU_DOMID_HOST && rec->id.domid < prev->id.domid )
        violation(v, rec, "the domains' order is not that of their domids");
}

/* Everything that a domain, or each of its vCPUs, must have one of. */
static void check_domain(struct verify *v, const struct seen *domain)
{
    uint16_t domid = domain->rec.id.domid;
    const struct lu_desc *desc;

    for ( desc = lu_descs; desc < lu_descs + lu_nr_descs; desc++ )
    {
        unsigned int nr = count(v, desc->type, domid);

        if ( desc->number == (domain->pv ? LU_ONE_IF_HVM : LU_ONE_IF_PV) && nr )
            violation(v, NULL, "%s of d%u, which is %s PV domain", desc->name,
                      domid, domain->pv ? "a" : "no");
        if ( desc->number != LU_ONE &&
             desc->number != (domain->pv ? LU_ONE_IF_PV : LU_ONE_IF_HVM) )
            continue;
        if ( desc->scope == LU_SCOPE_DOMAIN && !nr )
            violation(v, NULL, "%s of d%u is missing", desc->name, domid);
        if ( desc->scope == LU_SCOPE_VCPU && nr != domain->promise )
            violation(v, NULL, "%s of d%u: %u, for %" PRIu64 " vCPUs",
                      desc->name, domid, nr, domain->promise);
    }
}

static void check_missing(struct verify *v)
{
    const struct lu_desc *desc;
    unsigned int i, domains = 0;

    for ( desc = lu_descs; desc < lu_descs + lu_nr_descs; desc++ )
        if ( desc->number == LU_ONE && desc->scope == LU_SCOPE_HOST &&
             !count(v, desc->type, LU_DOMID_HOST) )
            violation(v, NULL, "%s is missing", desc->name);

    for ( i = 0; i < v->nr; i++ )
        if ( v->seen[i].rec.type == LU_REC_DOMAIN )
        {
            domains++;
            check_domain(v, &v->seen[i]);
        }

    if ( v->nr && v->seen[0].rec.type == LU_REC_HOST &&
         v->seen[0].promise != domains )
        violation(v, NULL, "HOST says %" PRIu64 " domains, there are %u",
                  v->seen[0].promise, domains);
}

/* How many records HOST and DOMAIN make a reader expect. */
static uint64_t promise(const struct lu_rec *rec, const uint8_t *body)
{
    const struct lu_desc *desc = lu_desc_of(rec->type);

    if ( !desc || rec->length < desc->body->size )
        return 0;
    if ( rec->type == LU_REC_HOST )
        return lu_field_value(desc->body, body, "nr_domains");
    if ( rec->type == LU_REC_DOMAIN )
        return lu_field_value(desc->body, body, "nr_vcpus");

    return 0;
}

/* DOMAIN only: created without XEN_DOMCTL_CDF_hvm. */
static bool is_pv(const struct lu_rec *rec, const uint8_t *body)
{
    const struct lu_desc *desc = lu_desc_of(rec->type);

    return rec->type == LU_REC_DOMAIN && rec->length >= desc->body->size &&
           !(lu_field_value(desc->body, body, "flags") & 1);
}

unsigned int lu_verify(FILE *out, const struct lu_stream *s,
                       const struct lu_note_entry_rec *table, unsigned int nr)
{
    struct verify v = { .out = out };
    struct lu_rec rec = {};
    struct seen *seen = NULL;

    while ( lu_next(s, &rec) > 0 )
    {
        const struct lu_desc *desc = lu_desc_of(rec.type);
        uint8_t *body = malloc(rec.length);

        if ( !body || lu_rec_read(s, &rec, 0, body, rec.length) )
            abort();

        switch ( lu_understands(table, nr, &rec) )
        {
        case LU_SKIP:
            break;

        case LU_UNKNOWN:
            violation(&v, &rec, "unknown, and not optional");
            break;

        case LU_VERSION:
            violation(&v, &rec, "version %u is not understood",
                      rec.id.version);
            break;

        case LU_READ:
            if ( desc && rec.id.version >= desc->min_version &&
                 rec.id.version <= desc->max_version )
                check_body(&v, &rec, desc, body);
            break;
        }

        check_place(&v, &rec, desc);
        if ( desc )
        {
            check_number(&v, &rec, desc);
            check_instance(&v, &rec, desc);
        }

        /* Grows when the number is a power of two less one: 0, 1, 3, 7, ... */
        if ( !(v.nr & (v.nr + 1)) )
        {
            seen = realloc(seen, (v.nr + 1) * 2 * sizeof(*seen));
            if ( !seen )
                abort();
            v.seen = seen;
        }
        seen[v.nr++] = (struct seen){ rec, promise(&rec, body),
                                      is_pv(&rec, body) };
        free(body);
    }

    check_missing(&v);
    free(seen);

    return v.violations;
}

/* ---- Streams that are none ---------------------------------------------- */

static void copy_out(lu_page_fn *page, void *ctx, uint64_t pos, void *dst,
                     size_t len)
{
    uint8_t *to = dst;

    for ( ; len; len--, pos++ )
        *to++ = ((uint8_t *)page(ctx, pos / LU_STREAM_PAGE))[pos % LU_STREAM_PAGE];
}

void lu_explain(FILE *out, lu_page_fn *page, void *ctx, uint64_t size)
{
    struct lu_hdr_rec hdr;
    struct lu_end_rec end;
    struct xxh64_state state;
    uint64_t pos = 0, next;
    uint8_t byte;

    for ( ; ; pos = next )
    {
        if ( size - pos < sizeof(hdr) )
        {
            fprintf(out, "0x%" PRIx64 ": the stream ends without END\n", pos);
            return;
        }
        copy_out(page, ctx, pos, &hdr, sizeof(hdr));
        next = pos + sizeof(hdr) + (((uint64_t)hdr.length + 7) & ~7ULL);
        if ( hdr.type == LU_REC_END )
            break;
        if ( next > size )
        {
            fprintf(out, "0x%" PRIx64 ": %s of %u bytes reaches beyond the "
                    "stream's %" PRIu64 " bytes\n", pos, lu_name_of(hdr.type),
                    hdr.length, size);
            return;
        }
        if ( (hdr.type & ~LU_REC_OPTIONAL) == LU_REC_END )
        {
            fprintf(out, "0x%" PRIx64 ": END marked optional\n", pos);
            return;
        }
        if ( hdr.length < sizeof(struct lu_id_rec) )
        {
            fprintf(out, "0x%" PRIx64 ": %s of %u bytes has no room for its "
                    "id\n", pos, lu_name_of(hdr.type), hdr.length);
            return;
        }
        for ( pos += sizeof(hdr) + hdr.length; pos < next; pos++ )
        {
            copy_out(page, ctx, pos, &byte, 1);
            if ( byte )
            {
                fprintf(out, "0x%" PRIx64 ": padding is not zero\n", pos);
                return;
            }
        }
    }

    if ( hdr.length != sizeof(end) || next != size )
    {
        fprintf(out, "0x%" PRIx64 ": END of %u bytes, %" PRIu64 " bytes before "
                "the end of the stream\n", pos, hdr.length, size - pos);
        return;
    }

    copy_out(page, ctx, pos + sizeof(hdr), &end, sizeof(end));
    if ( end.bytes != pos )
    {
        fprintf(out, "0x%" PRIx64 ": END covers %" PRIu64 " bytes instead of %"
                PRIu64 "\n", pos, end.bytes, pos);
        return;
    }

    xxh64_reset(&state, 0);
    for ( next = 0; next < pos; next += LU_STREAM_PAGE )
        xxh64_update(&state, page(ctx, next / LU_STREAM_PAGE),
                     pos - next < LU_STREAM_PAGE ? pos - next : LU_STREAM_PAGE);
    fprintf(out, "0x%" PRIx64 ": checksum 0x%" PRIx64 ", but the bytes have 0x%"
            PRIx64 "\n", pos, end.checksum, xxh64_digest(&state));
}

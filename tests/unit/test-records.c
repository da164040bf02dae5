/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every record of the public header through the codec, at every position of a
 * page's end within it; and who understands what.
 */
#include "check.h"
#include "schema.h"

#define ELEMS 3U                /* of each array */

/* A body of noise with honest counts; returns its length. */
static uint32_t make_body(const struct lu_desc *desc, uint8_t *body,
                          uint16_t domid)
{
    struct lu_id_rec id = { .version = desc->max_version, .domid = domid,
                            .instance = 5 };
    uint32_t length = desc->body->size, i;
    const struct lu_array *a;

    for ( a = desc->array; a < desc->array + LU_MAX_ARRAYS && a->count; a++ )
        length += ELEMS * a->elem->size;
    for ( i = 0; i < length; i++ )
        body[i] = noise();
    memcpy(body, &id, sizeof(id));

    for ( a = desc->array; a < desc->array + LU_MAX_ARRAYS && a->count; a++ )
        for ( i = 0; i < desc->body->nr_fields; i++ )
        {
            const struct lu_field *f = &desc->body->fields[i];
            uint64_t nr = ELEMS;

            if ( !strcmp(f->name, a->count) )
                memcpy(body + f->offset, &nr, f->width);
        }

    return length;
}

static void test_round_trip(struct pages *p, const struct lu_desc *desc)
{
    static uint8_t filler[LU_STREAM_PAGE], body[4096], got[4096];
    struct lu_id_rec id = { .version = 1, .domid = LU_DOMID_HOST };
    uint16_t domid = desc->scope == LU_SCOPE_HOST ? LU_DOMID_HOST : 9;
    char name[64], why[160];
    uint32_t length, fill;
    bool same = true;

    memcpy(filler, &id, sizeof(id));

    /* The record's header starts from 8 before the page's end backwards. */
    for ( fill = LU_STREAM_PAGE - 16; fill > LU_STREAM_PAGE / 2; fill -= 8 )
    {
        struct lu_stream s;
        struct lu_rec rec;

        length = make_body(desc, body, domid);
        NEED(length <= sizeof(body));
        lu_write_init(&s, page_of, p, TEST_PAGES * LU_STREAM_PAGE);
        NEED(!lu_rec_write(&s, LU_REC_BASE | 0xfff, filler, fill));
        NEED(!lu_rec_write(&s, desc->type, body, length));
        NEED(!lu_rec_write(&s, LU_REC_BASE | 0xfff, filler, 16));
        NEED(!lu_stream_seal(&s));
        NEED(!lu_read_init(&s, page_of, p, s.pos));

        if ( lu_find(&s, desc->type, domid, &rec) || rec.length != length ||
             rec.id.instance != 5 || rec.id.version != desc->max_version ||
             lu_rec_read(&s, &rec, 0, got, length) ||
             memcmp(body, got, length) ||
             lu_body_check(desc, got, length, why, sizeof(why)) )
            same = false;
    }
    snprintf(name, sizeof(name), "record/%s", desc->name);
    CHECK(name, same && guards_intact(p));
}

static enum lu_verdict verdict(uint32_t type, uint16_t version, bool optional)
{
    static const struct lu_note_entry_rec table[] = {
        { LU_REC_BASE | 1, 1, 1 }, { LU_REC_BASE | 2, 3, 5 },
    };
    struct lu_rec rec = { .type = type, .optional = optional,
                          .id.version = version };

    return lu_understands(table, 2, &rec);
}

static void test_understands(void)
{
    CHECK("understands/exact", verdict(LU_REC_BASE | 1, 1, false) == LU_READ);
    CHECK("understands/range", verdict(LU_REC_BASE | 2, 3, false) == LU_READ &&
          verdict(LU_REC_BASE | 2, 4, false) == LU_READ &&
          verdict(LU_REC_BASE | 2, 5, false) == LU_READ);
    CHECK("understands/too-old",
          verdict(LU_REC_BASE | 2, 2, false) == LU_VERSION);
    CHECK("understands/too-new",
          verdict(LU_REC_BASE | 2, 6, false) == LU_VERSION);
    CHECK("understands/too-new-optional",
          verdict(LU_REC_BASE | 2, 6, true) == LU_VERSION);
    CHECK("understands/unknown-mandatory",
          verdict(LU_REC_BASE | 3, 1, false) == LU_UNKNOWN);
    CHECK("understands/unknown-optional",
          verdict(LU_REC_BASE | 3, 1, true) == LU_SKIP);
    CHECK("understands/known-optional",
          verdict(LU_REC_BASE | 1, 1, true) == LU_READ);
    CHECK("understands/END", verdict(LU_REC_END, 0, false) == LU_READ);
}

int main(void)
{
    struct pages p;
    unsigned int i;

    pages_init(&p);
    for ( i = 0; i < lu_nr_descs; i++ )
        test_round_trip(&p, &lu_descs[i]);
    pages_free(&p);
    test_understands();

    return check_sum();
}

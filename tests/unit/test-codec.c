/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The codec: what is written comes back, in pages that are not contiguous, and
 * what is no stream is refused.
 *
 * The damage tests make their own framing byte by byte and put the right
 * checksum behind it, so that it is the rule under test that refuses, not the
 * checksum.
 */
#include "check.h"
#include "host-xxhash.h"

#define TYPE (LU_REC_BASE | 0x777)

struct body {
    struct lu_id_rec id;
    uint64_t value[3];
};

static const struct body sample = {
    .id = { .version = 3, .domid = 5, .instance = 7 },
    .value = { 0x1122334455667788ULL, ~0ULL, 1 },
};

static struct lu_id_rec id_of(uint16_t domid)
{
    return (struct lu_id_rec){ .version = 1, .domid = domid };
}

/* A stream of three records over several pages; returns its size. */
static uint64_t write_three(struct lu_stream *s, lu_page_fn *page, void *ctx,
                            uint64_t room)
{
    static uint8_t big[3 * LU_STREAM_PAGE + 5];
    struct lu_id_rec id = id_of(1);
    unsigned int i;

    for ( i = 0; i < sizeof(big); i++ )
        big[i] = i * 7;

    lu_write_init(s, page, ctx, room);
    if ( lu_rec_write(s, TYPE, &sample, sizeof(sample)) ||
         lu_rec_begin(s, TYPE | LU_REC_OPTIONAL) ||
         lu_rec_put(s, &id, sizeof(id)) ||
         lu_rec_put(s, big, sizeof(big)) ||
         lu_rec_end(s) ||
         lu_rec_write(s, TYPE + 1, &sample, sizeof(sample) - 3) ||
         lu_stream_seal(s) )
        return 0;

    return s->pos;
}

static void test_round_trip(struct pages *p)
{
    struct lu_stream w, r, dry;
    struct lu_rec rec = {};
    struct body got;
    uint8_t tail[16];
    uint64_t size, other;

    size = write_three(&w, page_of, p, (uint64_t)p->nr * LU_STREAM_PAGE);
    NEED(size > 3 * LU_STREAM_PAGE);
    CHECK("codec/dry-run-size", write_three(&dry, NULL, NULL, 0) == size);
    CHECK("codec/guards-after-writing", guards_intact(p));

    CHECK("codec/read-init", lu_read_init(&r, page_of, p, size) == 0);
    CHECK("codec/first", lu_next(&r, &rec) == 1 && rec.type == TYPE &&
          !rec.optional && rec.length == sizeof(sample) && rec.offset == 8 &&
          !memcmp(&rec.id, &sample.id, sizeof(rec.id)));
    CHECK("codec/first-body",
          lu_rec_read(&r, &rec, 0, &got, sizeof(got)) == 0 &&
          !memcmp(&got, &sample, sizeof(got)));
    CHECK("codec/second", lu_next(&r, &rec) == 1 && rec.type == TYPE &&
          rec.optional && rec.id.domid == 1 &&
          rec.length == 8 + 3 * LU_STREAM_PAGE + 5);
    CHECK("codec/body-across-pages",
          lu_rec_read(&r, &rec, 8 + LU_STREAM_PAGE - 8, tail, 16) == 0 &&
          tail[0] == (uint8_t)((LU_STREAM_PAGE - 8) * 7) &&
          tail[15] == (uint8_t)((LU_STREAM_PAGE + 7) * 7));
    CHECK("codec/last-byte",
          lu_rec_read(&r, &rec, rec.length - 1, tail, 1) == 0 &&
          tail[0] == (uint8_t)((3 * LU_STREAM_PAGE + 4) * 7));
    CHECK("codec/read-of-nothing-at-the-end",
          lu_rec_read(&r, &rec, rec.length, tail, 0) == 0);
    memset(tail, 0x11, sizeof(tail));
    CHECK("codec/read-beyond-body",
          lu_rec_read(&r, &rec, rec.length - 1, tail, 2) == -EBADMSG &&
          lu_rec_read(&r, &rec, rec.length + 1, tail, 0) == -EBADMSG &&
          lu_rec_read(&r, &rec, 0, tail, (size_t)-1) == -EBADMSG &&
          tail[0] == 0x11);
    CHECK("codec/third", lu_next(&r, &rec) == 1 && rec.type == TYPE + 1 &&
          rec.length == sizeof(sample) - 3);
    CHECK("codec/end", lu_next(&r, &rec) == 0 && rec.type == LU_REC_END);
    CHECK("codec/end-again", lu_next(&r, &rec) == 0);

    CHECK("codec/find", lu_find(&r, TYPE, 1, &rec) == 0 && rec.optional);
    CHECK("codec/find-then-next", lu_next(&r, &rec) == 1 &&
          rec.type == TYPE + 1);
    CHECK("codec/find-other-domain", lu_find(&r, TYPE, 2, &rec) == -ENOENT);
    CHECK("codec/find-other-type", lu_find(&r, TYPE + 2, 1, &rec) == -ENOENT);

    /* Bytes of the stream do not depend on where its pages lie. */
    other = xxh64(byte_at(p, 0), 64, 0);
    memset(p->mem, 0xa5, sizeof(*p->mem) * TEST_PAGES);
    p->nr = size / LU_STREAM_PAGE + 1;
    CHECK("codec/room-just-enough", write_three(&w, page_of, p, size) == size);
    CHECK("codec/same-bytes", xxh64(byte_at(p, 0), 64, 0) == other);
    CHECK("codec/one-byte-short-of-room",
          write_three(&w, page_of, p, size - 1) == 0);
}

/* lu_find over many domains, in an order where their spans overlap. */
static void test_find(struct pages *p)
{
    static const uint16_t domids[] = { LU_DOMID_HOST, 0, 32, 64, 1, 33, 31, 63,
                                       0, 0x7fef };
    struct lu_stream s;
    struct lu_rec rec;
    unsigned int i;
    bool all = true;

    lu_write_init(&s, page_of, p, (uint64_t)p->nr * LU_STREAM_PAGE);
    for ( i = 0; i < sizeof(domids) / sizeof(*domids); i++ )
    {
        struct lu_id_rec id = id_of(domids[i]);

        id.instance = i;
        NEED(!lu_rec_write(&s, TYPE, &id, sizeof(id)));
        NEED(!lu_rec_write(&s, TYPE + 1 + i, &id, sizeof(id)));
    }
    NEED(!lu_stream_seal(&s));
    NEED(!lu_read_init(&s, page_of, p, s.pos));

    for ( i = 0; i < sizeof(domids) / sizeof(*domids); i++ )
        if ( lu_find(&s, TYPE + 1 + i, domids[i], &rec) ||
             rec.id.instance != i ||
             lu_find(&s, TYPE + 1 + i, domids[i] ^ 2, &rec) != -ENOENT )
            all = false;
    CHECK("codec/find-among-many", all);
    CHECK("codec/find-first-of-two",
          !lu_find(&s, TYPE, 0, &rec) && rec.id.instance == 1);
    CHECK("codec/find-takes-optional-bit",
          !lu_find(&s, TYPE | LU_REC_OPTIONAL, 33, &rec) &&
          rec.id.instance == 5);
}

static void test_writer(struct pages *p)
{
    struct lu_stream s, before;
    struct lu_rec rec = {};
    struct body got;
    uint64_t value = 42;
    uint8_t few[4] = { 1, 2, 3, 4 };

    lu_write_init(&s, page_of, p, 64);
    CHECK("writer/put-without-begin", lu_rec_put(&s, few, 4) == -EINVAL);
    CHECK("writer/end-without-begin", lu_rec_end(&s) == -EINVAL);
    CHECK("writer/patch-without-record",
          lu_rec_patch(&s, 0, few, 4) == -EINVAL);
    CHECK("writer/begin-END", lu_rec_begin(&s, LU_REC_END) == -EINVAL &&
          lu_rec_begin(&s, LU_REC_END | LU_REC_OPTIONAL) == -EINVAL);
    CHECK("writer/begin", lu_rec_begin(&s, TYPE) == 0);
    CHECK("writer/begin-twice", lu_rec_begin(&s, TYPE) == -EINVAL);
    CHECK("writer/seal-open", lu_stream_seal(&s) == -EINVAL);
    CHECK("writer/end-without-id", lu_rec_put(&s, few, 4) == 0 &&
          lu_rec_end(&s) == -EINVAL);
    before = s;
    CHECK("writer/put-ENOSPC", lu_rec_put(&s, &sample, 53) == -ENOSPC &&
          !memcmp(&s, &before, sizeof(s)));
    CHECK("writer/put-too-long",
          lu_rec_put(&s, few, 0xfffffffcULL) == -EINVAL);

    lu_write_init(&s, page_of, p, 61);
    NEED(!lu_rec_write(&s, TYPE, &sample, sizeof(sample)));
    before = s;
    CHECK("writer/write-ENOSPC",
          lu_rec_write(&s, TYPE, &sample, 9) == -ENOSPC &&
          !memcmp(&s, &before, sizeof(s)));
    CHECK("writer/padding-ENOSPC",
          lu_rec_begin(&s, TYPE) == 0 && lu_rec_put(&s, &sample, 13) == 0 &&
          lu_rec_end(&s) == -ENOSPC);
    lu_write_init(&s, page_of, p, 47);
    NEED(!lu_rec_write(&s, TYPE, &sample, sizeof(sample)));
    CHECK("writer/begin-ENOSPC", lu_rec_begin(&s, TYPE) == -ENOSPC);
    CHECK("writer/seal-ENOSPC", lu_stream_seal(&s) == -ENOSPC && !s.sealed);

    lu_write_init(&s, page_of, p, LU_STREAM_PAGE);
    NEED(!lu_rec_begin(&s, TYPE) && !lu_rec_put(&s, &sample, sizeof(sample)));
    CHECK("writer/patch-open",
          lu_rec_patch(&s, offsetof(struct body, value[1]), &value, 8) == 0);
    NEED(!lu_rec_end(&s));
    CHECK("writer/patch-last",
          lu_rec_patch(&s, offsetof(struct body, value[2]), &value, 8) == 0);
    CHECK("writer/patch-beyond",
          lu_rec_patch(&s, sizeof(sample) - 7, &value, 8) == -EINVAL &&
          lu_rec_patch(&s, sizeof(sample) + 1, &value, 0) == -EINVAL &&
          lu_rec_patch(&s, 0xffffffff, &value, 8) == -EINVAL);
    NEED(!lu_stream_seal(&s));
    CHECK("writer/sealed", lu_rec_begin(&s, TYPE) == -EINVAL &&
          lu_rec_patch(&s, 0, &value, 8) == -EINVAL &&
          lu_stream_seal(&s) == -EINVAL);
    NEED(!lu_read_init(&s, page_of, p, s.pos) && lu_next(&s, &rec) == 1 &&
         !lu_rec_read(&s, &rec, 0, &got, sizeof(got)));
    CHECK("writer/patched", got.value[0] == sample.value[0] &&
          got.value[1] == 42 && got.value[2] == 42);

    lu_write_init(&s, NULL, NULL, 0);
    CHECK("writer/dry-patch",
          lu_rec_write(&s, TYPE, &sample, sizeof(sample)) == 0 &&
          lu_rec_patch(&s, 0, &value, 8) == 0 &&
          lu_rec_patch(&s, sizeof(sample), &value, 1) == -EINVAL);
}

/* ---- Damage ------------------------------------------------------------- */

static uint64_t put_hdr(struct pages *p, uint64_t pos, uint32_t type,
                        uint32_t length)
{
    struct lu_hdr_rec hdr = { .type = type, .length = length };

    poke(p, pos, &hdr, sizeof(hdr));

    return pos + sizeof(hdr);
}

static uint64_t put_rec(struct pages *p, uint64_t pos, uint32_t type,
                        uint32_t length, uint32_t room)
{
    struct lu_id_rec id = id_of(0);
    uint8_t zero = 0;

    pos = put_hdr(p, pos, type, length);
    poke(p, pos, &id, sizeof(id));
    for ( ; room; room--, pos++ )
        if ( room <= 8 )
            poke(p, pos, &zero, 1);

    return pos;
}

/* END behind pos bytes, with their true checksum; returns the size. */
static uint64_t put_end(struct pages *p, uint64_t pos)
{
    struct lu_end_rec end = { .bytes = pos };
    struct xxh64_state state;
    uint64_t i;

    xxh64_reset(&state, 0);
    for ( i = 0; i < pos; i += LU_STREAM_PAGE )
        xxh64_update(&state, byte_at(p, i),
                     pos - i < LU_STREAM_PAGE ? pos - i : LU_STREAM_PAGE);
    end.checksum = xxh64_digest(&state);

    put_hdr(p, pos, LU_REC_END, sizeof(end));
    poke(p, pos + sizeof(struct lu_hdr_rec), &end, sizeof(end));

    return pos + sizeof(struct lu_hdr_rec) + sizeof(end);
}

static int read_it(struct pages *p, uint64_t size)
{
    struct lu_stream s;
    struct lu_rec rec = {};
    int rc;

    /* The last page that may be touched. */
    p->nr = size / LU_STREAM_PAGE + (size % LU_STREAM_PAGE != 0);
    rc = lu_read_init(&s, page_of, p, size);

    if ( rc )
        NEED(lu_next(&s, &rec) == -EBADMSG && lu_find(&s, TYPE, 0, &rec) < 0 &&
             lu_rec_read(&s, &(struct lu_rec){ .offset = 8, .length = 8 }, 0,
                         &rec, 8) == -EBADMSG);

    return rc;
}

static void test_damage(struct pages *p)
{
    struct lu_stream s;
    struct lu_rec rec = {};
    uint64_t size, pos, cut, bit, at;
    unsigned int accepted;
    uint64_t word;
    uint8_t one = 1;

    size = put_end(p, put_rec(p, 0, TYPE, 21, 24));
    CHECK("damage/none", read_it(p, size) == 0);
    size = put_end(p, 0);
    CHECK("damage/END-alone", read_it(p, size) == 0);

    size = put_end(p, put_rec(p, 0, TYPE, 21, 24));
    for ( accepted = 0, cut = 0; cut < size; cut++ )
        accepted += read_it(p, cut) != -EBADMSG;
    CHECK("damage/truncated-anywhere", accepted == 0);
    CHECK("damage/longer-than-END", read_it(p, size + 8) == -EBADMSG);

    for ( accepted = 0, bit = 0; bit < size * 8; bit++ )
    {
        *byte_at(p, bit / 8) ^= 1 << bit % 8;
        accepted += read_it(p, size) != -EBADMSG;
        *byte_at(p, bit / 8) ^= 1 << bit % 8;
    }
    CHECK("damage/any-bit", accepted == 0 && read_it(p, size) == 0);

    size = put_end(p, put_rec(p, 0, TYPE, 24 + 1, 24));
    CHECK("damage/length-into-END", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, TYPE, 24 + 24, 24));
    CHECK("damage/length-over-END", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, TYPE, 24 + 25, 24));
    CHECK("damage/length-beyond-stream", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, TYPE, 0xffffffff, 24));
    CHECK("damage/length-32-bits", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, TYPE, 0xfffffff8, 24));
    CHECK("damage/length-wraps", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, TYPE, 7, 8));
    CHECK("damage/no-room-for-id", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, TYPE, 0, 0));
    CHECK("damage/empty-body", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, LU_REC_OPTIONAL, 16, 16));
    CHECK("damage/optional-END", read_it(p, size) == -EBADMSG);
    size = put_end(p, put_rec(p, 0, LU_REC_END, 16, 16));
    CHECK("damage/two-ENDs", read_it(p, size) == -EBADMSG);

    for ( accepted = 0, at = 1; at < 8; at++ )
    {
        pos = put_rec(p, 0, TYPE, 16 + at, 24);
        poke(p, 8 + 16 + at, &one, 1);
        accepted += read_it(p, put_end(p, pos)) != -EBADMSG;
        pos = put_rec(p, 0, TYPE, 16 + at, 24);
        poke(p, 8 + 23, &one, 1);
        accepted += read_it(p, put_end(p, pos)) != -EBADMSG;
    }
    CHECK("damage/padding", accepted == 0);

    pos = put_rec(p, 0, TYPE, 16, 16);
    size = put_end(p, pos);
    word = pos + 8;
    poke(p, size - 8, &word, 8);
    CHECK("damage/END-counts-other-bytes", read_it(p, size) == -EBADMSG);
    size = put_end(p, pos);
    peek(p, size - 16, &word, 8);
    word++;
    poke(p, size - 16, &word, 8);
    CHECK("damage/bad-checksum", read_it(p, size) == -EBADMSG);
    put_end(p, pos);
    put_hdr(p, pos, LU_REC_END, 8);
    CHECK("damage/END-short", read_it(p, size) == -EBADMSG &&
          read_it(p, size - 8) == -EBADMSG);

    /* Headers and ids at both sides of a page's end. */
    for ( accepted = 0, at = 0; at <= 48; at += 8 )
    {
        pos = put_rec(p, 0, TYPE, 4096 - 48 + at, 4096 - 48 + at);
        pos = put_rec(p, pos, TYPE + 1, 9, 16);
        size = put_end(p, pos);
        if ( read_it(p, size) || lu_read_init(&s, page_of, p, size) ||
             lu_find(&s, TYPE + 1, 0, &rec) || rec.length != 9 )
            accepted++;
    }
    CHECK("damage/none-at-page-ends", accepted == 0);

    /* The stream is overwritten after it was proven. */
    NEED(!lu_read_init(&s, page_of, p, size));
    put_hdr(p, 0, LU_REC_END, 0);
    memset(&rec, 0, sizeof(rec));
    CHECK("damage/later", lu_next(&s, &rec) == -EBADMSG &&
          lu_next(&s, &rec) == 0 && lu_find(&s, TYPE, 0, &rec) == -EBADMSG);
    CHECK("damage/sizes", read_it(p, 0) == -EBADMSG &&
          lu_read_init(&s, page_of, p, 1ULL << 60) == -EBADMSG);
}

int main(void)
{
    struct pages p;

    pages_init(&p);
    test_round_trip(&p);
    p.nr = TEST_PAGES;
    test_find(&p);
    test_writer(&p);
    test_damage(&p);
    CHECK("codec/guards", guards_intact(&p));
    pages_free(&p);

    return check_sum();
}

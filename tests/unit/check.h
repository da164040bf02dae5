/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the unit tests say what they found, and pages to put a stream in.
 *
 * A test is a function; each thing it finds is one check with a name, printed as
 * "PASS name" or "FAIL name: what was not so".  A program ends with the sum and
 * exit status 1 if anything failed.
 */
#ifndef LU_CHECK_H
#define LU_CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

static unsigned int checks_passed, checks_failed;

static inline void check_said(const char *name, bool ok, const char *file,
                              int line, const char *what)
{
    if ( ok )
    {
        checks_passed++;
        printf("PASS %s\n", name);
        return;
    }
    checks_failed++;
    printf("FAIL %s: %s:%d: not so: %s\n", name, file, line, what);
}

#define CHECK(name, cond) check_said(name, cond, __FILE__, __LINE__, #cond)

/* What a test needs before it can check anything: ends the program if not so. */
#define NEED(cond) do { if ( !(cond) ) {                                    \
        printf("FAIL %s: %s:%d: cannot go on: %s\n", __func__, __FILE__,    \
               __LINE__, #cond);                                            \
        exit(1); } } while ( 0 )

static inline int check_sum(void)
{
    printf("%u passed, %u failed\n", checks_passed, checks_failed);

    return checks_failed || !checks_passed;
}

/*
 * The stream's pages: scattered, each with a guard page after it, filled with
 * junk.  Touching a page beyond `nr` ends the program.
 */
#define TEST_PAGES 512U

struct pages {
    uint32_t nr;
    uint8_t (*mem)[2][LU_STREAM_PAGE];
};

static inline uint8_t *page_at(const struct pages *p, uint32_t idx)
{
    /* 197 is odd: a permutation of 512 pages, neighbours are far apart. */
    return p->mem[idx * 197 % TEST_PAGES][0];
}

static void *page_of(void *ctx, uint32_t idx)
{
    const struct pages *p = ctx;

    NEED(idx < p->nr);

    return page_at(p, idx);
}

static inline void pages_init(struct pages *p)
{
    p->nr = TEST_PAGES;
    p->mem = malloc(sizeof(*p->mem) * TEST_PAGES);
    NEED(p->mem);
    memset(p->mem, 0xa5, sizeof(*p->mem) * TEST_PAGES);
}

/* No write went past the end of a page. */
static inline bool guards_intact(const struct pages *p)
{
    uint32_t i, j;

    for ( i = 0; i < TEST_PAGES; i++ )
        for ( j = 0; j < LU_STREAM_PAGE; j++ )
            if ( p->mem[i][1][j] != 0xa5 )
                return false;

    return true;
}

static inline void pages_free(struct pages *p)
{
    free(p->mem);
}

/* Byte `pos` of the stream. */
static inline uint8_t *byte_at(const struct pages *p, uint64_t pos)
{
    return page_at(p, pos / LU_STREAM_PAGE) + pos % LU_STREAM_PAGE;
}

static inline void poke(const struct pages *p, uint64_t pos, const void *src,
                        size_t len)
{
    const uint8_t *from = src;

    for ( ; len; len--, pos++ )
        *byte_at(p, pos) = *from++;
}

static inline void peek(const struct pages *p, uint64_t pos, void *dst,
                        size_t len)
{
    uint8_t *to = dst;

    for ( ; len; len--, pos++ )
        *to++ = *byte_at(p, pos);
}

/* Repeatable noise, xorshift. */
static inline uint32_t noise(void)
{
    static uint32_t x = 2463534242U;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;

    return x;
}

#endif /* LU_CHECK_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is different in two streams: records that only one has, and of records that
 * both have the fields and elements that differ, as decode.c prints them.
 *
 * Records are the same one if type, domain and instance are, and if they are the first,
 * second, ... of these; where they stand in the stream does not matter.  Both
 * streams have passed lu_read_init().  Nothing here fails but for lack of memory.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

struct side {
    const struct lu_stream *s;
    struct entry {
        struct lu_rec rec;
        unsigned int nth;       /* of those that are alike */
        bool paired;
    } *e;
    size_t nr;
};

static bool alike(const struct lu_rec *a, const struct lu_rec *b)
{
    return a->type == b->type && a->id.domid == b->id.domid &&
           a->id.instance == b->id.instance;
}

static void list(struct side *side)
{
    struct lu_rec rec = {};
    size_t i;

    while ( lu_next(side->s, &rec) > 0 )
    {
        struct entry *more = realloc(side->e, (side->nr + 1) * sizeof(*more));

        if ( !more )
            abort();
        side->e = more;
        more[side->nr] = (struct entry){ .rec = rec };
        for ( i = 0; i < side->nr; i++ )
            more[side->nr].nth += alike(&more[i].rec, &rec);
        side->nr++;
    }
}

static uint8_t *body_of(const struct side *side, const struct entry *e)
{
    uint8_t *body = malloc(e->rec.length);

    if ( !body || lu_rec_read(side->s, &e->rec, 0, body, e->rec.length) )
        abort();

    return body;
}

/* A record as lines; the first one is its name. */
static char *text_of(const struct side *side, const struct entry *e)
{
    uint8_t *body = body_of(side, e);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if ( !out )
        abort();
    lu_print_record(out, &e->rec, body, UINT64_MAX);
    fclose(out);
    free(body);

    return text;
}

/* The first line without the offset in the stream, which says nothing here. */
static void print_head(FILE *out, const char *mark, const char *text)
{
    const char *name = strchr(text, ' ');
    const char *end = strchr(text, '\n');

    fprintf(out, "%s%.*s\n", mark, (int)(end - name - 1), name + 1);
}

/* Characters of a line that name a field or an element. */
static size_t label(const char *line, size_t len)
{
    size_t i;

    for ( i = 0; i + 1 < len; i++ )
        if ( !strncmp(line + i, " = ", 3) || !strncmp(line + i, ": ", 2) )
            break;

    return i;
}

static char *next_line(char **at)
{
    char *line = *at, *end = line ? strchr(line, '\n') : NULL;

    if ( !line || !*line )
        return NULL;
    if ( end )
        *end = 0;
    *at = end ? end + 1 : NULL;

    return line;
}

/* Splits text into lines; returns how many. */
static size_t lines_of(char *text, char ***lines)
{
    size_t nr = 0;
    char *line;

    *lines = NULL;
    while ( (line = next_line(&text)) != NULL )
    {
        *lines = realloc(*lines, (nr + 1) * sizeof(**lines));
        if ( !*lines )
            abort();
        (*lines)[nr++] = line;
    }

    return nr;
}

static bool same_label(const char *a, const char *b)
{
    const size_t len = label(a, strlen(a));

    return label(b, strlen(b)) == len && !strncmp(a, b, len);
}

/*
 * Fields and arrays come in the same order in both: what is not there at once
 * is either behind some elements that only b has, or in a only.
 */
static void compare_lines(FILE *out, char **a, size_t nr_a, char **b,
                          size_t nr_b)
{
    size_t i, j = 0, k;

    for ( i = 0; i < nr_a; i++ )
    {
        for ( k = j; k < nr_b && !same_label(a[i], b[k]); k++ )
            continue;
        if ( k == nr_b )
        {
            fprintf(out, "  - %s\n", a[i] + strspn(a[i], " "));
            continue;
        }
        for ( ; j < k; j++ )
            fprintf(out, "  + %s\n", b[j] + strspn(b[j], " "));
        if ( strcmp(a[i], b[j]) )
            fprintf(out, "%s -> %s\n", a[i],
                    b[j] + label(b[j], strlen(b[j])) +
                    strspn(b[j] + label(b[j], strlen(b[j])), " =:"));
        j++;
    }
    for ( ; j < nr_b; j++ )
        fprintf(out, "  + %s\n", b[j] + strspn(b[j], " "));
}

static bool same_bytes(const struct side *a, const struct entry *ea,
                       const struct side *b, const struct entry *eb)
{
    uint8_t *x, *y;
    bool same;

    if ( ea->rec.length != eb->rec.length ||
         ea->rec.optional != eb->rec.optional )
        return false;

    x = body_of(a, ea);
    y = body_of(b, eb);
    same = !memcmp(x, y, ea->rec.length);
    free(x);
    free(y);

    return same;
}

static void compare(FILE *out, const struct side *a, const struct entry *ea,
                    const struct side *b, const struct entry *eb)
{
    char *x = text_of(a, ea), *y = text_of(b, eb), **la, **lb;
    size_t nr_a, nr_b;

    print_head(out, "", x);
    nr_a = lines_of(x, &la);
    nr_b = lines_of(y, &lb);
    if ( ea->rec.id.version != eb->rec.id.version )
        fprintf(out, "    version %u -> %u\n", ea->rec.id.version,
                eb->rec.id.version);
    if ( ea->rec.optional != eb->rec.optional )
        fprintf(out, "    %s optional\n", eb->rec.optional ? "now" : "no longer");
    compare_lines(out, la + 1, nr_a - 1, lb + 1, nr_b - 1);
    free(la);
    free(lb);
    free(x);
    free(y);
}

unsigned int lu_diff(FILE *out, const struct lu_stream *from,
                     const struct lu_stream *to)
{
    struct side a = { .s = from }, b = { .s = to };
    unsigned int differ = 0;
    size_t i, j;

    list(&a);
    list(&b);

    for ( i = 0; i < a.nr; i++ )
    {
        for ( j = 0; j < b.nr; j++ )
            if ( !b.e[j].paired && alike(&a.e[i].rec, &b.e[j].rec) &&
                 a.e[i].nth == b.e[j].nth )
                break;
        if ( j == b.nr )
        {
            char *text = text_of(&a, &a.e[i]);

            print_head(out, "- ", text);
            free(text);
            differ++;
            continue;
        }
        b.e[j].paired = true;
        if ( same_bytes(&a, &a.e[i], &b, &b.e[j]) )
            continue;
        compare(out, &a, &a.e[i], &b, &b.e[j]);
        differ++;
    }

    for ( j = 0; j < b.nr; j++ )
        if ( !b.e[j].paired )
        {
            char *text = text_of(&b, &b.e[j]);

            print_head(out, "+ ", text);
            free(text);
            differ++;
        }

    free(a.e);
    free(b.e);

    return differ;
}

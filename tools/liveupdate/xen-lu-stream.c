/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xen-lu-stream: looks at live update streams and images from outside Xen.
 *
 *   xen-lu-stream FILE           prints every record with its fields
 *   xen-lu-stream -v FILE        verifies: framing, checksum, and the rules of
 *                                docs/specs/live-update-stream.md
 *   xen-lu-stream -s FILE        one line per type of record and per domain, and a sum
 *   xen-lu-stream --diff A B     what differs in two streams
 *   xen-lu-stream --note IMAGE   prints the capability note of a Xen image
 *
 * What fails is said on stderr and in the exit code, see usage below.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

enum {
    EXIT_OK,
    EXIT_USAGE,                 /* or the file cannot be read */
    EXIT_DAMAGED,               /* no stream; no valid note */
    EXIT_RULES,                 /* a stream that breaks the rules; two notes */
    EXIT_DIFFER,                /* two streams differ */
};

struct file {
    const char *name;
    uint8_t *data;
    size_t len;
};

static void usage(FILE *out)
{
    fputs("usage: xen-lu-stream [-p] [-s] [-v] [-a] [--image IMAGE] FILE\n"
          "       xen-lu-stream --diff OTHER FILE\n"
          "       xen-lu-stream --note IMAGE\n"
          "       xen-lu-stream --schema\n"
          "  -p, --print    print every record (default)\n"
          "  -a, --all      ... with all elements of arrays, not only 16\n"
          "  -s, --summary  count records and bytes by type and domain\n"
          "  -v, --verify   check the rules of the specification\n"
          "  --image IMAGE  ... as the Xen of that image would read it\n"
          "  --diff OTHER   print what FILE has otherwise than the stream OTHER\n"
          "  --note IMAGE   print the image's capability note\n"
          "  --schema       print the records and structs this tool knows\n"
          "exit code: 0 all is well; 1 usage, or a file cannot be read;\n"
          "  2 FILE is no stream (truncated, lying length, wrong checksum), or\n"
          "  IMAGE has no valid note; 3 FILE is a stream but breaks the rules\n"
          "  (unknown, missing, duplicate, misplaced record, wrong version or\n"
          "  body), or IMAGE has several notes; 4 OTHER and FILE differ\n", out);
}

static void *page_of(void *ctx, uint32_t idx)
{
    return ((struct file *)ctx)->data + (size_t)idx * LU_STREAM_PAGE;
}

static int read_file(struct file *f)
{
    FILE *in = fopen(f->name, "rb");
    size_t room = 0, got = 1;

    while ( in && got )
    {
        if ( f->len == room )
        {
            uint8_t *more = realloc(f->data, room = room ? room * 2 : 1 << 16);

            if ( !more )
            {
                errno = ENOMEM;
                break;
            }
            f->data = more;
        }
        got = fread(f->data + f->len, 1, room - f->len, in);
        f->len += got;
    }

    if ( !in || got || ferror(in) )
    {
        fprintf(stderr, "xen-lu-stream: %s: %s\n", f->name, strerror(errno));
        return EXIT_USAGE;
    }
    fclose(in);

    return EXIT_OK;
}

/*
 * The length of the stream in a file of whole pages, as a memory dump leaves
 * it: END, then zeros up to the page's end.
 */
static uint64_t stream_size(const struct file *f)
{
    uint64_t pos = 0, next;
    struct lu_hdr_rec hdr;

    for ( ; f->len - pos >= sizeof(hdr); pos = next )
    {
        memcpy(&hdr, f->data + pos, sizeof(hdr));
        next = pos + sizeof(hdr) + (((uint64_t)hdr.length + 7) & ~7ULL);
        if ( next > f->len )
            break;
        if ( hdr.type != LU_REC_END || hdr.length != sizeof(struct lu_end_rec) )
            continue;
        for ( pos = next; pos < f->len && !f->data[pos]; pos++ )
            continue;
        if ( pos == f->len && f->len - next < LU_STREAM_PAGE )
            return next;
        break;
    }

    return f->len;
}

/* Finds the one note of an image. */
static int find_note(const struct file *f, size_t *where)
{
    unsigned int damaged, found;

    found = lu_note_scan(f->data, f->len, 16, where, &damaged);
    if ( found == 1 )
        return EXIT_OK;

    if ( found )
        fprintf(stderr, "xen-lu-stream: %s: %u capability notes, not one\n",
                f->name, found);
    else if ( damaged )
        fprintf(stderr, "xen-lu-stream: %s: a damaged capability note, or one "
                "of another format\n", f->name);
    else if ( f->len > 2 && f->data[0] == 0x1f && f->data[1] == 0x8b )
        fprintf(stderr, "xen-lu-stream: %s: compressed; gunzip it first\n",
                f->name);
    else
        fprintf(stderr, "xen-lu-stream: %s: no capability note: this image "
                "cannot be updated to\n", f->name);

    return found ? EXIT_RULES : EXIT_DAMAGED;
}

static int show_note(const char *name)
{
    struct file f = { .name = name };
    size_t where;
    int rc = read_file(&f);

    if ( !rc )
        rc = find_note(&f, &where);
    if ( !rc )
        lu_note_print(stdout, f.data, where);
    free(f.data);

    return rc;
}

static void print_all(const struct lu_stream *s, uint64_t max)
{
    struct lu_rec rec = {};
    int rc;

    do {
        uint8_t *body;

        rc = lu_next(s, &rec);
        body = malloc(rec.length);
        if ( !body || lu_rec_read(s, &rec, 0, body, rec.length) )
            abort();
        lu_print_record(stdout, &rec, body, max);
        free(body);
    } while ( rc > 0 );
}

static void summarise(const struct lu_stream *s)
{
    struct { uint32_t type; uint64_t nr, bytes; } sum[256] = {}, *e;
    struct { uint64_t nr, bytes; } *domain = calloc(0x10000, sizeof(*domain));
    uint64_t others = 0, records = 0;
    struct lu_rec rec = {};
    unsigned int i;

    if ( !domain )
        abort();

    while ( lu_next(s, &rec) > 0 )
    {
        records++;
        domain[rec.id.domid].nr++;
        domain[rec.id.domid].bytes += rec.length;
        for ( e = sum; e < sum + 256 && e->nr && e->type != rec.type; e++ )
            continue;
        if ( e == sum + 256 )
        {
            others++;
            continue;
        }
        e->type = rec.type;
        e->nr++;
        e->bytes += rec.length;
    }

    printf("%-20s %10s %12s\n", "record", "number", "bytes");
    for ( e = sum; e < sum + 256 && e->nr; e++ )
        printf("%-20s %10" PRIu64 " %12" PRIu64 "\n", lu_name_of(e->type),
               e->nr, e->bytes);
    if ( others )
        printf("%-20s %10" PRIu64 "\n", "others", others);
    printf("\n%-20s %10" PRIu64 " %12" PRIu64 "\n", "host",
           domain[LU_DOMID_HOST].nr, domain[LU_DOMID_HOST].bytes);
    for ( i = 0; i < 0x10000; i++ )
        if ( i != LU_DOMID_HOST && domain[i].nr )
            printf("d%-19u %10" PRIu64 " %12" PRIu64 "\n", i, domain[i].nr,
                   domain[i].bytes);
    printf("\n%-20s %10" PRIu64 " %12" PRIu64 "\n", "stream", records, s->size);
    free(domain);
}

static int verify(const struct file *f, const struct lu_stream *s,
                  const char *image)
{
    struct lu_note_entry_rec own[lu_nr_descs], *table = own;
    struct file img = { .name = image };
    struct lu_note_rec note;
    unsigned int nr = lu_nr_descs, bad;
    size_t where;
    int rc;

    lu_own_table(own);
    if ( image )
    {
        rc = read_file(&img);
        if ( !rc )
            rc = find_note(&img, &where);
        if ( rc )
        {
            free(img.data);
            return rc;
        }
        memcpy(&note, img.data + where, sizeof(note));
        nr = note.nr_entries;
        table = malloc((nr + 1) * sizeof(*table));
        if ( !table )
            abort();
        memcpy(table, img.data + where + note.header, nr * sizeof(*table));
    }

    bad = lu_verify(stderr, s, table, nr);
    if ( !bad )
        printf("%s: a good stream of %" PRIu64 " bytes\n", f->name, s->size);
    else
        fprintf(stderr, "%s: breaks the rules %u times\n", f->name, bad);

    if ( table != own )
        free(table);
    free(img.data);

    return bad ? EXIT_RULES : EXIT_OK;
}

/* Reads a file and proves that it is a stream. */
static int open_stream(struct file *f, struct lu_stream *s)
{
    int rc = read_file(f);
    uint64_t size;

    if ( rc )
        return rc;

    size = stream_size(f);
    if ( lu_read_init(s, page_of, f, size) )
    {
        fprintf(stderr, "xen-lu-stream: %s is no stream: ", f->name);
        lu_explain(stderr, page_of, f, size);
        return EXIT_DAMAGED;
    }

    return EXIT_OK;
}

static int diff(const char *other, const struct lu_stream *s)
{
    struct file f = { .name = other };
    struct lu_stream from;
    int rc = open_stream(&f, &from);

    if ( !rc && lu_diff(stdout, &from, s) )
        rc = EXIT_DIFFER;
    free(f.data);

    return rc;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "print", no_argument, NULL, 'p' },
        { "all", no_argument, NULL, 'a' },
        { "summary", no_argument, NULL, 's' },
        { "verify", no_argument, NULL, 'v' },
        { "image", required_argument, NULL, 'i' },
        { "diff", required_argument, NULL, 'd' },
        { "note", required_argument, NULL, 'n' },
        { "schema", no_argument, NULL, 'S' },
        { "help", no_argument, NULL, 'h' },
        {}
    };
    bool print = false, check = false, summary = false;
    const char *image = NULL, *other = NULL;
    struct file f = {};
    struct lu_stream s;
    uint64_t max = 16;
    int opt, rc;

    while ( (opt = getopt_long(argc, argv, "pasvh", options, NULL)) != -1 )
        switch ( opt )
        {
        case 'p': print = true; break;
        case 'a': print = true; max = UINT64_MAX; break;
        case 's': summary = true; break;
        case 'v': check = true; break;
        case 'i': check = true; image = optarg; break;
        case 'd': other = optarg; break;
        case 'n': return show_note(optarg);
        case 'S': lu_print_schema(stdout); return EXIT_OK;
        case 'h': usage(stdout); return EXIT_OK;
        default: usage(stderr); return EXIT_USAGE;
        }

    if ( optind + 1 != argc )
    {
        usage(stderr);
        return EXIT_USAGE;
    }

    f.name = argv[optind];
    rc = open_stream(&f, &s);
    if ( rc )
    {
        free(f.data);
        return rc;
    }

    if ( other )
    {
        rc = diff(other, &s);
        free(f.data);
        return rc;
    }

    if ( print || (!summary && !check) )
        print_all(&s, max);
    if ( summary )
        summarise(&s);
    if ( check )
        rc = verify(&f, &s, image);
    free(f.data);

    return rc;
}

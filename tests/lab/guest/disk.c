/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk: is every block read back as it was last written?
 *
 *     disk -f <block device or file> [-q <requests in flight>] [-m <MiB>]
 *          [-k <KiB per request>]    defaults 8, 16, 16
 *
 * The contents of the device are overwritten.  -q threads each own a part of the
 * first -m MiB and write and read whole requests with O_DIRECT, so that as many
 * are in flight all the time.  Every 512-byte sector carries its position, its
 * generation and a checksum.  A sector that is old, misplaced or damaged is an
 * error, and so is a request that fails.  The longest request is a figure
 * (`max_ms`).  Every 64th write is followed by a flush.
 */
#include <fcntl.h>

#include "witness.h"

#define MAX_THREADS 64
#define SECTOR      512UL

struct sector
{
    uint64_t magic, position, generation, sum;
    uint64_t filler[60];
};

static const char *file;
static unsigned int depth = 8;
static unsigned long mib = 16, kib = 16;
static unsigned long part; /* requests each thread owns */
static int fd;

static struct per_thread
{
    unsigned long reads, writes;
    int64_t max;
} stats[MAX_THREADS];

#define MAGIC 0x4b5349445857554cULL

static uint64_t sum(const struct sector *s)
{
    uint64_t x = s->magic ^ (s->position * 3) ^ (s->generation * 5);

    for ( unsigned int i = 0; i < 60; i++ )
        x = (x ^ s->filler[i]) * 0x9e3779b97f4a7c15ULL;
    return x;
}

static void fill(struct sector *s, uint64_t position, uint64_t generation)
{
    s->magic = MAGIC;
    s->position = position;
    s->generation = generation;
    for ( unsigned int i = 0; i < 60; i++ )
        s->filler[i] = position * 0xd1342543de82ef95ULL + generation * 7 + i;
    s->sum = sum(s);
}

static void check(unsigned int t, const struct sector *s, uint64_t position,
                  uint64_t generation)
{
    if ( s->magic == MAGIC && s->position == position &&
         s->generation == generation && s->sum == sum(s) )
        return;
    w_error("request of thread %u: sector %llu generation %llu: found magic "
            "%#llx sector %llu generation %llu, checksum %s", t,
            (unsigned long long)position, (unsigned long long)generation,
            (unsigned long long)s->magic, (unsigned long long)s->position,
            (unsigned long long)s->generation,
            s->sum == sum(s) ? "right" : "wrong");
}

static bool transfer(unsigned int t, bool write, void *buf, off_t at)
{
    size_t len = kib << 10;
    int64_t start = w_now(), took;
    ssize_t n = write ? pwrite(fd, buf, len, at) : pread(fd, buf, len, at);

    took = w_now() - start;
    if ( took > stats[t].max )
        stats[t].max = took;
    if ( n == (ssize_t)len )
        return true;
    w_error("%s of %zu bytes at %lld: %s", write ? "write" : "read", len,
            (long long)at, n < 0 ? strerror(errno) : "short");
    return false;
}

static void *worker(void *arg)
{
    unsigned int t = (uintptr_t)arg;
    unsigned long len = kib << 10, per = len / SECTOR;
    uint64_t *generation = calloc(part, sizeof(*generation));
    uint64_t random = t + 1;
    struct sector *buf;
    int64_t slice = 0;

    if ( !generation || posix_memalign((void **)&buf, 4096, len) )
        w_fatal("no memory");
    while ( !w_stop )
    {
        unsigned long r;
        uint64_t first;

        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        r = (random >> 33) % part;
        first = (t * part + r) * per;
        if ( generation[r] && (random >> 20 & 1) )
        {
            memset(buf, 0xee, len);
            if ( transfer(t, false, buf, first * SECTOR) )
                for ( unsigned long i = 0; i < per; i++ )
                    check(t, buf + i, first + i, generation[r]);
            stats[t].reads++;
        }
        else
        {
            generation[r]++;
            for ( unsigned long i = 0; i < per; i++ )
                fill(buf + i, first + i, generation[r]);
            if ( w_break && stats[t].writes == 30 )
                buf[1].filler[5] ^= 1;
            transfer(t, true, buf, first * SECTOR);
            if ( ++stats[t].writes % 64 == 0 && fdatasync(fd) )
                w_error("flush: %s", strerror(errno));
        }
        w_breathe(&slice);
    }
    free(generation);
    free(buf);

    return NULL;
}

static void fields(void)
{
    unsigned long reads = 0, writes = 0, least = -1UL;
    int64_t max = 0;

    for ( unsigned int t = 0; t < depth; t++ )
    {
        unsigned long both = stats[t].reads + stats[t].writes;

        reads += stats[t].reads;
        writes += stats[t].writes;
        if ( both < least )
            least = both;
        if ( stats[t].max > max )
            max = stats[t].max;
    }
    printf(" file=%s depth=%u reads=%lu writes=%lu least=%lu max_ms=%.3f", file,
           depth, reads, writes, least, max / 1e6);
}

static void option(int c, const char *arg)
{
    if ( c == 'f' )
        file = arg;
    else if ( c == 'q' )
        depth = atoi(arg);
    else if ( c == 'm' )
        mib = strtoul(arg, NULL, 0);
    else if ( c == 'k' )
        kib = strtoul(arg, NULL, 0);
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_THREADS];

    w_init("disk", argc, argv, "f:q:m:k:", option);
    if ( !file )
        w_fatal("-f is missing");
    if ( !depth || depth > MAX_THREADS )
        w_fatal("-q %u: want 1 to %d", depth, MAX_THREADS);
    if ( !kib || kib % 4 || kib > 1024 )
        w_fatal("-k %lu: want 4 to 1024, a multiple of 4", kib);
    part = (mib << 10) / kib / depth;
    if ( !part )
        w_fatal("-m %lu is too small for %u requests of %lu KiB", mib, depth,
                kib);
    fd = open(file, O_RDWR | O_DIRECT);
    if ( fd < 0 )
        w_fatal("%s: %s", file, strerror(errno));
    for ( uintptr_t t = 0; t < depth; t++ )
        if ( pthread_create(&threads[t], NULL, worker, (void *)t) )
            w_fatal("cannot start thread %lu", (unsigned long)t);
    w_wait(fields);
    for ( unsigned int t = 0; t < depth; t++ )
        pthread_join(threads[t], NULL);
    return w_finish(fields);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memory: does every page keep what was written to it?
 *
 *     memory [-m <MiB>]        default 64, split over the CPUs
 *
 * Fills its memory with a pattern that depends on the page and on how often the
 * page was written, then goes round for ever: check each word, write the next
 * generation.  A page that got lost, swapped with another, zeroed or rolled back
 * to older contents is an error that names the page and the first wrong word.
 * `passes` is the number of complete rounds of the slowest CPU.
 */
#include <sys/mman.h>

#include "witness.h"

#define PAGE  4096UL
#define WORDS (PAGE / sizeof(uint64_t))

static unsigned long mib = 64;

static struct per_cpu
{
    unsigned long passes, pages;
} stats[W_MAX_CPUS];

static uint64_t seed(unsigned int cpu, unsigned long page, unsigned long gen)
{
    uint64_t x = ((uint64_t)cpu << 56) ^ (page << 24) ^ gen;

    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

#define STEP 0xd1342543de82ef95ULL

static void fill(volatile uint64_t *p, uint64_t s)
{
    for ( unsigned int i = 0; i < WORDS; i++, s += STEP )
        p[i] = s;
}

/* Index of the first wrong word, or -1. */
static int verify(const volatile uint64_t *p, uint64_t s)
{
    for ( unsigned int i = 0; i < WORDS; i++, s += STEP )
        if ( p[i] != s )
            return i;
    return -1;
}

static void *worker(void *arg)
{
    unsigned int cpu = (uintptr_t)arg;
    unsigned long pages = (mib << 20) / PAGE / w_cpus;
    int64_t slice = 0;
    uint64_t *mem;

    w_pin(cpu);
    mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ( mem == MAP_FAILED )
        w_fatal("cannot have %lu pages: %s", pages, strerror(errno));
    for ( unsigned long p = 0; p < pages; p++ )
        fill(mem + p * WORDS, seed(cpu, p, 0));

    for ( unsigned long gen = 0; !w_stop; gen++ )
    {
        for ( unsigned long p = 0; p < pages && !w_stop; p++ )
        {
            uint64_t *page = mem + p * WORDS;
            uint64_t want = seed(cpu, p, gen);
            int bad;

            if ( w_break && gen == 1 && p == 3 )
                page[100] ^= 4;
            bad = verify(page, want);
            if ( bad >= 0 )
                w_error("cpu %u: page %lu of %lu, generation %lu: word %d is "
                        "%#llx, want %#llx", cpu, p, pages, gen, bad,
                        (unsigned long long)page[bad],
                        (unsigned long long)(want + bad * STEP));
            fill(page, seed(cpu, p, gen + 1));
            stats[cpu].pages++;
            w_breathe(&slice);
        }
        if ( !w_stop )
            stats[cpu].passes++;
    }

    return NULL;
}

static void fields(void)
{
    unsigned long pages = 0, passes = -1UL;

    for ( unsigned int c = 0; c < w_cpus; c++ )
    {
        pages += stats[c].pages;
        if ( stats[c].passes < passes )
            passes = stats[c].passes;
    }
    printf(" mib=%lu passes=%lu pages=%lu", mib, passes, pages);
}

static void option(int c, const char *arg)
{
    if ( c == 'm' )
        mib = strtoul(arg, NULL, 0);
}

int main(int argc, char **argv)
{
    pthread_t threads[W_MAX_CPUS];

    w_init("memory", argc, argv, "m:", option);
    if ( !mib )
        w_fatal("-m 0");
    w_per_cpu(worker, threads);
    w_wait(fields);
    for ( unsigned int i = 0; i < w_cpus; i++ )
        pthread_join(threads[i], NULL);
    return w_finish(fields);
}

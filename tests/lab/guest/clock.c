/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clock: does any clock of the guest ever run backwards, or drift from the rest?
 *
 *     clock [-j <ms>]          how far two clocks may drift apart (default 5)
 *
 * A thread on each CPU reads every clock the kernel has, by the vDSO and by system
 * call in turn, and compares with the latest value any thread on any CPU has read:
 * earlier is an error.  The TSC is compared on its own CPU only, nothing promises
 * more.  The distance of each clock from CLOCK_MONOTONIC must stay what it was at
 * the start, within -j; not so for the coarse clocks, which stand still until the
 * next tick, whenever that comes.
 *
 * The largest step forward of each clock between two reads by any thread is a
 * figure (max_<clock>_ms): after an update it may be the gap and not more.
 */
#include <sys/syscall.h>

#include "witness.h"

static struct source
{
    clockid_t id;
    const char *name;
    bool coarse;         /* stands still between ticks: no distance to check */
    int64_t latest;      /* of any thread; read and set atomically */
    int64_t max_step;
    int64_t offset;      /* from CLOCK_MONOTONIC, at the start */
} sources[] = {
    { .id = CLOCK_MONOTONIC, .name = "mono" },
    { .id = CLOCK_REALTIME, .name = "real" },
    { .id = CLOCK_BOOTTIME, .name = "boot" },
    { .id = CLOCK_MONOTONIC_RAW, .name = "raw" },
    { .id = CLOCK_TAI, .name = "tai" },
    { .id = CLOCK_MONOTONIC_COARSE, .name = "mono_coarse", .coarse = true },
    { .id = CLOCK_REALTIME_COARSE, .name = "real_coarse", .coarse = true },
};

#define NR_SOURCES (sizeof(sources) / sizeof(sources[0]))

static int64_t drift_limit = 5 * MS;
static unsigned long reads[W_MAX_CPUS];
static uint64_t tsc_step;

static int64_t read_clock(clockid_t id, bool by_syscall)
{
    struct timespec ts;

    if ( by_syscall )
        syscall(SYS_clock_gettime, id, &ts);
    else
        clock_gettime(id, &ts);
    return ts.tv_sec * SEC + ts.tv_nsec;
}

/*
 * The distance from the monotonic clock, read so close that being preempted in
 * between cannot be mistaken for a drift.
 */
static bool distance(const struct source *s, bool by_syscall, int64_t *out)
{
    for ( unsigned int i = 0; i < 100; i++ )
    {
        int64_t a = w_now(), t = read_clock(s->id, by_syscall), b = w_now();

        if ( b - a < drift_limit / 4 )
        {
            *out = t - a;
            return true;
        }
    }
    return false;
}

static void look(unsigned int cpu, struct source *s, bool by_syscall)
{
    int64_t before = __atomic_load_n(&s->latest, __ATOMIC_SEQ_CST);
    int64_t now = read_clock(s->id, by_syscall), d;

    if ( w_break && cpu == 0 && reads[0] == 500 )
        now -= SEC;
    if ( now < before )
        w_error("cpu %u: %s went back by %lld ns%s", cpu, s->name,
                (long long)(before - now), by_syscall ? " (system call)" : "");
    else if ( before && now - before > s->max_step )
        s->max_step = now - before;

    while ( before < now &&
            !__atomic_compare_exchange_n(&s->latest, &before, now, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) )
        ;

    if ( !s->coarse && distance(s, by_syscall, &d) &&
         llabs(d - s->offset) > drift_limit )
    {
        w_error("cpu %u: %s is %lld ns further from mono than at the start",
                cpu, s->name, (long long)(d - s->offset));
        s->offset = d;
    }
}

static void *worker(void *arg)
{
    unsigned int cpu = (uintptr_t)arg;
    uint64_t tsc_was = 0, tsc;
    int64_t slice = 0;

    w_pin(cpu);
    while ( !w_stop )
    {
        for ( unsigned int i = 0; i < NR_SOURCES; i++ )
            look(cpu, &sources[i], (reads[cpu] + i) & 1);
        tsc = w_tsc();
        if ( tsc < tsc_was )
            w_error("cpu %u: tsc went back by %llu", cpu,
                    (unsigned long long)(tsc_was - tsc));
        else if ( tsc_was && tsc - tsc_was > tsc_step )
            tsc_step = tsc - tsc_was;
        tsc_was = tsc;
        reads[cpu]++;
        w_breathe(&slice);
    }

    return NULL;
}

static void fields(void)
{
    unsigned long least = -1UL;

    for ( unsigned int c = 0; c < w_cpus; c++ )
        if ( reads[c] < least )
            least = reads[c];
    printf(" cpus=%u least=%lu", w_cpus, least);
    for ( unsigned int i = 0; i < NR_SOURCES; i++ )
        printf(" max_%s_ms=%.3f", sources[i].name, sources[i].max_step / 1e6);
    printf(" max_tsc=%llu", (unsigned long long)tsc_step);
}

static void option(int c, const char *arg)
{
    if ( c == 'j' )
        drift_limit = atol(arg) * MS;
}

int main(int argc, char **argv)
{
    pthread_t threads[W_MAX_CPUS];

    w_init("clock", argc, argv, "j:", option);
    if ( drift_limit < MS )
        w_fatal("-j: want at least 1 ms");
    for ( unsigned int i = 0; i < NR_SOURCES; i++ )
        if ( !distance(&sources[i], false, &sources[i].offset) )
            w_fatal("cannot compare %s with mono", sources[i].name);
    w_per_cpu(worker, threads);
    w_wait(fields);
    for ( unsigned int i = 0; i < w_cpus; i++ )
        pthread_join(threads[i], NULL);
    return w_finish(fields);
}

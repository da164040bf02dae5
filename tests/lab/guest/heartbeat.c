/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * heartbeat: how long did the guest stand still?
 *
 * One thread per CPU sleeps a tenth of -s (a millisecond), then reads the TSC and the
 * monotonic, boot and real-time clocks.  A beat that comes more than 20 ms after
 * the one before is a gap: printed at once as
 *
 *     GAP cpu=0 at_ms=<monotonic> mono_ms= boot_ms= real_ms= tsc=<cycles>
 *
 * and kept in the sums of the final line (times in ms, the largest gap of each
 * clock, `total_ms` over all gaps of the CPU that had the largest sum).
 *
 * Gaps are figures, not errors.  An error is a clock that runs backwards on one
 * CPU; a beat during which two of the kernel's clocks advanced by different amounts
 * (more than 5 ms apart): an update that steps one of them loses time in the
 * others; a gap whose length by the monotonic clock is not its length by the TSC,
 * whose pace is taken from the first beats: time lost or invented.  -T leaves
 * that comparison out: in multi-threaded emulation on a busy machine Xen corrects its
 * clock all the time.
 * -b pretends that the real-time clock went backwards once.
 */
#include "witness.h"

#define GAP (20 * MS)

enum { MONO, BOOT, REAL, NR_CLOCKS };
static const clockid_t ids[NR_CLOCKS] = {
    CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
static const char *const names[NR_CLOCKS] = { "mono", "boot", "real" };

/* Beats that set the pace of the TSC before gaps are compared with it. */
#define PACE_BEATS 300

static bool trust_tsc = true;

static struct per_cpu
{
    double pace;         /* TSC cycles per ns, 0: not known yet */
    uint64_t pace_tsc;   /* sums over the first beats */
    int64_t pace_ns;
    unsigned long beats, gaps;
    int64_t max[NR_CLOCKS], total, last;
    uint64_t max_tsc;
} stats[W_MAX_CPUS];

static void beat(unsigned int cpu, const int64_t *was, const int64_t *is,
                 uint64_t tsc_was, uint64_t tsc)
{
    struct per_cpu *s = &stats[cpu];
    int64_t d[NR_CLOCKS];

    for ( int i = 0; i < NR_CLOCKS; i++ )
    {
        d[i] = is[i] - was[i];
        if ( d[i] < 0 )
            w_error("cpu %u: %s clock went back by %lld ns", cpu, names[i],
                    (long long)-d[i]);
        if ( llabs(d[i] - d[MONO]) > 5 * MS )
            w_error("cpu %u: %s clock advanced %lld ns, mono %lld ns", cpu,
                    names[i], (long long)d[i], (long long)d[MONO]);
        if ( d[i] > s->max[i] )
            s->max[i] = d[i];
    }
    if ( tsc < tsc_was )
        w_error("cpu %u: tsc went back by %llu", cpu,
                (unsigned long long)(tsc_was - tsc));
    else if ( tsc - tsc_was > s->max_tsc )
        s->max_tsc = tsc - tsc_was;
    w_stood_still(d[MONO]);
    s->beats++;
    if ( !s->pace )
    {
        s->pace_tsc += tsc - tsc_was;
        s->pace_ns += d[MONO];
        if ( s->beats >= PACE_BEATS )
            s->pace = (double)s->pace_tsc / s->pace_ns;
    }
    if ( d[MONO] <= GAP )
        return;
    if ( s->pace && trust_tsc )
    {
        int64_t by_tsc = (tsc - tsc_was) / s->pace;

        if ( llabs(by_tsc - d[MONO]) > 5 * MS + d[MONO] / 100 )
            w_error("cpu %u: mono clock advanced %lld ns, %lld ns by the TSC",
                    cpu, (long long)d[MONO], (long long)by_tsc);
    }
    s->gaps++;
    s->total += d[MONO];
    s->last = d[MONO];
    printf("GAP cpu=%u at_ms=%.3f mono_ms=%.3f boot_ms=%.3f real_ms=%.3f "
           "tsc=%llu\n", cpu, is[MONO] / 1e6, d[MONO] / 1e6, d[BOOT] / 1e6,
           d[REAL] / 1e6, (unsigned long long)(tsc - tsc_was));
}

static void *worker(void *arg)
{
    unsigned int cpu = (uintptr_t)arg;
    const struct timespec sleep = { .tv_nsec = w_slice / 10 };
    int64_t was[NR_CLOCKS], is[NR_CLOCKS];
    uint64_t tsc_was = 0, tsc;
    bool first = true;

    w_pin(cpu);
    while ( !w_stop )
    {
        /*
         * The three reads are not one moment: when the gap falls between two of
         * them, they differ by it.  Read until the first one, read again, is close.
         */
        do {
            for ( int i = 0; i < NR_CLOCKS; i++ )
                is[i] = w_clock(ids[i]);
            tsc = w_tsc();
        } while ( w_now() - is[MONO] > 2 * MS );
        if ( w_break && stats[cpu].beats == 100 )
            is[REAL] -= SEC;
        if ( !first )
            beat(cpu, was, is, tsc_was, tsc);
        first = false;
        memcpy(was, is, sizeof(was));
        tsc_was = tsc;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &sleep, NULL);
    }

    return NULL;
}

static void fields(void)
{
    unsigned long beats = 0, gaps = 0;
    int64_t max[NR_CLOCKS] = { 0 }, total = 0, last = 0;
    uint64_t max_tsc = 0;

    for ( unsigned int c = 0; c < w_cpus; c++ )
    {
        const struct per_cpu *s = &stats[c];

        beats += s->beats;
        gaps += s->gaps;
        for ( int i = 0; i < NR_CLOCKS; i++ )
            if ( s->max[i] > max[i] )
                max[i] = s->max[i];
        if ( s->total > total )
            total = s->total;
        if ( s->last > last )
            last = s->last;
        if ( s->max_tsc > max_tsc )
            max_tsc = s->max_tsc;
    }
    printf(" cpus=%u beats=%lu gaps=%lu max_ms=%.3f max_boot_ms=%.3f "
           "max_real_ms=%.3f max_tsc=%llu total_ms=%.3f last_ms=%.3f", w_cpus,
           beats, gaps, max[MONO] / 1e6, max[BOOT] / 1e6, max[REAL] / 1e6,
           (unsigned long long)max_tsc, total / 1e6, last / 1e6);
}

static void option(int c, const char *arg)
{
    (void)arg;
    if ( c == 'T' )
        trust_tsc = false;
}

int main(int argc, char **argv)
{
    pthread_t threads[W_MAX_CPUS];

    w_init("heartbeat", argc, argv, "T", option);
    w_per_cpu(worker, threads);
    w_wait(fields);
    for ( unsigned int i = 0; i < w_cpus; i++ )
        pthread_join(threads[i], NULL);
    return w_finish(fields);
}

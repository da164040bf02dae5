/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the witness programs share: how they are told to stop, how they report.
 *
 * A witness keeps one kind of state busy in a guest and checks it all the time.
 * It runs until SIGTERM or SIGINT, or for the seconds given by -t, and then
 * prints one line
 *
 *     WITNESS <name> ok=<0|1> errors=<n> gap_ms=<ms> key=value ...
 *
 * and exits 0 only if it found nothing wrong.  SIGUSR1 prints the same line and
 * goes on.  `gap_ms` is how long the witness saw its own work stand still: the longest
 * time between two steps of it, a timer's delay, a silence; SIGUSR2 starts that
 * figure anew.  Each thing found wrong is printed at once as "ERROR <name>: ...",
 * the first W_MAX_PRINTED of them; all are counted.  A witness that cannot set
 * itself up exits 2 with "ERROR <name>: ...".
 *
 * Every program takes
 *     -t <seconds>  how long to run (guest time; default: until told to stop)
 *     -c <cpus>     how many CPUs to use (default: all that are online)
 *     -d <percent>  how much of each CPU to use (default 100): under instruction
 *                   counting a busy CPU costs much wall time
 *     -s <ms>       how often to work, a share of which -d is (default 10).  Each
 *                   waking costs, most of all that of an HVM vCPU: a host of many
 *                   guests has none to spare.  gap_ms cannot tell less than this
 *     -b            break something on purpose after a while, to prove that the
 *                   check works
 */
#ifndef LAB_WITNESS_H
#define LAB_WITNESS_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define W_MAX_PRINTED 50
#define W_MAX_CPUS    64
#define MS            1000000LL /* ns */
#define SEC           1000000000LL

static const char *w_name;
static volatile sig_atomic_t w_stop, w_usr1;
static int64_t *w_gap; /* ns; shared with processes forked later; atomic */
static unsigned long w_errors;
static unsigned int w_cpus, w_duty = 100;
static int64_t w_slice = 10 * MS;
static bool w_break;
static long w_seconds;
static int64_t w_started;

static inline int64_t w_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * SEC + ts.tv_nsec;
}

static inline int64_t w_now(void)
{
    return w_clock(CLOCK_MONOTONIC);
}

static inline uint64_t w_tsc(void)
{
    uint32_t lo, hi;

    asm volatile ( "lfence; rdtsc" : "=a" (lo), "=d" (hi) :: "memory" );
    return ((uint64_t)hi << 32) | lo;
}

/* The work stood still for `ns`.  Any thread or process may call it. */
static inline void w_stood_still(int64_t ns)
{
    int64_t was = __atomic_load_n(w_gap, __ATOMIC_RELAXED);

    while ( was < ns &&
            !__atomic_compare_exchange_n(w_gap, &was, ns, false,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED) )
        ;
}

/* Counts one error and prints it.  Any thread may call it. */
static void __attribute__((format(printf, 1, 2))) w_error(const char *fmt, ...)
{
    va_list ap;
    char text[400];

    if ( __atomic_add_fetch(&w_errors, 1, __ATOMIC_RELAXED) > W_MAX_PRINTED )
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    printf("ERROR %s: %s\n", w_name, text);
}

/* The witness cannot do its work at all: say why and give up. */
static void __attribute__((format(printf, 1, 2), noreturn))
w_fatal(const char *fmt, ...)
{
    va_list ap;
    char text[400];

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    printf("ERROR %s: %s\n", w_name, text);
    fflush(stdout);
    _exit(2);
}

static void w_on_signal(int sig)
{
    if ( sig == SIGUSR1 )
        w_usr1 = 1;
    else if ( sig == SIGUSR2 )
        __atomic_store_n(w_gap, 0, __ATOMIC_RELAXED);
    else
        w_stop = 1;
}

/*
 * Reads the common options.  `extra` is a getopt string of the witness' own
 * ones, which are passed to `opt`; it may be NULL.  SIGUSR1, SIGUSR2, SIGTERM and
 * SIGINT are blocked in threads made later, so that only the main thread is
 * interrupted: w_wait() lets them in.
 */
static void w_init(const char *name, int argc, char **argv, const char *extra,
                   void (*opt)(int c, const char *arg))
{
    struct sigaction sa = { .sa_handler = w_on_signal };
    char opts[64] = "t:c:d:s:b";
    sigset_t set;
    int c;

    w_name = name;
    setvbuf(stdout, NULL, _IOLBF, 0);
    w_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    w_gap = mmap(NULL, sizeof(*w_gap), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ( w_gap == MAP_FAILED )
        w_fatal("no memory");
    if ( extra )
        strncat(opts, extra, sizeof(opts) - sizeof("t:c:d:s:b"));
    while ( (c = getopt(argc, argv, opts)) != -1 )
    {
        if ( c == 't' )
            w_seconds = atol(optarg);
        else if ( c == 'c' )
            w_cpus = atoi(optarg);
        else if ( c == 'd' )
            w_duty = atoi(optarg);
        else if ( c == 's' )
            w_slice = atol(optarg) * MS;
        else if ( c == 'b' )
            w_break = true;
        else if ( c == '?' || !opt )
            w_fatal("bad option, see the top of the source");
        else
            opt(c, optarg);
    }
    if ( !w_duty || w_duty > 100 )
        w_fatal("-d %u: want 1 to 100", w_duty);
    if ( w_slice < MS || w_slice > SEC )
        w_fatal("-s: want 1 to 1000 ms");
    if ( !w_cpus || w_cpus > W_MAX_CPUS )
        w_fatal("%u cpus, want 1 to %d", w_cpus, W_MAX_CPUS);

    sigaction(SIGUSR1, &sa, NULL);
    sigaction(SIGUSR2, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    w_started = w_now();
}

/* Ties the calling thread to one CPU. */
static inline void w_pin(unsigned int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if ( sched_setaffinity(0, sizeof(set), &set) )
        w_fatal("cannot run on cpu %u: %s", cpu, strerror(errno));
}

/*
 * To be called often by a busy loop, after each step: sleeps as -d and -s ask.
 * `slice` belongs to the calling loop and starts as 0.
 */
static inline void w_breathe(int64_t *slice)
{
    static __thread int64_t last;
    int64_t now = w_now();
    struct timespec rest = { .tv_nsec = w_slice * (100 - w_duty) / 100 };

    if ( last )
        w_stood_still(now - last);
    last = now;
    if ( w_duty == 100 )
        return;
    if ( !*slice )
        *slice = now;
    if ( now - *slice < w_slice * w_duty / 100 )
        return;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
    *slice = w_now();
}

/* Starts `fn(cpu)` in a thread on each CPU. */
static inline void w_per_cpu(void *(*fn)(void *), pthread_t *threads)
{
    for ( unsigned int i = 0; i < w_cpus; i++ )
    {
        int rc = pthread_create(&threads[i], NULL, fn, (void *)(uintptr_t)i);

        if ( rc )
            w_fatal("cannot start thread %u: %s", i, strerror(rc));
    }
}

/* Prints the WITNESS line; `fields` adds " key=value" for each of its own. */
static void w_line(void (*fields)(void))
{
    unsigned long errors = __atomic_load_n(&w_errors, __ATOMIC_RELAXED);

    flockfile(stdout);
    printf("WITNESS %s ok=%d errors=%lu gap_ms=%.3f", w_name, !errors, errors,
           __atomic_load_n(w_gap, __ATOMIC_RELAXED) / 1e6);
    fields();
    printf("\n");
    fflush(stdout);
    funlockfile(stdout);
}

/*
 * For the main thread: waits until it is time to stop, answering SIGUSR1.
 * Worker threads look at w_stop themselves.
 */
static inline void w_wait(void (*fields)(void))
{
    struct timespec tick = { .tv_nsec = 100 * MS };
    sigset_t let_in;

    pthread_sigmask(SIG_BLOCK, NULL, &let_in);
    sigdelset(&let_in, SIGUSR1);
    sigdelset(&let_in, SIGUSR2);
    sigdelset(&let_in, SIGTERM);
    sigdelset(&let_in, SIGINT);
    while ( !w_stop )
    {
        if ( w_seconds && w_now() - w_started > w_seconds * SEC )
            w_stop = 1;
        if ( w_usr1 )
        {
            w_usr1 = 0;
            w_line(fields);
        }
        if ( !w_stop )
            ppoll(NULL, 0, &tick, &let_in);
    }
}

/* Prints the final line; returns the exit code. */
static inline int w_finish(void (*fields)(void))
{
    w_line(fields);
    return w_errors ? 1 : 0;
}

#endif /* LAB_WITNESS_H */

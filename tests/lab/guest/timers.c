/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * timers: does every kind of timer fire, and never early?
 *
 *     timers [-l <seconds>]    a timer this late is lost (default 60)
 *
 * One thread per kind and wait length:
 *   one-shot   nanosleep, clock_nanosleep to an absolute time on the monotonic and
 *              real-time clocks, poll, select, epoll, condition variables,
 *              setitimer (re-armed each time), sleeping 7 ms to 2 s
 *   periodic   timerfd on the monotonic, real-time and boot clocks and
 *              timer_create with a signal: the number of expirations the kernel
 *              reports must be the time that passed divided by the interval
 *
 * Those of less than 100 ms are as much longer as -s is longer than 10.
 *
 * An error is a timer that fires before its time on its own clock, an expiration
 * too many or too few, a kind that has been silent for -l seconds.  How late the
 * latest came is a figure (`late_ms`): a gap delays every timer by its length, so
 * what is too late is for the caller to say, who knows the gap.  `least` is the
 * count of the kind that fired least.
 */
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "witness.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct kind
{
    const char *name;
    void *(*run)(void *);
    int64_t len;         /* ns */
    clockid_t clock;
    /* Written by the kind's thread, read by the main one. */
    unsigned long count;
    int64_t late, seen;
};

static long lost_after = 60;

/* One firing: it was due at `due` and came at `now`, both on the kind's clock. */
static void fired(struct kind *k, int64_t due, int64_t now, unsigned long n)
{
    if ( w_break && k->count == 6 && !strcmp(k->name, "nanosleep") )
        due += SEC;
    if ( now < due )
        w_error("%s of %lld ms fired %lld ns early", k->name,
                (long long)(k->len / MS), (long long)(due - now));
    w_stood_still(now - due);
    if ( now - due > k->late )
        k->late = now - due;
    k->count += n;
    __atomic_store_n(&k->seen, w_now(), __ATOMIC_RELAXED);
}

static struct timespec spec(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / SEC, .tv_nsec = ns % SEC };
}

#define ONE_SHOT(name, ...)                                             \
    static void *name(void *arg)                                        \
    {                                                                   \
        struct kind *k = arg;                                           \
                                                                        \
        while ( !w_stop )                                               \
        {                                                               \
            int64_t start = w_clock(k->clock);                          \
                                                                        \
            __VA_ARGS__                                                 \
            fired(k, start + k->len, w_clock(k->clock), 1);             \
        }                                                               \
        return NULL;                                                    \
    }

ONE_SHOT(do_nanosleep, {
    struct timespec ts = spec(k->len);

    nanosleep(&ts, NULL);
})

ONE_SHOT(do_absolute, {
    struct timespec ts = spec(start + k->len);

    while ( clock_nanosleep(k->clock, TIMER_ABSTIME, &ts, NULL) == EINTR )
        ;
})

ONE_SHOT(do_poll, {
    poll(NULL, 0, k->len / MS);
})

ONE_SHOT(do_select, {
    struct timeval tv = { k->len / SEC, k->len % SEC / 1000 };

    select(0, NULL, NULL, NULL, &tv);
})

static void *do_epoll(void *arg)
{
    struct kind *k = arg;
    struct epoll_event ev;
    int fd = epoll_create1(0);

    if ( fd < 0 )
        w_fatal("epoll_create1: %s", strerror(errno));
    while ( !w_stop )
    {
        int64_t start = w_clock(k->clock);

        epoll_wait(fd, &ev, 1, k->len / MS);
        fired(k, start + k->len, w_clock(k->clock), 1);
    }
    return NULL;
}

static void *do_cond(void *arg)
{
    struct kind *k = arg;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_t attr;
    pthread_cond_t cond;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, k->clock);
    pthread_cond_init(&cond, &attr);
    pthread_mutex_lock(&lock);
    while ( !w_stop )
    {
        int64_t due = w_clock(k->clock) + k->len;
        struct timespec ts = spec(due);

        while ( pthread_cond_timedwait(&cond, &lock, &ts) != ETIMEDOUT )
            ;
        fired(k, due, w_clock(k->clock), 1);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/*
 * Expirations reported so far against the time that has passed.  The kernel
 * counts at the moment it wakes us, we read the clock a little later, so the
 * count may be behind by what passed in between, never ahead.
 */
static void periodic(struct kind *k, int64_t start, uint64_t n)
{
    int64_t now = w_clock(k->clock);
    int64_t due = start + (int64_t)(k->count + 1) * k->len;
    int64_t total = k->count + n;

    if ( w_break && k->count == 21 )
        total += 5;
    if ( total > (now - start) / k->len )
        w_error("%s of %lld ms: %lld expirations in %lld ns", k->name,
                (long long)(k->len / MS), (long long)total,
                (long long)(now - start));
    fired(k, due, now, n);
}

static void check_total(const struct kind *k, int64_t start, int64_t now)
{
    int64_t want = (now - start) / k->len;

    if ( (int64_t)k->count < want - 1 )
        w_error("%s of %lld ms: %lu expirations in %lld ms, want %lld", k->name,
                (long long)(k->len / MS), k->count,
                (long long)((now - start) / MS), (long long)want);
}

static void *do_timerfd(void *arg)
{
    struct kind *k = arg;
    int fd = timerfd_create(k->clock, 0);
    int64_t start = w_clock(k->clock), before;
    struct itimerspec its = { .it_interval = spec(k->len),
                              .it_value = spec(start + k->len) };
    uint64_t n;

    if ( fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) )
        w_fatal("%s: %s", k->name, strerror(errno));
    do {
        before = w_clock(k->clock);
        if ( read(fd, &n, sizeof(n)) != sizeof(n) )
            w_fatal("%s: read: %s", k->name, strerror(errno));
        periodic(k, start, n);
    } while ( !w_stop );
    check_total(k, start, before);
    return NULL;
}

/* sigev_signo and its queue belong to this thread alone. */
static void *do_posix(void *arg)
{
    struct kind *k = arg;
    int sig = SIGRTMIN + 1;
    struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID,
                           .sigev_signo = sig,
                           .sigev_notify_thread_id = syscall(SYS_gettid) };
    int64_t start, before;
    struct itimerspec its = { .it_interval = spec(k->len) };
    siginfo_t info;
    sigset_t set;
    timer_t timer;

    sigemptyset(&set);
    sigaddset(&set, sig);
    if ( timer_create(k->clock, &ev, &timer) )
        w_fatal("%s: %s", k->name, strerror(errno));
    start = w_clock(k->clock);
    its.it_value = spec(start + k->len);
    timer_settime(timer, TIMER_ABSTIME, &its, NULL);
    do {
        before = w_clock(k->clock);
        if ( sigwaitinfo(&set, &info) != sig )
            continue;
        periodic(k, start, 1 + info.si_overrun);
    } while ( !w_stop );
    check_total(k, start, before);
    return NULL;
}

static void *do_itimer(void *arg)
{
    struct kind *k = arg;
    struct itimerval it = { .it_value = { k->len / SEC, k->len % SEC / 1000 } };
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    while ( !w_stop )
    {
        int64_t start = w_clock(k->clock);

        setitimer(ITIMER_REAL, &it, NULL);
        sigwait(&set, &sig);
        fired(k, start + k->len, w_clock(k->clock), 1);
    }
    return NULL;
}

#define M CLOCK_MONOTONIC
#define R CLOCK_REALTIME
#define B CLOCK_BOOTTIME

static struct kind kinds[] = {
    { .name = "nanosleep", .run = do_nanosleep, .len = 7 * MS, .clock = M },
    { .name = "nanosleep", .run = do_nanosleep, .len = 250 * MS, .clock = M },
    { .name = "nanosleep", .run = do_nanosleep, .len = 2 * SEC, .clock = M },
    { .name = "abs-monotonic", .run = do_absolute, .len = 13 * MS, .clock = M },
    { .name = "abs-monotonic", .run = do_absolute, .len = 999 * MS, .clock = M },
    { .name = "abs-realtime", .run = do_absolute, .len = 17 * MS, .clock = R },
    { .name = "abs-realtime", .run = do_absolute, .len = 777 * MS, .clock = R },
    { .name = "abs-boottime", .run = do_absolute, .len = 19 * MS, .clock = B },
    { .name = "poll", .run = do_poll, .len = 11 * MS, .clock = M },
    { .name = "poll", .run = do_poll, .len = 1500 * MS, .clock = M },
    { .name = "select", .run = do_select, .len = 23 * MS, .clock = M },
    { .name = "epoll", .run = do_epoll, .len = 29 * MS, .clock = M },
    { .name = "cond", .run = do_cond, .len = 31 * MS, .clock = M },
    { .name = "cond-realtime", .run = do_cond, .len = 37 * MS, .clock = R },
    { .name = "setitimer", .run = do_itimer, .len = 41 * MS, .clock = M },
    { .name = "timerfd", .run = do_timerfd, .len = 10 * MS, .clock = M },
    { .name = "timerfd", .run = do_timerfd, .len = 1 * SEC, .clock = M },
    { .name = "timerfd-realtime", .run = do_timerfd, .len = 43 * MS, .clock = R },
    { .name = "timerfd-boottime", .run = do_timerfd, .len = 47 * MS, .clock = B },
    { .name = "posix", .run = do_posix, .len = 12 * MS, .clock = M },
    { .name = "posix-realtime", .run = do_posix, .len = 53 * MS, .clock = R },
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void fields(void)
{
    unsigned long sum = 0, least = -1UL;
    const struct kind *latest = &kinds[0];

    for ( unsigned int i = 0; i < NR_KINDS; i++ )
    {
        const struct kind *k = &kinds[i];
        int64_t silent = w_now() - __atomic_load_n(&k->seen, __ATOMIC_RELAXED);

        sum += k->count;
        if ( k->count < least )
            least = k->count;
        if ( k->late > latest->late )
            latest = k;
        if ( silent > k->len + lost_after * SEC )
            w_error("%s of %lld ms has not fired for %lld s", k->name,
                    (long long)(k->len / MS), (long long)(silent / SEC));
    }
    printf(" kinds=%zu fired=%lu least=%lu late_ms=%.3f latest=%s", NR_KINDS,
           sum, least, latest->late / 1e6, latest->name);
}

static void option(int c, const char *arg)
{
    if ( c == 'l' )
        lost_after = atol(arg);
}

int main(int argc, char **argv)
{
    pthread_t threads[NR_KINDS];
    sigset_t set;

    w_init("timers", argc, argv, "l:", option);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for ( unsigned int i = 0; i < NR_KINDS; i++ )
    {
        if ( kinds[i].len < 100 * MS )
            kinds[i].len = kinds[i].len * w_slice / (10 * MS);
        kinds[i].seen = w_now();
        if ( pthread_create(&threads[i], NULL, kinds[i].run, &kinds[i]) )
            w_fatal("cannot start thread %u", i);
    }
    w_wait(fields);
    /*
     * Every thread ends after its next firing, so one that hangs has lost its
     * timer: name it instead of hanging with it.
     */
    for ( unsigned int i = 0; i < NR_KINDS; i++ )
    {
        struct timespec end = spec(w_clock(CLOCK_REALTIME) + kinds[i].len +
                                   lost_after * SEC);

        if ( pthread_timedjoin_np(threads[i], NULL, &end) )
            w_error("%s of %lld ms: lost, %ld s after its time", kinds[i].name,
                    (long long)(kinds[i].len / MS), lost_after);
    }
    return w_finish(fields);
}

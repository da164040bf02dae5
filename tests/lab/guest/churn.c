/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * churn: page tables made, changed and thrown away without a pause.
 *
 *     churn [-n <pages>]       size of each mapping, default 256
 *
 * One process on each CPU goes through rounds of: map and fill, fork (the child
 * checks its copy, writes its own, and every fourth one executes this program anew
 * and checks its arguments), mprotect and expect the fault, mremap elsewhere,
 * MADV_DONTNEED and expect zeros, unmap every other page.  Under a PV kernel each of
 * these changes page tables through the hypervisor, which counts their types.
 *
 * An error is a page with wrong contents, a child that ends otherwise than it
 * should, an expected fault that does not come, a system call that fails.
 */
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "witness.h"

#define PAGE  4096UL
#define CHILD_OK 42

struct shared
{
    unsigned long rounds[W_MAX_CPUS], forks[W_MAX_CPUS], faults[W_MAX_CPUS];
    unsigned long errors;
    int stop;
};

static struct shared *sh;
static unsigned long pages = 256;
static sigjmp_buf on_fault;

static void on_segv(int sig)
{
    (void)sig;
    siglongjmp(on_fault, 1);
}

static uint64_t value(unsigned int cpu, unsigned long round, unsigned long page)
{
    return (((uint64_t)cpu << 56) ^ (round << 24) ^ page) *
           0x9e3779b97f4a7c15ULL + 1;
}

static uint64_t *word(uint8_t *map, unsigned long page)
{
    return (uint64_t *)(map + page * PAGE) + page % 512;
}

/* w_error(), where the count has to reach the parent. */
#define wrong(fmt, ...) do {                                            \
    __atomic_add_fetch(&sh->errors, 1, __ATOMIC_RELAXED);               \
    w_error("cpu %u round %lu: " fmt, cpu, round, ##__VA_ARGS__);       \
} while ( 0 )

static void check(uint8_t *map, unsigned int cpu, unsigned long round,
                  const char *when)
{
    for ( unsigned long p = 0; p < pages; p++ )
        if ( *word(map, p) != value(cpu, round, p) )
        {
            wrong("%s: page %lu holds %#llx, want %#llx", when, p,
                  (unsigned long long)*word(map, p),
                  (unsigned long long)value(cpu, round, p));
            return;
        }
}

static void child(uint8_t *map, unsigned int cpu, unsigned long round)
{
    unsigned long before = sh->errors;

    check(map, cpu, round, "child's copy");
    for ( unsigned long p = 0; p < pages; p += 3 )
        *word(map, p) = ~value(cpu, round, p);
    for ( unsigned long p = 0; p < pages; p += 3 )
        if ( *word(map, p) != ~value(cpu, round, p) )
            wrong("child's own page %lu", p);
    if ( round % 4 == 0 )
    {
        char arg[32];

        snprintf(arg, sizeof(arg), "%lu", round);
        execl("/proc/self/exe", "churn", "--child", arg, NULL);
        wrong("exec: %s", strerror(errno));
    }
    _exit(sh->errors != before ? 1 : CHILD_OK);
}

static void fork_round(uint8_t *map, unsigned int cpu, unsigned long round)
{
    int status;
    pid_t pid = fork();

    if ( pid < 0 )
    {
        wrong("fork: %s", strerror(errno));
        return;
    }
    if ( !pid )
        child(map, cpu, round);
    while ( waitpid(pid, &status, 0) != pid )
        ;
    if ( !WIFEXITED(status) || WEXITSTATUS(status) != CHILD_OK )
        wrong("child ended with status %#x", status);
    sh->forks[cpu]++;
    check(map, cpu, round, "parent after fork");
}

static void protect_round(uint8_t *map, unsigned int cpu, unsigned long round)
{
    volatile uint64_t *target = word(map, round % pages);
    bool faulted = false;

    if ( mprotect(map, pages * PAGE, PROT_READ) )
        wrong("mprotect: %s", strerror(errno));
    if ( sigsetjmp(on_fault, 1) == 0 )
        *target = 0;
    else
        faulted = true;
    if ( !faulted )
        wrong("a write to a read-only page went through");
    sh->faults[cpu]++;
    mprotect(map, pages * PAGE, PROT_READ | PROT_WRITE);
    check(map, cpu, round, "after mprotect");
}

static void one_round(unsigned int cpu, unsigned long round)
{
    size_t len = pages * PAGE;
    uint8_t *map, *to;

    map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    if ( map == MAP_FAILED )
    {
        wrong("mmap: %s", strerror(errno));
        return;
    }
    for ( unsigned long p = 0; p < pages; p++ )
        *word(map, p) = value(cpu, round, p);
    if ( w_break && round == 5 )
        *word(map, 1) ^= 1;
    fork_round(map, cpu, round);
    protect_round(map, cpu, round);

    to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ( to == MAP_FAILED ||
         mremap(map, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to )
    {
        wrong("mremap: %s", strerror(errno));
        munmap(map, len);
        return;
    }
    map = to;
    check(map, cpu, round, "after mremap");

    if ( madvise(map, len / 2, MADV_DONTNEED) )
        wrong("madvise: %s", strerror(errno));
    for ( unsigned long p = 0; p < pages / 2; p++ )
        if ( *word(map, p) )
        {
            wrong("page %lu is not zero after MADV_DONTNEED", p);
            break;
        }
    for ( unsigned long p = 0; p < pages; p += 2 )
        munmap(map + p * PAGE, PAGE);
    munmap(map, len);
    sh->rounds[cpu]++;
}

static void process(unsigned int cpu)
{
    struct sigaction sa = { .sa_handler = on_segv };
    int64_t slice = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGSEGV, &sa, NULL);
    w_pin(cpu);
    for ( unsigned long round = 0; !sh->stop; round++ )
    {
        one_round(cpu, round);
        w_breathe(&slice);
    }
    _exit(0);
}

static void fields(void)
{
    unsigned long forks = 0, faults = 0, least = -1UL;

    for ( unsigned int c = 0; c < w_cpus; c++ )
    {
        forks += sh->forks[c];
        faults += sh->faults[c];
        if ( sh->rounds[c] < least )
            least = sh->rounds[c];
    }
    printf(" cpus=%u least=%lu forks=%lu faults=%lu pages=%lu", w_cpus, least,
           forks, faults, pages);
}

static void report(void)
{
    __atomic_store_n(&w_errors, sh->errors, __ATOMIC_RELAXED);
    fields();
}

static void option(int c, const char *arg)
{
    if ( c == 'n' )
        pages = strtoul(arg, NULL, 0);
}

int main(int argc, char **argv)
{
    pid_t pids[W_MAX_CPUS];
    int status;

    if ( argc == 3 && !strcmp(argv[1], "--child") )
        return strtoul(argv[2], NULL, 0) % 4 == 0 ? CHILD_OK : 1;

    w_init("churn", argc, argv, "n:", option);
    if ( pages < 8 )
        w_fatal("-n %lu: want at least 8", pages);
    sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ( sh == MAP_FAILED )
        w_fatal("mmap: %s", strerror(errno));
    for ( unsigned int c = 0; c < w_cpus; c++ )
    {
        pids[c] = fork();
        if ( pids[c] < 0 )
            w_fatal("fork: %s", strerror(errno));
        if ( !pids[c] )
            process(c);
    }
    w_wait(report);
    sh->stop = 1;
    for ( unsigned int c = 0; c < w_cpus; c++ )
    {
        if ( waitpid(pids[c], &status, 0) != pids[c] || status )
        {
            w_error("the process of cpu %u ended with status %#x", c, status);
            sh->errors++;
        }
    }
    w_errors = sh->errors;
    return w_finish(fields);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * secret: keeps a secret in memory and registers, or looks for one.
 *
 *   secret keep <MiB> <word>...    fills so much memory with eight words of 64 bits,
 *                                  again and again, the SSE registers of each CPU with
 *                                  two more, and computes for ever
 *   secret find <word>...          looks for the words of memory and registers in all
 *                                  that this kernel has, used or free (/proc/kcore)
 *
 * The ten words are given inverted, and find compares inverted ones: so the secret is
 * nowhere but where "keep" ran.  Happy path: keep says "kept"; find prints how many
 * pages it has looked at, and in how many a word was: "looked=N memory=N registers=N".
 *
 * What can fail: too little memory, no /proc/kcore; exit code 1, with the reason.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   4096UL
#define WORDS  10
#define MEMORY 8            /* the first words are those of memory */

/* Linux's direct map of all memory ends below its vmalloc area. */
#define DIRECT_MAP_END 0xffffc90000000000UL

static uint64_t inverted[WORDS];

static int fail(const char *what)
{
    fprintf(stderr, "secret: %s: %s\n", what, strerror(errno));
    return 1;
}

/* On each CPU one that never lets go, so that its vCPU has the registers. */
static void spread(void)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t mine;
    long cpu;

    for ( cpu = 1; cpu < cpus; cpu++ )
        if ( !fork() )
            break;
    CPU_ZERO(&mine);
    CPU_SET(cpu < cpus ? cpu : 0, &mine);
    if ( sched_setaffinity(0, sizeof(mine), &mine) )
        exit(fail("sched_setaffinity"));
}

static int keep(unsigned long mib)
{
    const unsigned long words = mib << 17;
    uint64_t *at = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    unsigned long i;

    if ( at == MAP_FAILED )
        return fail("mmap");
    for ( i = 0; i < words; i++ )
        at[i] = ~inverted[i % MEMORY];
    printf("kept\n");
    fflush(stdout);
    spread();

    asm volatile (
        "movq %0, %%xmm0; movq %1, %%xmm1; punpcklqdq %%xmm1, %%xmm0\n\t"
        "movdqa %%xmm0, %%xmm1; movdqa %%xmm0, %%xmm2; movdqa %%xmm0, %%xmm3\n\t"
        "movdqa %%xmm0, %%xmm4; movdqa %%xmm0, %%xmm5; movdqa %%xmm0, %%xmm6\n\t"
        "movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm8; movdqa %%xmm0, %%xmm9\n\t"
        "1: pause; jmp 1b"
        :: "r" (~inverted[MEMORY]), "r" (~inverted[MEMORY + 1]) );
    __builtin_unreachable();
}

/* Which words a page has: bit 0 those of memory, bit 1 those of registers. */
static unsigned int search(const uint64_t *page)
{
    unsigned int i, seen = 0;

    for ( i = 0; i + 1 < PAGE / 8; i++ )
    {
        if ( ~page[i] == inverted[0] && ~page[i + 1] == inverted[1] )
            seen |= 1;
        if ( ~page[i] == inverted[MEMORY] && ~page[i + 1] == inverted[MEMORY + 1] )
            seen |= 2;
    }

    return seen;
}

static int find(void)
{
    static uint64_t page[PAGE / 8];
    unsigned long looked = 0, memory = 0, registers = 0;
    int fd = open("/proc/kcore", O_RDONLY);
    Elf64_Ehdr head;
    unsigned int i;

    if ( fd < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head) )
        return fail("/proc/kcore");

    for ( i = 0; i < head.e_phnum; i++ )
    {
        Elf64_Phdr part;
        unsigned long off;

        if ( pread(fd, &part, sizeof(part), head.e_phoff + i * sizeof(part)) !=
             sizeof(part) )
            return fail("/proc/kcore: its headers");
        if ( part.p_type != PT_LOAD || part.p_vaddr >= DIRECT_MAP_END )
            continue;

        for ( off = 0; off + PAGE <= part.p_filesz; off += PAGE )
        {
            unsigned int seen;

            if ( pread(fd, page, PAGE, part.p_offset + off) != (ssize_t)PAGE )
                continue;
            seen = search(page);
            looked++;
            memory += seen & 1;
            registers += seen >> 1;
        }
    }
    printf("looked=%lu memory=%lu registers=%lu\n", looked, memory, registers);

    return 0;
}

int main(int argc, char **argv)
{
    int keeps = argc > 2 && !strcmp(argv[1], "keep");
    int i, at = keeps ? 3 : 2;

    if ( argc != at + WORDS || (!keeps && strcmp(argv[1], "find")) )
    {
        fprintf(stderr, "secret: see the top of secret.c\n");
        return 2;
    }
    for ( i = 0; i < WORDS; i++ )
        inverted[i] = strtoull(argv[at + i], NULL, 16);

    return keeps ? keep(strtoul(argv[2], NULL, 0)) : find();
}

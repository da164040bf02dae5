/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * found: how often a string is in what is too large for busybox' grep.
 *
 *   found <string> <file>           in the file
 *   found <string> -d <domid> <MiB> in the first frames of a domain that has a P2M, so
 *                                   many, mapped as tools do: xl dump-core would ask for
 *                                   every frame below 4 GiB, one by one
 *
 * Prints the count, whatever else is there.  A string across two frames that are not
 * both there is not found.
 *
 * What can fail: the file cannot be read, or none of the frames mapped (exit code 1).
 * Not being found does not.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "privcmd.h"

#define PAGE 4096UL

static unsigned int count(const char *start, size_t size, const char *what)
{
    const char *end = start + size, *p = start;
    const size_t len = strlen(what);
    unsigned int n = 0;

    while ( (p = memmem(p, end - p, what, len)) )
    {
        p += len;
        n++;
    }

    return n;
}

static unsigned int in_file(const char *path, const char *what)
{
    struct stat st;
    const char *start;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if ( fd < 0 || fstat(fd, &st) )
        err(1, "%s", path);
    start = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if ( start == MAP_FAILED )
        err(1, "%s", path);

    return count(start, st.st_size, what);
}

static unsigned int in_domain(unsigned int domid, unsigned long frames, const char *what)
{
    uint64_t *frame = calloc(frames, sizeof(*frame));
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    int *error = calloc(frames, sizeof(*error));
    struct privcmd_mmap map = {
        .num = frames, .dom = domid, .frames = frame, .errors = error,
    };
    unsigned int n = 0;
    unsigned long i, first, mapped = 0;

    if ( !frame || !error || fd < 0 )
        err(1, "d%u", domid);
    for ( i = 0; i < frames; i++ )
        frame[i] = i;
    map.addr = mmap(NULL, frames * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if ( map.addr == MAP_FAILED || ioctl(fd, PRIVCMD_MMAP, &map) )
        err(1, "d%u: mapping its frames", domid);

    for ( i = 0; i < frames; i++ )
    {
        first = i;
        while ( i < frames && !error[i] )
            i++;
        mapped += i - first;
        if ( i > first )
            n += count((char *)map.addr + first * PAGE, (i - first) * PAGE, what);
    }
    if ( !mapped )
        errx(1, "d%u: none of %lu frames: %s", domid, frames, strerror(-error[0]));

    return n;
}

int main(int argc, char **argv)
{
    if ( argc == 3 && argv[1][0] )
        printf("%u\n", in_file(argv[2], argv[1]));
    else if ( argc == 5 && argv[1][0] && !strcmp(argv[2], "-d") )
        printf("%u\n", in_domain(strtoul(argv[3], NULL, 0),
                                 strtoul(argv[4], NULL, 0) << 8, argv[1]));
    else
        errx(2, "usage: found string file | found string -d domid MiB");

    return 0;
}

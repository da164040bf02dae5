/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * found <string> <file>: prints how often the string is in the file, whatever else
 * is.  For files as large as a guest, where busybox' grep takes minutes.
 *
 * What can fail: the file cannot be read (exit code 1).  Not being found does not.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    struct stat st;
    const char *start, *p;
    size_t len;
    unsigned int count = 0;
    int fd;

    if ( argc != 3 || !(len = strlen(argv[1])) )
        errx(2, "usage: found string file");
    fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if ( fd < 0 || fstat(fd, &st) )
        err(1, "%s", argv[2]);

    start = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if ( start == MAP_FAILED )
        err(1, "%s", argv[2]);
    for ( p = start; (p = memmem(p, start + st.st_size - p, argv[1], len)); p += len )
        count++;
    printf("%u\n", count);

    return 0;
}

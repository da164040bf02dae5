/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mapguest <domid> <frame>: holds a page of another domain mapped, as tools do.
 *
 * Prints "mapped" and reads the page ten times a second until it gets SIGTERM;
 * exit code 0 then.  The frame is what the domain calls a physical frame, of a PV
 * domain a machine frame, as in xenstore's console/ring-ref.
 *
 * What can fail: the mapping; the reason is printed, exit code 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "privcmd.h"

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

int main(int argc, char **argv)
{
    uint64_t frame;
    int error = 0, fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    struct privcmd_mmap map = { .num = 1, .frames = &frame, .errors = &error };
    volatile uint8_t *page;
    uint8_t sum = 0;

    if ( argc != 3 )
    {
        fprintf(stderr, "usage: mapguest <domid> <frame>\n");
        return 1;
    }

    map.dom = strtoul(argv[1], NULL, 0);
    frame = strtoull(argv[2], NULL, 0);
    page = map.addr = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if ( fd < 0 || map.addr == MAP_FAILED || ioctl(fd, PRIVCMD_MMAP, &map) ||
         error )
    {
        fprintf(stderr, "mapguest: d%u frame %#llx: %s\n", map.dom,
                (unsigned long long)frame, strerror(error ? -error : errno));
        return 1;
    }

    signal(SIGTERM, on_signal);
    printf("mapped\n");
    fflush(stdout);

    while ( !ended )
    {
        sum += page[sum];
        usleep(100000);
    }

    return 0;
}

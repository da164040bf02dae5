/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * downat <reason> <attempt> <microseconds>: dom0 goes down beside a live update.
 *
 * Happy path: it waits until Xen has counted so many attempts (loads, checks, executions),
 * computes for some microseconds more, and calls SCHEDOP_shutdown with that reason
 * (0: power off, 1: reboot) itself: Linux would take long to get there, and stop first
 * whoever updates.  Never comes back.
 *
 * What can fail: no hypercalls, or an attempt that does not come within a minute: exit code
 * 1, and the reason is printed.
 */
#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

/* Or the number is that of the old call, which takes the reason itself. */
#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/sched.h>

#include "../../../xen/include/public/liveupdate_op.h"
#include "privcmd.h"

#define PATIENCE 60000000ULL    /* microseconds */

/* Xen reads and writes it: it must be in memory. */
static union {
    struct xen_live_update query;
    struct sched_shutdown down;
} *arg;

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static long call(int fd, uint64_t number, uint64_t cmd)
{
    struct privcmd_call c = { number, { cmd, (uintptr_t)arg } };

    return ioctl(fd, PRIVCMD_CALL, &c);
}

static uint32_t attempt(int fd)
{
    memset(arg, 0, sizeof(*arg));
    arg->query.op = XEN_LIVE_UPDATE_status;
    if ( call(fd, __HYPERVISOR_kexec_op, KEXEC_CMD_kexec_live_update) )
        err(1, "status");

    return arg->query.u.status.attempt;
}

int main(int argc, char **argv)
{
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    const uint64_t begun = now();
    uint64_t seen, spin;
    uint32_t want;

    arg = mmap(NULL, sizeof(*arg), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if ( argc != 4 )
        errx(2, "usage: downat reason attempt microseconds");
    if ( fd < 0 || arg == MAP_FAILED )
        err(1, "no hypercalls");
    want = strtoul(argv[2], NULL, 0);
    spin = strtoull(argv[3], NULL, 0);

    while ( attempt(fd) < want )
        if ( now() - begun > PATIENCE )
            errx(1, "no attempt number %u", want);

    seen = now();
    while ( now() - seen < spin )
        ;
    memset(arg, 0, sizeof(*arg));
    arg->down.reason = strtoul(argv[1], NULL, 0);
    call(fd, __HYPERVISOR_sched_op, SCHEDOP_shutdown);
    err(1, "SCHEDOP_shutdown");
}

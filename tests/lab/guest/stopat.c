/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stopat <domid> <pages> <pid>: stops a process, a domain's builder, as soon as the
 * domain has so many pages.
 *
 * Happy path: exit code 0 when the process has stopped.  It looks each millisecond,
 * as a builder is quick.
 *
 * What can fail: the domain or the process goes, or a minute passes: exit code 1,
 * and the reason is printed.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>

#include "privcmd.h"

#define TRIES 60000U

static unsigned long pages_of(int fd, unsigned int domid)
{
    struct xen_domctl ctl = { .cmd = XEN_DOMCTL_getdomaininfo,
                              .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                              .domain = domid };
    struct privcmd_call call = { __HYPERVISOR_domctl, { (uintptr_t)&ctl } };

    if ( ioctl(fd, PRIVCMD_CALL, &call) )
        err(1, "domain %u", domid);
    /* Xen looks for the next one if there is none of that number. */
    if ( ctl.u.getdomaininfo.domain != domid )
        errx(1, "domain %u: there is none", domid);

    return ctl.u.getdomaininfo.tot_pages;
}

/* The letter behind the name, which is in brackets. */
static char state_of(int pid)
{
    char path[32], text[512] = "", *end;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if ( fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 )
        err(1, "%s", path);
    close(fd);
    end = strrchr(text, ')');

    return end && end[1] ? end[2] : '?';
}

int main(int argc, char **argv)
{
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC), pid;
    unsigned long pages;
    unsigned int domid, i;

    if ( argc != 4 )
        errx(2, "usage: stopat domid pages pid");
    domid = atoi(argv[1]);
    pages = atol(argv[2]);
    pid = atoi(argv[3]);
    if ( fd < 0 || pid <= 1 )
        errx(1, "no hypercalls, or no such process");

    for ( i = 0; i < TRIES && pages_of(fd, domid) < pages; i++ )
        usleep(1000);
    if ( i == TRIES )
        errx(1, "domain %u: fewer than %lu pages", domid, pages);

    if ( kill(pid, SIGSTOP) )
        err(1, "process %d", pid);
    for ( i = 0; i < TRIES && state_of(pid) != 'T'; i++ )
        usleep(1000);
    if ( i == TRIES )
        errx(1, "process %d does not stop", pid);

    return 0;
}

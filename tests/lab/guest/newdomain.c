/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * newdomain <pages>: a PV domain as it is at the very start of its life.
 *
 * Creates it, lets it have that many pages, claims them for it and leaves it there:
 * without a vCPU, a page or a name.  Prints its domid.
 *
 * What can fail: a hypercall; which one and why is printed, exit code 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/memory.h>

#include "privcmd.h"

static int privcmd;
/* Xen reads and writes it: it must not be paged out or moved meanwhile. */
static union {
    struct xen_domctl domctl;
    struct xen_memory_reservation claim;
    uint8_t page[4096];
} *arg;

static void call(const char *what, uint64_t op, uint64_t a, uint64_t b)
{
    const struct privcmd_call c = { .op = op, .arg = { a, b } };

    if ( ioctl(privcmd, PRIVCMD_CALL, &c) >= 0 )
        return;

    fprintf(stderr, "newdomain: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void domctl(const char *what, uint32_t cmd)
{
    arg->domctl.cmd = cmd;
    arg->domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    call(what, __HYPERVISOR_domctl, (uintptr_t)arg, 0);
}

int main(int argc, char **argv)
{
    struct xen_domctl_createdomain *create;
    unsigned long pages;
    domid_t domid;

    if ( argc != 2 )
    {
        fprintf(stderr, "usage: newdomain <pages>\n");
        return 1;
    }
    pages = strtoul(argv[1], NULL, 0);

    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    arg = mmap(NULL, sizeof(*arg), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if ( privcmd < 0 || arg == MAP_FAILED )
    {
        perror("newdomain");
        return 1;
    }

    create = &arg->domctl.u.createdomain;
    create->handle[0] = 1;
    create->max_vcpus = 2;
    create->max_evtchn_port = 1023;
    create->max_grant_frames = 4;
    create->max_maptrack_frames = 4;
    create->grant_opts = XEN_DOMCTL_GRANT_version(1);
    domctl("createdomain", XEN_DOMCTL_createdomain);
    domid = arg->domctl.domain;

    memset(arg, 0, sizeof(*arg));
    arg->domctl.domain = domid;
    arg->domctl.u.max_mem.max_memkb = pages * 4;
    domctl("max_mem", XEN_DOMCTL_max_mem);

    memset(arg, 0, sizeof(*arg));
    arg->claim.nr_extents = pages;
    arg->claim.domid = domid;
    call("claim_pages", __HYPERVISOR_memory_op, XENMEM_claim_pages,
         (uintptr_t)arg);

    printf("%u\n", domid);

    return 0;
}

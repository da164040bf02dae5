/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * resumeguest <domid>: lets a domain that has suspended go on, as a failed migration
 * does; xl has no command for it.
 *
 * What can fail: Xen refuses, as the domain is not there; the reason is printed, exit
 * code 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sys/privcmd.h>

int main(int argc, char **argv)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_resumedomain,
        .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
    };
    privcmd_hypercall_t call = {
        .op = __HYPERVISOR_domctl, .arg = { (uintptr_t)&op },
    };
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);

    if ( argc != 2 )
    {
        fprintf(stderr, "usage: resumeguest <domid>\n");
        return 1;
    }

    op.domain = atoi(argv[1]);
    if ( fd < 0 || mlock(&op, sizeof(op)) ||
         ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) < 0 )
    {
        fprintf(stderr, "resumeguest: d%s: %s\n", argv[1], strerror(errno));
        return 1;
    }

    return 0;
}

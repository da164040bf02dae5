/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * domstate <domid>: what Xen knows of a domain and no tool shows.
 * domstate set:     sets dom0's clock to what it is.
 *
 * The first prints the domain's flags and pages, how its TSC is answered, the time of
 * day that its shared page tells it and how often Xen has written that, as name=value.
 * The second makes dom0's kernel tell Xen the time, which then writes it for each domain.
 *
 * What can fail: there is no such domain, its page cannot be mapped, or the clock
 * cannot be set; the reason is printed, exit code 1.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timex.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>

#include "privcmd.h"

/* The shared page of a guest with a P2M that has not mapped it yet: all reads as 0. */
#define NOWHERE (~0UL)

int main(int argc, char **argv)
{
    struct xen_domctl ctl = { .cmd = XEN_DOMCTL_getdomaininfo,
                              .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct privcmd_call call = { __HYPERVISOR_domctl, { (uintptr_t)&ctl } };
    const struct xen_domctl_getdomaininfo *info = &ctl.u.getdomaininfo;
    volatile struct shared_info *shared;
    struct privcmd_mmap map = { .num = 1 };
    uint32_t version;
    struct xen_domctl tsc = { .cmd = XEN_DOMCTL_gettscinfo,
                              .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct privcmd_call tsc_call = { __HYPERVISOR_domctl, { (uintptr_t)&tsc } };
    uint64_t frame, sec;
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC), error = 0;

    if ( argc != 2 )
        errx(2, "usage: domstate domid|set");
    if ( !strcmp(argv[1], "set") )
    {
        if ( adjtimex(&(struct timex){ .modes = ADJ_SETOFFSET | ADJ_NANO }) < 0 )
            err(1, "adjtimex");
        return 0;
    }

    map.dom = ctl.domain = atoi(argv[1]);
    if ( fd < 0 || ioctl(fd, PRIVCMD_CALL, &call) )
        err(1, "domain %s", argv[1]);
    /* Xen looks for the next one if there is none of that number. */
    if ( info->domain != map.dom )
        errx(1, "domain %s: there is none", argv[1]);

    tsc.domain = map.dom;
    if ( ioctl(fd, PRIVCMD_CALL, &tsc_call) )
        err(1, "domain %s: its TSC", argv[1]);

    frame = info->shared_info_frame;
    shared = mmap(NULL, 4096, PROT_READ,
                  MAP_SHARED | (frame == NOWHERE ? MAP_ANONYMOUS : 0), fd, 0);
    if ( shared == MAP_FAILED )
        err(1, "mmap");
    map.addr = (void *)shared;
    map.frames = &frame;
    map.errors = &error;
    if ( frame != NOWHERE && (ioctl(fd, PRIVCMD_MMAP, &map) || error) )
        errx(1, "domain %s: frame %#lx cannot be mapped (%d)", argv[1],
             (unsigned long)frame, error);

    do {
        version = shared->wc_version;
        __sync_synchronize();
        sec = shared->wc_sec | (uint64_t)shared->wc_sec_hi << 32;
        __sync_synchronize();
    } while ( (version & 1) || version != shared->wc_version );

    printf("dying=%d shutdown=%d code=%u paused=%d blocked=%d running=%d "
           "pages=%lu max_pages=%lu claimed=%lu cpu_time=%lu tsc_mode=%u "
           "tsc_khz=%u incarnation=%u wallclock=%lu written=%u\n",
           !!(info->flags & XEN_DOMINF_dying), !!(info->flags & XEN_DOMINF_shutdown),
           info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask,
           !!(info->flags & XEN_DOMINF_paused), !!(info->flags & XEN_DOMINF_blocked),
           !!(info->flags & XEN_DOMINF_running),
           (unsigned long)info->tot_pages, (unsigned long)info->max_pages,
           (unsigned long)info->outstanding_pages, (unsigned long)info->cpu_time,
           tsc.u.tsc_info.tsc_mode, tsc.u.tsc_info.gtsc_khz,
           tsc.u.tsc_info.incarnation, (unsigned long)sec, version / 2);

    return 0;
}

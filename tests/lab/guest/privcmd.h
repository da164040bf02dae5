/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux's ABI of /dev/xen/privcmd: hypercalls, and mappings of foreign frames. */
#ifndef PRIVCMD_H
#define PRIVCMD_H

#include <stdint.h>
#include <sys/ioctl.h>

struct privcmd_call {
    uint64_t op, arg[5];
};
#define PRIVCMD_CALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_call))

struct privcmd_mmap {
    uint32_t num;
    uint16_t dom;
    void *addr;
    const uint64_t *frames;
    int *errors;
};
#define PRIVCMD_MMAP _IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_mmap))

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pminfo <CPUs>: tells Xen about made-up P and C states of ACPI CPUs 0 to CPUs - 1,
 * as dom0's xen-acpi-processor does on a machine whose firmware has any.
 *
 * P states are set by writing a byte to I/O port 0xb3, which on QEMU's machines
 * keeps what is written and does nothing else; all CPUs share one.  C1 is by
 * MWAIT, C2 by reading I/O port 0xb2.
 *
 * Prints what Xen answered to each; exit code 1 if it refused one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Xen's ABI: public/platform.h, as a 64-bit dom0 sees it. */
#define PLATFORM_OP         7
#define PLATFORM_VERSION    0x03000001
#define SET_PROCESSOR_PM    54
#define PM_CX               0
#define PM_PX               1
#define PX_ALL              15      /* _PCT, _PSS, _PPC, _PSD */
#define SHARED_ALL          2
#define SPACE_IO            1
#define SPACE_FFH           0x7f

struct px_register {
    uint8_t descriptor;
    uint16_t length;
    uint8_t space, width, offset, access;
    uint64_t address;
};

struct px_state {
    uint64_t mhz, mw, latency, bus_latency, control, status;
};

struct px_info {
    uint32_t flags, limit;
    struct px_register control, status;
    uint32_t count;
    struct px_state *states;
    uint64_t psd_entries, psd_revision, psd_domain, psd_coord, psd_cpus;
    uint32_t shared;
};

struct cx_state {
    uint32_t space, width, offset, access;
    uint64_t address;
    uint8_t type;
    uint32_t latency, mw, dependencies;
    void *dependency;
};

struct cx_info {
    uint32_t count;
    uint32_t flags;
    struct cx_state *states;
};

struct platform_op {
    uint32_t cmd, version;
    union {
        struct {
            uint32_t acpi_id, type;
            union {
                struct px_info px;
                struct cx_info cx;
            };
        };
        uint8_t pad[128];
    };
};

/* Xen reads the tables itself: they must be in memory. */
struct tables {
    struct platform_op op;
    struct px_state px[3];
    struct cx_state cx[2];
};

static int push(int fd, struct platform_op *op, const char *what)
{
    struct {
        uint64_t number, arg[5];
    } call = { PLATFORM_OP, { (uintptr_t)op } };
    /* IOCTL_PRIVCMD_HYPERCALL */
    int rc = ioctl(fd, _IOC(_IOC_NONE, 'P', 0, sizeof(call)), &call);

    printf("CPU%u: %s: %s\n", op->acpi_id, what,
           rc < 0 ? strerror(errno) : "ok");
    return rc < 0;
}

int main(int argc, char **argv)
{
    unsigned int cpus = argc == 2 ? atoi(argv[1]) : 0, cpu, i;
    int fd = open("/dev/xen/privcmd", O_RDWR), failed = 0;
    struct tables *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);

    _Static_assert(sizeof(struct px_info) == 104 && sizeof(struct cx_state) == 48,
                   "layout of Xen's ABI");
    if ( !cpus || fd < 0 || t == MAP_FAILED )
    {
        fprintf(stderr, "pminfo: %s\n", cpus ? strerror(errno) : "how many CPUs?");
        return 2;
    }

    for ( i = 0; i < 3; i++ )
        t->px[i] = (struct px_state){
            .mhz = 2000 - 500 * i, .mw = 30000 - 9000 * i, .latency = 10 + i,
            .bus_latency = 5, .control = 0x20 - i, .status = 0x20 - i,
        };
    t->cx[0] = (struct cx_state){
        .space = SPACE_FFH, .width = 1, .offset = 2, .type = 1, .latency = 3,
    };
    t->cx[1] = (struct cx_state){
        .space = SPACE_IO, .width = 8, .address = 0xb2, .type = 2,
        .latency = 90,
    };

    for ( cpu = 0; cpu < cpus; cpu++ )
    {
        struct px_register port = {
            .length = 12, .space = SPACE_IO, .width = 8, .address = 0xb3,
        };

        memset(&t->op, 0, sizeof(t->op));
        t->op.cmd = SET_PROCESSOR_PM;
        t->op.version = PLATFORM_VERSION;
        t->op.acpi_id = cpu;
        t->op.type = PM_PX;
        t->op.px = (struct px_info){
            .flags = PX_ALL, .control = port, .status = port, .count = 3,
            .states = t->px, .psd_entries = 5, .psd_coord = 0xfc,
            .psd_cpus = cpus, .shared = SHARED_ALL,
        };
        failed |= push(fd, &t->op, "P states");

        t->op.type = PM_CX;
        memset(&t->op.px, 0, sizeof(t->op.px));
        t->op.cx = (struct cx_info){
            .count = 2, .flags = 1U << 2, .states = t->cx,
        };
        failed |= push(fd, &t->op, "C states");
    }

    return failed;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * devmodel <domid> <delay>: a device model for a PVH micro-guest's test `devices`.
 *
 * Three I/O request servers, as device models make them: one with the pages that Xen
 * gives, one with pages at places in the guest, and one like that which is not enabled.
 * The first two serve a device each, in the way that tests/guests/pvh/devices.c tells,
 * and take <delay> us for each request.  The first gets the writes to a page of the
 * guest's memory, too, which is of type HVMMEM_ioreq_server.
 *
 * Happy path: it says "ready", and obeys signals.  Each is followed by a line:
 *
 *   SIGUSR1  the next request, or the one after, is held: "held taken: ..." when it was
 *            accepted; "held untaken: ..." every other time, when it was only seen
 *   SIGUSR2  answers it: "answered"
 *   SIGHUP   are servers, ports and ranges what they were?  "checked"
 *   SIGTERM  takes everything back: "ended: <requests>, <of these that took 20 ms longer
 *            than they should>", exit code 0
 *
 * What can fail: a hypercall, or an answer of Xen's that is not what it was: "bad: ...",
 * and exit code 1 in the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

#include "privcmd.h"

#define PAGE 4096UL
#define RAM_PAGES 4096UL        /* of the guest, from 0 on */
#define FIRST_GFN 0xfe000UL     /* places for pages of servers */
#define NR_GFNS 4U
#define BARRIER() __sync_synchronize()

/* Linux's ABI. */
struct resource {
    uint16_t dom;
    uint32_t type, id, idx;
    uint64_t num, addr;
};
#define PRIVCMD_RESOURCE _IOC(_IOC_NONE, 'P', 7, sizeof(struct resource))

struct bind {
    uint32_t domain, port;
};
#define EVTCHN_BIND _IOC(_IOC_NONE, 'E', 1, sizeof(struct bind))
#define EVTCHN_NOTIFY _IOC(_IOC_NONE, 'E', 4, sizeof(uint32_t))

struct server {
    uint16_t id, port;          /* of the device: its first I/O port; */
    uint64_t mem;               /* ... its page, guest physical */
    bool gfns;
    shared_iopage_t *page;
    uint64_t *buffered;
    uint32_t bufport;           /* of buffered requests */
    uint64_t gfn[2];
    uint32_t local;             /* event channel */
    uint64_t read, write;       /* sequences, see devices.c */
    uint32_t reads, writes, wrong;
    uint8_t bytes[4096];
};

static struct server servers[] = {
    { .port = 0x1000, .mem = 0xd0000000 },
    { .port = 0x2000, .mem = 0xd0001000, .gfns = true },
    { .port = 0x3000, .mem = 0xd0002000, .gfns = true },
};
#define NR_SERVERS (sizeof(servers) / sizeof(*servers))
/* Ranges that it has and the guest does not use. */
#define SPARE_PORTS(s) (s)->port + 0x400, (s)->port + 0x47f
#define SPARE_MEMORY(s) (s)->mem + 0x100000, (s)->mem + 0x1007ff
#define IDLE 2                  /* the one that is not enabled */

/* Xen reads and writes these itself: they must be in memory. */
static struct shared {
    struct xen_dm_op op;
    struct xen_dm_op_buf buf;
    struct xen_hvm_param param;
    struct xen_hvm_get_mem_type type;
    struct xen_memory_reservation reservation;
    uint64_t gfns[NR_GFNS];
} *shared;

static int privcmd, evtchn;
static unsigned int domid, delay, bads;
static uint8_t *ram;
static uint64_t requests, over;
static uint64_t watched;        /* frame, once the guest has told; */
static uint32_t seen;           /* ... writes to it */
static volatile sig_atomic_t hold, answer, check, end;

static void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static void bad(const char *what, unsigned int id)
{
    say("bad: server %u: %s: %s", id, what, strerror(errno));
    bads++;
}

static void fail(const char *what)
{
    say("bad: %s: %s", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static void on_signal(int number)
{
    switch ( number )
    {
    case SIGUSR1: hold = 1; break;
    case SIGUSR2: answer = 1; break;
    case SIGHUP: check = 1; break;
    default: end = 1; break;
    }
}

/* ---- Hypercalls -------------------------------------------------------------- */

static long call(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    struct privcmd_call call = { op, { a, b, c } };

    return ioctl(privcmd, PRIVCMD_CALL, &call);
}

static struct xen_dm_op *dm_init(unsigned int op)
{
    memset(&shared->op, 0, sizeof(shared->op));
    shared->op.op = op;

    return &shared->op;
}

static long dm_op(void)
{
    shared->buf.h.p = &shared->op;
    shared->buf.size = sizeof(shared->op);

    return call(__HYPERVISOR_dm_op, domid, 1, (uintptr_t)&shared->buf);
}

static void param_set(unsigned int index, uint64_t value)
{
    shared->param = (struct xen_hvm_param){
        .domid = domid, .index = index, .value = value,
    };
    if ( call(__HYPERVISOR_hvm_op, HVMOP_set_param, (uintptr_t)&shared->param, 0) )
        fail("HVMOP_set_param");
}

static void populate(void)
{
    struct xen_memory_reservation *r = &shared->reservation;
    unsigned int i;

    for ( i = 0; i < NR_GFNS; i++ )
        shared->gfns[i] = FIRST_GFN + i;
    memset(r, 0, sizeof(*r));
    r->extent_start.p = (void *)shared->gfns;
    r->nr_extents = NR_GFNS;
    r->domid = domid;
    if ( call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)r, 0) != NR_GFNS )
        fail("XENMEM_populate_physmap");
}

/* `all`: else those that are there. */
static void *map_frames(const uint64_t *gfn, unsigned int nr, bool all)
{
    int *errors = calloc(nr, sizeof(*errors));
    struct privcmd_mmap map = { .num = nr, .dom = domid, .frames = gfn,
                                .errors = errors };
    unsigned int i;

    map.addr = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    if ( !errors || map.addr == MAP_FAILED || ioctl(privcmd, PRIVCMD_MMAP, &map) )
        return NULL;
    for ( i = 0; all && i < nr; i++ )
        if ( errors[i] )
        {
            errno = -errors[i];
            munmap(map.addr, nr * PAGE);
            return NULL;
        }
    free(errors);

    return map.addr;
}

static void *map_resource(unsigned int id, unsigned int frame)
{
    struct resource r = { .dom = domid, .type = XENMEM_resource_ioreq_server, .id = id,
                          .idx = frame, .num = 1 };
    void *addr = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);

    r.addr = (uintptr_t)addr;
    if ( addr == MAP_FAILED || ioctl(privcmd, PRIVCMD_RESOURCE, &r) )
        fail("IOCTL_PRIVCMD_MMAP_RESOURCE");

    return addr;
}

static long range(const struct server *s, bool map, unsigned int type,
                  uint64_t first, uint64_t last)
{
    struct xen_dm_op_ioreq_server_range *r =
        &dm_init(map ? XEN_DMOP_map_io_range_to_ioreq_server
                     : XEN_DMOP_unmap_io_range_from_ioreq_server)->
            u.map_io_range_to_ioreq_server;

    r->id = s->id;
    r->type = type;
    r->start = first;
    r->end = last;

    return dm_op();
}

static long set_state(const struct server *s, bool enabled)
{
    struct xen_dm_op_set_ioreq_server_state *op =
        &dm_init(XEN_DMOP_set_ioreq_server_state)->u.set_ioreq_server_state;

    op->id = s->id;
    op->enabled = enabled;

    return dm_op();
}

/* Of a server whose pages Xen gives, the places are not asked for: it would move them. */
static long info(const struct server *s, uint64_t *gfn, uint32_t *port)
{
    struct xen_dm_op_get_ioreq_server_info *op =
        &dm_init(XEN_DMOP_get_ioreq_server_info)->u.get_ioreq_server_info;

    op->id = s->id;
    op->flags = s->gfns ? 0 : XEN_DMOP_no_gfns;
    if ( dm_op() )
        return -1;
    gfn[0] = op->ioreq_gfn;
    gfn[1] = op->bufioreq_gfn;
    *port = op->bufioreq_port;

    return 0;
}

static long set_type(uint64_t gfn, unsigned int type)
{
    struct xen_dm_op_set_mem_type *op = &dm_init(XEN_DMOP_set_mem_type)->u.set_mem_type;

    op->mem_type = type;
    op->nr = 1;
    op->first_pfn = gfn;

    return dm_op();
}

static int get_type(uint64_t gfn)
{
    shared->type = (struct xen_hvm_get_mem_type){ .domid = domid, .pfn = gfn };

    return call(__HYPERVISOR_hvm_op, HVMOP_get_mem_type, (uintptr_t)&shared->type, 0)
           ? -1 : shared->type.mem_type;
}

/* Writes to pages of the type are the server's, or with no access nobody's. */
static long map_type(const struct server *s, uint32_t access)
{
    struct xen_dm_op_map_mem_type_to_ioreq_server *op =
        &dm_init(XEN_DMOP_map_mem_type_to_ioreq_server)->
            u.map_mem_type_to_ioreq_server;

    op->id = s->id;
    op->type = HVMMEM_ioreq_server;
    op->flags = access;

    return dm_op();
}

/* ---- Servers ------------------------------------------------------------------ */

static uint64_t filling(const struct server *s, unsigned int i)
{
    return (s->port + i) * 0x9e3779b97f4a7c15UL;
}

static void make(struct server *s)
{
    struct xen_dm_op_create_ioreq_server *op =
        &dm_init(XEN_DMOP_create_ioreq_server)->u.create_ioreq_server;
    unsigned int i;

    op->handle_bufioreq = s->gfns ? HVM_IOREQSRV_BUFIOREQ_LEGACY
                                  : HVM_IOREQSRV_BUFIOREQ_ATOMIC;
    if ( dm_op() )
        fail("XEN_DMOP_create_ioreq_server");
    s->id = op->id;
    if ( info(s, s->gfn, &s->bufport) )
        fail("XEN_DMOP_get_ioreq_server_info");
    if ( s->gfns )
    {
        s->page = map_frames(&s->gfn[0], 1, true);
        s->buffered = map_frames(&s->gfn[1], 1, true);
        if ( !s->page || !s->buffered )
            fail("mapping the pages of a server");
    }
    else
    {
        s->page = map_resource(s->id, XENMEM_resource_ioreq_server_frame_ioreq(0));
        s->buffered = map_resource(s->id,
                                   XENMEM_resource_ioreq_server_frame_bufioreq);
    }
    if ( range(s, true, XEN_DMOP_IO_RANGE_PORT, s->port, s->port + 0xff) ||
         range(s, true, XEN_DMOP_IO_RANGE_MEMORY, s->mem, s->mem + PAGE - 1) ||
         range(s, true, XEN_DMOP_IO_RANGE_PORT, SPARE_PORTS(s)) ||
         range(s, true, XEN_DMOP_IO_RANGE_MEMORY, SPARE_MEMORY(s)) ||
         range(s, true, XEN_DMOP_IO_RANGE_PCI, s->port, s->port) )
        fail("XEN_DMOP_map_io_range_to_ioreq_server");

    s->read = 0x0123456789abcdefUL ^ s->port;
    s->write = 0xfedcba9876543210UL ^ s->port;
    if ( s == &servers[IDLE] )
        return;

    if ( set_state(s, true) )
        fail("XEN_DMOP_set_ioreq_server_state");
    /* Past the pointers; nobody else uses it before there is a buffered request. */
    for ( i = 1; i < PAGE / 8; i++ )
        s->buffered[i] = filling(s, i);

    struct bind b = { .domain = domid, .port = s->page->vcpu_ioreq[0].vp_eport };
    int local = ioctl(evtchn, EVTCHN_BIND, &b);

    if ( local < 0 )
        fail("IOCTL_EVTCHN_BIND_INTERDOMAIN");
    s->local = local;
}

/* What Xen says of a server that goes on. */
static void look(struct server *s)
{
    uint64_t gfn[2];
    uint32_t port;
    unsigned int i;

    if ( info(s, gfn, &port) )
        bad("info", s->id);
    else if ( port != s->bufport || memcmp(gfn, s->gfn, sizeof(gfn)) )
    {
        errno = 0;
        bad("another port or place", s->id);
    }

    /* The guest may use those of the device, so that only others are taken away. */
    if ( !range(s, true, XEN_DMOP_IO_RANGE_PORT, s->port + 0xff, s->port + 0xff) ||
         errno != EEXIST )
        bad("its ports", s->id);
    if ( range(s, false, XEN_DMOP_IO_RANGE_PORT, SPARE_PORTS(s)) ||
         range(s, true, XEN_DMOP_IO_RANGE_PORT, SPARE_PORTS(s)) )
        bad("its spare ports", s->id);
    if ( range(s, false, XEN_DMOP_IO_RANGE_MEMORY, SPARE_MEMORY(s)) ||
         range(s, true, XEN_DMOP_IO_RANGE_MEMORY, SPARE_MEMORY(s)) )
        bad("its spare memory", s->id);
    if ( range(s, false, XEN_DMOP_IO_RANGE_PCI, s->port, s->port) ||
         range(s, true, XEN_DMOP_IO_RANGE_PCI, s->port, s->port) )
        bad("its PCI device", s->id);

    if ( s == servers && watched && get_type(watched) != HVMMEM_ioreq_server )
        bad("its page of memory", s->id);
    if ( s == &servers[IDLE] )
        return;
    for ( i = 1; i < PAGE / 8; i++ )
        if ( s->buffered[i] != filling(s, i) )
        {
            errno = 0;
            bad("its page of buffered requests", s->id);
            return;
        }
}

static void watch(const struct server *s, uint64_t gfn)
{
    if ( s != servers || gfn >= RAM_PAGES || (watched && watched != gfn) )
        fail("no page to watch");
    if ( watched )
        return;
    if ( map_type(s, XEN_DMOP_IOREQ_MEM_ACCESS_WRITE) ||
         set_type(gfn, HVMMEM_ioreq_server) )
        fail("XEN_DMOP_map_mem_type_to_ioreq_server");
    watched = gfn;
}

/* Xen finds all pages of the type, by their number, before anybody may have it again. */
static void unwatch(const struct server *s)
{
    if ( map_type(s, 0) )
        bad("giving memory back", s->id);
    if ( get_type(watched) != HVMMEM_ram_rw )
        bad("its page of memory is still of that type", s->id);
    if ( map_type(s, XEN_DMOP_IOREQ_MEM_ACCESS_WRITE) || map_type(s, 0) )
        bad("taking memory again", s->id);
}

static void unmake(struct server *s)
{
    void *page;

    if ( s == servers && watched )
        unwatch(s);
    if ( set_state(s, false) )
        bad("disabling", s->id);
    /* A page at a place in the guest is there again. */
    page = s->gfns ? map_frames(&s->gfn[0], 1, true) : s->page;
    if ( !page )
        bad("its place", s->id);
    else if ( s->gfns )
        munmap(page, PAGE);
    dm_init(XEN_DMOP_destroy_ioreq_server)->u.destroy_ioreq_server.id = s->id;
    if ( dm_op() )
        bad("destroying", s->id);
    munmap(s->page, PAGE);
    munmap(s->buffered, PAGE);
}

/* ---- Devices ------------------------------------------------------------------ */

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;

    return *x;
}

static uint64_t low(uint64_t x, unsigned int size)
{
    return size < 8 ? x & ((1UL << size * 8) - 1) : x;
}

static void use_port(struct server *s, unsigned int port, bool read, uint8_t *data,
                     unsigned int size)
{
    uint64_t x = 0;

    if ( !read )
    {
        memcpy(&x, data, size);
        if ( port == 0x20 )
        {
            watch(s, x);
            return;
        }
        s->writes++;
        if ( x != low(next(&s->write), size) || port != 0x08 )
            s->wrong++;
        return;
    }

    switch ( port )
    {
    case 0x00: x = next(&s->read); s->reads++; break;
    case 0x10: x = s->reads; break;
    case 0x14: x = s->writes; break;
    case 0x18: x = s->wrong; break;
    case 0x24: x = seen; break;
    default: x = ~0UL; break;
    }
    memcpy(data, &x, size);
}

static void serve(struct server *s, ioreq_t *p)
{
    const int64_t step = p->df ? -(int64_t)p->size : (int64_t)p->size;
    uint32_t i;

    for ( i = 0; i < p->count; i++ )
    {
        const uint64_t at = p->data + i * step, gpa = p->addr + i * step;
        uint8_t *data = p->data_is_ptr ? ram + at : (uint8_t *)&p->data;

        if ( p->data_is_ptr && (at >= RAM_PAGES * PAGE ||
                                p->size > RAM_PAGES * PAGE - at) )
            s->wrong++;
        else if ( p->type == IOREQ_TYPE_PIO )
            use_port(s, p->addr - s->port, p->dir == IOREQ_READ, data, p->size);
        else if ( p->type == IOREQ_TYPE_COPY && p->dir == IOREQ_WRITE && s == servers &&
                  watched && gpa / PAGE == watched && gpa % PAGE + p->size <= PAGE )
        {
            memcpy(ram + gpa, data, p->size);
            seen++;
        }
        else if ( p->type != IOREQ_TYPE_COPY || gpa < s->mem ||
                  gpa + p->size > s->mem + PAGE )
            s->wrong++;
        else if ( p->dir == IOREQ_READ )
        {
            if ( !p->data_is_ptr )
                p->data = 0;
            memcpy(data, s->bytes + (gpa - s->mem), p->size);
        }
        else
            memcpy(s->bytes + (gpa - s->mem), data, p->size);
    }
    requests++;
}

static void obey(void)
{
    unsigned int i;

    if ( !check )
        return;
    check = 0;
    for ( i = 0; i < NR_SERVERS; i++ )
        look(&servers[i]);
    say("checked");
}

static void hold_it(const char *how, const ioreq_t *p)
{
    hold = 0;
    say("held %s: %s %s of %u times %u at %#llx", how,
        p->type == IOREQ_TYPE_PIO ? "port" : "memory",
        p->dir == IOREQ_READ ? "read" : "write", p->count, p->size,
        (unsigned long long)p->addr);
    while ( !answer && !end )
    {
        usleep(2000);
        obey();
    }
}

static void request(struct server *s)
{
    static unsigned int turn;
    ioreq_t *p = &s->page->vcpu_ioreq[0];
    uint64_t before;
    bool held = false;

    BARRIER();
    if ( p->state != STATE_IOREQ_READY )
        return;
    BARRIER();

    if ( hold && ++turn % 2 == 0 )
    {
        held = true;
        if ( turn % 4 )
            hold_it("untaken", p);
    }
    p->state = STATE_IOREQ_INPROCESS;
    if ( held && !(turn % 4) )
        hold_it("taken", p);
    before = now_us();
    usleep(delay);
    if ( now_us() - before > delay + 20000 )
        over++;
    serve(s, p);
    BARRIER();
    p->state = STATE_IORESP_READY;
    BARRIER();
    if ( ioctl(evtchn, EVTCHN_NOTIFY, &s->local) )
        bad("notify", s->id);
    if ( held )
    {
        answer = 0;
        say("answered");
    }
}

int main(int argc, char **argv)
{
    static const int signals[] = { SIGUSR1, SIGUSR2, SIGHUP, SIGTERM };
    static uint64_t gfns[RAM_PAGES];
    struct sigaction act = { .sa_handler = on_signal };
    uint32_t port;
    unsigned int i;

    if ( argc != 3 )
    {
        fprintf(stderr, "usage: devmodel <domid> <delay in us>\n");
        return 2;
    }
    domid = strtoul(argv[1], NULL, 0);
    delay = strtoul(argv[2], NULL, 0);

    for ( i = 0; i < sizeof(signals) / sizeof(*signals); i++ )
        sigaction(signals[i], &act, NULL);
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    evtchn = open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if ( privcmd < 0 || evtchn < 0 || shared == MAP_FAILED )
        fail("no hypercalls");

    /* Its loader may have left some out. */
    for ( i = 0; i < RAM_PAGES; i++ )
        gfns[i] = i;
    ram = map_frames(gfns, RAM_PAGES, false);
    if ( !ram )
        fail("mapping the guest's memory");

    populate();
    param_set(HVM_PARAM_IOREQ_SERVER_PFN, FIRST_GFN);
    param_set(HVM_PARAM_NR_IOREQ_SERVER_PAGES, NR_GFNS);
    for ( i = 0; i < NR_SERVERS; i++ )
        make(&servers[i]);
    say("ready");

    while ( !end )
    {
        struct pollfd fd = { .fd = evtchn, .events = POLLIN };

        obey();
        if ( poll(&fd, 1, 200) > 0 && read(evtchn, &port, sizeof(port)) == sizeof(port) &&
             write(evtchn, &port, sizeof(port)) != sizeof(port) )
            bad("unmask", 0);
        for ( i = 0; i < IDLE; i++ )
            request(&servers[i]);
    }

    for ( i = 0; i < NR_SERVERS; i++ )
        unmake(&servers[i]);
    say("ended: %llu, %llu", (unsigned long long)requests, (unsigned long long)over);

    return bads ? 1 : 0;
}

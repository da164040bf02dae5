/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Event channels, of either ABI: ports, their bits, upcalls and polling.
 *
 * Happy path: events_init() maps the shared page and, unless told "2l", switches to
 * FIFO with a control block for each vCPU but the last; upcalls stay masked, so
 * that what is pending stays so until a test lets it in.  The second vCPU's
 * vcpu_info is one that was registered, in a page of its own.
 *
 * What can fail: Xen refuses a port or a page: the guest dies, as nothing of
 * that is part of a test.
 */
#include "micro.h"

bool fifo;
vcpu_info_t *vcpu_infos[MAX_VCPUS];

static char shared_page[PAGE] __attribute__((aligned(PAGE)));
static uint32_t *array[16];
static unsigned int nr_array;
static upcall *upcalls[MAX_VCPUS];
static uint32_t quiet_port;

static struct reader {
    struct evtchn_fifo_control_block *block;
    uint32_t ready, head[EVTCHN_FIFO_MAX_QUEUES];
} readers[MAX_VCPUS];

/* ---- Ports ---- */

uint32_t port_ipi(unsigned int vcpu)
{
    struct evtchn_bind_ipi op = { .vcpu = vcpu };
    long rc = hc_event(EVTCHNOP_bind_ipi, &op);

    if ( rc )
        die("no IPI port: %ld", rc);

    return op.port;
}

uint32_t port_virq(unsigned int virq, unsigned int vcpu)
{
    struct evtchn_bind_virq op = { .virq = virq, .vcpu = vcpu };
    long rc = hc_event(EVTCHNOP_bind_virq, &op);

    if ( rc )
        die("no port for VIRQ %u: %ld", virq, rc);

    return op.port;
}

void port_send(uint32_t port)
{
    struct evtchn_send op = { .port = port };
    long rc = hc_event(EVTCHNOP_send, &op);

    if ( rc )
        die("port %u cannot be sent to: %ld", port, rc);
}

void port_unmask(uint32_t port)
{
    struct evtchn_unmask op = { .port = port };
    long rc = hc_event(EVTCHNOP_unmask, &op);

    if ( rc )
        die("port %u cannot be unmasked: %ld", port, rc);
}

volatile uint32_t *fifo_word(uint32_t port)
{
    return port / 1024 < nr_array ? &array[port / 1024][port % 1024] : NULL;
}

static bool bit(const xen_ulong_t *map, uint32_t port)
{
    return (READ(map[port / 64]) >> (port % 64)) & 1;
}

bool port_pending(uint32_t port)
{
    return fifo ? (*fifo_word(port) >> EVTCHN_FIFO_PENDING) & 1
                : bit(shared->evtchn_pending, port);
}

bool port_masked(uint32_t port)
{
    return fifo ? (*fifo_word(port) >> EVTCHN_FIFO_MASKED) & 1
                : bit(shared->evtchn_mask, port);
}

void port_clear(uint32_t port)
{
    if ( fifo )
        __sync_fetch_and_and(fifo_word(port), ~(1U << EVTCHN_FIFO_PENDING));
    else
        __sync_fetch_and_and(&shared->evtchn_pending[port / 64],
                             ~(1UL << (port % 64)));
}

void port_mask(uint32_t port)
{
    if ( fifo )
        __sync_fetch_and_or(fifo_word(port), 1U << EVTCHN_FIFO_MASKED);
    else
        __sync_fetch_and_or(&shared->evtchn_mask[port / 64],
                            1UL << (port % 64));
}

/* ---- FIFO ---- */

/* One more page of the event array, of the words given, or of masked ports. */
void fifo_expand(const uint32_t *words)
{
    struct evtchn_expand_array op;
    uint32_t *page = page_alloc();
    unsigned int i;
    long rc;

    for ( i = 0; i < 1024; i++ )
        page[i] = words ? words[i] : 1U << EVTCHN_FIFO_MASKED;

    op.array_gfn = mfn_of(page);
    array[nr_array++] = page;
    rc = hc_event(EVTCHNOP_expand_array, &op);
    if ( rc )
        die("event array page %u: %ld", nr_array - 1, rc);
}

unsigned int fifo_pages(void)
{
    return nr_array;
}

struct evtchn_fifo_control_block *fifo_block(unsigned int vcpu)
{
    return readers[vcpu].block;
}

static void fifo_control(unsigned int vcpu)
{
    struct evtchn_init_control op = { .vcpu = vcpu, .offset = 64 * vcpu };
    void *page = page_alloc();
    long rc;

    /* Not at the start of its page. */
    readers[vcpu].block = page + op.offset;
    op.control_gfn = mfn_of(page);
    rc = hc_event(EVTCHNOP_init_control, &op);
    if ( rc )
        die("control block of vCPU %u: %ld", vcpu, rc);
}

/* Takes over which queues Xen says are not empty. */
void fifo_ready(unsigned int vcpu)
{
    struct reader *r = &readers[vcpu];

    r->ready |= __sync_lock_test_and_set(&r->block->ready, 0);
}

/*
 * The next of a queue that is known to be ready: false if there is none.  It is live
 * if it is an event to be handled, which it then does not count as pending any more.
 */
bool fifo_take(unsigned int vcpu, unsigned int queue, uint32_t *port, bool *live)
{
    struct reader *r = &readers[vcpu];
    volatile uint32_t *word;
    uint32_t w;

    if ( !(r->ready & (1U << queue)) )
        return false;

    if ( !r->head[queue] )
        r->head[queue] = READ(r->block->head[queue]);

    *port = r->head[queue];
    word = fifo_word(*port);
    if ( !word )
        die("queue %u of vCPU %u has port %u", queue, vcpu, *port);

    do {
        w = *word;
    } while ( !__sync_bool_compare_and_swap(
                   word, w, w & ~((1U << EVTCHN_FIFO_LINKED) |
                                  EVTCHN_FIFO_LINK_MASK)) );

    r->head[queue] = w & EVTCHN_FIFO_LINK_MASK;
    if ( !r->head[queue] )
        r->ready &= ~(1U << queue);

    *live = (w >> EVTCHN_FIFO_PENDING) & 1 && !((w >> EVTCHN_FIFO_MASKED) & 1);
    if ( *live )
        port_clear(*port);

    return true;
}

/* ---- Upcalls and polling ---- */

void on_event(unsigned int vcpu, upcall *fn)
{
    upcalls[vcpu] = fn;
}

static bool event(struct frame *f)
{
    const unsigned int vcpu = me();

    vcpu_info(vcpu)->evtchn_upcall_pending = 0;
    barrier();
    if ( upcalls[vcpu] )
        upcalls[vcpu](vcpu);

    return true;
}

/* Upcalls that are due come now, on the way back from the hypercall. */
void let_events_in(void)
{
    vcpu_info_t *v = vcpu_info(me());

    READ(v->evtchn_upcall_mask) = 0;
    barrier();
    hypercall(__HYPERVISOR_xen_version, 0, 0, 0, 0);
    barrier();
    READ(v->evtchn_upcall_mask) = 1;
}

void poll(uint32_t port, uint64_t until)
{
    struct sched_poll op = { .nr_ports = 1, .timeout = until };

    set_xen_guest_handle(op.ports, &port);
    hc_sched(SCHEDOP_poll, &op);
}

/* For so many ms; nobody ever sends to that port. */
void nap(uint64_t ms)
{
    const uint64_t until = now() + ms * MS;

    while ( now() < until )
        poll(quiet_port, until);
}

/* ---- Starting ---- */

/* The second vCPU's info moves, before it runs. */
static void move_vcpu_info(unsigned int vcpu)
{
    struct vcpu_register_vcpu_info op = { .offset = 1024 };
    void *page = page_alloc();
    long rc;

    op.mfn = mfn_of(page);
    rc = hc_vcpu(VCPUOP_register_vcpu_info, vcpu, &op);
    if ( rc )
        die("vcpu_info of vCPU %u: %ld", vcpu, rc);
    vcpu_infos[vcpu] = page + op.offset;
}

/* Time comes from there too, so this is the first thing of all. */
void shared_init(void)
{
    unsigned int i;

    if ( hc_map((unsigned long)shared_page,
                start_info->shared_info | PTE_RAM) )
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0, 0);
    shared = (shared_info_t *)shared_page;

    for ( i = 0; i < MAX_VCPUS; i++ )
        vcpu_infos[i] = &shared->vcpu_info[i];
    vcpu_infos[0]->evtchn_upcall_mask = 1;
}

void events_init(void)
{
    unsigned int i;

    if ( nr_vcpus > 1 )
        move_vcpu_info(1);

    fifo = !option("2l");
    if ( fifo )
    {
        for ( i = 0; i + (nr_vcpus > 1) < nr_vcpus; i++ )
            fifo_control(i);
        fifo_expand(NULL);
    }

    port_mask(console_port());
    quiet_port = port_ipi(0);
    port_mask(quiet_port);
    on_trap(VECTOR_EVENT, event);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two devices of a device model (tests/lab/guest/devmodel.c), each with ports and a page
 * of memory: kinds=<bit mask of `ops`> says by which instructions they are used.
 *
 * A device's first port gives the numbers of a sequence, one for each read; its second
 * one wants those of another, one for each write.  Its page keeps what was written, and
 * is zero in the beginning.  So an access that is lost, done twice, or answered with
 * another one's answer shows, at once or with the next one.  The first device is asked to
 * watch a page of memory: it gets the writes to that, does and counts them, while reads
 * are the processor's.
 *
 * Happy path: one instruction after the other, from `set` to `verify`, with any number
 * of updates in it; at the end device and guest have counted the same.
 *
 * What can fail: another number or byte: bad, with the first one by its instruction.
 */
#include "pvh.h"

#define PORT_READ  0x00
#define PORT_WRITE 0x08
#define PORT_READS 0x10         /* how many there were; */
#define PORT_WRITES 0x14
#define PORT_WRONG 0x18         /* ... of these, with a number that was not due */
#define PORT_WATCH 0x20         /* the frame of the page to watch; */
#define PORT_SEEN  0x24         /* ... how many writes to it there were */

static struct device {
    const uint16_t port;
    volatile uint8_t *const mem;
    uint64_t read, write;       /* state of the sequences */
    uint32_t reads, writes;
    uint8_t mirror[PAGE];
} devices[] = {
    { 0x1000, (void *)0xd0000000UL },
    { 0x2000, (void *)0xd0001000UL },
};

static uint8_t ram[2 * PAGE] __attribute__((aligned(4096)));
static uint8_t watched[PAGE] __attribute__((aligned(4096)));
static uint8_t watched_mirror[PAGE];
static uint32_t watched_writes;
static uint64_t dice, rounds, wrong, kinds;
static struct {
    uint16_t port;
    const char *what;
    uint64_t got, want;
} first;

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;

    return *x;
}

static uint64_t roll(uint64_t n)
{
    return random(&dice) % n;
}

static uint64_t low(uint64_t x, unsigned int size)
{
    return size < 8 ? x & ((1UL << size * 8) - 1) : x;
}

static uint64_t due(struct device *d, unsigned int size)
{
    d->reads++;

    return low(next(&d->read), size);
}

static uint64_t to_write(struct device *d, unsigned int size)
{
    d->writes++;

    return low(next(&d->write), size);
}

static void check(const struct device *d, const char *what, uint64_t got, uint64_t want)
{
    if ( got == want )
        return;
    if ( !wrong++ )
    {
        first.port = d->port;
        first.what = what;
        first.got = got;
        first.want = want;
    }
}

static void report(const char *when)
{
    if ( wrong )
        bad("%s: %lu accesses went wrong, the first of the device at %x: %s: %lx, want %lx",
            when, wrong, first.port, first.what, first.got, first.want);
}

static uint64_t load(const void *from, unsigned int size)
{
    uint64_t x = 0;

    memcpy(&x, from, size);

    return x;
}

/* One instruction. */
static void store(volatile void *p, uint64_t x, unsigned int size)
{
    switch ( size )
    {
    case 1: *(volatile uint8_t *)p = x; break;
    case 2: *(volatile uint16_t *)p = x; break;
    case 4: *(volatile uint32_t *)p = x; break;
    default: *(volatile uint64_t *)p = x; break;
    }
}

/* A place in the device's page for n bytes, seldom aligned. */
static unsigned int place(unsigned int n)
{
    return roll(PAGE - n + 1);
}

/* ... in memory, often around the end of a page. */
static uint8_t *around(unsigned int n)
{
    return ram + PAGE - n + roll(n + 1);
}

/* ---- Ports ---- */

static void op_in(struct device *d)
{
    const uint16_t port = d->port + PORT_READ;
    const unsigned int size = 1U << roll(3);
    const uint64_t before = 0x1122334455667788UL;
    uint64_t x = before, want = due(d, size);

    switch ( size )
    {
    case 1:
        asm volatile ( "inb %w1, %b0" : "+a" (x) : "d" (port) );
        want |= before & ~0xffUL;
        break;
    case 2:
        asm volatile ( "inw %w1, %w0" : "+a" (x) : "d" (port) );
        want |= before & ~0xffffUL;
        break;
    default:
        asm volatile ( "inl %w1, %k0" : "+a" (x) : "d" (port) );
        break;
    }
    check(d, "in", x, want);
}

static void op_out(struct device *d)
{
    const uint16_t port = d->port + PORT_WRITE;
    const unsigned int size = 1U << roll(3);
    const uint64_t x = to_write(d, size);

    switch ( size )
    {
    case 1: asm volatile ( "outb %b0, %w1" :: "a" (x), "d" (port) ); break;
    case 2: asm volatile ( "outw %w0, %w1" :: "a" (x), "d" (port) ); break;
    default: asm volatile ( "outl %k0, %w1" :: "a" (x), "d" (port) ); break;
    }
}

#define STRING(insn, reg, at, n, down)                                          \
    do {                                                                        \
        if ( down )                                                             \
            asm volatile ( "std; rep " insn "; cld" : "+" reg (at), "+c" (n)    \
                           : "d" (port) : "memory" );                           \
        else                                                                    \
            asm volatile ( "rep " insn : "+" reg (at), "+c" (n)                 \
                           : "d" (port) : "memory" );                           \
    } while ( 0 )

static void op_ins(struct device *d)
{
    const uint16_t port = d->port + PORT_READ;
    const unsigned int size = 1U << roll(3);
    const bool down = roll(2);
    const uint64_t nr = 1 + roll(12);
    uint8_t *const base = around(nr * size);
    uint8_t *at = down ? base + (nr - 1) * size : base;
    uint64_t n = nr, i;

    switch ( size )
    {
    case 1: STRING("insb", "D", at, n, down); break;
    case 2: STRING("insw", "D", at, n, down); break;
    default: STRING("insl", "D", at, n, down); break;
    }
    for ( i = 0; i < nr; i++ )
        check(d, "ins", load(base + (down ? nr - 1 - i : i) * size, size),
              due(d, size));
}

static void op_outs(struct device *d)
{
    const uint16_t port = d->port + PORT_WRITE;
    const unsigned int size = 1U << roll(3);
    const bool down = roll(2);
    const uint64_t nr = 1 + roll(12);
    uint8_t *const base = around(nr * size);
    uint8_t *at = down ? base + (nr - 1) * size : base;
    uint64_t n = nr, i;

    for ( i = 0; i < nr; i++ )
    {
        const uint64_t x = to_write(d, size);

        memcpy(base + (down ? nr - 1 - i : i) * size, &x, size);
    }
    switch ( size )
    {
    case 1: STRING("outsb", "S", at, n, down); break;
    case 2: STRING("outsw", "S", at, n, down); break;
    default: STRING("outsl", "S", at, n, down); break;
    }
}

/* ---- Memory ---- */

static void op_load(struct device *d)
{
    const unsigned int size = 1U << roll(4), at = place(size);
    const volatile void *p = d->mem + at;
    uint64_t x;

    switch ( size )
    {
    case 1: x = *(const volatile uint8_t *)p; break;
    case 2: x = *(const volatile uint16_t *)p; break;
    case 4: x = *(const volatile uint32_t *)p; break;
    default: x = *(const volatile uint64_t *)p; break;
    }
    check(d, "load", x, load(d->mirror + at, size));
}

static void op_store(struct device *d)
{
    const unsigned int size = 1U << roll(4), at = place(size);
    const uint64_t x = random(&dice) * 0x9e3779b97f4a7c15UL;

    store(d->mem + at, x, size);
    memcpy(d->mirror + at, &x, size);
}

/* Reads and writes. */
static void op_add(struct device *d)
{
    const unsigned int at = place(8);
    const uint64_t add = random(&dice), before = load(d->mirror + at, 8);
    const uint64_t after = before + add;
    uint64_t x = add;

    if ( roll(2) )
        asm volatile ( "addq %1, %0" : "+m" (*(volatile uint64_t *)(d->mem + at))
                       : "r" (x) );
    else
    {
        asm volatile ( "xaddq %1, %0"
                       : "+m" (*(volatile uint64_t *)(d->mem + at)), "+r" (x) );
        check(d, "xadd", x, before);
    }
    memcpy(d->mirror + at, &after, 8);
}

static struct device *other(const struct device *d)
{
    return d == devices ? devices + 1 : devices;
}

/* From one device to the other. */
static void op_movs(struct device *d)
{
    struct device *o = other(d);
    const unsigned int from = place(16), to = place(16);
    const volatile uint8_t *s = d->mem + from;
    volatile uint8_t *t = o->mem + to;
    uint64_t n = 1 + roll(2), size = n * 8;

    asm volatile ( "rep movsq" : "+S" (s), "+D" (t), "+c" (n) :: "memory" );
    memcpy(o->mirror + to, d->mirror + from, size);
}

/* Two reads. */
static void op_cmps(struct device *d)
{
    struct device *o = other(d);
    const unsigned int a = place(8), b = place(8);
    const uint64_t x = load(d->mirror + a, 8), y = load(o->mirror + b, 8);
    const volatile uint8_t *s = d->mem + a, *t = o->mem + b;
    bool less, same;

    asm volatile ( "cmpsq" : "+S" (s), "+D" (t), "=@ccb" (less), "=@ccz" (same)
                   :: "memory" );
    check(d, "cmps", less * 2 + same, (x < y) * 2 + (x == y));
}

/* Between memory and a device. */
static void op_copy(struct device *d)
{
    const uint64_t nr = 1 + roll(60);
    const unsigned int at = place(nr);
    uint8_t *const base = around(nr);
    const volatile void *s = base;
    volatile void *t = d->mem + at;
    uint64_t n = nr, i;

    if ( roll(2) )
    {
        for ( i = 0; i < nr; i++ )
            d->mirror[at + i] = base[i] = random(&dice);
        asm volatile ( "rep movsb" : "+S" (s), "+D" (t), "+c" (n) :: "memory" );
        return;
    }

    s = d->mem + at;
    t = base;
    memset(base, 0, nr);
    asm volatile ( "rep movsb" : "+S" (s), "+D" (t), "+c" (n) :: "memory" );
    for ( i = 0; i < nr; i++ )
        check(d, "movs to memory", base[i], d->mirror[at + i]);
}

static void op_stos(struct device *d)
{
    const uint64_t nr = 1 + roll(8);
    const unsigned int at = place(nr * 4);
    const uint32_t x = random(&dice);
    volatile void *t = d->mem + at;
    uint64_t n = nr, i;

    asm volatile ( "rep stosl" : "+D" (t), "+c" (n) : "a" (x) : "memory" );
    for ( i = 0; i < nr; i++ )
        memcpy(d->mirror + at + i * 4, &x, 4);
}

/* Two requests for one access. */
static void op_vector(struct device *d)
{
    const unsigned int from = place(16), to = place(16);
    volatile uint8_t *s = d->mem + from, *t = d->mem + to;
    uint8_t bytes[16];
    unsigned int i;

    asm volatile ( "movdqu (%0), %%xmm1; movdqu %%xmm1, (%1)"
                   :: "r" (s), "r" (bytes) : "memory" );
    for ( i = 0; i < 16; i++ )
        check(d, "vector", bytes[i], d->mirror[from + i]);
    asm volatile ( "movdqu (%0), %%xmm1; movdqu %%xmm1, (%1)"
                   :: "r" (bytes), "r" (t) : "memory" );
    memcpy(d->mirror + to, bytes, 16);
}

/* From a device to the stack, and back to another place. */
static void op_push(struct device *d)
{
    const unsigned int from = place(8), to = place(8);
    const uint64_t x = load(d->mirror + from, 8);

    asm volatile ( "pushq %0; popq %1"
                   :: "m" (*(volatile uint64_t *)(d->mem + from)),
                      "m" (*(volatile uint64_t *)(d->mem + to)) : "memory" );
    memcpy(d->mirror + to, &x, 8);
}

static void op_watched(struct device *d)
{
    const unsigned int size = 1U << roll(4), at = place(size), from = place(8);
    const uint64_t x = random(&dice) * 0x9e3779b97f4a7c15UL;

    store(watched + at, x, size);
    memcpy(watched_mirror + at, &x, size);
    watched_writes++;
    check(d, "watched", *(volatile uint64_t *)(watched + from),
          load(watched_mirror + from, 8));
}

static void (*const ops[])(struct device *) = {
    op_in, op_out, op_ins, op_outs, op_load, op_store, op_add, op_movs, op_cmps,
    op_copy, op_stos, op_vector, op_push, op_watched,
};

/* ---- The test ---- */

static uint32_t inl(uint16_t port)
{
    uint32_t x;

    asm volatile ( "inl %w1, %k0" : "=a" (x) : "d" (port) );

    return x;
}

static void outl(uint16_t port, uint32_t x)
{
    asm volatile ( "outl %k0, %w1" :: "a" (x), "d" (port) );
}

static void use(void)
{
    unsigned int i;

    do
        i = roll(ARRAY_SIZE(ops));
    while ( !(kinds >> i & 1) );
    ops[i](&devices[roll(2)]);
    rounds++;
}

static void set(void)
{
    struct device *d;
    unsigned int i;

    kinds = arg("kinds", (1UL << ARRAY_SIZE(ops)) - 1) &
            ((1UL << ARRAY_SIZE(ops)) - 1);
    dice = arg("seed", 1) * 0x9e3779b97f4a7c15UL;
    rounds = wrong = 0;
    if ( !kinds )
    {
        bad("no instruction");
        return;
    }
    for ( d = devices; d < devices + ARRAY_SIZE(devices); d++ )
    {
        /* Once and for all: the device goes on, too. */
        if ( !d->read )
        {
            d->read = 0x0123456789abcdefUL ^ d->port;
            d->write = 0xfedcba9876543210UL ^ d->port;
        }
    }
    /* It is watched from the first time on. */
    outl(devices[0].port + PORT_WATCH, (uintptr_t)watched / PAGE);
    for ( i = 0; i < ARRAY_SIZE(ops); i++ )
        if ( kinds >> i & 1 )
            ops[i](&devices[i % 2]);
    report("at once");
    pastime = use;
}

static void verify(void)
{
    struct device *d;
    uint32_t seen;
    unsigned int i;

    pastime = NULL;
    note("rounds=%lu", rounds);
    report("since then");
    for ( d = devices; d < devices + ARRAY_SIZE(devices); d++ )
    {
        const uint32_t reads = inl(d->port + PORT_READS);
        const uint32_t writes = inl(d->port + PORT_WRITES);
        const uint32_t amiss = inl(d->port + PORT_WRONG);

        note("reads=%u writes=%u", reads, writes);
        if ( reads != d->reads || writes != d->writes || amiss )
            bad("device at %x: %u reads and %u writes, %u of them wrong; want %u and %u",
                d->port, reads, writes, amiss, d->reads, d->writes);
    }
    seen = inl(devices[0].port + PORT_SEEN);
    note("watched=%u", seen);
    if ( seen != watched_writes )
        bad("watched page: %u writes were seen, want %u", seen, watched_writes);
    for ( i = 0; i < PAGE; i++ )
        if ( watched[i] != watched_mirror[i] )
        {
            bad("watched page: at %x: %x, want %x", i, watched[i], watched_mirror[i]);
            break;
        }
}

const struct test test_devices = { "devices", "requests to a device model", set, verify };

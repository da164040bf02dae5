/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The console: a ring that xenconsoled empties and fills, and formatting.
 *
 * Happy path: what is said gets into the ring and xenconsoled is told; what comes
 * is handed out character by character.  The port is masked, as it is polled.
 *
 * What can fail: a full ring makes the guest wait for xenconsoled.
 */
#include "micro.h"

static struct xencons_interface *ring;

static uint32_t ring_port;

uint32_t console_port(void)
{
    return ring_port;
}

void console_init(void *page, uint32_t port)
{
    ring = page;
    ring_port = port;
}

static void put(char c)
{
    while ( ring->out_prod - READ(ring->out_cons) >= sizeof(ring->out) )
    {
        port_send(console_port());
        port_clear(console_port());
        if ( ring->out_prod - READ(ring->out_cons) >= sizeof(ring->out) )
            poll(console_port(), now() + 10 * MS);
    }

    ring->out[MASK_XENCONS_IDX(ring->out_prod, ring->out)] = c;
    barrier();
    ring->out_prod++;
}

static volatile int busy;

/* For last words: whoever has the console does not give it back any more. */
void console_seize(void)
{
    __sync_lock_release(&busy);
}

void console_puts(const char *text)
{
    while ( __sync_lock_test_and_set(&busy, 1) )
        hc_sched(SCHEDOP_yield, NULL);

    for ( ; *text; text++ )
    {
        if ( *text == '\n' )
            put('\r');
        put(*text);
    }
    port_send(console_port());

    __sync_lock_release(&busy);
}

bool console_getc(char *c)
{
    if ( ring->in_cons == READ(ring->in_prod) )
        return false;

    barrier();
    *c = ring->in[MASK_XENCONS_IDX(ring->in_cons, ring->in)];
    barrier();
    ring->in_cons++;
    port_send(console_port());

    return true;
}

/* ---- Formatting: %s %c %d %u %x, with l, a width and a leading 0 ---- */

struct out {
    char *at, *end;
};

static void add(struct out *o, char c)
{
    if ( o->at < o->end )
        *o->at++ = c;
}

static void number(struct out *o, uint64_t n, unsigned int base,
                   unsigned int width, char pad)
{
    char digits[20];
    unsigned int i = 0;

    do {
        digits[i++] = "0123456789abcdef"[n % base];
    } while ( n /= base );

    for ( ; width > i; width-- )
        add(o, pad);
    while ( i )
        add(o, digits[--i]);
}

int format(char *out, size_t size, const char *fmt, va_list ap)
{
    struct out o = { out, out + size - 1 };

    for ( ; *fmt; fmt++ )
    {
        unsigned int width = 0;
        bool wide = false;
        char pad = ' ';
        int64_t n;

        if ( *fmt != '%' )
        {
            add(&o, *fmt);
            continue;
        }

        if ( *++fmt == '0' )
            pad = *fmt++;
        for ( ; *fmt >= '0' && *fmt <= '9'; fmt++ )
            width = width * 10 + *fmt - '0';
        for ( ; *fmt == 'l'; fmt++ )
            wide = true;

        switch ( *fmt )
        {
        case 's':
            for ( const char *s = va_arg(ap, const char *); *s; s++ )
                add(&o, *s);
            break;

        case 'c':
            add(&o, va_arg(ap, int));
            break;

        case 'd':
            n = wide ? va_arg(ap, long) : va_arg(ap, int);
            if ( n < 0 )
                add(&o, '-');
            number(&o, n < 0 ? -n : n, 10, width, pad);
            break;

        case 'u':
        case 'x':
            number(&o, wide ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int),
                   *fmt == 'u' ? 10 : 16, width, pad);
            break;

        default:
            add(&o, *fmt);
            break;
        }
    }

    *o.at = '\0';

    return o.at - out;
}

void say(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    format(text, sizeof(text), fmt, ap);
    va_end(ap);
    console_puts(text);
}

/* ---- What gcc expects ---- */

void *memset(void *p, int c, size_t n)
{
    void *at = p;

    asm volatile ( "rep stosb" : "+D" (at), "+c" (n) : "a" (c) : "memory" );

    return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *at = to;

    asm volatile ( "rep movsb" : "+D" (at), "+S" (from), "+c" (n) :: "memory" );

    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a, *q = b;

    for ( ; n; n--, p++, q++ )
        if ( *p != *q )
            return *p - *q;

    return 0;
}

int strcmp(const char *a, const char *b)
{
    for ( ; *a && *a == *b; a++, b++ )
        ;

    return (uint8_t)*a - (uint8_t)*b;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while ( s[n] )
        n++;

    return n;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The timers that Xen emulates for HVM guests: PIT, RTC, HPET, ACPI timer.
 *
 * Happy path: `set` programs all of them.  The PIT's first channel, the RTC and HPET timer
 * 0 tick, HPET timer 1 expires, HPET timer 2 is due `later` ms after the command, the RTC
 * also tells of each second, as such and as its alarm.  Xen has a timer for either, and
 * looking why the RTC has interrupted puts off the one that has not come yet: one of the
 * two is enough.  `verify` finds registers, counters and ticks as system time says: not
 * one tick too few or too many but for the one that may be under way, the timer that
 * expired silent, the one that is due in time.
 *
 * What can fail: a counter that has lost or won more than SLACK, ticks, registers: bad.
 */
#include "pvh.h"

#define VEC_PIT   0xb1
#define VEC_RTC   0xa1
#define VEC_HPET0 0x61          /* and 0x71, 0x81, in classes of their own */

#define SLACK     (MS / 2)
#define SECOND    (1000 * MS)

static inline uint8_t in8(uint16_t port)
{
    uint8_t x;

    asm volatile ( "inb %1, %0" : "=a" (x) : "Nd" (port) );

    return x;
}

static inline void out8(uint16_t port, uint8_t x)
{
    asm volatile ( "outb %0, %1" :: "a" (x), "Nd" (port) );
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t x;

    asm volatile ( "inl %1, %0" : "=a" (x) : "Nd" (port) );

    return x;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t x;

    asm volatile ( "inw %1, %0" : "=a" (x) : "Nd" (port) );

    return x;
}

static inline void out16(uint16_t port, uint16_t x)
{
    asm volatile ( "outw %0, %1" :: "a" (x), "Nd" (port) );
}

/* ---- Where they are ---- */

#define IOAPIC     ((volatile uint32_t *)0xfec00000UL)
#define PIT_PIN    2

static void route(unsigned int pin, unsigned int vector)
{
    IOAPIC[0] = 0x11 + 2 * pin;
    IOAPIC[4] = 0;
    IOAPIC[0] = 0x10 + 2 * pin;
    IOAPIC[4] = vector;
}

#define PIT_HZ     1193182UL
#define PIT_COUNT  11932U       /* 10 ms */
#define PIT_NS     ((PIT_COUNT * SECOND + PIT_HZ / 2) / PIT_HZ)

#define RTC_PIN    8
#define RTC_RATE   10U          /* 64 Hz */
#define RTC_NS     (SECOND / 64)
#define RTC_A      10
#define RTC_B      11
#define RTC_C      12
#define RTC_B_24H  0x02
#define RTC_UF     0x10
#define RTC_AF     0x20
#define RTC_PF     0x40

static uint8_t rtc(unsigned int reg)
{
    out8(0x70, reg);

    return in8(0x71);
}

static void rtc_set(unsigned int reg, uint8_t x)
{
    out8(0x70, reg);
    out8(0x71, x);
}

#define HPET(reg)  (*(volatile uint64_t *)(0xfed00000UL + (reg)))
#define H_CONFIG   0x010
#define H_COUNTER  0x0f0
#define H_T(n)     (0x100 + 0x20 * (n))
#define H_CMP(n)   (0x108 + 0x20 * (n))
#define H_PIN      20U          /* and the two next: all that it offers */
#define H_NS       16UL
#define H_TICK     20UL         /* ms */
#define H_ENABLE   4U
#define H_PERIODIC 8U
#define H_SETVAL   0x40U

#define PM1_STATUS 0xb000
#define PM1_ENABLE 0xb002
#define PM_TIMER   0xb008
#define PM_HZ      3579545UL

/* ---- Counters: ticks of so many a second, against system time ---- */

static uint64_t pm_read(void)
{
    return in32(PM_TIMER);
}

static uint64_t hpet_read(void)
{
    return HPET(H_COUNTER);
}

/* Channel 2, which counts down. */
static uint64_t pit_read(void)
{
    unsigned int count;

    out8(0x43, 0x80);
    count = in8(0x42);
    count |= in8(0x42) << 8;

    return 0x10000 - count;
}

static struct counter {
    const char *const name;
    uint64_t (*const read)(void);
    const uint64_t hz, wrap;
    uint64_t at, value;
} counters[] = {
    { "pm", pm_read, PM_HZ, 1UL << 32 },
    { "hpet", hpet_read, SECOND / H_NS, 1UL << 48 },
    { "pit2", pit_read, PIT_HZ, 1UL << 16 },
};

/* Of some tries the quickest: an exit may take a while. */
static void counter_read(struct counter *c, uint64_t *at, uint64_t *value)
{
    uint64_t best = ~0UL;
    unsigned int i;

    *at = *value = 0;
    for ( i = 0; i < 20; i++ )
    {
        const uint64_t before = now(), x = c->read(), took = now() - before;

        if ( took < best )
        {
            best = took;
            *at = before + took / 2;
            *value = x;
        }
    }
}

static void counters_verify(void)
{
    struct counter *c;

    for ( c = counters; c < counters + ARRAY_SIZE(counters); c++ )
    {
        uint64_t at, value, want_value;
        int64_t off;

        counter_read(c, &at, &value);
        want_value = c->value + (at - c->at) / SECOND * c->hz +
                     (at - c->at) % SECOND * c->hz / SECOND;
        off = (value - want_value) % c->wrap;
        if ( off > (int64_t)c->wrap / 2 )
            off -= c->wrap;
        off = off * (int64_t)(SECOND / 1000) / (int64_t)(c->hz / 1000);
        note("%s_off_us=%ld", c->name, off / 1000);
        if ( off > (int64_t)SLACK || off < -(int64_t)SLACK )
            bad("the counter of %s is off by %ld us after %lu ms", c->name, off / 1000,
                (at - c->at) / MS);
    }
}

/* ---- Ticks ---- */

static uint64_t pf, seconds, last_second;

static void rtc_came(void)
{
    const uint8_t why = rtc(RTC_C);

    pf += !!(why & RTC_PF);
    if ( why & (RTC_UF | RTC_AF) )
    {
        seconds += now() - last_second > SECOND / 2;
        last_second = now();
    }
}

static struct ticks {
    const char *const name;
    const uint64_t *const count;
    const uint64_t period;
    const uint64_t allowed;     /* ticks that may be under way */
    uint64_t since, before;
} ticks[] = {
    { "pit", &irqs[VEC_PIT].count, PIT_NS, 1 },
    { "rtc", &pf, RTC_NS, 1 },
    { "hpet0", &irqs[VEC_HPET0].count, H_TICK * MS, 1 },
    { "seconds", &seconds, SECOND, 0 },
};

static void open_for(uint64_t ms)
{
    irqs_on();
    nap(ms);
    irqs_off();
}

static void ticks_begin(void)
{
    struct ticks *t;

    /* Just after one has come: nobody is wrong by one then. */
    irqs_on();
    if ( !wait_until(READ(seconds) && now() - READ(last_second) > SECOND / 4 &&
                     now() - READ(last_second) < SECOND / 2, 5000) )
        bad("%lu seconds of the RTC in 5 s", seconds);
    irqs_off();
    for ( t = ticks; t < ticks + ARRAY_SIZE(ticks); t++ )
    {
        t->before = READ(*t->count);
        t->since = t->period == SECOND ? last_second : now();
        if ( !t->before )
            bad("%s does not tick", t->name);
    }
}

static void ticks_verify(void)
{
    struct ticks *t;
    uint64_t phase;

    /* What is still to be taken comes now. */
    open_for(100);
    do {
        open_for(10);
        phase = (now() - ticks[3].since) % SECOND;
    } while ( phase < SECOND / 4 || phase > SECOND * 3 / 4 );

    for ( t = ticks; t < ticks + ARRAY_SIZE(ticks); t++ )
    {
        const uint64_t got = READ(*t->count) - t->before;
        const uint64_t due = (now() - t->since) / t->period;

        note("%s=%lu", t->name, got);
        if ( got > due + t->allowed || got + t->allowed < due )
            bad("%lu ticks of %s in %lu ms, want %lu", got, t->name,
                (now() - t->since) / MS, due);
    }
}

/* ---- Registers ---- */

static uint64_t was[14];

static void registers(uint64_t *r)
{
    unsigned int i;

    *r++ = HPET(H_CONFIG);
    for ( i = 0; i < 3; i++ )
    {
        *r++ = HPET(H_T(i));
        *r++ = i ? HPET(H_CMP(i)) : 0;
    }
    *r++ = rtc(RTC_A) & 0x7f;
    *r++ = rtc(RTC_B);
    *r++ = rtc(1) | rtc(3) << 8 | rtc(5) << 16;
    /* Modes of the PIT's channels, without the state of their outputs. */
    out8(0x43, 0xe2);
    *r++ = in8(0x40) & 0x3f;
    out8(0x43, 0xe8);
    *r++ = in8(0x42) & 0x3f;
    *r++ = in8(0x61) & 0x01;
    *r++ = in16(PM1_ENABLE);
}

static void registers_verify(void)
{
    uint64_t is[ARRAY_SIZE(was)];
    unsigned int i;

    registers(is);
    for ( i = 0; i < ARRAY_SIZE(was); i++ )
        if ( is[i] != was[i] )
            bad("register %u is %lx, was %lx", i, is[i], was[i]);
}

/* ---- The test ---- */

static uint64_t due;

static void sleep_open(void)
{
    irqs_on();
    poll(console_port(), 0);
    irqs_off();
}

static void hpet_start(void)
{
    unsigned int i;

    HPET(H_CONFIG) = 0;
    HPET(H_COUNTER) = 0;
    for ( i = 0; i < 3; i++ )
    {
        HPET(H_T(i)) = ((H_PIN + i) << 9) | (i ? 0 : H_PERIODIC | H_SETVAL);
        route(H_PIN + i, VEC_HPET0 + 16 * i);
        irqs[VEC_HPET0 + 16 * i].count = 0;
    }
    HPET(H_CMP(0)) = H_TICK * MS / H_NS;
    HPET(H_CMP(0)) = H_TICK * MS / H_NS;
    HPET(H_CMP(1)) = 50 * MS / H_NS;
    HPET(H_CMP(2)) = arg("later", 20000) * MS / H_NS;
    HPET(H_CONFIG) = 1;
    due = now() + arg("later", 20000) * MS;
    for ( i = 0; i < 3; i++ )
        HPET(H_T(i)) |= H_ENABLE;
}

static void set(void)
{
    struct counter *c;

    pastime = sleep_open;
    pf = seconds = last_second = 0;

    out8(0x43, 0x34);           /* channel 0, both bytes, mode 2 */
    out8(0x40, PIT_COUNT & 0xff);
    out8(0x40, PIT_COUNT >> 8);
    out8(0x61, (in8(0x61) & 0xfc) | 1);
    out8(0x43, 0xb4);           /* channel 2 */
    out8(0x42, 0);
    out8(0x42, 0);
    irqs[VEC_PIT].count = 0;
    route(PIT_PIN, VEC_PIT);

    irqs[VEC_RTC].also = rtc_came;
    route(RTC_PIN, VEC_RTC);
    rtc_set(1, 0xc0);           /* an alarm each second */
    rtc_set(3, 0xc0);
    rtc_set(5, 0xc0);
    rtc_set(RTC_A, 0x20 | RTC_RATE);
    rtc_set(RTC_B, RTC_B_24H | RTC_PF | RTC_AF | RTC_UF);
    rtc(RTC_C);

    hpet_start();
    out16(PM1_STATUS, 0xffff);
    out16(PM1_ENABLE, 0x0100);

    ticks_begin();
    if ( READ(irqs[VEC_HPET0 + 16].count) != 1 )
        bad("HPET timer 1 came %lu times, want 1", irqs[VEC_HPET0 + 16].count);
    for ( c = counters; c < counters + ARRAY_SIZE(counters); c++ )
        counter_read(c, &c->at, &c->value);
    registers(was);
}

static void verify(void)
{
    const struct irq *const later = &irqs[VEC_HPET0 + 32];

    counters_verify();
    ticks_verify();
    registers_verify();
    if ( READ(irqs[VEC_HPET0 + 16].count) != 1 )
        bad("a timer that had expired came again, %lu times in all",
            irqs[VEC_HPET0 + 16].count);

    irqs_on();
    if ( !wait_until(READ(later->count), (long)(due - now()) > 0
                                         ? (due - now()) / MS + 1000 : 1000) )
        bad("HPET timer 2 does not come, due %ld ms ago", (long)(now() - due) / 1000000);
    nap(100);
    irqs_off();
    if ( later->count > 1 || later->count && later->first + SLACK < due )
        bad("HPET timer 2 came %lu times, %ld us after it was due", later->count,
            (long)(later->first - due) / 1000);
    note("late_us=%ld", (long)(later->first - due) / 1000);
    if ( later->count && later->first > due + 20 * MS )
        bad("HPET timer 2 came %lu ms late", (later->first - due) / MS);

    HPET(H_CONFIG) = 0;
    rtc_set(RTC_B, RTC_B_24H);
    out8(0x43, 0x30);
    out8(0x40, 0);
    out8(0x40, 0);
    open_for(50);
    pastime = NULL;
}

const struct test test_platform = { "platform", "PIT, RTC, HPET, ACPI timer", set, verify };

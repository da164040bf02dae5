/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows enlightenments (viridian=) as Windows uses them: CPUID, MSRs, hypercall page, VP
 * assist page, reference time, messages, synthetic timers.  Only as an HVM guest.
 *
 * Happy path: `set` enables all of it, writes into pages what Xen does not touch, leaves an
 * interrupt in service that only the VP assist page has to end, and starts four timers:
 * one that ticks, one that expires at once, one that ticks into a slot of which nobody
 * takes the message, so that its next one waits, and one due `later` ms after the command.
 * While the guest waits it watches reference time and system time.  `verify` finds
 * registers and pages as they were; reference time, which stands still in a pause, behind
 * system time by `paused` us more than before, and since then no more; the ticks a row
 * without a hole, the message that waited, the timers that are due once.
 *
 * A delivery more than a period late would make Xen choose another phase, update or not:
 * the period is long, and the scenario keeps the guest off CPU 0, which is busy after an
 * update.  SINTs end their interrupts themselves, as an EOI would take back
 * what the VP assist page says.
 *
 * What can fail: a register, a page, a tick, a clock that is wrong: bad.  No viridian= is
 * an exception, which ends the guest.
 */
#include "pvh.h"

/* ---- Registers, and bits of them ---- */

#define HV(n)          (0x40000000U + (n))
#define HV_OS_ID       HV(0x00)
#define HV_HYPERCALL   HV(0x01)
#define HV_TIME        HV(0x20)
#define HV_TSC_PAGE    HV(0x21)
#define HV_TPR         HV(0x72)
#define HV_ASSIST_PAGE HV(0x73)
#define HV_SCONTROL    HV(0x80)
#define HV_SIEFP       HV(0x82)
#define HV_SIMP        HV(0x83)
#define HV_EOM         HV(0x84)
#define HV_SINT(n)     HV(0x90 + (n))
#define HV_CONFIG(n)   HV(0xb0 + 2 * (n))
#define HV_COUNT(n)    HV(0xb1 + 2 * (n))
#define HV_CRASH(n)    HV(0x100 + (n))

#define ON             1UL              /* in the low bits of a page's address */
#define MASKED         (1UL << 16)
#define AUTO_EOI       (1UL << 17)
#define PERIODIC       (1UL << 1)
#define TO_SINT(n)     ((uint64_t)(n) << 16)

/* Of a system old enough for nothing, and new enough for CPUID leaf 4. */
#define OS_ID          0x0001040a00003839UL

#define VEC_SERVED     0x31             /* ended by the assist page */
#define VEC_NEXT       0x32             /* of its class */
#define TPR            0x20

enum { TICK, SOON, UNREAD, LATER, TIMERS };

static const struct { uint8_t sint, vector; } to[TIMERS] = {
    [TICK] = { 2, 0x92 }, [SOON] = { 3, 0xa3 }, [UNREAD] = { 4, 0xb4 },
    [LATER] = { 5, 0xc5 },
};
/* A SINT that had TICK's vector first. */
#define SINT_BEFORE    7

/* Reference time counts 100 ns. */
#define REF_MS         10000UL
#define PERIOD         (200 * REF_MS)
#define UNREAD_PERIOD  (40 * REF_MS)
#define SLACK          MS
#define PAUSE_SLACK    (2 * MS)
#define UNKNOWN        ~0UL

struct message {
    uint32_t type;
    uint8_t size, flags, reserved[2];
    uint64_t origin;
    uint32_t timer, reserved2;
    uint64_t expiration, delivery;
    uint8_t rest[216];
};

#define EXPIRED        0x80000010U

/* ---- Pages ---- */

static uint8_t page_hypercall[PAGE] __attribute__((aligned(4096)));
static volatile uint32_t page_assist[PAGE / 4] __attribute__((aligned(4096)));
static volatile struct message messages[16] __attribute__((aligned(4096)));
static volatile struct {
    uint32_t sequence, reserved;
    uint64_t scale;
    int64_t offset;
    uint32_t rest[1018];
} page_tsc __attribute__((aligned(4096)));

static uint64_t page(volatile const void *p)
{
    return (uint64_t)p | ON;
}

/* Of each page a part that Xen does not write once it has enabled it. */
static struct part {
    const char *const name;
    volatile uint32_t *const start;
    const unsigned int words;
} const parts[] = {
    { "VP assist", page_assist + 64, PAGE / 4 - 64 },
    { "messages", (volatile uint32_t *)(messages + 8), PAGE / 8 },
    { "reference TSC", page_tsc.rest, ARRAY_SIZE(page_tsc.rest) },
};

static uint32_t hypercall_sum;

static uint32_t sum_of_hypercall(void)
{
    uint32_t sum = 1, i;

    for ( i = 0; i < PAGE; i++ )
        sum = sum * 31 + page_hypercall[i];

    return sum;
}

static void parts_fill(uint64_t seed)
{
    const struct part *p;
    unsigned int i;

    for ( p = parts; p < parts + ARRAY_SIZE(parts); p++ )
        for ( i = 0; i < p->words; i++ )
            p->start[i] = random(&seed) | 1;
}

static void parts_verify(uint64_t seed)
{
    const struct part *p;
    unsigned int i, wrong;

    for ( p = parts; p < parts + ARRAY_SIZE(parts); p++ )
    {
        for ( wrong = i = 0; i < p->words; i++ )
            wrong += p->start[i] != (uint32_t)(random(&seed) | 1);
        if ( wrong )
            bad("the page of %s: %u words are wrong", p->name, wrong);
    }
    if ( sum_of_hypercall() != hypercall_sum )
        bad("the hypercall page is another one");
}

/* ---- Hypercalls ---- */

#define CALL_FLUSH     0x0002UL
#define CALL_SPIN_WAIT 0x0008UL

static uint64_t call(uint64_t input, const void *params)
{
    register uint64_t out asm("r8") = 0;
    uint64_t ret, in = (uint64_t)params;

    asm volatile ( "call *%[page]"
                   : "=a" (ret), "+c" (input), "+d" (in), "+r" (out)
                   : [page] "r" (page_hypercall)
                   : "memory", "cc", "r9", "r10", "r11" );

    return ret;
}

static void calls_verify(const char *when)
{
    static const uint64_t everywhere[3] = { 0, 1, 0 };
    const uint64_t wait = call(CALL_SPIN_WAIT, NULL);
    const uint64_t flush = call(CALL_FLUSH, everywhere);

    if ( wait & 0xffff || flush & 0xffff )
        bad("%s: hypercalls return %lx and %lx", when, wait, flush);
}

/* ---- What is read ---- */

static const uint32_t msrs[] = {
    HV_OS_ID, HV_HYPERCALL, HV(0x02), HV_TSC_PAGE, HV(0x22), HV(0x23), HV_TPR,
    HV_ASSIST_PAGE, HV_SCONTROL, HV(0x81), HV_SIEFP, HV_SIMP,
    HV_SINT(0), HV_SINT(1), HV_SINT(2), HV_SINT(3), HV_SINT(4), HV_SINT(5), HV_SINT(6),
    HV_SINT(7), HV_SINT(8), HV_SINT(15), HV_CONFIG(TICK), HV_COUNT(TICK),
    HV_CONFIG(SOON), HV_COUNT(SOON), HV_CONFIG(UNREAD), HV_COUNT(UNREAD),
    HV_CONFIG(LATER), HV_COUNT(LATER), HV_CRASH(0), HV_CRASH(1), HV_CRASH(2),
    HV_CRASH(3), HV_CRASH(4),
};

#define NR_LEAVES 7

static struct reading {
    uint64_t msr[ARRAY_SIZE(msrs)];
    uint32_t leaf[NR_LEAVES][4];
} was;

static void read_all(struct reading *r)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(msrs); i++ )
        r->msr[i] = rdmsr(msrs[i]);
    for ( i = 0; i < NR_LEAVES; i++ )
        cpuid(0x40000000U + i, 0, r->leaf[i]);
}

static void reading_verify(void)
{
    static struct reading is;
    unsigned int i;

    read_all(&is);
    for ( i = 0; i < ARRAY_SIZE(msrs); i++ )
        if ( is.msr[i] != was.msr[i] )
            bad("MSR %x is %lx, was %lx", msrs[i], is.msr[i], was.msr[i]);
    for ( i = 0; i < NR_LEAVES; i++ )
        if ( memcmp(is.leaf[i], was.leaf[i], sizeof(is.leaf[i])) )
            bad("CPUID leaf %x is %x %x %x %x", 0x40000000U + i, is.leaf[i][0],
                is.leaf[i][1], is.leaf[i][2], is.leaf[i][3]);
}

/* ---- Reference time ---- */

/* System time less reference time, ns; of some tries the quickest. */
static int64_t behind(unsigned int tries)
{
    uint64_t best = ~0UL;
    int64_t result = 0;

    while ( tries-- )
    {
        const uint64_t before = now(), ref = rdmsr(HV_TIME), took = now() - before;

        if ( took < best )
        {
            best = took;
            result = before + took / 2 - ref * 100;
        }
    }

    return result;
}

static int64_t behind_before;
static uint64_t last_now, last_ref, longest, backwards;

static void look(void)
{
    const uint64_t ref = rdmsr(HV_TIME), at = now();

    backwards += ref < last_ref;
    if ( at - last_now > longest )
        longest = at - last_now;
    last_now = at;
    last_ref = ref;
}

static void watch(void)
{
    irqs_on();
    poll(console_port(), now() + 5 * MS);
    irqs_off();
    look();
}

static void time_verify(void)
{
    const int64_t stood = behind(20) - behind_before;
    const int64_t paused = arg("paused", UNKNOWN) * 1000;

    look();
    note("stood_us=%ld longest_us=%lu", stood / 1000, longest / 1000);
    if ( backwards )
        bad("reference time ran backwards %lu times", backwards);
    if ( arg("paused", UNKNOWN) != UNKNOWN &&
         (stood > paused + (int64_t)PAUSE_SLACK || stood < paused - (int64_t)PAUSE_SLACK) )
        bad("reference time stood still for %ld us, want %ld", stood / 1000,
            paused / 1000);
    behind_before += stood;
}

/* Since time_verify(). */
static void time_goes_on(void)
{
    const int64_t off = behind(20) - behind_before;
    uint64_t page_time, msr_time;

    note("drift_us=%ld tsc_page=%u", off / 1000, page_tsc.sequence);
    if ( off > (int64_t)SLACK || off < -(int64_t)SLACK )
        bad("reference time is off by %ld us since the update", off / 1000);

    if ( !page_tsc.sequence )
        return;
    page_time = (uint64_t)((unsigned __int128)tsc() * page_tsc.scale >> 64) +
                page_tsc.offset;
    msr_time = rdmsr(HV_TIME);
    if ( msr_time - page_time > REF_MS )
        bad("the reference TSC page says %lu, the MSR %lu", page_time, msr_time);
}

/* ---- Timers ---- */

static uint64_t ticks, last_tick, holes, doubles, strange, worst;
static uint64_t due, first_unread;
static struct { uint64_t count, expiration, delivery; } came[TIMERS];

/* The message of that timer, NULL: none. */
static volatile struct message *message_of(unsigned int timer)
{
    volatile struct message *const m = &messages[to[timer].sint];

    return m->type == EXPIRED && m->timer == timer ? m : NULL;
}

/* Takes it; the next one may come then. */
static void take(unsigned int timer)
{
    volatile struct message *const m = message_of(timer);

    if ( !m )
    {
        strange++;
        return;
    }
    came[timer].count++;
    came[timer].expiration = m->expiration;
    came[timer].delivery = m->delivery;
    m->type = 0;
    wrmsr(HV_EOM, 0);
}

static void tick(void)
{
    take(TICK);
    if ( ticks )
    {
        holes += came[TICK].expiration > last_tick + PERIOD;
        doubles += came[TICK].expiration < last_tick + PERIOD;
    }
    last_tick = came[TICK].expiration;
    if ( came[TICK].delivery - last_tick > worst )
        worst = came[TICK].delivery - last_tick;
    ticks++;
}

static void soon(void)
{
    take(SOON);
}

static void later(void)
{
    take(LATER);
}

static void timers_start(void)
{
    static void (*const also[TIMERS])(void) = { tick, soon, NULL, later };
    const uint64_t start = rdmsr(HV_TIME);
    unsigned int i;

    due = start + arg("later", 20000) * REF_MS;
    for ( i = 0; i < TIMERS; i++ )
    {
        irqs[to[i].vector].count = came[i].count = 0;
        irqs[to[i].vector].also = also[i];
        irqs[to[i].vector].keep = true;
        wrmsr(HV_COUNT(i), i == TICK ? PERIOD : i == UNREAD ? UNREAD_PERIOD
                           : i == SOON ? start + 50 * REF_MS : due);
        wrmsr(HV_CONFIG(i), ON | TO_SINT(to[i].sint) |
                            (i == TICK || i == UNREAD ? PERIODIC : 0));
    }

    irqs_on();
    if ( !wait_until(READ(ticks) >= 3 && READ(came[SOON].count) &&
                     message_of(UNREAD), 5000) )
        bad("%lu ticks, %lu of the one that is due soon, %s", ticks, came[SOON].count,
            message_of(UNREAD) ? "a message" : "no message");
    /* It expires once more, and has to wait. */
    nap(2 * UNREAD_PERIOD / REF_MS);
    irqs_off();
    if ( message_of(UNREAD) )
        first_unread = message_of(UNREAD)->expiration;
}

static void unread_verify(void)
{
    volatile struct message *m = message_of(UNREAD);

    if ( !m || m->expiration != first_unread )
    {
        bad("the message that nobody takes is of %lu, was of %lu",
            m ? m->expiration : 0, first_unread);
        return;
    }
    take(UNREAD);
    m = message_of(UNREAD);
    if ( !m )
        bad("no message waited behind the one that nobody takes");
    else if ( m->expiration != first_unread + UNREAD_PERIOD )
        bad("what waited for its message expired %ld us after the last, want %lu",
            (long)(m->expiration - first_unread) / 10, UNREAD_PERIOD / 10);
    if ( irqs[to[UNREAD].vector].count )
        bad("a masked SINT interrupts");
    wrmsr(HV_CONFIG(UNREAD), 0);
}

static void timers_verify(void)
{
    const uint64_t before = ticks;
    long left;

    unread_verify();
    irqs_on();
    if ( !wait_until(READ(ticks) >= before + 5, 3000) )
        bad("%lu ticks in 3 s", ticks - before);
    irqs_off();
    note("ticks=%lu worst_us=%lu", ticks, worst / 10);
    if ( holes || doubles || worst > PERIOD / 2 )
        bad("of %lu ticks %lu are too far from the last, %lu too near, one %lu us late",
            ticks, holes, doubles, worst / 10);

    left = (long)(due - rdmsr(HV_TIME)) / (long)REF_MS;
    if ( came[LATER].count )
        bad("the timer came already, due in %ld ms", left);
    note("left_ms=%ld", left);
    irqs_on();
    if ( !wait_until(READ(came[LATER].count), left > 0 ? left + 1000 : 1000) )
        bad("the timer does not come, due %ld ms ago", -left);
    nap(200);
    irqs_off();
    if ( came[LATER].count > 1 || came[SOON].count != 1 )
        bad("timers that are due once come %lu and %lu times", came[SOON].count,
            came[LATER].count);
    if ( came[LATER].expiration != due || came[LATER].delivery < due ||
         came[LATER].delivery > due + 20 * REF_MS )
        bad("the timer is of %lu and came at %lu, want %lu", came[LATER].expiration,
            came[LATER].delivery, due);
    if ( strange )
        bad("%lu interrupts without a message", strange);
}

/* ---- An interrupt that the VP assist page ends ---- */

static void let_in(void)
{
    irqs_on();
    irqs_off();
}

/* As long as VEC_SERVED is in service what comes does not ask the VP assist page. */
static void serve(void)
{
    irqs[VEC_SERVED].count = irqs[VEC_NEXT].count = 0;
    irqs[VEC_SERVED].keep = true;
    apic_set(APIC_SELF, VEC_SERVED);
    let_in();
    if ( irqs[VEC_SERVED].count != 1 || !(page_assist[0] & 1) )
        bad("an IPI to itself comes %lu times, the VP assist page is %x",
            irqs[VEC_SERVED].count, page_assist[0]);
}

static void served_verify(void)
{
    wrmsr(HV_CONFIG(TICK), 0);
    let_in();
    if ( page_assist[0] != 1 || !apic_bit(APIC_ISR, VEC_SERVED) )
        bad("the VP assist page is %x, vector %x is %s service", page_assist[0],
            VEC_SERVED, apic_bit(APIC_ISR, VEC_SERVED) ? "in" : "not in");
    page_assist[0] = 0;
    apic_set(APIC_SELF, VEC_NEXT);
    let_in();
    if ( irqs[VEC_NEXT].count != 1 || irqs[VEC_SERVED].count != 1 ||
         apic_bit(APIC_ISR, VEC_SERVED) )
        bad("ended by the VP assist page, vector %x came %lu times, the next %lu",
            VEC_SERVED, irqs[VEC_SERVED].count, irqs[VEC_NEXT].count);
}

/* ---- The test ---- */

static void check_signature(void)
{
    uint32_t r[4];

    cpuid(0x40000000, 0, r);
    if ( memcmp(&r[1], "Microsoft Hv", 12) || r[0] < 0x40000000 + NR_LEAVES - 1 )
        die("no Microsoft Hv: %x %x %x %x", r[0], r[1], r[2], r[3]);
}

static void off(void)
{
    unsigned int i;

    for ( i = 0; i < TIMERS; i++ )
        wrmsr(HV_CONFIG(i), 0);
    wrmsr(HV_SIMP, 0);
    wrmsr(HV_ASSIST_PAGE, 0);
    wrmsr(HV_TSC_PAGE, 0);
    wrmsr(HV_TPR, 0);
}

static void registers_write(uint64_t seed)
{
    unsigned int i;

    wrmsr(HV_OS_ID, OS_ID);
    wrmsr(HV_HYPERCALL, page(page_hypercall));
    hypercall_sum = sum_of_hypercall();
    wrmsr(HV_ASSIST_PAGE, page(page_assist));
    wrmsr(HV_TSC_PAGE, page(&page_tsc));
    wrmsr(HV_SCONTROL, ON);
    wrmsr(HV_SIEFP, random(&seed) & -PAGE);
    wrmsr(HV_SIMP, page(messages));
    for ( i = 0; i < 5; i++ )
        wrmsr(HV_CRASH(i), random(&seed));
    wrmsr(HV_SINT(SINT_BEFORE), MASKED | to[TICK].vector);
    for ( i = 0; i < TIMERS; i++ )
        wrmsr(HV_SINT(to[i].sint), to[i].vector | (i == UNREAD ? MASKED : AUTO_EOI));
    wrmsr(HV_TPR, TPR);
}

static void set(void)
{
    const uint64_t seed = arg("seed", 1) + 77;

    ticks = holes = doubles = strange = worst = longest = backwards = 0;
    check_signature();
    registers_write(seed);
    parts_fill(seed);
    calls_verify("at first");
    serve();
    timers_start();
    read_all(&was);
    if ( was.msr[0] != OS_ID || was.leaf[2][0] == 0 )
        bad("the guest's OS ID is %lx, CPUID leaf 2 %x", was.msr[0], was.leaf[2][0]);
    behind_before = behind(20);
    last_now = now();
    last_ref = rdmsr(HV_TIME);
    pastime = watch;
}

static void verify(void)
{
    pastime = NULL;
    time_verify();
    reading_verify();
    parts_verify(arg("seed", 1) + 77);
    calls_verify("after the update");
    timers_verify();
    time_goes_on();
    served_verify();
    off();
}

const struct test test_viridian = { "viridian", "Windows enlightenments", set, verify };

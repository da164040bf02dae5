/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The timer of the local APIC: mode=0 one-shot, 1 periodic, 2 TSC deadline, each
 *
 *   when=0  due in the gap: it is armed anew, `lead` ms ahead, so often that it is never
 *           due as long as the guest runs. One that comes less than GAP late was due
 *           for another reason, and the chase goes on
 *   when=1  due `later` ms after the command
 *   when=2  expired for good before the update
 *
 * Periodic timers have a period of `period` ms and no `when`.
 *
 * Happy path: one that is armed comes once, not before its time by more than SLACK, and
 * soon after it; one that had expired does not come again; ticks keep count and phase; the
 * current count is what the time left says, all against Xen's system time.
 *
 * What can fail: an interrupt too many, too few, too early, too late; a count: bad.
 */
#include "pvh.h"

#define VEC_TIMER 0xd1

/* Xen counts the APIC's bus at 100 MHz; the timer's divisor is 16. */
#define COUNT_NS (10UL * 16)
#define TDCR_16  0x3

/*
 * Between Xen's two clocks: guest time, from the TSC as of an entry, and what a timer
 * waits for; ns.
 */
#define SLACK (MS / 2)

#define GAP (10 * MS)

static unsigned int mode, when;
static uint64_t due, armed_at, period, lead, tsc_per_ms;
static uint64_t rearms, misses, worst_tick, last_tick;
static bool watch, caught, calibrate;

static struct irq *const irq = &irqs[VEC_TIMER];

static void arm(uint64_t ns)
{
    armed_at = now();
    due = armed_at + ns;
    if ( mode == 2 )
        wrmsr(MSR_TSC_DEADLINE, tsc() + ns * tsc_per_ms / MS);
    else
        apic_set(APIC_TMICT, ns / COUNT_NS);
}

/* TSC ticks in a ms, by what Xen says of it. */
static uint64_t tsc_rate(void)
{
    const volatile struct vcpu_time_info *t = &vcpu_info(0)->time;
    const uint64_t rate = (MS << 32) / t->tsc_to_system_mul;

    return t->tsc_shift < 0 ? rate << -t->tsc_shift : rate >> t->tsc_shift;
}

/*
 * Ticks are so many periods from armed_at on, which the soonest of the first ones tell:
 * Xen puts the first on a multiple of the period since it started.
 */
static void tick(void)
{
    uint64_t off;

    last_tick = now();
    if ( calibrate && last_tick - irq->count * period < armed_at )
        armed_at = last_tick - irq->count * period;
    off = (last_tick - armed_at) % period;
    off = off > period / 2 ? period - off : off;
    if ( watch && off > worst_tick )
        worst_tick = off;
}

static void let_in(void)
{
    irqs_on();
    irqs_off();
}

/* Never due, unless something lasts longer than `lead`. */
static void chase(void)
{
    let_in();
    caught = caught || (irq->count ? irq->first > due + GAP : now() > due + GAP);
    if ( caught )
    {
        poll(console_port(), 0);
        return;
    }

    misses += irq->count;
    irq->count = 0;
    rearms++;
    arm(lead);
    poll(console_port(), now() + lead / 8);
}

static void sleep_open(void)
{
    irqs_on();
    poll(console_port(), 0);
    irqs_off();
}

static void set(void)
{
    static const uint32_t lvtt[] = { 0, LVTT_PERIODIC, LVTT_DEADLINE };

    mode = arg("mode", 0) % 3;
    when = arg("when", 0);
    apic_set(APIC_TDCR, TDCR_16);
    apic_set(APIC_LVTT, VEC_TIMER | lvtt[mode]);
    irq->count = rearms = misses = worst_tick = 0;
    caught = false;
    irq->also = NULL;
    watch = false;
    tsc_per_ms = tsc_rate();
    note("tsc_khz=%lu", tsc_per_ms);
    pastime = sleep_open;

    if ( mode == 1 )
    {
        period = arg("period", 20) * MS;
        irq->also = tick;
        irqs_on();
        arm(period);
        armed_at += period;
        calibrate = true;
        if ( !wait_until(READ(irq->count) >= 10, 5000) )
            bad("the timer does not come");
        calibrate = false;
        irqs_off();
    }
    else if ( when == 0 )
    {
        lead = arg("lead", 4) * MS;
        pastime = chase;
        arm(lead);
    }
    else if ( when == 1 )
        arm(arg("later", 10000) * MS);
    else
    {
        irqs_on();
        arm(arg("ran", 400) * MS);
        if ( !wait_until(READ(irq->count), 5000) )
            bad("the timer does not come");
        irqs_off();
        if ( irq->count && irq->first + SLACK < due )
            bad("the timer comes %lu ns too early", due - irq->first);
        irq->count = 0;
    }
}

/* The current count, against the time that is left: 0 means that it must be 0. */
static void check_count(uint64_t left)
{
    const uint64_t count = mode == 2 ? 0 : apic(APIC_TMCCT) * COUNT_NS;
    const long off = count - left;

    if ( left ? off > (long)SLACK || off < -(long)(4 * SLACK) : count )
        bad("the current count stands for %lu ns, want %lu", count, left);
    note("count_off_us=%ld", left ? off / 1000 : 0);
}

/* Waits for it, if it has not come; it has to be the only one. */
static void verify_once(uint64_t allowed_ms)
{
    irqs_on();
    if ( !wait_until(READ(irq->count), allowed_ms) )
        bad("the timer does not come, due %ld us ago, count %u",
            (long)(now() - due) / 1000, mode == 2 ? 0 : apic(APIC_TMCCT));
    nap(arg("after", 500));
    irqs_off();
    if ( irq->count > 1 )
        bad("the timer comes %lu times, want 1", irq->count);
    if ( irq->count && irq->first + SLACK < due )
        bad("the timer comes %lu us too early", (due - irq->first) / 1000);
    if ( irq->count )
        note("late_us=%ld", (long)(irq->first - due) / 1000);
    check_count(0);
    if ( mode == 2 && rdmsr(MSR_TSC_DEADLINE) )
        bad("the deadline is still %lx", rdmsr(MSR_TSC_DEADLINE));
}

static void verify_ticks(void)
{
    uint64_t want_ticks, phase;

    irqs_on();
    nap(100);
    worst_tick = 0;
    watch = true;
    nap(500);
    irqs_off();
    watch = false;
    /* Half way between two ticks nobody can be wrong by one. */
    do {
        let_in();
        phase = (now() - armed_at) % period;
    } while ( phase < period / 4 || phase > period * 3 / 4 );
    want_ticks = (now() - armed_at) / period;
    /* Xen counts from when the last one was delivered (vlapic_pt_cb()). */
    check_count(period - (now() - last_tick));
    if ( irq->count != want_ticks )
        bad("%lu ticks in %lu ms, want %lu", irq->count, (now() - armed_at) / MS,
            want_ticks);
    if ( worst_tick > period / 4 )
        bad("a tick is %lu us out of phase", worst_tick / 1000);
    note("ticks=%lu worst_us=%lu", irq->count, worst_tick / 1000);
}

static void verify(void)
{
    if ( mode == 1 )
        verify_ticks();
    else if ( when == 0 )
    {
        note("rearms=%lu misses=%lu", rearms, misses);
        if ( !caught )
            bad("it was never due in a gap of %lu ms", GAP / MS);
        verify_once(100);
        if ( irq->count && irq->first - due > 1000 * MS )
            bad("the timer comes %lu ms late", (irq->first - due) / MS);
    }
    else if ( when == 1 )
    {
        const uint64_t left = due - now();

        if ( irq->count )
            bad("the timer came already, %ld ms after it was due",
                (long)(irq->first - due) / 1000000);
        else if ( (long)left < 0 )
            bad("%ld ms late already", -(long)left / 1000000);
        else
        {
            note("left_ms=%lu", left / MS);
            if ( mode == 0 )
                check_count(left);
            else if ( !rdmsr(MSR_TSC_DEADLINE) )
                bad("the deadline is gone");
            verify_once(left / MS + 1000);
            if ( irq->count && irq->first > due + 20 * MS )
                bad("the timer comes %lu us late", (irq->first - due) / 1000);
        }
    }
    else
    {
        irqs_on();
        nap(arg("after", 1000));
        irqs_off();
        if ( irq->count )
            bad("a timer that had expired comes again, %lu times", irq->count);
        check_count(0);
    }

    apic_set(APIC_LVTT, LVTT_MASKED);
    apic_set(APIC_TMICT, 0);
    let_in();
    pastime = NULL;
}

const struct test test_lapic = { "lapic", "the APIC's timer", set, verify };

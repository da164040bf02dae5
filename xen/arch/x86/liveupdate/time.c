/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TIME: system time across the update.  Included at the end of
 * arch/x86/time.c, whose clocks these are.
 *
 * Old Xen: every CPU notes its (TSC, system time) as it parks; when the stream
 * is written the latest of these clocks, brought to one TSC value, becomes the
 * pair that crosses.  No clock that a guest has seen was ahead of it.
 *
 * New Xen: the TSC went on counting, so one pair, the scale, and the old Xen's
 * verdict on the TSC are all it takes: early_time_init() sets them before
 * anything asks for the time, the platform timer is started again and tied to
 * that clock, other CPUs follow from either.  System time makes one step of the
 * gap's length.  No TSC is written or tested, nothing is calibrated, and the
 * CMOS clock is not read.
 *
 * An unreliable TSC makes no difference: then each CPU is corrected against the
 * platform timer from the first second on, as it was in the old Xen.
 *
 * What can fail: a platform timer that no longer works (hpet=0 on the new
 * command line, say) or a TSC that went back.  Both panic before any domain is
 * touched.  A platform timer of a hypervisor below us is a blocker.
 */
#include "../../../common/liveupdate/internal.h"
#include "../../../common/liveupdate/time.h"

#define LU_TIME_FLAGS (LU_TIME_F_CONSTANT | LU_TIME_F_NONSTOP | \
                       LU_TIME_F_RELIABLE | LU_TIME_F_NO_SYNC)

static const struct {
    uint32_t flag;
    unsigned int cap;
} lu_tsc_caps[] = {
    { LU_TIME_F_CONSTANT, X86_FEATURE_CONSTANT_TSC },
    { LU_TIME_F_NONSTOP,  X86_FEATURE_NONSTOP_TSC },
    { LU_TIME_F_RELIABLE, X86_FEATURE_TSC_RELIABLE },
};

/* ---- Old Xen --------------------------------------------------------------- */

struct lu_sample {
    uint64_t tsc;               /* 0: none taken */
    s_time_t stime;
    s_time_t platform;          /* platform time, a little before */
};
static DEFINE_PER_CPU(struct lu_sample, lu_sample);

void lu_time_sample(void)
{
    struct lu_sample *s = &this_cpu(lu_sample);

    s->platform = read_platform_stime(NULL);
    s->tsc = rdtsc_ordered();
    s->stime = get_s_time_fixed(s->tsc);
}

/*
 * The pair to hand over: this CPU's TSC now, and the latest system time that any
 * CPU would give at this instant.  With a constant TSC all count in step and the
 * TSC says how long ago a sample was taken.  Otherwise it may differ from CPU
 * to CPU, and the platform timer says it.  Errors of the reading order make the
 * result later, never earlier, by a few reads' time.
 */
static s_time_t latest_stime(uint64_t *tsc, bool with_samples)
{
    s_time_t stime, platform = 0;
    bool constant = boot_cpu_has(X86_FEATURE_CONSTANT_TSC);
    unsigned int cpu;

    *tsc = rdtsc_ordered();
    stime = get_s_time_fixed(*tsc);

    if ( !with_samples )
        return stime;

    if ( !constant )
        platform = read_platform_stime(NULL);

    for_each_online_cpu ( cpu )
    {
        const struct lu_sample *s = &per_cpu(lu_sample, cpu);
        s_time_t there = s->stime;

        if ( !s->tsc )
            continue;

        if ( !constant )
            there += platform - s->platform;
        else if ( *tsc > s->tsc )
            there += scale_delta(*tsc - s->tsc,
                                 &per_cpu(cpu_time, cpu).tsc_scale);

        stime = max(stime, there);
    }

    return stime;
}

static int cf_check check_time(const struct domain *d)
{
    if ( strcmp(plt_src.id, "hpet") && strcmp(plt_src.id, "acpi") &&
         strcmp(plt_src.id, "pit") && strcmp(plt_src.id, "tsc") )
        return lu_blocker(-EOPNOTSUPP, NULL,
                          "platform timer %s cannot cross an update",
                          plt_src.id);

    return 0;
}

static int cf_check save_time(struct lu_stream *s, struct domain *d)
{
    const struct time_scale *scale = &this_cpu(cpu_time).tsc_scale;
    struct lu_time_rec r = {
        .id = lu_id(&lu_kind_time, NULL, 0),
        .tsc_hz = clocksource_is_tsc() ? plt_src.frequency : cpu_khz * 1000,
        .tsc_mul = scale->mul_frac,
        .tsc_shift = scale->shift,
        .apic_bus_scale = lu_apic_bus_scale(),
        .flags = disable_tsc_sync ? LU_TIME_F_NO_SYNC : 0,
    };
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(lu_tsc_caps); i++ )
        if ( boot_cpu_has(lu_tsc_caps[i].cap) )
            r.flags |= lu_tsc_caps[i].flag;

    lu_wallclock_get(&r.wc_sec, &r.wc_nsec);
    strlcpy(r.platform, plt_src.id, sizeof(r.platform));

    /* A dry run has IRQs on and no use for a platform time or for samples. */
    r.stime = latest_stime(&r.tsc, s->page);

    return lu_rec_write(s, LU_REC_TIME, &r, sizeof(r));
}

/* ---- New Xen: before there are domains ------------------------------------- */

/* From the TIME record; stime is 0 in a Xen that was not updated to. */
static struct lu_time_rec __read_mostly lu_time;

const struct lu_time_rec *__init lu_boot_time(void)
{
    struct lu_rec rec;
    int rc;

    if ( lu_time.stime )
        return &lu_time;

    rc = lu_boot_record(LU_REC_TIME, LU_DOMID_HOST, &rec, &lu_time,
                        sizeof(lu_time));
    if ( rc )
        panic("live-update: TIME: %d\n", rc);

    if ( rec.id.version != 1 )
        panic("live-update: TIME: version %u, this Xen reads 1\n",
              rec.id.version);

    /* The scale's bounds are those of local_time_calibration(). */
    if ( lu_time.tsc_mul < 0x40000000 ||
         lu_time.tsc_shift < -31 || lu_time.tsc_shift > 31 )
        panic("live-update: TIME: TSC scale %#x << %d\n", lu_time.tsc_mul,
              lu_time.tsc_shift);

    if ( lu_time.stime <= 0 || lu_time.tsc_hz < 1000000 ||
         lu_time.tsc_hz >= (1ULL << 40) || lu_time.wc_nsec >= 1000000000 ||
         (lu_time.flags & ~LU_TIME_FLAGS) || lu_time.reserved ||
         lu_time.apic_bus_scale > (1U << 26) /* 256 GHz */ ||
         lu_time.platform[sizeof(lu_time.platform) - 1] )
        panic("live-update: TIME: system time %"PRId64", TSC %"PRIu64" Hz, wall clock %u ns, bus scale %u, flags %#x\n",
              lu_time.stime, lu_time.tsc_hz, lu_time.wc_nsec,
              lu_time.apic_bus_scale, lu_time.flags);

    if ( rdtsc_ordered() < lu_time.tsc )
        panic("live-update: TIME: TSC went back, was %#"PRIx64", is %#"PRIx64"\n",
              lu_time.tsc, rdtsc_ordered());

    return &lu_time;
}

/*
 * In place of the timers' own init functions, for try_platform_timer(): start
 * the hardware, but do not time the TSC against it, and trust the old Xen that
 * the timer is a good choice.
 */
static int64_t __init cf_check adopt_hpet(struct platform_timesource *pts)
{
    pts->frequency = hpet_setup();

    return pts->frequency ? lu_time.tsc_hz : 0;
}

static int64_t __init cf_check adopt_pmtimer(struct platform_timesource *pts)
{
    if ( !pmtmr_ioport || (pmtmr_width != 24 && pmtmr_width != 32) )
        return 0;

    pts->counter_bits = pmtmr_width;

    return lu_time.tsc_hz;
}

/* The old Xen left channel 2 counting. */
static int64_t __init cf_check adopt_pit(struct platform_timesource *pts)
{
    using_pit = true;

    return lu_time.tsc_hz;
}

static int64_t __init cf_check adopt_tsc(struct platform_timesource *pts)
{
    pts->frequency = lu_time.tsc_hz;

    return lu_time.tsc_hz;
}

/*
 * Platform time is `stime` where the timer counts `count`, so that the first
 * plt_overflow() does not take the days before for wraps of the counter.
 */
static void __init tie_platform_timer(uint64_t count, s_time_t stime)
{
    spin_lock(&platform_timer_lock);
    plt_stamp = count;
    plt_stamp64 = count;
    platform_timer_stamp = count;
    stime_platform_stamp = stime;
    spin_unlock(&platform_timer_lock);
}

/*
 * The old Xen's platform timer.  TSC can only be chosen once alternatives have
 * been applied (see lu_verify_tsc()); until then any other will do.
 */
static void __init adopt_platform_timer(void)
{
    static __initdata struct {
        struct platform_timesource *pts;
        int64_t (*init)(struct platform_timesource *pts);
    } timers[] = {
        { &plt_hpet, adopt_hpet },
        { &plt_pmtimer, adopt_pmtimer },
        { &plt_pit, adopt_pit },
    };
    bool any = !strcmp(lu_time.platform, plt_tsc.id);
    unsigned int i;

    if ( opt_clocksource[0] && strcmp(opt_clocksource, lu_time.platform) )
        printk(XENLOG_WARNING
               "live-update: clocksource=%s ignored: %s crosses the update\n",
               opt_clocksource, lu_time.platform);

    for ( i = 0; i < ARRAY_SIZE(timers); i++ )
    {
        struct platform_timesource *pts = timers[i].pts;

        if ( !any && strcmp(lu_time.platform, pts->id) )
            continue;

        pts->init = timers[i].init;
        if ( try_platform_timer(pts) > 0 )
        {
            tie_platform_timer(read_counter(), NOW());
            return;
        }
    }

    panic("live-update: TIME: platform timer '%s' of the old Xen does not work\n",
          lu_time.platform);
}

/* All of early_time_init(), on CPU0 with IRQs off. */
void __init lu_early_time_init(void)
{
    struct cpu_time *t = &this_cpu(cpu_time);
    unsigned int i;

    lu_boot_time();

    for ( i = 0; i < ARRAY_SIZE(lu_tsc_caps); i++ )
    {
        bool want = lu_time.flags & lu_tsc_caps[i].flag;

        if ( boot_cpu_has(lu_tsc_caps[i].cap) == want )
            continue;
        if ( want )
            setup_force_cpu_cap(lu_tsc_caps[i].cap);
        else
            setup_clear_cpu_cap(lu_tsc_caps[i].cap);
    }

    /* What follows from a TSC that cannot be written. */
    if ( lu_time.flags & LU_TIME_F_NO_SYNC )
    {
        disable_tsc_sync = true;
        if ( !boot_cpu_has(X86_FEATURE_NONSTOP_TSC) )
            cpuidle_disable_deep_cstate();
    }

    cpu_khz = lu_time.tsc_hz / 1000;
    t->tsc_scale.mul_frac = lu_time.tsc_mul;
    t->tsc_scale.shift = lu_time.tsc_shift;
    t->stamp.local_tsc = lu_time.tsc;
    t->stamp.local_stime = lu_time.stime;
    t->stamp.master_stime = lu_time.stime;

    preinit_pit();
    adopt_platform_timer();

    printk("live-update: TSC %lu.%03lu MHz, platform timer %s, as before\n",
           cpu_khz / 1000, cpu_khz % 1000, lu_time.platform);

    setup_irq(0, 0, &irq0);
}

/* In init_xen_time(), in place of reading the CMOS clock. */
void __init lu_init_wallclock(void)
{
    lu_wallclock_set(lu_time.wc_sec, lu_time.wc_nsec);
}

/*
 * init_percpu_time() makes TSC_ADJUST the same on all CPUs of a socket, which
 * moves their TSCs.  The old Xen has done that, and may have written TSCs since,
 * so hide the array it works from while APs come up.
 */
static uint64_t *__initdata hidden_tsc_adjust;

static int __init cf_check lu_hide_tsc_adjust(void)
{
    if ( lu_booting )
    {
        hidden_tsc_adjust = tsc_adjust;
        tsc_adjust = NULL;
    }

    return 0;
}
presmp_initcall(lu_hide_tsc_adjust);

static void __init cf_check note_tsc_adjust(void *unused)
{
    rdmsrl(MSR_IA32_TSC_ADJUST,
           hidden_tsc_adjust[cpu_to_socket(smp_processor_id())]);
}

static void __init cf_check set_percpu_time(void *unused)
{
    struct cpu_time *t = &this_cpu(cpu_time);

    t->stamp.local_tsc = lu_time.tsc;
    t->stamp.local_stime = lu_time.stime;
    t->stamp.master_stime = lu_time.stime;
}

/* All of verify_tsc_reliability(), with all CPUs up; no test, no wait. */
int __init lu_verify_tsc(void)
{
    if ( hidden_tsc_adjust )
    {
        on_selected_cpus(&cpu_online_map, note_tsc_adjust, NULL, 1);
        tsc_adjust = hidden_tsc_adjust;
    }

    if ( !strcmp(lu_time.platform, plt_tsc.id) )
    {
        plt_tsc.init = adopt_tsc;
        try_platform_timer(&plt_tsc);

        /*
         * All CPUs back on the one line that crossed, and the timer with them;
         * try_platform_timer_tail() ties it, but a little late.
         */
        on_selected_cpus(&cpu_online_map, set_percpu_time, NULL, 1);
        time_calibration_rendezvous_fn = time_calibration_nop_rendezvous;

        local_irq_disable();
        tie_platform_timer(lu_time.tsc, lu_time.stime);
        local_irq_enable();
        try_platform_timer_tail();
        local_irq_disable();
        tie_platform_timer(lu_time.tsc, lu_time.stime);
        local_irq_enable();
    }
    else if ( boot_cpu_has(X86_FEATURE_CONSTANT_TSC) &&
              !boot_cpu_has(X86_FEATURE_TSC_RELIABLE) )
        time_calibration_rendezvous_fn = time_calibration_tsc_rendezvous;

    time_calibration(NULL);

    return 0;
}

/*
 * For the waits of AP bring-up: `ms` milliseconds, but back as soon as *word is
 * no longer `value`.
 */
void lu_mdelay_while(unsigned int ms, const unsigned int *word,
                     unsigned int value)
{
    uint64_t end = rdtsc_ordered() + (uint64_t)ms * cpu_khz;

    while ( ACCESS_ONCE(*word) == value && rdtsc_ordered() < end )
        cpu_relax();
}

/* ---- New Xen: domains -------------------------------------------------------- */

/*
 * Called while *info, which is going to replace the guest's *old, can still be
 * changed.  On the first update after the gap tell the guest that it was
 * stopped, so that its watchdogs do not take the gap for a hang; and go on
 * telling until it has taken note by clearing the flag.  An area nobody has
 * written yet belongs to a vCPU that did not live through the gap.
 */
void lu_mark_stopped(const struct vcpu_time_info *old,
                     struct vcpu_time_info *info)
{
    if ( !lu_time.stime )
        return;

    if ( (old->system_time && old->system_time < lu_time.stime) ||
         (old->flags & XEN_PVCLOCK_GUEST_STOPPED) )
        info->flags |= XEN_PVCLOCK_GUEST_STOPPED;
}

static int cf_check audit_time(const struct lu_stream *s, struct domain *d)
{
    s_time_t now = NOW();

    if ( now < lu_time.stime )
        return lu_error(-EINVAL, NULL, "TIME: now %"PRId64", was %"PRId64,
                        now, lu_time.stime);
    if ( strcmp(plt_src.id, lu_time.platform) )
        return lu_error(-EINVAL, NULL, "TIME: platform timer %s, was %s",
                        plt_src.id, lu_time.platform);

    return 0;
}

/* Read by lu_early_time_init(), long before the passes. */
const struct lu_kind lu_kind_time = {
    .name = "TIME",
    .type = LU_REC_TIME,
    .size = sizeof(struct lu_time_rec),
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_BOOT,
    .check = check_time,
    .save = save_time,
    .audit = audit_time,
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs that went down, that are initialised and were never up, and that were never
 * initialised; the areas where Xen writes a vCPU's run states and its time, and infos
 * that were registered.
 *
 * Happy path: `set` lets one vCPU put itself down, and registers the areas of vCPU 0.
 * `verify` finds each in its state, brings the first up again, which goes on behind
 * its hypercall; with last=1 also the one that was never up.  Times in the run states
 * add up to the time that has passed.
 *
 * What can fail: a vCPU that is up and should not be, one that does not start, an
 * area that Xen does not write any more or that is wrong: bad.
 */
#include "micro.h"

static struct vcpu_runstate_info runstate, before, after;
static struct vcpu_time_info time_area;
static bool prepared;
static volatile bool ran;
static struct vcpu_register_vcpu_info info;
static uint64_t left_behind;

static void go_down(void *arg)
{
    hc_vcpu(VCPUOP_down, me(), NULL);
}

static void say_so(void *arg)
{
    ran = true;
}

static bool up(unsigned int vcpu)
{
    return hc_vcpu(VCPUOP_is_up, vcpu, NULL) == 1;
}

static uint64_t sum(const struct vcpu_runstate_info *r)
{
    return r->time[0] + r->time[1] + r->time[2] + r->time[3];
}

/* What Xen wrote when this vCPU last began to run, an instant ago. */
static void account(struct vcpu_runstate_info *r)
{
    nap(1);
    *r = runstate;
}

static void set(void)
{
    if ( !prepared )
    {
        struct vcpu_register_runstate_memory_area r = {};
        struct vcpu_register_time_memory_area t = {};

        vcpu_prepare(CPU_PREPARED);
        set_xen_guest_handle(r.addr.h, &runstate);
        want(hc_vcpu(VCPUOP_register_runstate_memory_area, 0, &r), "run states");
        set_xen_guest_handle(t.addr.h, &time_area);
        want(hc_vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &t), "time area");
        info.mfn = mfn_of(page_alloc());
        want(hc_vcpu(VCPUOP_register_vcpu_info, CPU_UNTOUCHED, &info), "vcpu_info");
        left_behind = READ(shared->vcpu_info[1].time.system_time);
        prepared = true;
    }

    account(&before);
    vcpu_do(CPU_DOWN, go_down, NULL);
    if ( !wait_until(!up(CPU_DOWN), 5000) )
        bad("a vCPU does not go down");
}

static void verify_areas(void)
{
    const struct vcpu_time_info *t = &vcpu_info(0)->time;
    struct vcpu_runstate_info now_;
    unsigned int tries = 3;

    account(&after);
    if ( sum(&after) - sum(&before) !=
         after.state_entry_time - before.state_entry_time )
        bad("run states: %lu ns are accounted for, %lu have passed",
            sum(&after) - sum(&before),
            after.state_entry_time - before.state_entry_time);

    want(hc_vcpu(VCPUOP_get_runstate_info, 0, &now_), "run states");
    if ( after.state != RUNSTATE_running ||
         now() - after.state_entry_time > 1000 * MS || sum(&after) > sum(&now_) )
        bad("area of run states: state %d since %lu, now %lu",
            after.state, after.state_entry_time, now());

    /* Xen may write both between two looks. */
    while ( READ(time_area.system_time) != t->system_time && --tries )
        ;
    if ( (READ(time_area.version) & 1) ||
         READ(time_area.system_time) != t->system_time ||
         READ(time_area.tsc_timestamp) != t->tsc_timestamp )
        bad("time area: %lu at TSC %lu, vcpu_info has %lu at %lu",
            time_area.system_time, time_area.tsc_timestamp, t->system_time,
            t->tsc_timestamp);
}

/* Infos in pages that were registered, of the second vCPU (events.c) and the last. */
static void verify_infos(void)
{
    const uint64_t *theirs = &shared->vcpu_info[1].time.system_time;
    long rc = hc_vcpu(VCPUOP_register_vcpu_info, CPU_UNTOUCHED, &info);

    if ( rc != -22 )
        bad("registering a vcpu_info again: %ld", rc);
    if ( READ(*theirs) != left_behind )
        bad("Xen writes to a vcpu_info that was left: time %lu, was %lu",
            READ(*theirs), left_behind);
}

static void verify(void)
{
    long rc;

    if ( up(CPU_DOWN) || up(CPU_UNTOUCHED) || (up(CPU_PREPARED) && !ran) )
        bad("up are: vCPU %u %u, %u %u, %u %u", CPU_DOWN, up(CPU_DOWN),
            CPU_PREPARED, up(CPU_PREPARED), CPU_UNTOUCHED, up(CPU_UNTOUCHED));
    rc = hc_vcpu(VCPUOP_up, CPU_UNTOUCHED, NULL);
    if ( rc != -22 )
        bad("bringing up what was never initialised: %ld", rc);

    want(hc_vcpu(VCPUOP_up, CPU_DOWN, NULL), "bringing up a vCPU");
    if ( !vcpu_wait(CPU_DOWN, 5000) )
        bad("a vCPU does not go on after it was down");

    verify_areas();
    verify_infos();

    if ( arg("last", 0) && !ran )
    {
        vcpu_do(CPU_PREPARED, say_so, NULL);
        if ( !vcpu_wait(CPU_PREPARED, 5000) || !ran )
            bad("a vCPU that was initialised does not come up");
    }
}

const struct test test_vcpus = { "vcpus", "vCPUs not up, areas", set, verify };

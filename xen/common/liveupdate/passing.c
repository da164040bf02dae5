/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What passes by itself: domains being destroyed, which are not carried, half taken
 * apart as they are, and gone soon; and what a hypercall was in the middle of.
 *
 * An update that meets one waits, before anything else is looked at, up to
 * liveupdate-wait= milliseconds (0: not at all; can be changed at run time).  The
 * calling vCPU sleeps a little and comes back, as preempted hypercalls do, and takes
 * interrupts in between.  Whether it then runs another process, such as the one that
 * destroys, is up to dom0's kernel: Linux does so only if built without
 * PREEMPTION, or preempt=full.  Its other vCPUs go on in any case, and one of them may
 * end the wait with XEN_LIVE_UPDATE_abort.
 *
 * Some states last for moments and are found late: while it saves for practice, or in
 * the freeze.  Where the errno says that trying again may help, all is undone, and it
 * is tried again when the domains have run for a little, MOST_TRIES times within
 * liveupdate-wait= milliseconds.
 *
 * What can fail: time runs out, and it is a blocker then.  A domain that is dead
 * and still has pages says who has mapped grants of it.
 */
#include <xen/grant_table.h>
#include <xen/param.h>
#include <xen/sched.h>
#include <xen/time.h>
#include <xen/timer.h>

#include "internal.h"

/* Each costs the domains a freeze, and the caller a nap. */
#define MOST_TRIES 10

/* Milliseconds.  An hour is more than anybody wants, and no overflow. */
#define WAIT_MAX (3600U * 1000)
static unsigned int __read_mostly opt_wait = 5000;
integer_runtime_param("liveupdate-wait", opt_wait);

/* Who has mapped most of d's grants, NULL for nobody; domlist_read_lock held. */
static const struct domain *most_grants(const struct domain *d, unsigned int *nr)
{
    const struct domain *ld, *most = NULL;

    *nr = 0;
    for_each_domain ( ld )
    {
        const unsigned int maps = lu_grants_mapped(ld, d->domain_id);

        if ( ld == d || maps <= *nr )
            continue;
        *nr = maps;
        most = ld;
    }

    return most;
}

static int cf_check check_passing(const struct domain *d)
{
    const unsigned int pages = domain_tot_pages(d) + d->xenheap_pages;
    const struct domain *ld;
    unsigned int nr;

    if ( d->is_dying == DOMDYING_alive )
        return 0;

    if ( d->is_dying != DOMDYING_dead )
        return lu_blocker(-EBUSY, d, "destruction: under way, %u pages are left",
                          pages);

    ld = most_grants(d, &nr);
    if ( ld )
        return lu_blocker(-EBUSY, d,
                          "destruction: %u pages are left, d%d has mapped %u of its grants",
                          pages, ld->domain_id, nr);

    if ( pages )
        return lu_blocker(-EBUSY, d,
                          "destruction: %u pages are left, others have mapped them",
                          pages);

    return lu_blocker(-EBUSY, d, "destruction: somebody still refers to it");
}

const struct lu_kind lu_kind_passing = {
    .name = "passing",
    .per_domain = true,
    .check = check_passing,
};

/* The first domain that has something to wait for, DOMID_INVALID for none. */
static domid_t first_passing(void)
{
    const struct domain *d;
    domid_t domid = DOMID_INVALID;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
        if ( d->is_dying != DOMDYING_alive )
        {
            domid = d->domain_id;
            break;
        }
    rcu_read_unlock(&domlist_read_lock);

    return domid;
}

static struct vcpu *sleeper;

static void cf_check wake_sleeper(void *unused)
{
    vcpu_unblock(sleeper);
}

static s_time_t deadline;       /* 0: nobody waits */
static bool aborted;

bool lu_waiting(void)
{
    return deadline;
}

unsigned int lu_wait_ms(void)
{
    return min(ACCESS_ONCE(opt_wait), WAIT_MAX);
}

int lu_wait_abort(void)
{
    if ( !deadline )
        return -ENOENT;
    aborted = true;

    return 0;
}

void lu_wait_reset(void)
{
    deadline = 0;
    aborted = false;
}

bool lu_wait_aborted(void)
{
    bool was = aborted;

    aborted = false;

    return was;
}

bool lu_wait(bool wanted)
{
    static struct timer nap;
    const domid_t domid = wanted ? first_passing() : DOMID_INVALID;
    const unsigned int ms = lu_wait_ms();

    if ( domid != DOMID_INVALID && !deadline )
    {
        deadline = NOW() + MILLISECS(ms);
        if ( ms )
            printk(XENLOG_INFO
                   "live-update: waiting up to %u ms for d%d, which is being destroyed\n",
                   ms, domid);
    }

    if ( domid == DOMID_INVALID || aborted || NOW() >= deadline )
    {
        deadline = 0;
        return false;
    }

    if ( !sleeper )
        init_timer(&nap, wake_sleeper, NULL, smp_processor_id());
    sleeper = current;
    vcpu_block();
    set_timer(&nap, NOW() + LU_NAP);

    return true;
}

bool lu_again(int rc)
{
    static s_time_t until;
    static unsigned int tries;

    if ( rc == -EAGAIN || rc == -EBUSY )
    {
        if ( !tries )
            until = NOW() + MILLISECS(lu_wait_ms());
        if ( ++tries < MOST_TRIES && NOW() < until )
            return true;
    }

    tries = 0;
    return false;
}

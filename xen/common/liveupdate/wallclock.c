/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wall clock: part of the TIME record, see arch/x86/liveupdate/time.c.
 * Included at the end of common/time.c, whose variables these are.
 *
 * It is kept as the time of day at system time 0.  System time goes on across
 * the update, so the value stays right, and so do the copies in the domains'
 * shared info pages: nothing there is written, no CMOS clock is read.
 *
 * Nothing can fail here.
 */
#include "time.h"

void lu_wallclock_get(uint64_t *sec, uint32_t *nsec)
{
    *sec = wc_sec;
    *nsec = wc_nsec;
}

void lu_wallclock_set(uint64_t sec, uint32_t nsec)
{
    wc_sec = sec;
    wc_nsec = nsec;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC timer's rate: part of the TIME record, see time.c here.
 * Included at the end of arch/x86/apic.c, whose variable this is.
 *
 * The old Xen measured it for 50 ms; the new one takes the figure over.  An old
 * Xen that used the TSC deadline timer has none: if the new one needs it (tdt=0
 * on its command line) it measures as on any boot.
 */
#include "../../../common/liveupdate/time.h"

uint32_t lu_apic_bus_scale(void)
{
    return bus_scale;
}

bool __init lu_adopt_apic_timer(void)
{
    bus_scale = lu_boot_time()->apic_bus_scale;

    return bus_scale;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page of a micro-guest's (tests/guests/queued.c) in which it and dom0 (queued.c) agree
 * on which of its vCPUs have an exception queued.
 */
#ifndef QUEUED_H
#define QUEUED_H

#include <stdint.h>

struct queued_box {
    uint32_t down;      /* the guest: vCPUs are down, for the nth time */
    uint32_t seen;      /* dom0: has looked at them that often, and of these vCPUs, */
    uint32_t again;     /* a bit for each, none has an exception queued */
};

#endif

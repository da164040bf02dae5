/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of state that cross a live update, in stream order.
 *
 * HOST comes first and everything of the host before any domain; DOMAIN first of
 * each domain.  Within one restore pass this is also the order of restoring, so
 * the comments here are the ordering rules.
 */
#include "internal.h"

const struct lu_kind *const lu_kinds[] = {
    &lu_kind_host,
    &lu_kind_memory,
    &lu_kind_m2p,
    &lu_kind_cpus,
    &lu_kind_kexec,
    &lu_kind_grant_limits,

    &lu_kind_domain,
    &lu_kind_caps,
    &lu_kind_grant,
    /* Ports before FIFO, which switches the domain's ports over. */
    &lu_kind_evtchn,
    &lu_kind_evtchn_fifo,
    &lu_kind_grant_maps,
};

const unsigned int lu_nr_kinds = ARRAY_SIZE(lu_kinds);

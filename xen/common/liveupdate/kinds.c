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
};

const unsigned int lu_nr_kinds = ARRAY_SIZE(lu_kinds);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update: what the rest of Xen may call.
 *
 * With CONFIG_LIVE_UPDATE off every call is an empty inline and every predicate
 * is constant false, so the code around it is what it was.
 */
#ifndef __XEN_LIVEUPDATE_H__
#define __XEN_LIVEUPDATE_H__

#include <xen/types.h>

struct domain;
struct page_info;

#ifdef CONFIG_LIVE_UPDATE

/* This Xen was started by a live update and still carries the old one's state. */
extern bool lu_booting;

#else /* !CONFIG_LIVE_UPDATE */

#define lu_booting false

#endif /* CONFIG_LIVE_UPDATE */

#endif /* __XEN_LIVEUPDATE_H__ */

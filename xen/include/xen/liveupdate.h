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

#include <public/kexec.h>

struct domain;
struct kexec_image;
struct page_info;
struct vcpu;
struct viridian_stimer;

#ifdef CONFIG_LIVE_UPDATE

/* This Xen was started by a live update and still carries the old one's state. */
extern bool lu_booting;

/* A zone was set aside: updates from this Xen are possible. */
bool lu_enabled(void);

/* Does the frame belong to the zone?  No owner, no allocator may have it. */
bool lu_zone_mfn(unsigned long mfn);

/* KEXEC_RANGE_MA_LIVEUPDATE; -ENODEV without a zone. */
int lu_kexec_region(xen_kexec_range_t *range);
/* KEXEC_RANGE_MA_XEN: true, and the free slot, if there is a zone. */
bool lu_kexec_xen(xen_kexec_range_t *range);
/* kexec type 2: -errno if a segment does not lie where images may go. */
int lu_check_segments(paddr_t entry, unsigned int nr,
                      const xen_kexec_segment_t *seg);
/* kexec type 2, segments in place: -errno if the image must not be used. */
int lu_image_check(const struct kexec_image *image);
/* Would it work?  Idle vCPU of CPU0; -errno, reported.  NULL: no image is loaded. */
long lu_check(const struct kexec_image *image);
/*
 * The update itself; idle vCPU of CPU0, `caller` paused.  Returns only to refuse,
 * -errno, or -ERESTART: call it again when the domains have run for a little.
 */
long lu_exec(struct kexec_image *image, struct vcpu *caller);

/*
 * Grant tables, while domains are created in lu_booting.  The first lets the
 * limits allow what the domain had; the second makes d's grant table of the
 * frames it had, in place of growing an empty one (grant table lock held for
 * writing; 0 or -errno, reported).
 */
void lu_grant_raise_limits(int max_frames, int max_maptrack_frames,
                           unsigned int options);
int lu_grant_adopt(struct domain *d);

/*
 * In do_domctl(), domctl lock held: the domid that was chosen for a new domain, and
 * where the first search for one begins, as if the old Xen's had gone on.
 */
void lu_domid_given(domid_t dom);
void lu_domid_search(domid_t *dom);

/*
 * Free memory, see liveupdate/heap.c.  While updating, what the boot allocator has
 * left waits to join the heap, and whoever would get no memory joins some of it.
 */
void lu_init_heap_pages(struct page_info *pg, unsigned long nr);
struct page_info *lu_alloc_heap_pages(unsigned int zone_lo,
                                      unsigned int zone_hi,
                                      unsigned int order,
                                      unsigned int memflags,
                                      struct domain *d);
extern const struct page_info *lu_joining;
void lu_heap_joined(unsigned int node, unsigned int zone, unsigned int order);
static inline void lu_heap_count(const struct page_info *pg, unsigned int node,
                                 unsigned int zone, unsigned int order)
{
    if ( unlikely(pg == lu_joining) )
        lu_heap_joined(node, zone, order);
}

/*
 * A synthetic timer of a vCPU that is let go: true if it was restored, and goes on just as
 * it was.  See liveupdate/viridian.c.
 */
bool lu_stimer_thaw(struct viridian_stimer *vs);

/* A port is made pending.  Debug builds count, see lu_evtchn_unchanged(). */
#ifndef NDEBUG
extern unsigned int lu_evtchn_gen;
static inline void lu_evtchn_touched(void) { lu_evtchn_gen++; }
#else
static inline void lu_evtchn_touched(void) {}
#endif

/*
 * PV page tables.  While lu_restoring, what is validated is a table that the old
 * Xen has validated before: L1 tables go to lu_pv_promote_l1(), nothing is preempted,
 * IOMMU tables are left alone.  lu_preempt_check() also works on the idle vCPU,
 * which tears tables down before and validates them after the jump.
 */
extern bool lu_restoring;
int lu_pv_promote_l1(struct page_info *page);
#define lu_preempt_check() (!lu_restoring && general_preempt_check())

#else /* !CONFIG_LIVE_UPDATE */

#define lu_booting false
#define lu_restoring false
static inline int lu_pv_promote_l1(struct page_info *page) { return 0; }
static inline bool lu_zone_mfn(unsigned long mfn) { return false; }
static inline bool lu_kexec_xen(xen_kexec_range_t *range) { return false; }

static inline void lu_grant_raise_limits(int max_frames,
                                         int max_maptrack_frames,
                                         unsigned int options) {}
static inline int lu_grant_adopt(struct domain *d) { return 0; }
static inline void lu_domid_given(domid_t dom) {}
static inline void lu_domid_search(domid_t *dom) {}
#define lu_init_heap_pages init_heap_pages
#define lu_alloc_heap_pages alloc_heap_pages
static inline void lu_heap_count(const struct page_info *pg, unsigned int node,
                                 unsigned int zone, unsigned int order) {}
static inline bool lu_stimer_thaw(struct viridian_stimer *vs) { return false; }
static inline void lu_evtchn_touched(void) {}

#endif /* CONFIG_LIVE_UPDATE */

#endif /* __XEN_LIVEUPDATE_H__ */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of live update share with each other and with nobody else.
 *
 * One kind of state is one file: a struct lu_kind with check, save and restore
 * next to each other, listed in the table of kinds.c in stream order.
 */
#ifndef LU_INTERNAL_H
#define LU_INTERNAL_H

#include <xen/errno.h>
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/sched.h>

#include <public/liveupdate_op.h>

#include "stream.h"

/*
 * Restore walks the whole stream once per pass, over all domains, so that a pass
 * may rely on what earlier passes did for any domain.  Within a pass records
 * come in stream order (the host's, then domain by domain in table order).
 */
enum lu_pass {
    LU_PASS_BOOT,       /* read by xen#2's boot hooks through lu_stream_boot() */
    LU_PASS_HOST,       /* before any domain exists: limits, PCI, MMCFG, ... */
    LU_PASS_CREATE,     /* domains, capabilities, vCPUs */
    LU_PASS_OWN,        /* page ownership, shared Xen pages */
    LU_PASS_TYPE,       /* PV page types, foreign references */
    LU_PASS_STATE,      /* vCPU state, grants, event channels, timers */
    LU_PASS_WIRE,       /* what needs ports and vCPUs: IRQs, MSI, handlers */
    LU_PASS_AUDIT,      /* nothing but checks */
    LU_NR_PASSES
};

/* How many records of a kind there are, of the host or of each domain or vCPU. */
enum lu_number {
    LU_ONE,
    LU_ONE_IF_PV,       /* one of a PV domain, none of others */
    LU_ONE_IF_HVM,      /* one of an HVM or PVH domain, none of others */
    LU_MAYBE,           /* none or one */
    LU_EACH,            /* any number; instances differ */
};

struct kexec_image;

struct lu_kind {
    const char *name;           /* in messages: the record's name in the spec */
    uint32_t type;              /* LU_REC_*; 0: a kind that only checks */
    uint16_t version;           /* written; */
    uint16_t min_version;       /* oldest read */
    uint8_t pass;               /* enum lu_pass of restore */
    bool per_domain;
    bool per_vcpu;              /* and id.instance is the vCPU, from 0 on */
    uint8_t number;             /* enum lu_number */

    /*
     * The body of `version`: bytes of the fixed part, and of one element of each
     * array behind it; `count` is the offset of the uint32_t that counts it.
     */
    uint16_t size;
    struct lu_array {
        uint16_t count, size;
    } array[3];
#define LU_ARRAY(body, field, elem) \
    { offsetof(struct body, field), sizeof(elem) }
    bool optional;              /* no domain misses it: an image need not read it */

    /*
     * Blockers.  d is NULL for a kind of the host.  Called while everything
     * runs, and again after the freeze; takes no sleeping lock, changes nothing.
     * Reports each blocker with lu_blocker() and returns 0, or the errno of the
     * first one.
     */
    int (*check)(const struct domain *d);

    /*
     * Write the kind's records (none, one or several).  Called twice: dry, while
     * everything runs, to learn the size (what it sees may change under it: it
     * must not crash then), and for good with all domains frozen, all other CPUs
     * parked and IRQs off.  Must not allocate, sleep, print or change state.
     */
    int (*save)(struct lu_stream *s, struct domain *d);

    /*
     * Rebuild from one record.  d is the record's domain, NULL for the host.
     * Called in xen#2 before any domain runs, on CPU0 with IRQs on, current is
     * the idle vCPU.  An error is fatal: the caller panics with its name.
     */
    int (*restore)(const struct lu_stream *s, const struct lu_rec *rec,
                   struct domain *d);

    /* Optional, called once per domain (or NULL) in LU_PASS_AUDIT. */
    int (*audit)(const struct lu_stream *s, struct domain *d);
};

extern const struct lu_kind lu_kind_host, lu_kind_cpus, lu_kind_memory,
                            lu_kind_m2p, lu_kind_domain, lu_kind_caps,
                            lu_kind_kexec, lu_kind_crash_area,
                            lu_kind_livepatch,
                            lu_kind_passing, lu_kind_frozen;
extern const struct lu_kind lu_kind_time, lu_kind_tsc, lu_kind_sched_global,
                            lu_kind_sched, lu_kind_affinity,
                            lu_kind_vcpu_timer, lu_kind_watchdog;
extern const struct lu_kind lu_kind_evtchn, lu_kind_evtchn_fifo, lu_kind_grant,
                            lu_kind_grant_maps, lu_kind_grant_limits;
extern const struct lu_kind lu_kind_policy, lu_kind_pagetables,
                            lu_kind_pv_domain, lu_kind_pv_vcpu,
                            lu_kind_pv_xsave;
extern const struct lu_kind lu_kind_p2m, lu_kind_hvm_domain,
                            lu_kind_hvm_context, lu_kind_hvm_vcpu,
                            lu_kind_cacheattr, lu_kind_lapic_timer,
                            lu_kind_ioreq, lu_kind_hvm_io,
                            lu_kind_platform_timers, lu_kind_viridian;
extern const struct lu_kind lu_kind_mmcfg, lu_kind_gsi, lu_kind_pci,
                            lu_kind_pirq;
extern const struct lu_kind lu_kind_px, lu_kind_px_policy, lu_kind_cx,
                            lu_kind_pm, lu_kind_conring;
extern const struct lu_kind *const lu_kinds[];
extern const unsigned int lu_nr_kinds;
/* The index in lu_kinds[] of the kind with that record type; lu_nr_kinds: none. */
unsigned int lu_kind_index(uint32_t type);
/* rules.c: how many records of each kind it has seen. */
extern unsigned int lu_kind_seen[];

/* Fills the prefix of a body.  d NULL: the host. */
static inline struct lu_id_rec lu_id(const struct lu_kind *k,
                                     const struct domain *d, uint32_t instance)
{
    return (struct lu_id_rec){
        .version = k->version,
        .domid = d ? d->domain_id : LU_DOMID_HOST,
        .instance = instance,
    };
}

/*
 * Report a blocker: logs it.  `rc` says whether trying again may help (-EBUSY,
 * -EAGAIN) or not (-EOPNOTSUPP).  Returns rc so that a check can keep the first
 * one.  docs/designs/live-update.md lists every message.
 */
int lu_blocker(int rc, const struct domain *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* In a check of domain `d`, which keeps the first errno in `first`. */
#define BLOCK(cond, rc, ...)                            \
    do {                                                \
        if ( cond )                                     \
        {                                               \
            int rc_ = lu_blocker(rc, d, __VA_ARGS__);   \
                                                        \
            first = first ?: rc_;                       \
        }                                               \
    } while ( 0 )

/*
 * losses.c: blockers of the host that an administrator may choose to lose.  lu_loss() is
 * lu_blocker() of one, or says what will be lost and returns 0.  The others are asked
 * with other kexec hypercalls kept out: entry `i`, or -ENOENT; allow the one of that
 * name, none any more if it is "", or -ENOENT, -EINVAL.
 */
enum lu_loss {
    LU_LOSS_KEXEC_IMAGE,
    LU_LOSS_CRASH_IMAGE,
    LU_LOSS_LIVEPATCH,
};
int lu_loss(enum lu_loss which, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool lu_loss_allowed(enum lu_loss which);
void lu_losses_reset(void);
int lu_loss_get(unsigned int i, struct xen_live_update_loss *out);
int lu_loss_allow(const struct xen_live_update_loss *in);

/* Log an error of save or restore: "live-update: dN: <fmt> (-errno)". */
int lu_error(int rc, const struct domain *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* exec.c: all domains are frozen, the blockers are being looked for again. */
extern bool lu_frozen;

/*
 * What the last load, check or execution found, for XEN_LIVE_UPDATE_report.  From
 * lu_report_begin() to lu_report_end(), which returns its rc, whatever is a blocker or an
 * error is kept, under the name of the kind given last (NULL: the image); a check logs
 * nothing.  Callers hold the flag that keeps other kexec hypercalls out.
 */
#define LU_NR_REPORTS 64
struct lu_reports {
    unsigned int op;            /* XEN_LIVE_UPDATE_OP_* */
    unsigned int attempt;
    int rc;
    unsigned int nr, lost;
    struct xen_live_update_report report[LU_NR_REPORTS];
};
extern struct lu_reports lu_reports;
void lu_report_begin(unsigned int op);
int lu_report_end(int rc);
void lu_report_feature(const char *name);
/* What a line of the log begins with; `flags` are XEN_LIVE_UPDATE_R_*. */
const char *lu_report_prefix(unsigned int flags);

/*
 * dump.c.  New Xen, CPU 0, the domains run: keep the stream.  How long it is, 0: there is
 * none (any more), and what memory it takes.  The rest under the flag that keeps other
 * kexec hypercalls out: chunk number `chunk`, 0 or -ENOENT; scrub and free it, 0 or, in a
 * hypercall that somebody waits for, -ERESTART: call it again.
 */
void lu_dump_keep(void);
uint64_t lu_dump_bytes(void);
unsigned long lu_dump_pages(void);
int lu_dump_read(uint32_t chunk, struct xen_live_update_dump *out);
int lu_dump_drop(void);

/* status.c: the answers to questions that only look; 0 or -errno. */
int lu_query(struct xen_live_update *op, const struct kexec_image *image);

/* load.c: the same for the image that is loaded; -EBUSY: another hypercall is under way. */
int lu_query_now(struct xen_live_update *op);

/* The vCPU a record names, or NULL (out of range, not created). */
struct vcpu *lu_vcpu(const struct domain *d, uint32_t instance);

/* rules.c, xen#2: panics if a record breaks a rule that holds for any record. */
void lu_check_rules(const struct lu_stream *s);

/* xen#2: the stream being restored, NULL when this is an ordinary boot. */
const struct lu_stream *lu_stream_boot(void);

/*
 * xen#2: read the fixed part of the first record of that type (domid may be
 * LU_DOMID_HOST) from any boot hook.  0, -ENOENT, or -EBADMSG if it is shorter.
 */
int lu_boot_record(uint32_t type, uint16_t domid, struct lu_rec *rec,
                   void *dst, size_t len);

/* Longest array element count that fits the rest of a record, for checks. */
static inline bool lu_array_fits(const struct lu_rec *rec, size_t head,
                                 size_t elem, uint64_t nr)
{
    return rec->length >= head && nr <= (rec->length - head) / elem;
}

/* Progress of the update under way (old Xen) or just made (new Xen). */
struct lu_progress {
    uint64_t updates;           /* made so far on this host */
    uint64_t pause_tsc, parked_tsc;
    uint64_t start_tsc;         /* new Xen: entry of its C code */
    uint64_t saved_tsc;         /* new Xen: from the breadcrumb */
    uint64_t restored_tsc;
    uint64_t released_tsc;
    uint64_t pass[LU_NR_PASSES];
    uint64_t kept;              /* pages */
    struct lu_host_rec from;    /* new Xen: its predecessor */
};
extern struct lu_progress lu_progress;
/* Nanoseconds between two values of the TSC, 0 if they are the other way round. */
uint64_t lu_tsc_ns(uint64_t from, uint64_t to);

/*
 * gap.c, CPU 0.  Old Xen, everything runs: room for the freeze, 0 or -ENOMEM; free it.
 * d is about to be stopped; new Xen: it has been let go.
 */
int lu_gaps_prepare(void);
void lu_gaps_done(void);
void lu_gap_begin(const struct domain *d);
void lu_gap_end(const struct domain *d);
/* New Xen: number `i`, or -ENOENT. */
int lu_gap(unsigned int i, struct xen_live_update_gap *gap);

/* The domain of that ID, or NULL; restore only, so without a reference. */
struct domain *lu_domain(uint16_t domid);

/*
 * Hypercall of a domain's vCPU: whether to come back, as something passes by itself
 * and the time for that is not up.  The vCPU is blocked then, for a moment.  Not
 * `wanted`: a wait that has begun is over, as the image has gone meanwhile.  The
 * caller sees to it that no two vCPUs are in here.
 */
bool lu_wait(bool wanted);
/*
 * Is somebody waiting, for the image that is loaded?  End that, or -ENOENT.  Was it ended
 * (asked once)?  Another image: who waited for the last one has to begin again.
 */
void lu_wait_reset(void);
bool lu_waiting(void);
int lu_wait_abort(void);
bool lu_wait_aborted(void);
unsigned int lu_wait_ms(void);
/*
 * lu_exec(): whether to try again after LU_NAP, `rc` being what refused after no
 * blocker had been found, 0 if it was a blocker.
 */
bool lu_again(int rc);
/* Between two looks at what passes; domains run. */
#define LU_NAP MILLISECS(10)

/* How many grants of domain rd, or DOMID_INVALID, has ld mapped?  No locks. */
unsigned int lu_grants_mapped(const struct domain *ld, domid_t rd);

/* pages.c: extent `i` of a MEMORY record with that fixed part; as lu_rec_read(). */
int lu_read_extent(const struct lu_stream *s, const struct lu_rec *rec,
                   const struct lu_memory_rec *mem, uint32_t i,
                   struct lu_extent_rec *ext);

/* pages.c: the list of pages that no owner tells of; see there. */
int lu_pages_prepare(unsigned int nr_internal);
void lu_pages_internal(unsigned long mfn, unsigned int count);
void lu_pages_seal(void);
int lu_pages_collect(void);
void lu_pages_done(void);
/* New Xen, all references taken again: restore's own go. */
void lu_pages_resume(void);

/* image.c, of the loaded image: bytes of frame table per page; */
unsigned int lu_image_page_info_size(void);
/* ... its 32-bit multiboot2 entry, and the information block it wants; */
void lu_image_entry(paddr_t *entry, paddr_t *mbi);
/* ... its note, its build id, and entry `i` of the note's table, false: no such. */
const struct lu_note_rec *lu_image_note(void);
unsigned int lu_image_build_id(const uint8_t **id);
bool lu_image_record(unsigned int i, struct lu_note_entry_rec *e);
/* note.c: the same of this Xen. */
bool lu_own_record(unsigned int i, struct lu_note_entry_rec *e);
/* fits.c: 0, or -errno if a build of that note cannot take these domains over. */
int lu_image_fits(const struct lu_note_rec *n, const char *cmdline);
int lu_domains_fit(const struct lu_note_rec *n);
/* ... 0, or -EIO if it is not what was loaded, -errno if it fits no longer. */
int lu_image_verify(const struct kexec_image *image);

/* pages.c: each save leaves here what the next Xen will find free. */
#define LU_ROOM_RANGES 128
struct lu_room {
    unsigned int nr;
    unsigned long pages;        /* of all ranges, also of those not kept */
    struct lu_room_range {
        unsigned long s, e;     /* mfns, e not included */
    } range[2 * LU_ROOM_RANGES];
};
extern struct lu_room lu_room;

/* room.c: keep a free range if it is one of the largest. */
void lu_room_add(struct lu_room *room, unsigned long s, unsigned long e);
/* 0, or -ENOMEM if the next Xen's frame table does not fit; uses room up. */
int lu_room_check(struct lu_room *room, unsigned int page_info_size);

/* heap.c, CPU 0: free memory joins the heap from now on; has joined it. */
void lu_heap_start(void);
void lu_heap_finish(void);
/* heap.c: pages that d has claimed; it has all that it owned then. */
void lu_set_claim(struct domain *d, unsigned int pages);

/* ---- What the architecture provides --------------------------------------- */

/* MFNs that crashkernel= has set aside; of count 0 if there are none. */
struct lu_range_rec lu_crash_area(void);
void lu_arch_for_each_m2p(void (*fn)(void *ctx,
                                     const struct lu_m2p_chunk_rec *chunk),
                          void *ctx);
/* grant.c: what domain_create() wants to know. */
void lu_grant_limits(const struct domain *d, uint32_t *frames,
                     uint32_t *maptrack_frames, uint32_t *max_version);
/* grant.c: is this page of Xen's a frame of d's grant table? */
bool lu_grant_frame(const struct domain *d, const void *virt);
/* p2m.c: pages of P2M tables, see there. */
#ifdef CONFIG_HVM
void lu_arch_for_each_p2m_page(void (*fn)(struct domain *d,
                                          unsigned long mfn));
int lu_p2m_adopt(struct domain *d, unsigned long mfn, unsigned long nr);
/* hvm_domain.c: pauses of d that its record stands for, the toolstack's aside. */
unsigned int lu_hvm_pauses(const struct domain *d);
/* hvm_vcpu.c: may an event be raised for v? See there. */
bool lu_takes_upcall(const struct vcpu *v);
#else
static inline void lu_arch_for_each_p2m_page(void (*fn)(struct domain *d,
                                                        unsigned long mfn)) {}
static inline int lu_p2m_adopt(struct domain *d, unsigned long mfn,
                               unsigned long nr)
{
    return -EOPNOTSUPP;
}
static inline unsigned int lu_hvm_pauses(const struct domain *d) { return 0; }
static inline bool lu_takes_upcall(const struct vcpu *v) { return true; }
#endif
/* domain.c: the memory map of a domain, in its record. */
int lu_put_e820(struct lu_stream *s, const struct domain *d, uint32_t nr);
int lu_take_e820(const struct lu_stream *s, const struct lu_rec *rec,
                 uint32_t off, struct domain *d, uint32_t nr);
/* lapic_timer.c, platform_timers.c: see there. */
void lu_lapic_timers_stop(struct domain *d);
void lu_platform_timers_stop(struct domain *d);
/* hvm_vcpu.c: wake v if it has a reason; see there. */
void lu_hvm_resume(struct vcpu *v);
/* policy.c: the saved policy becomes d's; before its vCPUs exist. */
int lu_policy_restore(struct domain *d);
/* pagetables.c: see lu_normalise_domain(). */
int lu_pv_normalise(struct domain *d);
/* pagetables.c: references to a table of d (level 1-4), validating it. */
int lu_pv_get_table(struct domain *d, uint64_t mfn, unsigned int level);
/* shadow.c: shadows of an HVM domain; see there. */
#ifdef CONFIG_SHADOW_PAGING
void lu_shadow_drop(struct domain *d);
void lu_shadow_remake(struct domain *d);
bool lu_shadow_private(const struct domain *d, const struct page_info *pg);
#else
static inline void lu_shadow_drop(struct domain *d) {}
static inline void lu_shadow_remake(struct domain *d) {}
static inline bool lu_shadow_private(const struct domain *d,
                                     const struct page_info *pg)
{
    return false;
}
#endif
/* refs.c: sums of the references to the pages of each domain; see there. */
int lu_refs_begin(void);
int lu_refs_reserve(void);
void lu_refs_end(void);
void lu_refs_reset(void);
long lu_refs_add(const struct domain *d, const struct page_info *pg,
                 unsigned long most);
const struct lu_pagetables_rec *lu_refs_of(const struct domain *d);
struct lu_pin_rec *lu_refs_next_pin(const struct domain *d,
                                    struct lu_pin_rec *prev);
/* vcpu_info.c: v's registered vcpu_info, whose content is live. */
int lu_map_vcpu_info(struct vcpu *v, uint64_t mfn, uint32_t offset);
/* Bytes of extended state of a vCPU that are carried. */
#define LU_XSAVE_MAX 4096U
/*
 * After the freeze: finish what a vCPU left half done, drop what is made again; -errno
 * to refuse.  Before the thaw: make again what the domain cannot run without.
 */
int lu_normalise_domain(struct domain *d);
void lu_denormalise_domain(struct domain *d);
/* IRQs on.  All other CPUs spin with IRQs off, or none and -EBUSY. */
int lu_park_cpus(void);
void lu_unpark_cpus(void);
/* IRQs off, CPUs parked, stream sealed: write the breadcrumb and go. */
void noreturn lu_arch_jump(struct kexec_image *image, const uint64_t *mfns,
                           unsigned int nr, uint64_t bytes);
/*
 * irq.c: mask every IRQ at its source, losing nothing; undo that.  -EBUSY if
 * vectors keep coming, with everything masked all the same.
 */
int lu_irq_mask_guests(void);
void lu_irq_unmask_guests(void);
/* time.c: this CPU's (TSC, NOW()), IRQs off. */
void lu_time_sample(void);
/* New Xen: take up the domain's work: events, wake-ups; it is still paused. */
void lu_resume_domain(struct domain *d);
/* New Xen, the domains run: the stream becomes *s, and lu_stream_boot() NULL. */
void lu_boot_close(struct lu_stream *s);

/* ---- Fault injection (lab only) -------------------------------------------- */

/* Places between freeze and resume where events can come, see raise.c. */
enum lu_raise {
    LU_RAISE_FROZEN, LU_RAISE_DRAINED, LU_RAISE_CHECKED, LU_RAISE_PARKED,
    LU_RAISE_WIRED, LU_RAISE_AUDITED, LU_RAISE_RESUMED,
};

#ifdef CONFIG_LIVE_UPDATE_FAULT_INJECTION
void lu_raise(enum lu_raise at);
bool lu_fault_alloc(void);      /* true: this allocation fails */
int lu_fault_frozen(void);      /* -errno: refuse after the freeze */
int lu_fault_sealed(struct lu_stream *s); /* -errno, or damages the stream */
bool lu_fault_crumb(void);      /* true: damage the breadcrumb */
#else
static inline void lu_raise(enum lu_raise at) {}
static inline bool lu_fault_alloc(void) { return false; }
static inline int lu_fault_frozen(void) { return 0; }
static inline int lu_fault_sealed(struct lu_stream *s) { return 0; }
static inline bool lu_fault_crumb(void) { return false; }
#endif

/* ---- Event channels (evtchn.c, evtchn_fifo.c) ---------------------------- */

/*
 * LU_PASS_WIRE: tie a port of kind PIRQ to its pirq, once that can be bound:
 * sets pirq->evtchn, links the port to its vCPU.  Caller holds d->event_lock for
 * writing.  Returns the ID of the vCPU to notify, or -errno (reported).
 */
int lu_evtchn_link_pirq(struct domain *d, evtchn_port_t port);

/*
 * The last before d is unpaused, with its IRQs live, vcpu_info and page tables in
 * place: makes sure that no wake-up got lost.  Raises every PIRQ port once, the
 * global VIRQs d handles and its timer VIRQs, and unblocks PV vCPUs.
 */
void lu_evtchn_resume(struct domain *d);

/*
 * After the last save, IRQs still off: nothing was signalled since the first
 * EVTCHN record.  Always true without CONFIG_DEBUG, which does not count.
 */
bool lu_evtchn_unchanged(void);

/* Of a domain whose port ABI is in force: its VIRQs find their ports.  0 or -errno. */
int lu_evtchn_virqs(struct domain *d);

/* The queue a port was linked to last (struct evtchn's fifo_lastq). */
void lu_evtchn_lastq_get(const struct evtchn *chn, uint16_t *vcpu,
                         uint8_t *priority);
void lu_evtchn_lastq_set(struct evtchn *chn, uint16_t vcpu, uint8_t priority);

#endif /* LU_INTERNAL_H */

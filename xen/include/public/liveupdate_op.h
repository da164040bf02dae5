/* SPDX-License-Identifier: MIT */
/*
 * Live update: what the control domain may ask about it.
 *
 * KEXEC_CMD_kexec_live_update of the kexec hypercall, whose argument is a struct
 * xen_live_update: an operation and its index in, the answer out.  Images of type 2 are
 * loaded, unloaded and executed by the commands of kexec as ever; this one tells
 * whether an update would work, what was found, and what became of the last one.
 *
 * A part of the kexec hypercall and not a sysctl, since a program that replaces a Xen
 * by another release has to be understood by both: the layout is ABI and does not
 * depend on XEN_SYSCTL_INTERFACE_VERSION.  Fixed width, naturally aligned, the same for
 * callers of 32 and of 64 bits.  What is reserved is zero: the caller's is checked.
 *
 * A Xen that does not know the command answers with 0 and changes nothing: ask for the
 * status first, in which running.xen_major is not 0.
 */
#ifndef __XEN_PUBLIC_LIVEUPDATE_OP_H__
#define __XEN_PUBLIC_LIVEUPDATE_OP_H__

#ifndef __XEN__
#include <stdint.h>
#endif

#define KEXEC_CMD_kexec_live_update 7

/*
 * Would an update work now?  With an image loaded all that an update looks at before it
 * stops anything, without one all that does not depend on an image.  0, or the errno
 * of the first finding; each is a report.  Nothing is paused and nothing is logged.
 */
#define XEN_LIVE_UPDATE_check  0
/* u.status */
#define XEN_LIVE_UPDATE_status 1
/* u.report: number `index` of the last load, check or exec; -ENOENT behind the last. */
#define XEN_LIVE_UPDATE_report 2
/*
 * u.record: number `index` of the records that the loaded image reads, or this Xen if
 * none is loaded; -ENOENT behind the last.
 */
#define XEN_LIVE_UPDATE_record 3
/*
 * Ends the wait of an update for domains that are being destroyed; that fails with
 * -EINTR then, the image stays loaded.  -ENOENT if none waits.  After its wait an
 * update can no longer be called off.
 */
#define XEN_LIVE_UPDATE_abort  4
/*
 * u.gap: for how long a domain stood still in the update that started this Xen.  Number
 * `index` in the order of domids, also of domains that are gone; -ENOENT behind the last.
 */
#define XEN_LIVE_UPDATE_gap    5
/*
 * u.dump: part number `index` of the stream that this Xen was restored from; -ENOENT
 * behind the last, or if there is none.  It holds what registers of domains hold.  Its
 * memory is Xen's until an image is loaded or unloaded, also where there is no image to
 * unload: then it is scrubbed and free.
 */
#define XEN_LIVE_UPDATE_dump   6
/*
 * u.loss: number `index` of the blockers that may be chosen to be lost; -ENOENT behind
 * the last.  None of them is state of a guest.
 */
#define XEN_LIVE_UPDATE_loss   7
/*
 * u.loss.name, in: this one may be lost by the checks and updates that follow, until an
 * image is loaded or unloaded.  "": none any more.  -ENOENT if it is no name of the list,
 * and none is allowed any more then; -EINVAL if it has no end.
 */
#define XEN_LIVE_UPDATE_allow  8

typedef struct xen_live_update_version {
    uint32_t xen_major;
    uint32_t xen_minor;
    uint32_t build_id_len;      /* 0: not known */
    uint32_t reserved;
    uint8_t  build_id[32];
    char     extraversion[32];  /* NUL terminated */
} xen_live_update_version_t;

typedef struct xen_live_update_status {
    uint32_t flags;             /* XEN_LIVE_UPDATE_F_* */
    uint32_t last_op;           /* XEN_LIVE_UPDATE_OP_*, what the reports are of */
    uint32_t last_error;        /* ... 0, or XEN_E*: its result */
    uint32_t attempt;           /* ... and its number; a boot or an update starts anew */
    uint32_t nr_reports;        /* that can be asked for */
    uint32_t lost_reports;      /* for which there was no room */
    uint32_t nr_domains;        /* of the update that started this Xen; */
    uint32_t reserved;
    uint64_t updates;           /* ... its number, 0: an ordinary boot */
    uint64_t kept_pages;
    uint64_t paused_ns;         /* the sum of these: */
    uint64_t freeze_ns;
    uint64_t save_ns;
    uint64_t jump_ns;
    uint64_t boot_ns;
    uint64_t restore_ns;
    uint64_t release_ns;
    uint64_t zone_start;        /* machine address and bytes of all that is set aside */
    uint64_t zone_size;
    uint64_t region_size;       /* of its first part, for what belongs to an image */
    uint64_t slot_size;         /* of each of the two slots behind it */
    uint64_t wait_ms;           /* liveupdate-wait= */
    uint64_t dump_bytes;        /* of the stream that can be read, 0: none */
    uint64_t dump_pages;        /* memory that it takes */
    struct xen_live_update_version running, loaded, previous;
} xen_live_update_status_t;

#define XEN_LIVE_UPDATE_F_ENABLED (1U << 0) /* there is a zone */
#define XEN_LIVE_UPDATE_F_LOADED  (1U << 1) /* `loaded` is valid */
#define XEN_LIVE_UPDATE_F_UPDATED (1U << 2) /* `previous` and the times are */
#define XEN_LIVE_UPDATE_F_WAITING (1U << 3) /* an update waits, see abort */
#define XEN_LIVE_UPDATE_F_DEBUG   (1U << 4) /* the loaded image is a debug build */

#define XEN_LIVE_UPDATE_OP_none  0
#define XEN_LIVE_UPDATE_OP_load  1
#define XEN_LIVE_UPDATE_OP_check 2
#define XEN_LIVE_UPDATE_OP_exec  3

typedef struct xen_live_update_report {
    uint16_t domid;             /* DOMID_INVALID: the host, or the image */
    uint16_t flags;             /* XEN_LIVE_UPDATE_R_* */
    uint32_t error;             /* XEN_E*; EBUSY and EAGAIN may pass by themselves */
    char     feature[24];       /* the kind of state, NUL terminated */
    char     text[200];         /* as in Xen's log, NUL terminated */
} xen_live_update_report_t;

#define XEN_LIVE_UPDATE_R_BLOCKER (1U << 0) /* state that is not carried */
#define XEN_LIVE_UPDATE_R_LOSS    (1U << 1) /* allowed to be lost; its error is 0 */

typedef struct xen_live_update_record {
    uint32_t type;              /* LU_REC_* of liveupdate.h */
    uint16_t min_version;
    uint16_t max_version;
    uint16_t written;           /* version that this Xen writes, 0: none */
    uint16_t reserved[3];
    char     name[24];          /* NUL terminated, "" if this Xen does not know it */
} xen_live_update_record_t;

/* From the moment before its vCPUs were stopped until it was let go. */
typedef struct xen_live_update_gap {
    uint16_t domid;
    uint16_t reserved[3];
    uint64_t gap_ns;
} xen_live_update_gap_t;

/* All parts but the last are full, `total` is what all have together. */
typedef struct xen_live_update_dump {
    uint64_t total;             /* bytes */
    uint32_t len;               /* bytes of data[] */
    uint32_t reserved;
    uint8_t  data[480];
} xen_live_update_dump_t;

typedef struct xen_live_update_loss {
    uint32_t allowed;           /* 1: it is */
    uint32_t reserved;
    char     name[24];          /* NUL terminated */
    char     text[200];         /* what is lost, NUL terminated */
} xen_live_update_loss_t;

typedef struct xen_live_update {
    uint32_t op;                /* XEN_LIVE_UPDATE_*, without _OP, _F, _R */
    uint32_t index;             /* of report, record, gap, dump, loss; else 0 */
    uint64_t reserved;
    union {
        struct xen_live_update_status status;
        struct xen_live_update_report report;
        struct xen_live_update_record record;
        struct xen_live_update_gap gap;
        struct xen_live_update_dump dump;
        struct xen_live_update_loss loss;
        uint64_t room[62];
    } u;
} xen_live_update_t;

#endif /* __XEN_PUBLIC_LIVEUPDATE_OP_H__ */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */

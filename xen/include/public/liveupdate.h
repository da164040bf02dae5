/* SPDX-License-Identifier: MIT */
/*
 * The live update stream: what one Xen hands to the next one.
 *
 * Specification: docs/specs/live-update-stream.md.  This header, that text and
 * the reader in tools/liveupdate describe the same bytes.
 *
 * Everything here is ABI between two builds of Xen that may differ in version,
 * configuration and compiler: fixed width fields, little endian, each naturally
 * aligned, reserved fields zero when written and checked when read.  Nothing
 * internal to Xen may appear: pages are named by MFN, CPUs by APIC ID, IRQs by
 * what the domain or the firmware calls them.
 *
 * A stream is a sequence of records, each a struct lu_hdr_rec followed by
 * `length` bytes of body and zero padding to the next 8 byte boundary.  Every
 * body but that of END starts with a struct lu_id_rec.
 */
#ifndef __XEN_PUBLIC_LIVEUPDATE_H__
#define __XEN_PUBLIC_LIVEUPDATE_H__

#ifndef __XEN__
#include <stdint.h>
#endif

/* ---- Framing ------------------------------------------------------------ */

struct lu_hdr_rec {
    uint32_t type;              /* LU_REC_* */
    uint32_t length;            /* of the body, in bytes, without padding */
};

#define LU_REC_OPTIONAL 0x80000000U /* a reader may skip what it does not know */
#define LU_REC_BASE     0x40000000U /* apart from the migration stream's numbers */

#define LU_DOMID_HOST   0x7fff      /* lu_id_rec.domid of records of the host */

struct lu_id_rec {
    uint16_t version;           /* of the body's layout, from 1 */
    uint16_t domid;             /* or LU_DOMID_HOST */
    uint32_t instance;          /* vCPU, slot, ..., as the record says; else 0 */
};

/*
 * END: the last record.  `checksum` is XXH64 with seed 0 over every byte of the
 * stream before this record's header.
 */
#define LU_REC_END 0U

struct lu_end_rec {
    uint64_t checksum;
    uint64_t bytes;             /* covered by the checksum */
};

/* ---- Breadcrumb --------------------------------------------------------- */

/*
 * The first page of the live update region (KEXEC_RANGE_MA_LIVEUPDATE), which
 * kexec-tools leaves alone.  Written by the old Xen as its last act; the new one
 * clears `magic` when it has taken it, so that a stale one after a reset is
 * never believed.  `crc` is XXH64, seed 0, over this struct with crc = 0.
 */
#define LU_CRUMB_MAGIC   0x61647055657669ULL /* "iveUpda", then a zero byte */
#define LU_CRUMB_VERSION 1

struct lu_crumb_rec {
    uint64_t magic;
    uint32_t version;
    uint32_t size;              /* of this struct */
    uint64_t crc;
    uint64_t region_start;      /* maddr of this page */
    uint64_t region_size;       /* bytes */
    uint64_t slot_size;         /* bytes; slots A and B follow the region */
    uint32_t slot;              /* the new Xen lives in: 0 or 1 */
    uint32_t nr_pages;          /* of the stream */
    uint64_t array_maddr;       /* nr_pages MFNs, u64 each, contiguous */
    uint64_t stream_bytes;      /* including END */
    uint64_t saved_tsc;         /* TSC when this was written */
    uint64_t reserved[3];
};

/* ---- Capability note ---------------------------------------------------- */

/*
 * A page aligned constant of every image that can be updated to, found by
 * scanning the image at page steps.  Tells the running Xen, before anything
 * stops, which records the image reads.  Header, nr_entries entries, tail.
 */
#define LU_NOTE_MAGIC0  0x556576694c6e6558ULL /* "XenLiveU" */
#define LU_NOTE_MAGIC1  0x7061436574616470ULL /* "pdateCap" */
#define LU_NOTE_VERSION 2
#define LU_NOTE_TAIL    0x446e456574616450ULL /* "PdateEnD" */
#define LU_NOTE_MAX_ENTRIES 128
#define LU_NOTE_MAX_FEATURES 32

struct lu_note_entry_rec {
    uint32_t type;              /* LU_REC_*, without LU_REC_OPTIONAL */
    uint16_t min_version;
    uint16_t max_version;
};

struct lu_note_rec {
    uint64_t magic[2];
    uint32_t version;
    uint32_t size;              /* of header, table and tail, bytes */
    uint32_t xen_major;
    uint32_t xen_minor;
    uint32_t page_info_size;    /* bytes of frame table per page */
    uint32_t nr_cpus;           /* CPUs the build can hold */
    uint32_t flags;             /* LU_NOTE_F_* */
    uint32_t nr_entries;
    uint32_t entry;             /* of the 32-bit multiboot2 entry, from the
                                   start of the image; bytes */
    uint32_t header;            /* bytes of this struct: the table is behind it */
    char     extraversion[32];  /* NUL terminated */
    char     scheduler[16];     /* without sched=; NUL terminated */
    uint32_t schedulers;        /* the build has: bit n is XEN_SCHEDULER_* n */
    uint32_t nr_features;       /* words of the two arrays in use */
    uint64_t max_pdx;           /* entries the frame table can have */
    uint64_t xcr0;              /* state components the build knows */
    uint32_t cpuid_basic;       /* last leaf of a CPU policy; */
    uint32_t cpuid_feat;        /* ... subleaf of leaf 7; */
    uint32_t cpuid_extd;        /* ... leaf from 0x80000000 on */
    uint32_t viridian;          /* HVMPV_* the build knows */
    uint32_t pv_features[LU_NOTE_MAX_FEATURES];
    uint32_t hvm_features[LU_NOTE_MAX_FEATURES];
    /* struct lu_note_entry_rec[nr_entries], then uint64_t LU_NOTE_TAIL */
};

#define LU_NOTE_F_DEBUG   (1U << 0)
#define LU_NOTE_F_CMDLINE (1U << 1)     /* has a command line built in */

/* ---- Records of the host ------------------------------------------------ */

/* HOST: first record of every stream.  Who writes, and the update's number. */
#define LU_REC_HOST (LU_REC_BASE | 1)

struct lu_host_rec {
    struct lu_id_rec id;
    uint32_t xen_major;
    uint32_t xen_minor;
    uint64_t update;            /* number of this update, from 1 */
    uint64_t max_page;          /* of the writer */
    uint64_t pause_tsc;         /* TSC when the domains were frozen */
    uint64_t parked_tsc;        /* ... when CPUs were parked, IRQs masked */
    uint32_t nr_domains;
    uint32_t nr_cpus;           /* online */
    uint32_t build_id_len;
    uint32_t page_info_size;
    uint32_t last_domid;        /* that Xen chose for a new domain; 0: none yet */
    uint32_t reserved;
    uint8_t  build_id[32];
    char     extraversion[32];  /* NUL terminated */
};

/*
 * MEMORY: every page of RAM that the new Xen must not touch, as sorted, disjoint
 * extents.  What is in no extent is free, or private to the old Xen and
 * reusable at once.  Followed by nr_ram lu_range_rec (the RAM list both must
 * agree on), then nr_extents lu_extent_rec.
 */
#define LU_REC_MEMORY (LU_REC_BASE | 2)

struct lu_range_rec {
    uint64_t mfn;
    uint64_t count;             /* pages */
};

#define LU_EXT_RAM      1       /* page of domain `domid` */
#define LU_EXT_EXTRA    2       /* ... that does not count in its allocation */
#define LU_EXT_SHARED   3       /* Xen heap page shared with `domid` */
#define LU_EXT_M2P      4       /* chunk of the machine to phys table */
#define LU_EXT_INTERNAL 5       /* stream and MFN array: free after restore */
#define LU_EXT_GIVEN    6       /* given up by `domid`, kept while it is mapped */
#define LU_EXT_P2M      7       /* table of `domid`'s P2M; Xen's own page */

struct lu_extent_rec {
    uint64_t mfn;
    uint32_t count;             /* pages */
    uint16_t domid;             /* or LU_DOMID_HOST */
    uint16_t kind;              /* LU_EXT_* */
};

struct lu_memory_rec {
    struct lu_id_rec id;
    uint32_t nr_ram;
    uint32_t nr_extents;
};

/* M2P: chunks of the table; followed by nr lu_m2p_chunk_rec. */
#define LU_REC_M2P (LU_REC_BASE | 3)

struct lu_m2p_chunk_rec {
    uint64_t first_mfn;         /* whose entry comes first in the chunk */
    uint64_t chunk_mfn;         /* where the chunk lies */
    uint32_t order;             /* pages, log2: 9 or 18 */
    uint32_t reserved;
};

struct lu_m2p_rec {
    struct lu_id_rec id;
    uint32_t nr;
    uint32_t reserved;
};

/* CRASH_AREA: what crashkernel= has set aside, if anything; in no extent. */
#define LU_REC_CRASH_AREA (LU_REC_BASE | 5)

struct lu_crash_area_rec {
    struct lu_id_rec id;
    uint64_t start;             /* maddr; 0: there was no room for it */
    uint64_t size;              /* bytes */
};

/* CPUS: APIC IDs in the order of the writer's CPU numbers; nr u32 follow. */
#define LU_REC_CPUS (LU_REC_BASE | 4)

struct lu_cpus_rec {
    struct lu_id_rec id;
    uint32_t nr;
    uint32_t reserved;
    /* uint32_t apic_id[nr], padded by framing */
};

/* ---- Records of a domain ------------------------------------------------ */

/* DOMAIN: identity and creation parameters; first record of each domain. */
#define LU_REC_DOMAIN (LU_REC_BASE | 0x100)

struct lu_domain_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* XEN_DOMCTL_CDF_* as created */
    uint32_t dom_flags;         /* LU_DOM_F_* */
    uint32_t max_vcpus;
    uint32_t nr_vcpus;          /* that exist: 0 to nr_vcpus - 1 */
    uint32_t max_evtchn_port;
    uint32_t max_grant_frames;
    uint32_t max_maptrack_frames;
    uint32_t grant_max_version;
    uint32_t emulation_flags;
    uint32_t misc_flags;        /* XEN_X86_MSR_RELAXED */
    uint32_t nr_pirqs;
    uint32_t controller_pause_count;
    uint32_t shutdown_code;
    uint32_t claimed_pages;     /* XENMEM_claim_pages, not populated yet */
    uint64_t vm_assist;
    uint64_t shared_info_mfn;
    uint64_t max_pages;
    uint64_t tot_pages;
    int64_t  time_offset;       /* seconds */
    uint32_t time_offset_set;
    uint32_t suspend_evtchn;
    uint8_t  handle[16];
};

#define LU_DOM_F_PRIVILEGED   (1U << 0)
#define LU_DOM_F_CREATED      (1U << 1) /* creation finished */
#define LU_DOM_F_SHUTTING     (1U << 2)
#define LU_DOM_F_SHUT_DOWN    (1U << 3)
#define LU_DOM_F_CONSOLE      (1U << 4)

/*
 * CAPS: hardware the domain may use; nr_iomem, nr_ioport, nr_irq ranges follow
 * in that order: frames, ports, GSIs; first and last included.
 */
#define LU_REC_CAPS (LU_REC_BASE | 0x101)

struct lu_cap_range_rec {
    uint64_t first;
    uint64_t last;
};

struct lu_caps_rec {
    struct lu_id_rec id;
    uint32_t nr_iomem;
    uint32_t nr_ioport;
    uint32_t nr_irq;
    uint32_t reserved;
};

/*
 * FROZEN: since when the domain stands still, for tools to tell its gap.  Optional.
 */
#define LU_REC_FROZEN (LU_REC_BASE | 0x102)

struct lu_frozen_rec {
    struct lu_id_rec id;
    uint64_t frozen_tsc;        /* TSC before its vCPUs were stopped */
};

/* ---- Time and scheduling ------------------------------------------------- */

/*
 * TIME: the clock, and what the old Xen found out about it, which is final: the
 * new one neither calibrates nor probes.  System time goes on in the gap:
 *   at a TSC value t it is stime + (((t - tsc) << tsc_shift) * tsc_mul >> 32)
 */
#define LU_REC_TIME (LU_REC_BASE | 0x10)

struct lu_time_rec {
    struct lu_id_rec id;
    uint64_t tsc;
    int64_t  stime;             /* ns since the first Xen's boot */
    uint64_t tsc_hz;            /* nominal */
    uint32_t tsc_mul;
    int32_t  tsc_shift;         /* negative: to the right */
    uint32_t apic_bus_scale;    /* bus cycles per ns << 18; 0: not known */
    uint32_t flags;             /* LU_TIME_F_* */
    uint64_t wc_sec;            /* wall clock at system time 0, since 1970 */
    uint32_t wc_nsec;
    uint32_t reserved;
    char     platform[8];       /* timer: "hpet", "acpi", "pit", "tsc" */
};

#define LU_TIME_F_CONSTANT (1U << 0)    /* TSC: one rate on all CPUs */
#define LU_TIME_F_NONSTOP  (1U << 1)    /* TSC: counts in deep C states */
#define LU_TIME_F_RELIABLE (1U << 2)    /* TSC: in step on all CPUs */
#define LU_TIME_F_NO_SYNC  (1U << 3)    /* TSC: cannot be written */

/*
 * SCHED_GLOBAL: the scheduler of all CPUs and what its users tuned.  Followed by
 * nr u64: how long each CPU was idle so far, in ns, by CPU number.
 */
#define LU_REC_SCHED_GLOBAL (LU_REC_BASE | 0x11)

struct lu_sched_global_rec {
    struct lu_id_rec id;
    uint32_t scheduler;         /* XEN_SCHEDULER_* */
    uint32_t ratelimit_us;      /* credit, credit2 */
    uint32_t tslice_ms;         /* credit */
    uint32_t migr_delay_us;     /* credit */
    uint32_t nr;
    uint32_t reserved;
};

/*
 * VCPU_TIMER: timers and run states of the vCPU id.instance.  Times are system
 * times; downtime counts.
 */
#define LU_REC_VCPU_TIMER (LU_REC_BASE | 0x150)

struct lu_vcpu_timer_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_VTIMER_F_* */
    uint32_t runstate;          /* RUNSTATE_* */
    int64_t  single_ns;         /* when the single-shot timer is due */
    int64_t  period_ns;         /* of the periodic timer; 0: off */
    int64_t  last_ns;           /* its last event */
    int64_t  entry_ns;          /* up to when state_ns counts */
    uint64_t state_ns[4];       /* time spent in each run state */
    uint64_t runstate_addr;     /* the guest's copy, virtual; 0: none */
    uint64_t time_addr;         /* of struct vcpu_time_info; 0: none */
};

#define LU_VTIMER_F_SINGLE (1U << 0)    /* the single-shot timer is armed */

/* TSC: how the domain's RDTSC is answered. */
#define LU_REC_TSC (LU_REC_BASE | 0x151)

struct lu_tsc_rec {
    struct lu_id_rec id;
    uint32_t mode;              /* 0 default, 1 emulate always, 2 never */
    uint32_t emulated;          /* 1: RDTSC traps */
    uint32_t khz;               /* of the domain's TSC; 0: the host's */
    uint32_t incarnation;
    uint64_t offset;            /* PV: system time at TSC 0, ns */
    uint64_t last;              /* system time last given out, ns */
};

/*
 * WATCHDOG: SCHEDOP_watchdog timers, for a domain that uses any.  The time left
 * is what it was in the pause: downtime does not count.
 */
#define LU_REC_WATCHDOG (LU_REC_BASE | 0x152)

#define LU_WATCHDOG_F_ARMED (1U << 0)   /* else taken, but it has expired */

struct lu_watchdog_slot_rec {
    uint32_t slot;
    uint32_t flags;             /* LU_WATCHDOG_F_* */
    int64_t  left_ns;
};

struct lu_watchdog_rec {
    struct lu_id_rec id;
    uint32_t nr;                /* struct lu_watchdog_slot_rec follow */
    uint32_t reserved;
};

/* SCHED: the domain's share of the host. */
#define LU_REC_SCHED (LU_REC_BASE | 0x153)

struct lu_sched_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_SCHED_F_* */
    uint32_t weight;            /* credit, credit2 */
    uint32_t cap;               /* per cent of a CPU; 0: none */
    uint32_t reserved;
    uint64_t node_mask;         /* with LU_SCHED_F_NODES: NUMA nodes */
};

#define LU_SCHED_F_NODES (1U << 0)      /* node affinity was set by hand */

/*
 * AFFINITY: of the vCPU id.instance.  Two bit maps over CPU numbers (see CPUS)
 * follow: hard, then soft, of nr_words u64 each.
 */
#define LU_REC_AFFINITY (LU_REC_BASE | 0x154)

struct lu_affinity_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_AFF_F_* */
    uint32_t pinned_cpu;        /* with LU_AFF_F_PINNED */
    uint32_t nr_words;
    uint32_t reserved;
};

#define LU_AFF_F_HARD_ALL (1U << 0)     /* also CPUs not there yet */
#define LU_AFF_F_SOFT_ALL (1U << 1)
#define LU_AFF_F_PINNED   (1U << 2)     /* by SCHEDOP_pin_override, for now */

/* ---- Interrupts and devices ---------------------------------------------- */

/*
 * GSIS: how dom0 programmed the IO-APICs, and how the timer's interrupt comes.
 * Followed by nr lu_gsi_rec, ascending: the GSIs set up by PHYSDEVOP_setup_gsi.
 * The others are as the firmware describes them, to either Xen.
 */
#define LU_REC_GSIS (LU_REC_BASE | 0x20)

#define LU_GSI_F_LEVEL (1U << 0)        /* triggered; else edge */
#define LU_GSI_F_LOW   (1U << 1)        /* active; else high */

struct lu_gsi_rec {
    uint32_t gsi;
    uint32_t flags;             /* LU_GSI_F_* */
};

#define LU_TIMER_F_DIRECT (1U << 0)     /* by the IO-APIC pin of ISA IRQ 0 */
#define LU_TIMER_F_HPET   (1U << 1)     /* the HPET stands in for PIT and RTC */

struct lu_gsis_rec {
    struct lu_id_rec id;
    uint32_t nr_gsis;           /* PIRQs below are GSIs; must be the reader's */
    uint32_t timer;             /* LU_TIMER_F_* */
    uint32_t nr;
    uint32_t reserved;
};

/* MMCFG: areas of extended configuration space; nr lu_mmcfg_area_rec follow. */
#define LU_REC_MMCFG (LU_REC_BASE | 0x21)

struct lu_mmcfg_area_rec {
    uint64_t address;           /* maddr of bus 0, as in ACPI's MCFG */
    uint16_t segment;
    uint8_t  start_bus;
    uint8_t  end_bus;           /* inclusive */
    uint32_t in_use;            /* 0 or 1: dom0 or the E820 said it is reserved */
};

struct lu_mmcfg_rec {
    struct lu_id_rec id;
    uint32_t nr;
    uint32_t reserved;
};

/*
 * PCI_DEV: one device that Xen knows, in the order they became known (a physical
 * function before its virtual ones).  instance: segment << 16 | bus << 8 | devfn.
 */
#define LU_REC_PCI_DEV (LU_REC_BASE | 0x22)

#define LU_PCI_F_EXTFN      (1U << 0)
#define LU_PCI_F_VIRTFN     (1U << 1)   /* of physfn */
#define LU_PCI_F_QUARANTINE (1U << 2)
#define LU_PCI_F_BROKEN     (1U << 3)
#define LU_PCI_F_MSIX       (1U << 4)   /* the msix fields say something */
#define LU_PCI_F_MSIX_HOST  (1U << 5)   /* Xen keeps MASKALL set */
#define LU_PCI_F_MSIX_GUEST (1U << 6)   /* the domain wants MASKALL set */

#define LU_PXM_NONE 0xffffffffU

struct lu_pci_dev_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_PCI_F_* */
    uint16_t owner;             /* domid; DOMID_XEN: hidden; DOMID_IO; or
                                   DOMID_INVALID: none */
    uint16_t physfn;            /* bus << 8 | devfn; 0 without VIRTFN */
    uint32_t pxm;               /* ACPI proximity domain or LU_PXM_NONE */
    uint32_t msix_used;         /* entries mapped, or 1 after prepare_msix */
    uint64_t msix_table_first;  /* MFNs the domain must not write; */
    uint64_t msix_table_last;   /* all 0 while msix_used is */
    uint64_t msix_pba_first;
    uint64_t msix_pba_last;
    uint16_t msix_warned;       /* domid last warned about, or DOMID_INVALID */
    uint16_t reserved[3];
    uint64_t vf_bar_size[6];    /* of one virtual function; 0: none */
};

/* PIRQS: a domain's physical interrupts; nr lu_pirq_rec follow, ascending. */
#define LU_REC_PIRQS (LU_REC_BASE | 0x140)

#define LU_PIRQ_TYPE_ALLOCATED 1        /* PHYSDEVOP_get_free_pirq: not mapped */
#define LU_PIRQ_TYPE_GSI       2        /* source: GSI */
#define LU_PIRQ_TYPE_MSI       3        /* source: device, as in PCI_DEV */
#define LU_PIRQ_TYPE_MSIX      4        /* source: device; entry: of its table */
#define LU_PIRQ_TYPE_EMULATED  5        /* HVM; source: emulated GSI, ~2: MSI */

/* A vector without a mask bit is silenced by clearing MSI Enable, so ... */
#define LU_PIRQ_F_SHARED (1U << 0)      /* bound with BIND_PIRQ__WILL_SHARE */
#define LU_PIRQ_F_MASKED (1U << 1)      /* MSI, MSI-X: masked by the domain */
#define LU_PIRQ_F_ENABLE (1U << 2)      /* ... set MSI Enable again */
#define LU_PIRQ_F_INTX   (1U << 3)      /* ... clear Interrupt Disable again */

struct lu_pirq_rec {
    uint32_t pirq;
    uint8_t  type;              /* LU_PIRQ_TYPE_* */
    uint8_t  flags;             /* LU_PIRQ_F_* */
    uint16_t creator;           /* domid with rights on the MSI, or DOMID_INVALID */
    uint32_t source;
    uint32_t entry;
    uint32_t port;              /* event channel bound to it, or 0 */
    uint32_t reserved;
};

struct lu_pirqs_rec {
    struct lu_id_rec id;
    uint32_t nr;
    uint32_t reserved;
};

/* ---- Event channels and grant tables -------------------------------------- */

/*
 * EVTCHN: the ports of a domain.  nr lu_evtchn_port_rec follow, ascending by
 * port, port 0 and ports that were never used left out.  Pending and mask bits
 * are in the guest's memory and not here.
 */
#define LU_REC_EVTCHN (LU_REC_BASE | 0x120)

struct lu_evtchn_rec {
    struct lu_id_rec id;
    uint32_t nr;
    uint32_t valid_ports;       /* ports the guest may ask about: 0 to this - 1 */
    uint32_t next_port;         /* EVTCHNOP_reset under way goes on here; else 0 */
    uint32_t flags;             /* LU_EVTCHN_F_* */
    uint32_t global_virqs;      /* bit n: the domain was made handler of VIRQ n */
    uint32_t reserved;
};

#define LU_EVTCHN_F_FIFO (1U << 0)      /* an EVTCHN_FIFO record follows */

struct lu_evtchn_port_rec {
    uint32_t port;
    uint32_t value;             /* INTERDOMAIN: peer's port; PIRQ; VIRQ; else 0 */
    uint16_t peer;              /* UNBOUND, INTERDOMAIN: the peer; else 0 */
    uint16_t vcpu;              /* that is notified */
    uint16_t last_vcpu;         /* FIFO: queue it was linked to last: vCPU, ... */
    uint8_t  last_priority;     /* ... and priority, 0 to 15 */
    uint8_t  priority;          /* FIFO: of its next event, 0 to 15 */
    uint8_t  state;             /* LU_PORT_* */
    uint8_t  consumer;          /* LU_PORT_CONSUMER_*: the end is in Xen */
    uint8_t  flags;             /* LU_PORT_F_* */
    uint8_t  reserved;
};

#define LU_PORT_FREE        0   /* free, but FIFO remembers it */
#define LU_PORT_UNBOUND     1
#define LU_PORT_INTERDOMAIN 2
#define LU_PORT_PIRQ        3
#define LU_PORT_VIRQ        4
#define LU_PORT_IPI         5

#define LU_PORT_CONSUMER_NONE  0
#define LU_PORT_CONSUMER_IOREQ 1        /* wakes a vCPU waiting in Xen */

#define LU_PORT_F_PENDING (1U << 0)     /* FIFO: raised without an event word */

/*
 * EVTCHN_FIFO: of a domain that uses the FIFO ABI.  nr_pages u64 follow, the
 * MFNs of the event array in order, then nr_vcpus lu_evtchn_fifo_vcpu_rec.  All
 * pages belong to the domain, which maps them.
 */
#define LU_REC_EVTCHN_FIFO (LU_REC_BASE | 0x121)

struct lu_evtchn_fifo_rec {
    struct lu_id_rec id;
    uint32_t nr_pages;          /* 1024 event words each */
    uint32_t nr_vcpus;
};

struct lu_evtchn_fifo_vcpu_rec {
    uint64_t mfn;               /* of its control block, or LU_FIFO_NO_MFN */
    uint32_t offset;            /* in that page, bytes, multiple of 8 */
    uint32_t vcpu;
    uint32_t tail[16];          /* per priority: last port linked; 0: none */
};

#define LU_FIFO_NO_MFN (~0ULL)          /* none registered */

/*
 * GRANT: a domain's grant table.  Followed by nr_frames, then nr_status_frames
 * lu_grant_frame_rec in table order, then nr_active lu_grant_active_rec,
 * ascending by ref: the entries that are mapped by somebody.  Read while the
 * domain is created: the frames become its table.
 */
#define LU_REC_GRANT (LU_REC_BASE | 0x130)

struct lu_grant_rec {
    struct lu_id_rec id;
    uint32_t version;           /* of the table: 1 or 2 */
    uint32_t nr_frames;
    uint32_t nr_status_frames;  /* version 2 only */
    uint32_t nr_active;
};

struct lu_grant_frame_rec {
    uint64_t mfn;
    uint64_t gfn;               /* translated guests; else LU_GRANT_NO_GFN */
};

#define LU_GRANT_NO_GFN (~0ULL)

struct lu_grant_active_rec {
    uint64_t mfn;               /* page that is granted */
    uint64_t gfn;               /* its name to the guest, if known */
    uint32_t ref;
    uint32_t pin;               /* mappings, a byte each from the lowest: host
                                   writable, host read-only, device writable,
                                   device read-only */
    uint16_t domid;             /* that has mapped it */
    uint16_t start;             /* first byte granted, */
    uint16_t length;            /* bytes */
    uint16_t flags;             /* LU_GRANT_F_SUB_PAGE */
};

#define LU_GRANT_F_SUB_PAGE (1U << 0)

/*
 * GRANT_MAPS: the handles of a domain for what it has mapped of others.  nr
 * lu_grant_map_rec follow and cover handles 0 to nr_handles - 1 without a gap:
 * each stands for the next `count` handles.  No record: it never had a handle.
 *
 * A reader whose pages hold another number of handles keeps those in use and makes
 * do with nr_frames pages, or as many as these need: how many free handles there
 * are is nobody's concern, but they must not become more with each update.
 */
#define LU_REC_GRANT_MAPS (LU_REC_BASE | 0x131)

struct lu_grant_maps_rec {
    struct lu_id_rec id;
    uint32_t nr_handles;
    uint32_t nr;
    uint32_t nr_frames;         /* pages that hold them */
    uint32_t reserved;
};

struct lu_grant_map_rec {
    uint32_t count;             /* 1 for a handle in use */
    uint32_t vcpu;              /* on whose free list it is, or goes */
    uint32_t ref;               /* in use: grant reference of domid */
    uint16_t flags;             /* GNTMAP_* as mapped; 0: free handles */
    uint16_t domid;             /* in use: granting domain */
};

/* GRANT_LIMITS: of the host, for domains to come. */
#define LU_REC_GRANT_LIMITS (LU_REC_BASE | 0x138)

struct lu_grant_limits_rec {
    struct lu_id_rec id;
    uint32_t max_frames;
    uint32_t max_maptrack_frames;
    uint32_t max_version;       /* 1 or 2 */
    uint32_t flags;             /* LU_GRANT_F_TRANS* */
};

#define LU_GRANT_F_TRANSITIVE (1U << 0) /* transitive grants are allowed */
#define LU_GRANT_F_TRANSFER   (1U << 1) /* so is GNTTABOP_transfer */

/* ---- PV domains ---------------------------------------------------------- */

#define LU_NO_MFN (~0ULL)       /* in a field named *_mfn: none */

/*
 * PAGETABLES: the pinned page tables of a PV domain; followed by nr_pins
 * lu_pin_rec.  The tables are where MEMORY says; what they and their entries
 * hold is found by validating them.  The sums are over the domain's pages that
 * count against its allocation, and are compared when all is restored.
 */
#define LU_REC_PAGETABLES (LU_REC_BASE | 0x160)

struct lu_pin_rec {
    uint64_t mfn;
    uint32_t level;             /* 1 to 4 */
    uint32_t reserved;
};

struct lu_pagetables_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_PT_F_* */
    uint32_t nr_pins;
    uint64_t tables[4];         /* L1 to L4 tables in use */
    uint64_t table_refs[4];     /* references to them as such */
    uint64_t segdesc_refs;      /* ... to pages as GDT or LDT */
    uint64_t writable_refs;     /* ... to pages as writable */
    uint64_t page_refs;         /* ... to pages as anything */
};

#define LU_PT_F_GRANT_BIT (1U << 0)     /* PTEs of grants carry bit 62 */
#define LU_PT_F_L1TF      (1U << 1)     /* not-present PTEs were checked */
#define LU_PT_F_INEXACT   (1U << 2)     /* half validated tables: no audit */

/* PV_DOMAIN: followed by nr_e820 lu_e820_rec (XENMEM_set_memory_map). */
#define LU_REC_PV_DOMAIN (LU_REC_BASE | 0x161)

struct lu_e820_rec {
    uint64_t addr;
    uint64_t size;              /* bytes */
    uint32_t type;
    uint32_t reserved;
};

struct lu_pv_domain_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_PVD_F_* */
    uint32_t x87_fip_width;     /* bytes: 8, 4, or 0 for either */
    uint32_t physaddr_bitsize;  /* highest address for new pages; 0: any */
    uint32_t pci_cf8;           /* the domain's view of port 0xcf8 */
    uint32_t cmos_index;        /* ... and of port 0x70 */
    uint32_t nr_e820;
    uint64_t pirq_eoi_mfn;      /* PHYSDEVOP_pirq_eoi_gmfn; LU_NO_MFN: none */
};

#define LU_PVD_F_AUTO_UNMASK (1U << 0)  /* an EOI unmasks the port, too */

/*
 * PV_VCPU: the vCPU id.instance of a PV domain; one for each that was created.
 * Followed by nr_traps lu_trap_rec, then nr_msrs lu_msr_rec.
 */
#define LU_REC_PV_VCPU (LU_REC_BASE | 0x162)

struct lu_trap_rec {
    uint8_t  index;             /* in the trap table */
    uint8_t  vector;            /* the rest as in struct trap_info */
    uint8_t  flags;
    uint8_t  reserved;
    uint16_t cs;
    uint16_t reserved2;
    uint64_t addr;
};

struct lu_msr_rec {
    uint32_t index;
    uint32_t reserved;
    uint64_t value;
};

struct lu_async_rec {           /* an exception from outside: NMI, #MC */
    uint8_t  pending;
    uint8_t  old_mask;          /* of async_mask, when it was delivered */
};

struct lu_mce_bank_rec {
    uint64_t status;
    uint64_t addr;
    uint64_t info;              /* MCi_MISC */
    uint64_t ctl2;
};

struct lu_pv_vcpu_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_PVV_F_* */
    uint32_t controller_pause_count;
    uint64_t vcpu_info_mfn;     /* LU_NO_MFN: not registered */
    uint32_t vcpu_info_offset;
    uint32_t vgc_flags;         /* VGCF_* of the last context set */

    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip;
    uint64_t rflags;            /* without IOPL */
    uint32_t error_code;
    uint32_t entry_vector;
    uint16_t cs, ss, ds, es, fs, gs;
    uint32_t iopl;              /* as in RFLAGS */
    uint64_t fs_base;
    uint64_t gs_base_kernel;
    uint64_t gs_base_user;
    uint64_t ctrlreg[8];
    uint64_t cr3_mfn;           /* L4 table of the kernel */
    uint64_t user_cr3_mfn;      /* ... and of user space, or LU_NO_MFN */
    uint64_t dr[4];
    uint32_t dr6;
    uint32_t dr7;
    uint32_t dr7_emul;          /* bits of DR7 that Xen emulates */
    uint32_t gdt_ents;
    uint64_t gdt_mfn[14];       /* one for each 512 of gdt_ents; then 0 */
    uint64_t ldt_base;
    uint32_t ldt_ents;
    uint32_t iobmp_limit;       /* ports in the bit map */
    uint64_t iobmp_addr;        /* virtual; PHYSDEVOP_set_iobitmap */

    uint64_t kernel_ss;
    uint64_t kernel_sp;
    uint64_t event_addr;        /* entry points of the kernel */
    uint64_t failsafe_addr;
    uint64_t syscall_addr;
    uint64_t syscall32_addr;
    uint64_t sysenter_addr;
    uint16_t syscall32_cs;
    uint16_t sysenter_cs;
    uint8_t  syscall32_disables_events;
    uint8_t  sysenter_disables_events;

    uint16_t bounce_cs;         /* what is about to be delivered, if */
    uint64_t bounce_addr;       /* bounce_flags is not 0 */
    uint32_t bounce_error_code;
    uint8_t  bounce_flags;      /* 1 exception, 2 with error code, 8 event */
    uint8_t  async_mask;        /* bit 1 NMI, bit 2 #MC: being handled */
    struct lu_async_rec async[2];       /* NMI, #MC */
    uint16_t reserved;
    uint32_t reserved2;

    uint64_t mcg_cap;
    uint64_t mcg_status;
    uint64_t mcg_ext_ctl;
    struct lu_mce_bank_rec mce_bank[2];

    uint32_t nr_traps;
    uint32_t nr_msrs;
};

#define LU_PVV_F_INITIALISED    (1U << 0)
#define LU_PVV_F_DOWN           (1U << 1)
#define LU_PVV_F_BLOCKED        (1U << 2)
#define LU_PVV_F_KERNEL         (1U << 3)       /* in kernel mode */
#define LU_PVV_F_SHUTDOWN       (1U << 4)       /* paused by its shutdown */
#define LU_PVV_F_DEFER_SHUTDOWN (1U << 5)

/*
 * PV_XSAVE: FPU and extended state of the vCPU id.instance, in the standard
 * format of XSAVE (of FXSAVE without LU_XSAVE_F_HEADER), `size` bytes, follow.
 */
#define LU_REC_PV_XSAVE (LU_REC_BASE | 0x163)

struct lu_pv_xsave_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_XSAVE_F_* */
    uint32_t size;
    uint64_t xcr0;
    uint64_t xcr0_accum;        /* all components ever enabled */
};

#define LU_XSAVE_F_USED   (1U << 0)
#define LU_XSAVE_F_HEADER (1U << 1)

/* ---- HVM and PVH domains -------------------------------------------------- */

/*
 * P2M: the physical to machine table of an HVM domain with hardware assisted
 * paging.  The tables stay where they are, in extents of kind P2M; what they map
 * is found in them.
 */
#define LU_REC_P2M (LU_REC_BASE | 0x170)

struct lu_p2m_rec {
    struct lu_id_rec id;
    uint32_t format;            /* LU_P2M_* */
    uint32_t pool_pages;        /* paging pool, pages in tables included */
    uint64_t root_mfn;
    uint64_t nr_tables;         /* pages, the root included */
    uint64_t max_gfn;           /* highest gfn that was ever mapped */
};

#define LU_P2M_NPT 1U           /* x86 page tables, type in bits 52 to 58 */
#define LU_P2M_EPT 2U

/*
 * HVM_DOMAIN: followed by nr_params uint64_t (HVM_PARAM_* by index), then nr_e820
 * lu_e820_rec.
 */
#define LU_REC_HVM_DOMAIN (LU_REC_BASE | 0x171)

struct lu_hvm_domain_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_HVMD_F_* */
    uint32_t x87_fip_width;     /* bytes: 8, 4, or 0 for either */
    uint32_t physaddr_bitsize;  /* highest address for new pages; 0: any */
    uint32_t pci_cf8;           /* the domain's view of port 0xcf8 */
    uint64_t sync_tsc;          /* host's TSC that vCPUs to come go by */
    int64_t  time_offset;       /* guest time is Xen's time plus this, signed, ns */
    uint64_t last_time;         /* guest time that was told last, ns */
    uint64_t ioreq_gfn_base;    /* HVM_PARAM_IOREQ_SERVER_PFN */
    uint64_t ioreq_gfn_mask;    /* bit n: that gfn plus n is free */
    uint64_t ioreq_legacy_mask; /* bit n: the gfn of HVM_PARAM n is free */
    uint64_t apic_access_mfn;   /* VMX's APIC access page; LU_NO_MFN: none */
    uint32_t nr_params;
    uint32_t nr_e820;
};

#define LU_HVMD_F_SHINFO32    (1U << 0) /* shared_info has the 32-bit layout */
#define LU_HVMD_F_S3          (1U << 1) /* suspended to RAM, with a pause of Xen's */
#define LU_HVMD_F_LDR_VCPU_ID (1U << 2) /* x2APIC LDRs follow vCPU IDs */
#define LU_HVMD_F_UC          (1U << 3) /* a vCPU runs with caches off */

/*
 * HVM_CONTEXT: followed by `size` bytes: the entries of Xen's HVM save format
 * (public/hvm/save.h), without header and end.  A vCPU that is down and was
 * initialised has its CPU entry, too.
 */
#define LU_REC_HVM_CONTEXT (LU_REC_BASE | 0x172)

struct lu_hvm_context_rec {
    struct lu_id_rec id;
    uint32_t size;
    uint32_t reserved;
};

/* HVM_VCPU: what HVM_CONTEXT does not tell of the vCPU id.instance. */
#define LU_REC_HVM_VCPU (LU_REC_BASE | 0x173)

struct lu_hvm_vcpu_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_HVMV_F_* */
    uint32_t controller_pause_count;
    uint64_t vcpu_info_mfn;     /* LU_NO_MFN: not registered */
    uint32_t vcpu_info_offset;
    uint32_t interrupt_shadow;  /* as in VMX's guest interruptibility state */
    uint64_t tsc_offset;        /* guest's TSC less the (scaled) host's */
    int64_t  time_offset;       /* added to the domain's guest time; signed, ns */
    uint64_t guest_time;        /* stopped at, in mode 0 of timers; 0: not */
    uint64_t inject_cr2;        /* XEN_DMOP_inject_event; if inject_vector */
    int32_t  inject_error_code;
    int16_t  inject_vector;     /* is not -1 */
    uint8_t  inject_type;
    uint8_t  inject_len;
    uint8_t  upcall_vector;     /* HVMOP_set_evtchn_upcall_vector */
    uint8_t  cache_mode;        /* 0: normal, 2: caches off */
    uint8_t  async_mask;        /* bit 1 NMI, bit 2 #MC: being handled */
    uint8_t  reserved;
    struct lu_async_rec async[2];       /* NMI, #MC */
    uint64_t mcg_status;
    struct lu_mce_bank_rec mce_bank[2];
};

#define LU_HVMV_F_INITIALISED    (1U << 0)
#define LU_HVMV_F_DOWN           (1U << 1)
#define LU_HVMV_F_BLOCKED        (1U << 2)      /* halted */
#define LU_HVMV_F_SHUTDOWN       (1U << 3)      /* paused by its shutdown */
#define LU_HVMV_F_DEFER_SHUTDOWN (1U << 4)

/*
 * LAPIC_TIMER: the emulated APIC timer of the vCPU id.instance, beyond the registers
 * in HVM_CONTEXT.  Times in system time, which goes on.
 */
#define LU_REC_LAPIC_TIMER (LU_REC_BASE | 0x175)

struct lu_lapic_timer_rec {
    struct lu_id_rec id;
    uint32_t mode;              /* LU_LAPIC_TIMER_* */
    uint32_t flags;             /* LU_LAPIC_TIMER_F_* */
    uint32_t vector;            /* that it raises */
    uint32_t pending;           /* expiries that were not delivered yet */
    uint64_t period_ns;         /* 0 unless periodic */
    int64_t  due_ns;            /* next expiry; signed */
    uint64_t last_time;         /* guest time of the last delivery, ns */
    uint64_t tdt_msr;           /* IA32_TSC_DEADLINE */
    uint64_t last_update;       /* guest time that the count runs from; 0: none */
    uint64_t reserved;
};

#define LU_LAPIC_TIMER_OFF      0U      /* fields but the last ones are 0 */
#define LU_LAPIC_TIMER_ONE_SHOT 1U
#define LU_LAPIC_TIMER_PERIODIC 2U
#define LU_LAPIC_TIMER_DEADLINE 3U

#define LU_LAPIC_TIMER_F_LISTED (1U << 0)       /* not masked, if pending */
#define LU_LAPIC_TIMER_F_ISSUED (1U << 1)       /* its vector is in the IRR */
#define LU_LAPIC_TIMER_F_RUNS   (1U << 2)       /* also while descheduled */

/*
 * IOREQ: server id.instance of I/O requests of an HVM domain, as its device models know
 * it.  Followed by nr_vcpus lu_ioreq_vcpu_rec, then nr_ranges lu_ioreq_range_rec.
 */
#define LU_REC_IOREQ (LU_REC_BASE | 0x176)

#define LU_NO_GFN (~0ULL)       /* in a field named *gfn: none */

struct lu_ioreq_vcpu_rec {
    uint32_t vcpu;
    uint32_t port;              /* of its requests, one of the HVM domain */
    uint32_t flags;             /* LU_IOREQ_VCPU_F_* */
    uint32_t reserved;
};

#define LU_IOREQ_VCPU_F_PENDING (1U << 0)       /* it waits for an answer */

struct lu_ioreq_range_rec {     /* it serves these, first and last included */
    uint64_t first;
    uint64_t last;
    uint32_t type;              /* XEN_DMOP_IO_RANGE_* */
    uint32_t reserved;
};

struct lu_ioreq_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_IOREQ_F_* */
    uint16_t emulator;          /* domid */
    uint8_t  buffering;         /* HVM_IOREQSRV_BUFIOREQ_* */
    uint8_t  mem_access;        /* XEN_DMOP_IOREQ_MEM_ACCESS_*; 0: memory is not its */
    uint64_t mfn;               /* page of requests; LU_NO_MFN: not asked for yet */
    uint64_t gfn;               /* ... its place; LU_NO_GFN: a page that Xen gave */
    uint64_t buf_mfn;           /* the same of buffered requests */
    uint64_t buf_gfn;
    uint32_t buf_port;          /* their port; 0: none */
    uint32_t nr_vcpus;
    uint32_t nr_ranges;
    uint32_t reserved;
};

#define LU_IOREQ_F_ENABLED (1U << 0)

/*
 * HVM_IO: a request of the vCPU id.instance that is under way, and what it will go on
 * with.  Followed by nr_mmio lu_hvm_mmio_rec, then nr_reads lu_hvm_read_rec.
 */
#define LU_REC_HVM_IO (LU_REC_BASE | 0x177)

struct lu_hvm_mmio_rec {        /* what its instruction has exchanged with devices */
    uint64_t gla;               /* guest linear address */
    uint32_t size;              /* bytes of `buffer` that are done */
    uint8_t  dir;               /* 1: read, 0: written */
    uint8_t  reserved;
    uint16_t reserved2;
    uint8_t  buffer[64];
};

struct lu_hvm_read_rec {        /* ... and has read from memory */
    uint64_t gpa;
    uint64_t data;
    uint32_t size;              /* bytes, 1 to 8 */
    uint32_t reserved;
};

struct lu_hvm_io_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_HVMIO_F_* */
    uint8_t  state;             /* STATE_IOREQ_NONE: no request; else READY, or
                                   STATE_IORESP_READY */
    uint8_t  type;              /* IOREQ_TYPE_PIO, IOREQ_TYPE_COPY */
    uint8_t  completion;        /* LU_HVMIO_*: when the answer is there */
    uint8_t  access;            /* LU_HVMIO_A_*; with LU_HVMIO_F_GLA */
    uint64_t addr;              /* of the request: port, or guest physical */
    uint64_t data;
    uint32_t count;
    uint32_t size;              /* bytes: 1, 2, 4, 8 */
    uint64_t gla;               /* page that its instruction accesses; and */
    uint64_t gfn;               /* ... where that is; with LU_HVMIO_F_GLA */
    uint8_t  insn[16];          /* the instruction, insn_len bytes */
    uint32_t insn_len;
    uint32_t nr_mmio;           /* 3 at most */
    uint32_t nr_reads;
    uint32_t reserved;
};

#define LU_HVMIO_F_READ     (1U << 0)   /* the request is one to read */
#define LU_HVMIO_F_DOWN     (1U << 1)   /* ... goes downwards */
#define LU_HVMIO_F_PTR      (1U << 2)   /* ... `data` is a guest physical address */
#define LU_HVMIO_F_RETRY    (1U << 3)   /* a string instruction is not done */
#define LU_HVMIO_F_GLA      (1U << 4)   /* `gla` and `gfn` are known */
#define LU_HVMIO_F_READS    (1U << 5)   /* memory is read as the list says, if there */
#define LU_HVMIO_F_MAPCACHE (1U << 6)   /* device models shall forget their mappings */

#define LU_HVMIO_NONE     0U
#define LU_HVMIO_MMIO     1U    /* the instruction is emulated once more */
#define LU_HVMIO_PIO      2U    /* the port is read once more */
#define LU_HVMIO_REALMODE 3U    /* as MMIO, in VMX's real mode */

#define LU_HVMIO_A_READ    (1U << 0)
#define LU_HVMIO_A_WRITE   (1U << 1)
#define LU_HVMIO_A_FETCH   (1U << 2)
#define LU_HVMIO_A_PRESENT (1U << 3)

/*
 * PLATFORM_TIMERS: the emulated PIT, RTC, HPET and ACPI timer of an HVM domain, beyond the
 * registers in HVM_CONTEXT.  Times in system time or guest time, which go on.
 */
#define LU_REC_PLATFORM_TIMERS (LU_REC_BASE | 0x178)

struct lu_ptimer_rec {
    uint32_t flags;             /* LU_PTIMER_F_*; 0: so are all fields */
    uint32_t pending;           /* expiries that were not delivered yet */
    uint64_t period_ns;         /* 0: fires once */
    int64_t  due_ns;            /* next expiry; signed */
    uint64_t last_time;         /* guest time of the last delivery, ns */
};

#define LU_PTIMER_F_ACTIVE (1U << 0)        /* it runs, or has expired and waits */
#define LU_PTIMER_F_LISTED (1U << 1)        /* not masked, if pending */
#define LU_PTIMER_F_ISSUED (1U << 2)        /* its interrupt was raised */
#define LU_PTIMER_F_RUNS   (1U << 3)        /* also while its vCPU is descheduled */

struct lu_platform_timers_rec {
    struct lu_id_rec id;
    uint64_t hpet_offset;       /* main counter less guest time, in its ticks */
    int64_t  pit_load_time[3];  /* guest time that each counts from; signed, ns */
    int64_t  rtc_start_ns;      /* system time that periods count from; signed */
    int64_t  rtc_checked_ns;    /* ... up to which ticks are accounted; signed */
    int64_t  rtc_second_ns;     /* system time at which its second ends; signed; 0: never */
    int64_t  rtc_alarm_ns;      /* ... and its alarm comes; signed; 0: never */
    uint64_t pm_time;           /* guest time of pm_count, ns; and */
    uint32_t pm_rest;           /* ... fraction of a tick by then, / 2^32 */
    uint32_t pm_count;
    uint32_t rtc_period;        /* ns; 0: no periodic interrupt */
    uint16_t rtc_unread;        /* its interrupts that the guest did not look at */
    uint16_t pm_status;         /* PM1a status register */
    uint8_t  rtc_date[10];      /* registers 0 to 9, if the guest is setting them */
    uint8_t  reserved[6];
    struct lu_ptimer_rec timer[5];  /* PIT channel 0, RTC, HPET 0 to 2 */
};

/*
 * VIRIDIAN: Windows enlightenments of an HVM domain that has them, beyond HVM_CONTEXT.
 * Followed by nr_vcpus lu_viridian_vcpu_rec, by vCPU.  Reference time counts 100 ns.
 */
#define LU_REC_VIRIDIAN (LU_REC_BASE | 0x179)

struct lu_viridian_vcpu_rec {
    uint64_t vp_assist_mfn;     /* pages that Xen has mapped; LU_NO_MFN: none */
    uint64_t simp_mfn;
    uint64_t scontrol;          /* MSRs */
    uint64_t siefp;
    uint64_t crash[5];          /* ... CRASH_P0 to P4 */
    uint8_t  sint[256];         /* by vector: the SINT that it is of; 16: none */
    uint64_t expires[4];        /* by synthetic timer: reference time of its expiry */
    uint16_t stimer[4];         /* ... LU_STIMER_F_* */
};

#define LU_STIMER_F_STARTED (1U << 0)
#define LU_STIMER_F_PENDING (1U << 1)       /* has expired, without a message yet */

struct lu_viridian_rec {
    struct lu_id_rec id;
    uint64_t tsc_page_mfn;      /* of the reference TSC; LU_NO_MFN: not mapped */
    int64_t  offset;            /* reference time less the scaled guest TSC, when it ran */
    uint32_t nr_vcpus;
    uint32_t reserved;
};

/* CACHEATTR: of an HVM domain; followed by nr lu_pinned_rec. */
#define LU_REC_CACHEATTR (LU_REC_BASE | 0x174)

struct lu_pinned_rec {          /* XEN_DOMCTL_pin_mem_cacheattr */
    uint64_t first_gfn;
    uint64_t last_gfn;
    uint32_t type;              /* XEN_DOMCTL_MEM_CACHEATTR_* */
    uint32_t reserved;
};

struct lu_cacheattr_rec {
    struct lu_id_rec id;
    uint32_t nr;
    uint32_t reserved;
};

/*
 * POLICY: CPUID and MSRs as the domain sees them.  Followed by nr_leaves
 * lu_cpuid_leaf_rec (layout of struct xen_cpuid_leaf; those that are not all
 * zero), then nr_msrs lu_msr_rec.
 */
#define LU_REC_POLICY (LU_REC_BASE | 0x180)

struct lu_cpuid_leaf_rec {
    uint32_t leaf;
    uint32_t subleaf;           /* 0xffffffff: the leaf has none */
    uint32_t a, b, c, d;
};

struct lu_policy_rec {
    struct lu_id_rec id;
    uint32_t nr_leaves;
    uint32_t nr_msrs;
};

/* ---- Power management, console ------------------------------------------- */

/*
 * PX: performance states of the CPU id.instance as dom0 pushed them
 * (XENPF_set_processor_pminfo), states with the highest frequency first.
 */
#define LU_REC_PX (LU_REC_BASE | 0x30)

struct lu_px_state_rec {        /* _PSS */
    uint64_t mhz;
    uint64_t power_mw;
    uint64_t latency_us;        /* of a transition */
    uint64_t bus_latency_us;
    uint64_t control;           /* value that sets it */
    uint64_t status;            /* value that tells it */
};

struct lu_px_rec {
    struct lu_id_rec id;
    uint32_t nr;                /* struct lu_px_state_rec follow */
    uint32_t limit;             /* fastest state allowed, by index (_PPC) */
    uint64_t control_address;   /* where a state is set (_PCT) */
    uint64_t status_address;    /* where it is read */
    uint64_t psd_entries;       /* dependency on other CPUs (_PSD) */
    uint64_t psd_revision;
    uint64_t psd_domain;
    uint64_t psd_coord;
    uint64_t psd_cpus;
    uint32_t shared;            /* XEN_CPUPERF_SHARED_TYPE_* */
    uint16_t control_length;
    uint16_t status_length;
    uint8_t  control_descriptor, status_descriptor;
    uint8_t  control_space, status_space; /* 1 I/O port, 0x7f fixed hardware */
    uint8_t  control_width, status_width; /* bits */
    uint8_t  control_offset, status_offset;
    uint8_t  control_access, status_access;
    uint8_t  reserved[6];
};

/* PX_POLICY: what xenpm sets for the CPU id.instance and those that go with it. */
#define LU_REC_PX_POLICY (LU_REC_BASE | 0x31)

struct lu_px_policy_rec {
    struct lu_id_rec id;
    char     governor[16];      /* NUL terminated */
    uint32_t min_khz;
    uint32_t max_khz;
    uint32_t cur_khz;           /* governor userspace: the frequency */
    uint32_t turbo;             /* LU_PX_TURBO_* */
};

#define LU_PX_TURBO_NONE 0      /* not supported */
#define LU_PX_TURBO_ON   1
#define LU_PX_TURBO_OFF  2

/* CX: idle states of the CPU id.instance as dom0 pushed them. */
#define LU_REC_CX (LU_REC_BASE | 0x32)

struct lu_cx_state_rec {
    uint64_t address;
    uint32_t latency_us;
    uint8_t  type;              /* n of Cn */
    uint8_t  space;             /* ACPI's: 1 I/O port, 0x7f MWAIT */
    uint16_t reserved;
};

struct lu_cx_rec {
    struct lu_id_rec id;
    uint32_t flags;             /* LU_CX_F_* */
    uint32_t nr;                /* struct lu_cx_state_rec follow */
};

#define LU_CX_F_BM_CONTROL (1U << 0)
#define LU_CX_F_BM_CHECK   (1U << 1)
#define LU_CX_F_HAS_CST    (1U << 2)

/* PM: what xenpm sets for all CPUs. */
#define LU_REC_PM (LU_REC_BASE | 0x33)

struct lu_pm_rec {
    struct lu_id_rec id;
    uint32_t max_cstate;        /* 0xffffffff: no limit */
    uint32_t max_csubstate;     /* 0xffffffff: no limit */
    uint32_t flags;             /* LU_PM_F_* */
    uint32_t ondemand_rate_us;  /* 0: never used */
    uint32_t ondemand_threshold;
    uint32_t reserved;
};

#define LU_PM_F_SMT (1U << 0)   /* the scheduler fills cores to save power */

/* CONRING: text of the console ring, the oldest first; nr u8 follow. */
#define LU_REC_CONRING (LU_REC_BASE | 0x34)

struct lu_conring_rec {
    struct lu_id_rec id;
    uint32_t first;             /* index readers know the first byte by */
    uint32_t nr;                /* bytes */
};

#endif /* __XEN_PUBLIC_LIVEUPDATE_H__ */

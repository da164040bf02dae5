/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The capability note of this image, and the proof that it tells the truth.
 *
 * A constant on a page of its own in .rodata: an ELF note would not do, since
 * kexec-tools hands over the bytes of PT_LOAD segments only.  Its table comes
 * from records.h; an initcall compares it with the kinds that are compiled in
 * and switches live update off if they differ, because then an older Xen would
 * be told something untrue.
 */
#include <xen/compile.h>
#include <xen/cpumask.h>
#include <xen/init.h>
#include <xen/kernel.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/nospec.h>
#include <public/domctl.h>
#include <public/hvm/params.h>

#include <xen/lib/x86/cpu-policy.h>

#include <asm/xstate.h>

#include "internal.h"

static const struct {
    struct lu_note_rec head;
#define LU_RECORD(name, min, max) + 1
    struct lu_note_entry_rec entry[0
#include "records.h"
                                  ];
#undef LU_RECORD
    uint64_t tail;
} note __used __aligned(PAGE_SIZE) = {
    .head = {
        .magic = { LU_NOTE_MAGIC0, LU_NOTE_MAGIC1 },
        .version = LU_NOTE_VERSION,
        .size = sizeof(note.head) + sizeof(note.entry) + sizeof(note.tail),
        .xen_major = XEN_VERSION,
        .xen_minor = XEN_SUBVERSION,
        .page_info_size = sizeof(struct page_info),
        .nr_cpus = NR_CPUS,
        .flags = (IS_ENABLED(CONFIG_DEBUG) ? LU_NOTE_F_DEBUG : 0) |
                 (sizeof(CONFIG_CMDLINE) > 1 ? LU_NOTE_F_CMDLINE : 0),
        .nr_entries = ARRAY_SIZE(note.entry),
        .entry = 0,
        .header = sizeof(note.head),
        .extraversion = XEN_EXTRAVERSION,
        .scheduler = CONFIG_SCHED_DEFAULT,
        .schedulers =
            (IS_ENABLED(CONFIG_SCHED_CREDIT) << XEN_SCHEDULER_CREDIT) |
            (IS_ENABLED(CONFIG_SCHED_CREDIT2) << XEN_SCHEDULER_CREDIT2) |
            (IS_ENABLED(CONFIG_SCHED_ARINC653) << XEN_SCHEDULER_ARINC653) |
            (IS_ENABLED(CONFIG_SCHED_RTDS) << XEN_SCHEDULER_RTDS) |
            (IS_ENABLED(CONFIG_SCHED_NULL) << XEN_SCHEDULER_NULL),
        .nr_features = FEATURESET_NR_ENTRIES,
        .max_pdx = FRAMETABLE_NR,
        .xcr0 = XCNTXT_MASK,
        .cpuid_basic = CPUID_GUEST_NR_BASIC - 1,
        .cpuid_feat = CPUID_GUEST_NR_FEAT - 1,
        .cpuid_extd = 0x80000000U + CPUID_GUEST_NR_EXTD - 1,
        .pv_features = INIT_PV_MAX_FEATURES,
#ifdef CONFIG_HVM
        .viridian = HVMPV_feature_mask,
        .hvm_features = INIT_HVM_HAP_MAX_FEATURES,
#endif
    },
    .entry = {
#define LU_RECORD(name, min, max) \
        { .type = LU_REC_ ## name, .min_version = min, .max_version = max },
#include "records.h"
#undef LU_RECORD
    },
    .tail = LU_NOTE_TAIL,
};

bool lu_own_record(unsigned int i, struct lu_note_entry_rec *e)
{
    if ( i >= ARRAY_SIZE(note.entry) )
        return false;

    *e = note.entry[array_index_nospec(i, ARRAY_SIZE(note.entry))];

    return true;
}

static int __init cf_check prove_note(void)
{
    unsigned int i, j, n = 0;

    BUILD_BUG_ON(sizeof(note) > PAGE_SIZE);
    BUILD_BUG_ON(ARRAY_SIZE(note.entry) > LU_NOTE_MAX_ENTRIES);
    BUILD_BUG_ON(FEATURESET_NR_ENTRIES > LU_NOTE_MAX_FEATURES);

    /* arch/x86/boot/head.S: `start` opens the image (xen.lds.S). */
    BUG_ON((char *)start - (char *)_start != note.head.entry);

    for ( i = 0; i < lu_nr_kinds; i++ )
    {
        const struct lu_kind *k = lu_kinds[i];

        if ( !k->type )
            continue;
        for ( j = 0; j < ARRAY_SIZE(note.entry); j++ )
            if ( note.entry[j].type == k->type &&
                 note.entry[j].min_version == k->min_version &&
                 note.entry[j].max_version == k->version )
                break;
        if ( j == ARRAY_SIZE(note.entry) )
            panic("live-update: %s: capability note and code disagree\n",
                  k->name);
        n++;
    }

    if ( n != ARRAY_SIZE(note.entry) )
        panic("live-update: capability note lists %zu records, the code has %u\n",
              ARRAY_SIZE(note.entry), n);

    return 0;
}
__initcall(prove_note);

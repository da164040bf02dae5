/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records of the live update stream, in the order of their chapters in
 * docs/specs/live-update-stream.md, and what follows from that table: names,
 * which versions are read, how long a body must be.
 *
 * Nothing here fails but lu_body_check, which says what is wrong with a body.
 */
#include <errno.h>
#include <string.h>

#include "schema.h"
#include "fields.inc"

#define STRUCT(s) (&lu_struct_##s)

/* Arrays of plain numbers. */
static const struct lu_field u8_field = { "", 0, 1, 1, 'b', NULL, NULL };
static const struct lu_struct u8 = { "uint8_t", 1, 1, &u8_field };
static const struct lu_field u32_field = { "", 0, 4, 1, 'u', NULL, NULL };
static const struct lu_struct u32 = { "uint32_t", 4, 1, &u32_field };
static const struct lu_field u64_field = { "", 0, 8, 1, 'x', NULL, NULL };
static const struct lu_struct u64 = { "uint64_t", 8, 1, &u64_field };
static const struct lu_field ns_field = { "", 0, 8, 1, 'u', NULL, NULL };
static const struct lu_struct ns = { "uint64_t", 8, 1, &ns_field };

const struct lu_desc lu_descs[] = {
    { LU_REC_HOST, "HOST", STRUCT(lu_host_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, {} },
    { LU_REC_MEMORY, "MEMORY", STRUCT(lu_memory_rec), 3, 3,
      LU_SCOPE_HOST, LU_ONE,
      { { "nr_ram", "ram", STRUCT(lu_range_rec) },
        { "nr_extents", "extent", STRUCT(lu_extent_rec) } } },
    { LU_REC_M2P, "M2P", STRUCT(lu_m2p_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, { { "nr", "chunk", STRUCT(lu_m2p_chunk_rec) } } },
    { LU_REC_CRASH_AREA, "CRASH_AREA", STRUCT(lu_crash_area_rec), 1, 1,
      LU_SCOPE_HOST, LU_MAYBE, {} },
    { LU_REC_CPUS, "CPUS", STRUCT(lu_cpus_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, { { "nr", "apic_id", &u32 } } },

    { LU_REC_TIME, "TIME", STRUCT(lu_time_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, {} },
    { LU_REC_SCHED_GLOBAL, "SCHED_GLOBAL", STRUCT(lu_sched_global_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, { { "nr", "idle", &ns } } },
    { LU_REC_GSIS, "GSIS", STRUCT(lu_gsis_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, { { "nr", "gsi", STRUCT(lu_gsi_rec) } } },
    { LU_REC_MMCFG, "MMCFG", STRUCT(lu_mmcfg_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, { { "nr", "area", STRUCT(lu_mmcfg_area_rec) } } },
    { LU_REC_PCI_DEV, "PCI_DEV", STRUCT(lu_pci_dev_rec), 1, 1,
      LU_SCOPE_HOST, LU_EACH, {} },
    { LU_REC_GRANT_LIMITS, "GRANT_LIMITS", STRUCT(lu_grant_limits_rec), 1, 1,
      LU_SCOPE_HOST, LU_ONE, {} },

    { LU_REC_PX, "PX", STRUCT(lu_px_rec), 1, 1,
      LU_SCOPE_HOST, LU_EACH, { { "nr", "state", STRUCT(lu_px_state_rec) } } },
    { LU_REC_PX_POLICY, "PX_POLICY", STRUCT(lu_px_policy_rec), 1, 1,
      LU_SCOPE_HOST, LU_EACH, {} },
    { LU_REC_CX, "CX", STRUCT(lu_cx_rec), 1, 1,
      LU_SCOPE_HOST, LU_EACH, { { "nr", "state", STRUCT(lu_cx_state_rec) } } },
    { LU_REC_PM, "PM", STRUCT(lu_pm_rec), 1, 1,
      LU_SCOPE_HOST, LU_MAYBE, {} },
    { LU_REC_CONRING, "CONRING", STRUCT(lu_conring_rec), 1, 1,
      LU_SCOPE_HOST, LU_MAYBE, { { "nr", "text", &u8 } } },

    { LU_REC_DOMAIN, "DOMAIN", STRUCT(lu_domain_rec), 2, 2,
      LU_SCOPE_DOMAIN, LU_ONE, {} },
    { LU_REC_CAPS, "CAPS", STRUCT(lu_caps_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE,
      { { "nr_iomem", "iomem", STRUCT(lu_cap_range_rec) },
        { "nr_ioport", "ioport", STRUCT(lu_cap_range_rec) },
        { "nr_irq", "irq", STRUCT(lu_cap_range_rec) } } },
    { LU_REC_FROZEN, "FROZEN", STRUCT(lu_frozen_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_MAYBE, {} },
    { LU_REC_POLICY, "POLICY", STRUCT(lu_policy_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE,
      { { "nr_leaves", "leaf", STRUCT(lu_cpuid_leaf_rec) },
        { "nr_msrs", "msr", STRUCT(lu_msr_rec) } } },
    { LU_REC_PAGETABLES, "PAGETABLES", STRUCT(lu_pagetables_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_PV, { { "nr_pins", "pin", STRUCT(lu_pin_rec) } } },
    { LU_REC_PV_DOMAIN, "PV_DOMAIN", STRUCT(lu_pv_domain_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_PV,
      { { "nr_e820", "e820", STRUCT(lu_e820_rec) } } },
    { LU_REC_PV_VCPU, "PV_VCPU", STRUCT(lu_pv_vcpu_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE_IF_PV,
      { { "nr_traps", "trap", STRUCT(lu_trap_rec) },
        { "nr_msrs", "msr", STRUCT(lu_msr_rec) } } },
    { LU_REC_PV_XSAVE, "PV_XSAVE", STRUCT(lu_pv_xsave_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE_IF_PV, { { "size", "state", &u8 } } },
    { LU_REC_P2M, "P2M", STRUCT(lu_p2m_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_HVM, {} },
    { LU_REC_HVM_DOMAIN, "HVM_DOMAIN", STRUCT(lu_hvm_domain_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_HVM,
      { { "nr_params", "param", &u64 },
        { "nr_e820", "e820", STRUCT(lu_e820_rec) } } },
    { LU_REC_HVM_CONTEXT, "HVM_CONTEXT", STRUCT(lu_hvm_context_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_HVM, { { "size", "entry", &u8 } } },
    { LU_REC_HVM_VCPU, "HVM_VCPU", STRUCT(lu_hvm_vcpu_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE_IF_HVM, {} },
    { LU_REC_LAPIC_TIMER, "LAPIC_TIMER", STRUCT(lu_lapic_timer_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE_IF_HVM, {} },
    { LU_REC_IOREQ, "IOREQ", STRUCT(lu_ioreq_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_EACH,
      { { "nr_vcpus", "vcpu", STRUCT(lu_ioreq_vcpu_rec) },
        { "nr_ranges", "range", STRUCT(lu_ioreq_range_rec) } } },
    { LU_REC_HVM_IO, "HVM_IO", STRUCT(lu_hvm_io_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE_IF_HVM,
      { { "nr_mmio", "access", STRUCT(lu_hvm_mmio_rec) },
        { "nr_reads", "read", STRUCT(lu_hvm_read_rec) } } },
    { LU_REC_PLATFORM_TIMERS, "PLATFORM_TIMERS", STRUCT(lu_platform_timers_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_HVM, {} },
    { LU_REC_VIRIDIAN, "VIRIDIAN", STRUCT(lu_viridian_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_MAYBE,
      { { "nr_vcpus", "vcpu", STRUCT(lu_viridian_vcpu_rec) } } },
    { LU_REC_CACHEATTR, "CACHEATTR", STRUCT(lu_cacheattr_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE_IF_HVM,
      { { "nr", "range", STRUCT(lu_pinned_rec) } } },
    { LU_REC_GRANT, "GRANT", STRUCT(lu_grant_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE,
      { { "nr_frames", "frame", STRUCT(lu_grant_frame_rec) },
        { "nr_status_frames", "status", STRUCT(lu_grant_frame_rec) },
        { "nr_active", "active", STRUCT(lu_grant_active_rec) } } },
    { LU_REC_GRANT_MAPS, "GRANT_MAPS", STRUCT(lu_grant_maps_rec), 2, 2,
      LU_SCOPE_DOMAIN, LU_MAYBE,
      { { "nr", "map", STRUCT(lu_grant_map_rec) } } },
    { LU_REC_EVTCHN, "EVTCHN", STRUCT(lu_evtchn_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE,
      { { "nr", "port", STRUCT(lu_evtchn_port_rec) } } },
    { LU_REC_EVTCHN_FIFO, "EVTCHN_FIFO", STRUCT(lu_evtchn_fifo_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_MAYBE,
      { { "nr_pages", "page", &u64 },
        { "nr_vcpus", "vcpu", STRUCT(lu_evtchn_fifo_vcpu_rec) } } },
    { LU_REC_PIRQS, "PIRQS", STRUCT(lu_pirqs_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE, { { "nr", "pirq", STRUCT(lu_pirq_rec) } } },
    { LU_REC_VCPU_TIMER, "VCPU_TIMER", STRUCT(lu_vcpu_timer_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE, {} },
    { LU_REC_TSC, "TSC", STRUCT(lu_tsc_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE, {} },
    { LU_REC_WATCHDOG, "WATCHDOG", STRUCT(lu_watchdog_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_MAYBE,
      { { "nr", "timer", STRUCT(lu_watchdog_slot_rec) } } },
    { LU_REC_SCHED, "SCHED", STRUCT(lu_sched_rec), 1, 1,
      LU_SCOPE_DOMAIN, LU_ONE, {} },
    { LU_REC_AFFINITY, "AFFINITY", STRUCT(lu_affinity_rec), 1, 1,
      LU_SCOPE_VCPU, LU_ONE,
      { { "nr_words", "hard", &u64 }, { "nr_words", "soft", &u64 } } },
};

const unsigned int lu_nr_descs = sizeof(lu_descs) / sizeof(lu_descs[0]);

const struct lu_struct *lu_struct_of(const char *name)
{
    const struct lu_struct *const *st;

    for ( st = lu_structs; *st; st++ )
        if ( !strcmp((*st)->name, name) )
            break;

    return *st;
}

const struct lu_desc *lu_desc_of(uint32_t type)
{
    unsigned int i;

    for ( i = 0; i < lu_nr_descs; i++ )
        if ( lu_descs[i].type == type )
            return &lu_descs[i];

    return NULL;
}

const char *lu_name_of(uint32_t type)
{
    static char unknown[24];
    const struct lu_desc *desc = lu_desc_of(type);

    if ( desc )
        return desc->name;
    if ( type == LU_REC_END )
        return "END";
    snprintf(unknown, sizeof(unknown), "type %#x", type);

    return unknown;
}

uint64_t lu_field_value(const struct lu_struct *st, const void *body,
                        const char *name)
{
    unsigned int i;

    for ( i = 0; i < st->nr_fields; i++ )
    {
        const struct lu_field *f = &st->fields[i];
        uint64_t value = 0;

        if ( strcmp(f->name, name) || f->width > sizeof(value) )
            continue;
        memcpy(&value, (const uint8_t *)body + f->offset, f->width);

        return value;
    }

    return 0;
}

enum lu_verdict lu_understands(const struct lu_note_entry_rec *table,
                               unsigned int nr, const struct lu_rec *rec)
{
    unsigned int i;

    if ( rec->type == LU_REC_END )
        return LU_READ;

    for ( i = 0; i < nr; i++ )
        if ( table[i].type == rec->type )
            return rec->id.version >= table[i].min_version &&
                   rec->id.version <= table[i].max_version
                   ? LU_READ : LU_VERSION;

    return rec->optional ? LU_SKIP : LU_UNKNOWN;
}

void lu_own_table(struct lu_note_entry_rec *table)
{
    unsigned int i;

    for ( i = 0; i < lu_nr_descs; i++ )
        table[i] = (struct lu_note_entry_rec){
            .type = lu_descs[i].type,
            .min_version = lu_descs[i].min_version,
            .max_version = lu_descs[i].max_version,
        };
}

int lu_body_check(const struct lu_desc *desc, const void *body,
                  uint32_t length, char *why, size_t size)
{
    uint64_t left = length;
    const struct lu_array *a;

    if ( left < desc->body->size )
    {
        snprintf(why, size, "%u bytes of body, %s has %u",
                 length, desc->body->name, desc->body->size);
        return -EBADMSG;
    }
    left -= desc->body->size;

    for ( a = desc->array; a < desc->array + LU_MAX_ARRAYS && a->count; a++ )
    {
        uint64_t nr = lu_field_value(desc->body, body, a->count);

        if ( nr > left / a->elem->size )
        {
            snprintf(why, size, "%s = %llu: %s does not fit %u bytes of body",
                     a->count, (unsigned long long)nr, a->name, length);
            return -EBADMSG;
        }
        left -= nr * a->elem->size;
    }

    if ( left )
    {
        snprintf(why, size, "%llu bytes of body more than its fields say",
                 (unsigned long long)left);
        return -EBADMSG;
    }

    return 0;
}

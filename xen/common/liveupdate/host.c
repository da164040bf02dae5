/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HOST and CPUS: who wrote the stream, and which CPUs it counts.
 *
 * HOST opens the stream: version and build of the writer, the number of this
 * update, the phases of the pause so far in TSC ticks, and the domid that was last
 * given to a new domain: tools take it for granted that it is not used again soon.
 * CPUS lists APIC IDs in the order of the writer's CPU numbers, which affinities are
 * given in.
 *
 * What can fail: the new Xen numbering CPUs differently, or having fewer.  CPU
 * numbers follow from firmware tables and the command line, which the load has
 * compared, so restore refuses (and the caller panics) if they differ.
 */
#include <xen/cpumask.h>
#include <xen/efi.h>
#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/version.h>

#include <asm/apic.h>
#include <asm/e820.h>
#include <asm/mpspec.h>
#include <asm/tboot.h>

#include "internal.h"

struct lu_progress lu_progress;

/* domctl.c's rover, and whether this Xen has still to take it up. */
static domid_t last_domid;
static bool domid_restored;

void lu_domid_given(domid_t dom)
{
    last_domid = dom;
}

void lu_domid_search(domid_t *dom)
{
    if ( !domid_restored )
        return;

    domid_restored = false;
    *dom = last_domid + 1 < DOMID_FIRST_RESERVED ? last_domid + 1 : 1;
}

static void fill_host(const struct lu_kind *k, struct lu_host_rec *r)
{
    const void *id;
    unsigned int len = 0, nr = 0;
    const struct domain *d;

    memset(r, 0, sizeof(*r));
    r->id = lu_id(k, NULL, 0);
    r->xen_major = xen_major_version();
    r->xen_minor = xen_minor_version();
    r->update = lu_progress.updates + 1;
    r->max_page = max_page;
    r->pause_tsc = lu_progress.pause_tsc;
    r->parked_tsc = lu_progress.parked_tsc;
    for_each_domain ( d )
        nr++;
    r->nr_domains = nr;
    r->nr_cpus = num_online_cpus();
    r->page_info_size = sizeof(struct page_info);
    r->last_domid = last_domid;
    if ( !xen_build_id(&id, &len) )
    {
        r->build_id_len = min_t(unsigned int, len, sizeof(r->build_id));
        memcpy(r->build_id, id, r->build_id_len);
    }
    strlcpy(r->extraversion, xen_extra_version(), sizeof(r->extraversion));
}

/* XENPF_mem_hotadd counts its pages, and the boot's memory map lacks them. */
static unsigned long hot_added(void)
{
    unsigned long pages = 0;
    unsigned int i;

    for ( i = 0; i < e820.nr_map; i++ )
        if ( e820.map[i].type == E820_RAM )
            pages += e820.map[i].size >> PAGE_SHIFT;

    return total_pages > pages ? total_pages - pages : 0;
}

static int cf_check check_host(const struct domain *d)
{
    int rc = 0, err;

    /* kexec-tools tells the next Xen nothing of EFI: it would find no ACPI. */
    if ( efi_enabled(EFI_BOOT) )
        rc = lu_blocker(-EOPNOTSUPP, NULL, "efi: Xen was booted by EFI firmware");

    /* Nobody measures the next Xen, and CPUs and S3 are tboot's to start. */
    if ( tboot_in_measured_env() )
    {
        err = lu_blocker(-EOPNOTSUPP, NULL, "tboot: Xen was launched by tboot");
        rc = rc ?: err;
    }

    if ( hot_added() )
    {
        err = lu_blocker(-EOPNOTSUPP, NULL,
                         "memory: %lu pages were added since the boot",
                         hot_added());
        rc = rc ?: err;
    }

    return rc;
}

static int cf_check save_host(struct lu_stream *s, struct domain *d)
{
    struct lu_host_rec r;

    fill_host(&lu_kind_host, &r);

    return lu_rec_write(s, LU_REC_HOST, &r, sizeof(r));
}

static int cf_check restore_host(const struct lu_stream *s,
                                 const struct lu_rec *rec, struct domain *d)
{
    struct lu_host_rec *r = &lu_progress.from;
    int rc = lu_rec_read(s, rec, 0, r, sizeof(*r));

    if ( rc )
        return rc;

    if ( r->build_id_len > sizeof(r->build_id) ||
         r->extraversion[sizeof(r->extraversion) - 1] || !r->update ||
         r->last_domid >= DOMID_FIRST_RESERVED || r->reserved )
        return lu_error(-EBADMSG, NULL,
                        "HOST: update %lu, build id of %u bytes, d%u, or no end of the version",
                        r->update, r->build_id_len, r->last_domid);
    if ( r->nr_cpus > num_online_cpus() )
        return lu_error(-ENODEV, NULL, "HOST: %u CPUs were online, now %u",
                        r->nr_cpus, num_online_cpus());
    lu_progress.updates = r->update;
    last_domid = r->last_domid;
    domid_restored = true;

    return 0;
}

const struct lu_kind lu_kind_host = {
    .name = "HOST",
    .type = LU_REC_HOST,
    .size = sizeof(struct lu_host_rec),
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_HOST,
    .check = check_host,
    .save = save_host,
    .restore = restore_host,
};

/* CPU numbers cross as such; offline or parked CPUs would shift them. */
static int cf_check check_cpus(const struct domain *d)
{
    if ( num_online_cpus() != num_present_cpus() )
        return lu_blocker(-EOPNOTSUPP, NULL, "%u of %u CPUs offline",
                          num_present_cpus() - num_online_cpus(),
                          num_present_cpus());

    return 0;
}

static int cf_check save_cpus(struct lu_stream *s, struct domain *d)
{
    struct lu_cpus_rec r = {
        .id = lu_id(&lu_kind_cpus, NULL, 0),
        .nr = cpumask_last(&cpu_online_map) + 1,
    };
    unsigned int cpu;
    int rc = lu_rec_begin(s, LU_REC_CPUS) ?: lu_rec_put(s, &r, sizeof(r));

    for ( cpu = 0; !rc && cpu < r.nr; cpu++ )
    {
        uint32_t id = x86_cpu_to_apicid[cpu];

        rc = lu_rec_put(s, &id, sizeof(id));
    }

    return rc ?: lu_rec_end(s);
}

static int cf_check restore_cpus(const struct lu_stream *s,
                                 const struct lu_rec *rec, struct domain *d)
{
    struct lu_cpus_rec r;
    unsigned int cpu;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !r.nr || r.nr > nr_cpu_ids || r.reserved ||
         !lu_array_fits(rec, sizeof(r), sizeof(uint32_t), r.nr) )
        return lu_error(-EBADMSG, NULL, "CPUS: %u CPUs in %u bytes", r.nr,
                        rec->length);

    for ( cpu = 0; cpu < r.nr; cpu++ )
    {
        uint32_t id;

        rc = lu_rec_read(s, rec, sizeof(r) + cpu * sizeof(id), &id,
                         sizeof(id));
        if ( rc )
            return rc;
        if ( x86_cpu_to_apicid[cpu] != id || !cpu_online(cpu) )
            return lu_error(-ENODEV, NULL,
                            "CPUS: CPU%u had APIC ID %#x, now %#x%s", cpu, id,
                            x86_cpu_to_apicid[cpu],
                            cpu_online(cpu) ? "" : " and offline");
    }

    return 0;
}

const struct lu_kind lu_kind_cpus = {
    .name = "CPUS",
    .type = LU_REC_CPUS,
    .size = sizeof(struct lu_cpus_rec),
    .array = { LU_ARRAY(lu_cpus_rec, nr, uint32_t) },
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_HOST,
    .check = check_cpus,
    .save = save_cpus,
    .restore = restore_cpus,
};

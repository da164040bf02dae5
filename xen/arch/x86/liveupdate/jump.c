/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parking the other CPUs, and the jump.
 *
 * A parked CPU has its FPU saved (its domains were paused and synced), HVM
 * switched off, its clock sampled, and spins with IRQs off on a word that the
 * abort path can release.  It is parked by a tasklet, not by an IPI: its idle
 * vCPU holds no lock there, which an interrupted scrub of the heap, for one,
 * would, and saving takes locks.  At the jump all CPUs but ours get an INIT:
 * what they spin in, and the tables they spin on, may then be overwritten.  INIT
 * also takes offline CPUs out of an MWAIT on memory that is about to change.
 *
 * What can fail: a CPU that does not arrive within a second of spinning: the
 * others are released and the update is refused.
 */
#include <xen/kexec.h>
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/elfstructs.h>
#include <xen/smp.h>
#include <xen/tasklet.h>
#include <xen/xxhash.h>

#include <asm/apic.h>
#include <asm/hvm/support.h>
#include <asm/processor.h>

#include "../../../common/liveupdate/internal.h"
#include "zone.h"

static atomic_t parked;
static bool hold;

static DEFINE_PER_CPU(struct tasklet, park_tasklet);

static void cf_check park_cpu(void *unused)
{
    unsigned long flags;

    local_irq_save(flags);
    hvm_cpu_down();
    lu_time_sample();

    atomic_inc(&parked);
    while ( ACCESS_ONCE(hold) )
        cpu_relax();

    if ( hvm_cpu_up() )
        BUG();
    atomic_dec(&parked);
    local_irq_restore(flags);
}

int lu_park_cpus(void)
{
    unsigned int cpu, want = num_online_cpus() - 1;
    s_time_t end = NOW() + SECONDS(1);

    hold = true;
    for_each_online_cpu ( cpu )
    {
        struct tasklet *t = &per_cpu(park_tasklet, cpu);

        if ( cpu == smp_processor_id() )
            continue;
        if ( !t->func )
            tasklet_init(t, park_cpu, NULL);
        tasklet_schedule_on_cpu(t, cpu);
    }

    while ( atomic_read(&parked) != want )
    {
        if ( NOW() > end )
        {
            int rc = lu_error(-EBUSY, NULL, "%u of %u CPUs can be parked",
                              atomic_read(&parked), want);

            lu_unpark_cpus();
            return rc;
        }
        cpu_relax();
    }

    return 0;
}

void lu_unpark_cpus(void)
{
    ACCESS_ONCE(hold) = false;
    while ( atomic_read(&parked) )
        cpu_relax();
}

static void write_crumb(const uint64_t *mfns, unsigned int nr, uint64_t bytes)
{
    struct lu_crumb_rec *c = maddr_to_virt(lu_zone.start);

    memset(c, 0, sizeof(*c));
    c->magic = LU_CRUMB_MAGIC;
    c->version = LU_CRUMB_VERSION;
    c->size = sizeof(*c);
    c->region_start = lu_zone.start;
    c->region_size = lu_zone.region_size;
    c->slot_size = LU_SLOT_SIZE;
    c->slot = lu_free_slot();
    c->nr_pages = nr;
    c->array_maddr = virt_to_maddr(mfns);
    c->stream_bytes = bytes;
    c->saved_tsc = rdtsc();
    c->crc = xxh64(c, sizeof(*c), 0);
    if ( lu_fault_crumb() )
        c->stream_bytes ^= 8;
}

/*
 * Purgatory would hash the image again, in the pause.  In its place, behind the
 * breadcrumb: mov $magic, %eax; mov $mbi, %ebx; mov $entry, %ecx; jmp *%ecx,
 * which kexec_reloc() enters in flat 32-bit mode, as multiboot2 wants it.
 */
#define STUB_OFFSET 2048
#define MB2_LOADER_MAGIC 0x36d76289

struct __packed stub {
    uint8_t mov_eax;
    uint32_t magic;
    uint8_t mov_ebx;
    uint32_t mbi;
    uint8_t mov_ecx;
    uint32_t entry;
    uint8_t jmp_ecx[2];
};

static void write_stub(struct kexec_image *image)
{
    struct stub *stub = maddr_to_virt(lu_zone.start + STUB_OFFSET);
    paddr_t entry, mbi;

    BUILD_BUG_ON(sizeof(struct lu_crumb_rec) > STUB_OFFSET);

    lu_image_entry(&entry, &mbi);
    *stub = (struct stub){
        .mov_eax = 0xb8, .magic = MB2_LOADER_MAGIC,
        .mov_ebx = 0xbb, .mbi = mbi,
        .mov_ecx = 0xb9, .entry = entry,
        .jmp_ecx = { 0xff, 0xe1 },
    };

    image->arch = EM_386;
    image->entry_maddr = lu_zone.start + STUB_OFFSET;
}

static void init_other_cpus(void)
{
    unsigned int cpu;

    for_each_present_cpu ( cpu )
    {
        if ( cpu == smp_processor_id() )
            continue;
        apic_wait_icr_idle();
        apic_icr_write(APIC_INT_LEVELTRIG | APIC_INT_ASSERT | APIC_DM_INIT,
                       x86_cpu_to_apicid[cpu]);
    }
    apic_wait_icr_idle();
}

void noreturn lu_arch_jump(struct kexec_image *image, const uint64_t *mfns,
                           unsigned int nr, uint64_t bytes)
{
    write_stub(image);
    write_crumb(mfns, nr, bytes);
    /* The next Xen has nobody to take an NMI until its IDT is set up. */
    disable_lapic_nmi_watchdog();
    init_other_cpus();
    hvm_cpu_down();
    machine_kexec(image);
    BUG();
}

/* ---- The machine to phys table, as it is mapped ---------------------------- */

void lu_arch_for_each_m2p(void (*fn)(void *ctx,
                                     const struct lu_m2p_chunk_rec *chunk),
                          void *ctx)
{
    unsigned long va;

    for ( va = RDWR_MPT_VIRT_START; va < RDWR_MPT_VIRT_END; )
    {
        struct lu_m2p_chunk_rec c = {
            .first_mfn = (va - RDWR_MPT_VIRT_START) / sizeof(unsigned long),
        };
        l3_pgentry_t l3e = l3e_from_l4e(idle_pg_table[l4_table_offset(va)],
                                        l3_table_offset(va));

        if ( !(l3e_get_flags(l3e) & _PAGE_PRESENT) )
        {
            va += 1UL << L3_PAGETABLE_SHIFT;
            continue;
        }

        if ( l3e_get_flags(l3e) & _PAGE_PSE )
        {
            c.chunk_mfn = l3e_get_pfn(l3e);
            c.order = 2 * PAGETABLE_ORDER;
        }
        else
        {
            l2_pgentry_t l2e = l2e_from_l3e(l3e, l2_table_offset(va));

            if ( l2e_get_flags(l2e) & _PAGE_PRESENT )
            {
                c.chunk_mfn = l2e_get_pfn(l2e);
                c.order = PAGETABLE_ORDER;
            }
        }

        if ( c.order )
            fn(ctx, &c);
        va += 1UL << (c.order == 2 * PAGETABLE_ORDER ? L3_PAGETABLE_SHIFT
                                                     : L2_PAGETABLE_SHIFT);
    }
}

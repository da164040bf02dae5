/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update: what x86's boot code calls, in the order __start_xen() does.
 * See arch/x86/liveupdate/boot.c for the narrative.
 */
#ifndef __ASM_X86_LIVEUPDATE_H__
#define __ASM_X86_LIVEUPDATE_H__

#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/multiboot.h>
#include <xen/pci_regs.h>

#include <asm/e820.h>

/*
 * Time, see arch/x86/liveupdate/time.c.  Only called while lu_booting, so there
 * is nothing to them without CONFIG_LIVE_UPDATE.
 */
struct vcpu_time_info;
struct p2m_domain;

/* In place of early_time_init() and verify_tsc_reliability(). */
void lu_early_time_init(void);
int lu_verify_tsc(void);
void lu_init_wallclock(void);
/* The old Xen's rate of the APIC timer; false: it had none. */
bool lu_adopt_apic_timer(void);
uint32_t lu_apic_bus_scale(void);
/* Waits `ms` milliseconds, but only while *word is `value`.  Any CPU. */
void lu_mdelay_while(unsigned int ms, const unsigned int *word,
                     unsigned int value);

/*
 * Interrupts.  The old Xen's timer interrupt came by the pin that is tried first,
 * so it need not be waited for.  Boot only, after the HPET's setup.
 */
bool lu_timer_trusted(void);

/*
 * MSI-X control of a device that Xen sees for the first time: this Xen does, but
 * the device is in use and stays as it is.
 */
static inline uint16_t lu_msix_initial(uint16_t control)
{
    return lu_booting ? control & ~(PCI_MSIX_FLAGS_ENABLE |
                                    PCI_MSIX_FLAGS_MASKALL)
                      : control;
}

/* A page's owner to compare only: page_get_owner() is dear in loops; 0: none. */
#define lu_owner_id(pg) ((pg)->v.inuse._domain)
#define lu_owner_id_of(d) ((d) ? virt_to_pdx(d) : 0)

/* type_info, less its count, of a page that is mapped writable and is nothing else. */
#define LU_PGT_WRITABLE (PGT_writable_page | PGT_validated)

#ifdef CONFIG_LIVE_UPDATE

module_t *lu_boot_detect(multiboot_info_t *mbi, module_t *mod,
                         const char *loader);
void lu_zone_reserve(struct e820map *map, const module_t *mod,
                     unsigned int nr_mods);
void lu_zone_map(void);
void lu_boot_memory(void);
void lu_init_boot_pages(paddr_t ps, paddr_t pe);
/* CRASH_AREA: forget the option's; take the old Xen's out of `map`. */
void lu_boot_crash_area(void);
void lu_boot_restore_crash_area(struct e820map *map);
void lu_boot_parse(struct e820map *map);
void lu_boot_heap(const struct e820map *map);
void *lu_clear_frametable(void *start, int c, size_t len);
void lu_init_domheap_pages(paddr_t ps, paddr_t pe);
struct page_info *lu_m2p_alloc(unsigned long idx, unsigned int order,
                               unsigned int memflags);
void *lu_m2p_fill(void *va, int c, size_t len);
struct domain *lu_restore_domains(void);
void lu_resume(void);
bool lu_keeps_init(void);
void *lu_adopt_shared_info(const struct domain *d);
/* In place of p2m_alloc_ptp() for a root; p2m.c. */
mfn_t lu_p2m_root(struct p2m_domain *p2m, unsigned int level);
void lu_clear_shared_info(void *page);
/* *info is going to replace the guest's *old: tell it that it was stopped. */
void lu_mark_stopped(const struct vcpu_time_info *old,
                     struct vcpu_time_info *info);

#else /* !CONFIG_LIVE_UPDATE */

static inline module_t *lu_boot_detect(multiboot_info_t *mbi, module_t *mod,
                                       const char *loader)
{
    return mod;
}

static inline void lu_zone_reserve(struct e820map *map, const module_t *mod,
                                   unsigned int nr_mods) {}
static inline void lu_zone_map(void) {}
static inline void lu_boot_memory(void) {}
#define lu_init_boot_pages init_boot_pages
static inline void lu_boot_crash_area(void) {}
static inline void lu_boot_parse(struct e820map *map) {}
static inline void lu_boot_heap(const struct e820map *map) {}
#define lu_init_domheap_pages init_domheap_pages
#define lu_clear_frametable memset
#define lu_m2p_alloc(idx, order, memflags) \
    alloc_domheap_pages(NULL, order, memflags)
#define lu_m2p_fill memset
static inline struct domain *lu_restore_domains(void) { return NULL; }
static inline void lu_resume(void) {}
static inline bool lu_keeps_init(void) { return false; }
static inline void *lu_adopt_shared_info(const struct domain *d)
{
    return NULL;
}
#define lu_clear_shared_info clear_page
#define lu_p2m_root p2m_alloc_ptp
static inline void lu_mark_stopped(const struct vcpu_time_info *old,
                                   struct vcpu_time_info *info) {}

#endif /* CONFIG_LIVE_UPDATE */

#endif /* __ASM_X86_LIVEUPDATE_H__ */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRASH_AREA: the memory that `crashkernel=` has set aside for a crash kernel.
 *
 * It is RAM that no allocator ever had, and dom0's tools were told where it is.  A
 * Xen that is updated to has the same option, but must not look for a place again:
 * what is free at its boot is not yet known then.  lu_boot_crash_area() therefore
 * takes back what the option asks for, and lu_boot_restore_crash_area() takes
 * the area from the stream, and out of what the allocators are going to have.
 *
 * The image that lies in it does not cross: it holds addresses of the old Xen's
 * notes.  Whether it may be lost is asked in common/liveupdate/load.c.
 *
 * What can fail: an area that is not all RAM, or is somebody's; a panic before any
 * page is given away.
 */
#include <xen/init.h>
#include <xen/kexec.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/pfn.h>

#include <asm/e820.h>
#include <asm/liveupdate.h>
#include <asm/setup.h>

#include "../../../common/liveupdate/internal.h"
#include "zone.h"

/* As kexec_reserve_area() (arch/x86/setup.c) rounds it. */
struct lu_range_rec lu_crash_area(void)
{
    if ( !kexec_crash_area.start )
        return (struct lu_range_rec){ };

    return (struct lu_range_rec){
        .mfn = PFN_DOWN(kexec_crash_area.start),
        .count = PFN_UP(kexec_crash_area.start +
                        PAGE_ALIGN(kexec_crash_area.size)) -
                 PFN_DOWN(kexec_crash_area.start),
    };
}

static int cf_check save_crash_area(struct lu_stream *s, struct domain *d)
{
    const struct lu_crash_area_rec r = {
        .id = lu_id(&lu_kind_crash_area, NULL, 0),
        .start = kexec_crash_area.start,
        .size = kexec_crash_area.size,
    };

    /* An option that comes to nothing on a host of this size is none. */
    if ( !r.size )
        return 0;

    return lu_rec_begin(s, LU_REC_CRASH_AREA) ?: lu_rec_put(s, &r, sizeof(r)) ?:
           lu_rec_end(s);
}

/* Right after set_kexec_crash_area_size(), before a place is looked for. */
void __init lu_boot_crash_area(void)
{
    if ( lu_booting )
        memset(&kexec_crash_area, 0, sizeof(kexec_crash_area));
}

/* The stream is open; `map` is what the allocators will be given. */
void __init lu_boot_restore_crash_area(struct e820map *map)
{
    struct lu_crash_area_rec r;
    struct lu_rec rec;
    paddr_t end;
    int rc = lu_boot_record(LU_REC_CRASH_AREA, LU_DOMID_HOST, &rec, &r,
                            sizeof(r));

    /* Meanwhile __start_xen() has found a place for nothing. */
    memset(&kexec_crash_area, 0, sizeof(kexec_crash_area));
    if ( rc == -ENOENT )
        return;
    if ( rc )
        panic("live-update: CRASH_AREA: cannot be read (%d)\n", rc);

    /* RAM is below 2^52. */
    end = r.start + PAGE_ALIGN(r.size);
    if ( !r.size || (r.size >> 52) || (r.start >> 52) ||
         (r.start && r.start < lu_zone_end() && end > lu_zone.start) ||
         (r.start && !reserve_e820_ram(map, r.start, end)) )
        panic("live-update: CRASH_AREA: %#lx+%#lx is not all RAM that nobody has\n",
              r.start, r.size);

    kexec_crash_area.start = r.start;
    kexec_crash_area.size = r.size;
    if ( r.start )
        printk(XENLOG_INFO "live-update: crash area %#lx+%#lx\n", r.start,
               r.size);
}

const struct lu_kind lu_kind_crash_area = {
    .name = "CRASH_AREA",
    .type = LU_REC_CRASH_AREA,
    .size = sizeof(struct lu_crash_area_rec),
    .number = LU_MAYBE,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_BOOT,
    .save = save_crash_area,
};

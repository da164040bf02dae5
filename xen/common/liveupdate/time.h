/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of live update that carry time call of each other.
 *
 * Nothing here fails but lu_arch_set_vcpu_areas(), on an address that the guest
 * could not have registered.
 */
#ifndef LU_TIME_H
#define LU_TIME_H

#include <xen/sched.h>
#include <public/liveupdate.h>

/*
 * common/time.c: wall clock at system time 0.  Neither takes a lock: the old Xen
 * reads it with every other CPU parked (or for a dry run, whose values are
 * thrown away), the new one sets it before it has domains.
 */
void lu_wallclock_get(uint64_t *sec, uint32_t *nsec);
void lu_wallclock_set(uint64_t sec, uint32_t nsec);

/*
 * The guest virtual addresses at which a vCPU wants its run states and its copy
 * of the time info; 0 for none.  Setting writes nothing to the guest.
 */
void lu_arch_get_vcpu_areas(const struct vcpu *v, uint64_t *runstate,
                            uint64_t *time);
int lu_arch_set_vcpu_areas(struct vcpu *v, uint64_t runstate, uint64_t time);

/* New Xen: the TIME record; panics, naming the field, if it makes no sense. */
const struct lu_time_rec *lu_boot_time(void);

#endif /* LU_TIME_H */

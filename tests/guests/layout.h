/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers that assembler and C of a micro-guest share: addresses, the size of a
 * stack, and the vectors that tell apart what is no exception.
 */
#ifndef MICRO_LAYOUT_H
#define MICRO_LAYOUT_H

#define VIRT_BASE       0xffffffff80000000
#define DIRECT_BASE     0xffff880000000000      /* all memory, L4 slot 272 */
#define SCRATCH_BASE    0xffff900000000000      /* tests', L4 slot 288 */

#define MAX_VCPUS       20
#define STACK_SIZE      32768

#define VECTOR_EVENT     256
#define VECTOR_FAILSAFE  257
#define VECTOR_SYSCALL   258
#define VECTOR_SYSCALL32 259
#define VECTOR_SYSENTER  260
#define VECTOR_NMI       261
#define NR_VECTORS       262

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records this build reads: LU_RECORD(name, oldest version, newest version).
 * No include guard: included with different definitions of LU_RECORD.
 */
LU_RECORD(HOST, 1, 1)
LU_RECORD(MEMORY, 1, 1)
LU_RECORD(M2P, 1, 1)
LU_RECORD(CPUS, 1, 1)
LU_RECORD(DOMAIN, 1, 1)
LU_RECORD(CAPS, 1, 1)

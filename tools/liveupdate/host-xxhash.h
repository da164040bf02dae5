/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * XXH64 for the codec on the host, under the names Xen gives it, on top of
 * libxxhash's header (package libxxhash-dev; nothing is linked).  Cannot fail.
 */
#ifndef LU_HOST_XXHASH_H
#define LU_HOST_XXHASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

struct xxh64_state {
    XXH64_state_t s;
};

static inline void xxh64_reset(struct xxh64_state *state, uint64_t seed)
{
    XXH64_reset(&state->s, seed);
}

static inline void xxh64_update(struct xxh64_state *state, const void *data,
                                size_t len)
{
    XXH64_update(&state->s, data, len);
}

static inline uint64_t xxh64_digest(const struct xxh64_state *state)
{
    return XXH64_digest(&state->s);
}

static inline uint64_t xxh64(const void *data, size_t len, uint64_t seed)
{
    return XXH64(data, len, seed);
}

#endif /* LU_HOST_XXHASH_H */

// SPDX-License-Identifier: Apache-2.0
// The hash as a fraction of 2^64, times the number of buckets: no bucket is favoured by more than 2^-50.
#include "rollout/split.h"

static uint32_t bucket_of(uint64_t hash)
{
    return (uint32_t)((unsigned __int128)hash * SPLIT_BUCKETS >> 64);
}

uint32_t split_bucket(struct siphash_key salt, struct str key)
{
    return bucket_of(siphash(salt, key));
}

uint32_t split_draw(struct siphash_key salt, uint64_t n)
{
    // Another key than the salt: no sticky key of eight bytes shares the draw's fate.
    struct siphash_key draws = {~salt.k0, ~salt.k1};
    return bucket_of(siphash_u64(draws, n));
}

uint32_t split_arm(uint32_t bucket, const uint32_t *weights_bp, uint32_t n_arms)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < n_arms; i++) {
        end += weights_bp[i];
        if (bucket < end)
            return i;
    }
    return n_arms;
}

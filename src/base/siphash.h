// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): who does not know the key cannot
// choose inputs with a wanted hash. The same on every machine, so it may decide what must never change.
#pragma once

#include "base/str.h"

#include <stdint.h>

struct siphash_key {
    uint64_t k0, k1; // the 16 bytes of the key, little-endian
};

uint64_t siphash(struct siphash_key key, struct str message);
// The hash of the eight bytes of a number, little-endian.
uint64_t siphash_u64(struct siphash_key key, uint64_t number);

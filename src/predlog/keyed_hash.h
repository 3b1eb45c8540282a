// SPDX-License-Identifier: Apache-2.0
// HMAC-SHA256 (RFC 2104, FIPS 180-4) of short values without allocating: what a column that is logged hashed
// is replaced by. The library that does it elsewhere allocates for each.
#pragma once

#include "base/str.h"

#include <stdint.h>

enum { KEYED_HASH_BYTES = 32 };

struct keyed_hash {
    uint32_t inner[8], outer[8]; // states after the key's block
};

// A key of any length.
void keyed_hash_init(struct keyed_hash *h, struct str key);
void keyed_hash_full(const struct keyed_hash *h, struct str message, uint8_t ret[KEYED_HASH_BYTES]);
// The first 64 bits, big-endian, so that 16 hex digits of it begin the full one; 0 becomes 1: 0 means
// missing.
uint64_t keyed_hash_64(const struct keyed_hash *h, struct str message);

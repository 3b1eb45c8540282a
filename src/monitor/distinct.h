// SPDX-License-Identifier: Apache-2.0
// How many different values there were (HyperLogLog, Flajolet et al., estimated after Ertl, "New cardinality
// estimation algorithms for HyperLogLog sketches"): off by 1.63 %, one standard deviation, whatever the
// number. Plain bytes, no pointers.
#pragma once

#include <stdint.h>

enum { DISTINCT_BITS = 12, DISTINCT_REGISTERS = 1 << DISTINCT_BITS };

struct distinct {
    uint8_t registers[DISTINCT_REGISTERS];
};

// hash: 64 well mixed bits of the value.
void distinct_add(struct distinct *d, uint64_t hash);
double distinct_count(const struct distinct *d);
// Mixes 64 bits well (the finaliser of splitmix64); no two keys give the same.
uint64_t distinct_hash(uint64_t key);

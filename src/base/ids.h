// SPDX-License-Identifier: Apache-2.0
// Prediction ids: UUIDv7 (RFC 9562 section 5.7). Time in milliseconds, then a counter and random bits, so
// that ids of one maker sort by creation and never repeat.
#pragma once

#include <stdint.h>

enum { IDS_UUID_SIZE = 37 }; // 36 characters and NUL

// Makes ids without a system call each. One per process; not thread-safe.
struct ids_maker {
    uint64_t state[4]; // xoshiro256** state, seeded from the kernel
    uint64_t last_ms;
    uint32_t counter; // 26 bits, starts anew at random each millisecond
};

// Seeds from getrandom(2). Also called after fork: two makers with one state would repeat ids.
void ids_maker_init(struct ids_maker *m);
// Next id at wall_ms (milliseconds since 1970); a clock that steps back does not break the order.
void ids_uuid7(struct ids_maker *m, uint64_t wall_ms, char ret[IDS_UUID_SIZE]);
// The same, and its 16 bytes.
void ids_uuid7_raw(struct ids_maker *m, uint64_t wall_ms, char ret[IDS_UUID_SIZE], uint8_t ret_raw[16]);
// Random 64 bits, not for secrets.
uint64_t ids_random(struct ids_maker *m);

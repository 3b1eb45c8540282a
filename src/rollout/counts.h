// SPDX-License-Identifier: Apache-2.0
// How many of something (requests, errors, slow answers …) each of two arms had, for each weight the canary
// had at that time. All that a rollout knows of a metric is two of these; every number that judges it is
// computed from them. They are whole numbers, so that counts of ticks, gateways and restarts add up to the
// same bits in whatever order they come.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum {
    WEIGHT_ONE = 1000000, // weights of evidence are in millionths: shares of executions are no basis points
    COUNTS_WEIGHTS = 128, // different ones that are kept apart
};

enum arm { ARM_CANARY, ARM_STABLE, ARMS };

struct counts_row {
    uint32_t weight; // of the canary, 1 … WEIGHT_ONE - 1
    uint64_t n[ARMS];
};

struct counts {
    uint32_t n_rows;
    struct counts_row rows[COUNTS_WEIGHTS]; // by ascending weight
};

// Adds. Weights of 0 and WEIGHT_ONE and beyond are ignored: where one arm has all the traffic nothing is
// compared. When COUNTS_WEIGHTS weights are there already, a new one counts as the nearest of them.
void counts_add(struct counts *c, uint32_t weight, uint64_t canary, uint64_t stable);
void counts_merge(struct counts *into, const struct counts *from);
uint64_t counts_of(const struct counts *c, enum arm arm); // over all weights

// "[[weight,canary,stable],…]". Decoding is strict: whole numbers, ascending weights. ERR_BAD_JSON,
// ERR_INVALID, ERR_NOMEM.
void counts_encode(const struct counts *c, struct buf *json);
int counts_decode(struct str json, struct counts *ret, struct err *e) ERR_CHECKED;
// The same from a value of a document that is being read.
struct yyjson_val;
int counts_read(struct yyjson_val *json, struct counts *ret, struct err *e) ERR_CHECKED;

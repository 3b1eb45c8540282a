// SPDX-License-Identifier: Apache-2.0
// The most frequent values of a stream (Space-Saving, Metwally, Agrawal and El Abbadi): of k that are held,
// each count is too high by at most its `error`, which is at most n / k; whatever is more frequent than that
// is held. Exact while there are at most k different values.
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOPS_LABEL_BYTES = 40 };

struct top {
    uint64_t key; // what tells values apart
    uint64_t n, error;
    char label[TOPS_LABEL_BYTES]; // the beginning of a text, with NUL; "" of numbers
};

struct tops {
    struct top *items; // (n_items) in no order
    uint16_t *index;   // (mask + 1) places of items plus one, by hash; 0: empty
    uint32_t n_items, k, mask;
    uint64_t n;    // values added
    bool is_exact; // nothing had to be let go
};

enum { TOPS_K_MAX = 4096 };
// Heap memory for k values, at most TOPS_K_MAX; false without.
bool tops_init(struct tops *t, uint32_t k);
void tops_done(struct tops *t); // zeroed is fine
void tops_add(struct tops *t, uint64_t key, struct str label, uint64_t times);
void tops_sort(struct tops *t); // the most frequent first; then nothing more may be added
size_t tops_bytes(const struct tops *t);

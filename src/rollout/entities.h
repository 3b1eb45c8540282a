// SPDX-License-Identifier: Apache-2.0
// Which entities (users, cards, devices) already had a bad event. Only the first of each counts: one user
// whose requests always fail, and who always goes to the same arm, is one observation and not a thousand. A
// set of hashes of a fixed size, only of those that erred. When it is full it keeps every second entity, by
// their hashes, and from then on counts events of those only; as no arm is favoured, the evidence stays
// valid.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct entities {
    uint64_t *slots; // 0: empty
    uint64_t n_slots, n;
    unsigned halvings; // one of 2^halvings entities is counted
};

// n_slots is a power of two, at least 16; half of them are used. ERR_NOMEM.
int entities_init(struct entities *s, uint64_t n_slots, struct err *e) ERR_CHECKED;
void entities_done(struct entities *s);
// Whether this bad event counts: the first of its entity that the set was told of. The hash must not be the
// one that chose the arm (take another key); what is counted apart, as two metrics, has hashes of its own.
bool entities_first(struct entities *s, uint64_t hash);

// SPDX-License-Identifier: Apache-2.0
// Which entities (users, cards, devices) already had a bad event. Only the first of each counts: one user
// whose requests always fail, and who always goes to the same arm, is one observation and not a thousand. A
// set of hashes of a fixed size, only of those that erred. When it is full it keeps every second entity, by
// their hashes, and from then on counts events of those only; as no arm is favoured, the evidence stays
// valid. Each gateway has such sets, so that it tells of an entity once; the controller has them for all.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct yyjson_val;

struct entities {
    uint32_t *slots; // 0: empty
    uint32_t n_slots, n;
    unsigned halvings; // one of 2^halvings entities is counted
};

// n_slots is a power of two, from 16 to 2^16; half of them are used. ERR_NOMEM.
int entities_init(struct entities *s, uint32_t n_slots, struct err *e) ERR_CHECKED;
void entities_done(struct entities *s);
// Whether this bad event counts: the first of its entity that the set was told of. Of the hash the upper 32
// bits are looked at. It must not be the one that chose the arm (take another key); what is counted apart, as
// two metrics, has hashes of its own.
bool entities_first(struct entities *s, uint64_t hash);
// The hash of an entity for one of the events that are counted apart.
uint64_t entities_event(uint64_t entity, uint32_t event);

// {"halvings":1,"of":[17,4711]}. Reading is into a set of the same size or another, which is emptied first;
// of one that is too small it keeps a sample. ERR_INVALID.
void entities_encode(const struct entities *s, struct buf *json);
int entities_read(struct yyjson_val *json, struct entities *s, struct err *e) ERR_CHECKED;

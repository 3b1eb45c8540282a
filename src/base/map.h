// SPDX-License-Identifier: Apache-2.0
// A fixed map from names to small numbers: built once, then read. Keys are borrowed and must outlive the map.
#pragma once

#include "base/err.h"
#include "base/str.h"

struct map_slot {
    struct str key; // p NULL: empty
    uint32_t hash, value;
};

struct map {
    struct map_slot *slots;
    uint32_t mask; // slots - 1; the table is at most half full
    uint32_t n;
};

enum { MAP_NONE = -1 };

// Room for n keys. ERR_NOMEM.
int map_init(struct map *m, uint32_t n, struct err *e) ERR_CHECKED;
void map_done(struct map *m);
// ERR_DUPLICATE_KEY when the key is there already; asserts that there is room.
int map_add(struct map *m, struct str key, uint32_t value, struct err *e) ERR_CHECKED;
// The value, or MAP_NONE. Allocates nothing.
int64_t map_get(const struct map *m, struct str key);

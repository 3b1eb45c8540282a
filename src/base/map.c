// SPDX-License-Identifier: Apache-2.0
// Open addressing with linear probing over FNV-1a; tables are built from validated, bounded sets of names.
#include "base/map.h"

#include "base/assert.h"

#include <stdlib.h>

static uint32_t hash_of(struct str s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 16777619u;
    return h ^ h >> 15;
}

int map_init(struct map *m, uint32_t n, struct err *e)
{
    uint32_t size = 4;
    while (size / 2 < n)
        size *= 2;
    *m = (struct map){.slots = calloc(size, sizeof *m->slots), .mask = size - 1};
    return m->slots ? 0 : err_set(e, ERR_NOMEM, "a map of %u names", n);
}

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

static struct map_slot *find(const struct map *m, struct str key, uint32_t hash)
{
    uint32_t i = hash & m->mask;
    while (m->slots[i].key.p && !(m->slots[i].hash == hash && str_eq(m->slots[i].key, key)))
        i = (i + 1) & m->mask;
    return &m->slots[i];
}

int map_add(struct map *m, struct str key, uint32_t value, struct err *e)
{
    uint32_t hash = hash_of(key);
    struct map_slot *slot = find(m, key, hash);
    if (slot->key.p)
        return err_set(e, ERR_DUPLICATE_KEY, "'" STR_FMT "' twice", STR_ARG(key));
    ASSERT(m->n <= m->mask / 2);
    *slot = (struct map_slot){key.p ? key : STR(""), hash, value};
    m->n++;
    return 0;
}

int64_t map_get(const struct map *m, struct str key)
{
    if (!m->slots)
        return MAP_NONE;
    const struct map_slot *slot = find(m, key, hash_of(key));
    return slot->key.p ? (int64_t)slot->value : MAP_NONE;
}

// SPDX-License-Identifier: Apache-2.0
// Open addressing by the low bits of a 32-bit name; the high bits say which entities are kept.
#include "rollout/entities.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { NAME_BITS = 32, HALVINGS_MAX = 24 };

int entities_init(struct entities *s, uint32_t n_slots, struct err *e)
{
    ASSERT(n_slots >= 16 && n_slots <= 1 << 16 && (n_slots & (n_slots - 1)) == 0);
    *s = (struct entities){.slots = calloc(n_slots, sizeof *s->slots), .n_slots = n_slots};
    return s->slots ? 0 : err_set(e, ERR_NOMEM, "no memory for a set of entities");
}

void entities_done(struct entities *s)
{
    if (s)
        free(s->slots);
}

static bool is_kept(const struct entities *s, uint32_t name)
{
    return s->halvings == 0 || name >> (NAME_BITS - s->halvings) == 0;
}

// False when it is there already.
static bool insert(struct entities *s, uint32_t name)
{
    uint32_t at = name & (s->n_slots - 1);
    while (s->slots[at] && s->slots[at] != name)
        at = (at + 1) & (s->n_slots - 1);
    if (s->slots[at])
        return false;
    s->slots[at] = name;
    s->n++;
    return true;
}

// Drops about half of the entities, in place: what is taken out is put in again, until a round finds all at
// places where a search ends. Starting behind an empty slot, one round does.
static void halve(struct entities *s)
{
    uint32_t start = 0, mask = s->n_slots - 1;
    s->halvings++;
    while (s->slots[start])
        start++;
    for (uint32_t i = 1; i <= s->n_slots; i++) {
        uint32_t *slot = &s->slots[(start + i) & mask], name = *slot;
        if (!name)
            continue;
        *slot = 0;
        s->n--;
        if (is_kept(s, name))
            insert(s, name);
    }
}

static bool first(struct entities *s, uint32_t name)
{
    if (!is_kept(s, name))
        return false;
    bool is_first = insert(s, name);
    while (s->n > s->n_slots / 2 && s->halvings < HALVINGS_MAX)
        halve(s);
    return is_first;
}

bool entities_first(struct entities *s, uint64_t hash)
{
    uint32_t name = (uint32_t)(hash >> NAME_BITS);
    return first(s, name + (name == 0));
}

uint64_t entities_event(uint64_t entity, uint32_t event)
{
    uint64_t h = (entity ^ (event + 1) * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (h ^ h >> 31) * UINT64_C(0x94d049bb133111eb);
}

// ---- text ----

void entities_encode(const struct entities *s, struct buf *json)
{
    const char *comma = "";
    buf_printf(json, "{\"halvings\":%u,\"of\":[", s->halvings);
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i]) {
            buf_printf(json, "%s%u", comma, s->slots[i]);
            comma = ",";
        }
    buf_puts(json, "]}");
}

int entities_read(yyjson_val *json, struct entities *s, struct err *e)
{
    yyjson_val *halvings = yyjson_obj_get(json, "halvings"), *of = yyjson_obj_get(json, "of"), *name;
    size_t i, max;
    memset(s->slots, 0, s->n_slots * sizeof *s->slots);
    s->n = 0;
    s->halvings = (unsigned)yyjson_get_uint(halvings);
    if (!yyjson_is_uint(halvings) || yyjson_get_uint(halvings) > HALVINGS_MAX || !yyjson_is_arr(of))
        return err_set(e, ERR_INVALID, "entities are not as agreed");
    yyjson_arr_foreach(of, i, max, name)
    {
        uint64_t v = yyjson_get_uint(name);
        if (!yyjson_is_uint(name) || v == 0 || v > UINT32_MAX)
            return err_set(e, ERR_INVALID, "expected entities from 1 to %u", UINT32_MAX);
        (void)first(s, (uint32_t)v);
    }
    return 0;
}

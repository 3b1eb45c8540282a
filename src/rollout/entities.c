// SPDX-License-Identifier: Apache-2.0
// Open addressing by the low bits; the high bits say which entities are kept.
#include "rollout/entities.h"

#include "base/assert.h"

#include <stdlib.h>

int entities_init(struct entities *s, uint64_t n_slots, struct err *e)
{
    ASSERT(n_slots >= 16 && (n_slots & (n_slots - 1)) == 0);
    *s = (struct entities){.slots = calloc(n_slots, sizeof *s->slots), .n_slots = n_slots};
    return s->slots ? 0 : err_set(e, ERR_NOMEM, "no memory for a set of entities");
}

void entities_done(struct entities *s)
{
    if (s)
        free(s->slots);
}

static bool is_kept(const struct entities *s, uint64_t hash)
{
    return s->halvings == 0 || hash >> (64 - s->halvings) == 0;
}

// False when it is there already.
static bool insert(struct entities *s, uint64_t hash)
{
    uint64_t at = hash & (s->n_slots - 1);
    while (s->slots[at] && s->slots[at] != hash)
        at = (at + 1) & (s->n_slots - 1);
    if (s->slots[at])
        return false;
    s->slots[at] = hash;
    s->n++;
    return true;
}

// Drops about half of the entities, in place: what is taken out is put in again, until a round finds all at
// places where a search ends. Starting behind an empty slot, one round does.
static void halve(struct entities *s)
{
    uint64_t start = 0, mask = s->n_slots - 1;
    s->halvings++;
    while (s->slots[start])
        start++;
    for (uint64_t i = 1; i <= s->n_slots; i++) {
        uint64_t *slot = &s->slots[(start + i) & mask], hash = *slot;
        if (!hash)
            continue;
        *slot = 0;
        s->n--;
        if (is_kept(s, hash))
            insert(s, hash);
    }
}

bool entities_first(struct entities *s, uint64_t hash)
{
    hash += hash == 0;
    if (!is_kept(s, hash))
        return false;
    bool first = insert(s, hash);
    while (s->n > s->n_slots / 2 && s->halvings < 63)
        halve(s);
    return first;
}

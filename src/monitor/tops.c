// SPDX-License-Identifier: Apache-2.0
// A value that is not held takes the place, and the count, of the least frequent one.
#include "monitor/tops.h"

#include "base/assert.h"
#include "monitor/distinct.h"

#include <stdlib.h>
#include <string.h>

bool tops_init(struct tops *t, uint32_t k)
{
    uint32_t slots = 4;
    ASSERT(k > 0 && k <= TOPS_K_MAX);
    while (slots < 2 * k)
        slots *= 2;
    *t = (struct tops){.k = k, .mask = slots - 1, .is_exact = true};
    t->items = calloc(k, sizeof *t->items);
    t->index = calloc(slots, sizeof *t->index);
    if (t->items && t->index)
        return true;
    tops_done(t);
    return false;
}

void tops_done(struct tops *t)
{
    free(t->items);
    free(t->index);
    *t = (struct tops){0};
}

static uint32_t slot_of(const struct tops *t, uint64_t key)
{
    uint32_t i = (uint32_t)distinct_hash(key) & t->mask;
    while (t->index[i] && t->items[t->index[i] - 1].key != key)
        i = (i + 1) & t->mask;
    return i;
}

// Closes the gap, so that no search ends before what it looks for.
static void remove_slot(struct tops *t, uint32_t gap)
{
    for (uint32_t i = (gap + 1) & t->mask; t->index[i]; i = (i + 1) & t->mask) {
        uint32_t home = (uint32_t)distinct_hash(t->items[t->index[i] - 1].key) & t->mask;
        if (((i - home) & t->mask) < ((i - gap) & t->mask))
            continue;
        t->index[gap] = t->index[i];
        gap = i;
    }
    t->index[gap] = 0;
}

static uint32_t least(const struct tops *t)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < t->n_items; i++)
        if (t->items[i].n < t->items[at].n)
            at = i;
    return at;
}

// No character is cut into two.
static void put_label(struct top *item, struct str label)
{
    size_t n = label.n;
    if (n >= sizeof item->label)
        for (n = sizeof item->label - 1; n && ((unsigned char)label.p[n] & 0xc0) == 0x80; n--)
            ;
    if (n)
        memcpy(item->label, label.p, n);
}

void tops_add(struct tops *t, uint64_t key, struct str label, uint64_t times)
{
    uint32_t slot = slot_of(t, key), at;
    t->n += times;
    if (t->index[slot]) {
        t->items[t->index[slot] - 1].n += times;
        return;
    }
    uint64_t inherited = 0;
    if (t->n_items < t->k) {
        at = t->n_items++;
    } else {
        at = least(t);
        inherited = t->items[at].n;
        t->is_exact = false;
        remove_slot(t, slot_of(t, t->items[at].key));
        slot = slot_of(t, key);
    }
    struct top *item = &t->items[at];
    *item = (struct top){.key = key, .n = inherited + times, .error = inherited};
    put_label(item, label);
    t->index[slot] = (uint16_t)(at + 1);
}

static int more_first(const void *a, const void *b)
{
    const struct top *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return (x->key > y->key) - (x->key < y->key);
}

void tops_sort(struct tops *t)
{
    qsort(t->items, t->n_items, sizeof *t->items, more_first);
}

size_t tops_bytes(const struct tops *t)
{
    return t->k * sizeof *t->items + (t->mask + 1) * sizeof *t->index;
}

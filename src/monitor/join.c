// SPDX-License-Identifier: Apache-2.0
// Rows stand in the order in which they came, in a ring; chains of row numbers, one above, hang in buckets.
// The newest rows are in no chain until somebody looks for one: who never labels never pays for the chains,
// whose every step misses the processor's cache.
#include "monitor/join.h"

#include <stdlib.h>
#include <string.h>

struct join {
    uint32_t capacity, n_buckets, newest; // newest: index of the row that came last
    uint32_t n_unchained;                 // rows that came last and are in no chain
    struct join_row *rows;
    uint32_t *buckets; // 0: empty, else 1 + index of a row
    struct join_counts counts;
};

enum {
    AHEAD = 4,
    LINE = 64
}; // rows that are fetched before they are written over, of a table beyond all caches

uint64_t label_text_hash(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 0x100000001b3;
    return h;
}

bool label_equals(const struct label *a, const struct label *b)
{
    return a->kind == b->kind && a->text == b->text;
}

int join_new(uint32_t capacity, struct join **ret, struct err *e)
{
    struct join *j = *ret = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_NOMEM, "no memory to join labels");
    j->capacity = capacity;
    for (j->n_buckets = 16; j->n_buckets < capacity; j->n_buckets *= 2)
        ;
    j->rows = calloc(capacity, sizeof *j->rows);
    j->buckets = calloc(j->n_buckets, sizeof *j->buckets);
    if (j->rows && j->buckets)
        return 0;
    join_free(j);
    *ret = NULL;
    return err_set(e, ERR_NOMEM, "no memory to join labels");
}

void join_free(struct join *j)
{
    if (!j)
        return;
    free(j->rows);
    free(j->buckets);
    free(j);
}

// Ids are times and counters: all their bits must reach the low ones.
static uint32_t *bucket(struct join *j, const uint8_t id[16], uint32_t row)
{
    uint64_t a, b;
    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    uint64_t h = (a ^ row) * 0x9e3779b97f4a7c15;
    h = (h ^ h >> 32 ^ b) * 0xbf58476d1ce4e5b9;
    return &j->buckets[(h ^ h >> 31) & (j->n_buckets - 1)];
}

static void chain(struct join *j)
{
    for (; j->n_unchained; j->n_unchained--) { // the oldest of them first
        uint32_t index = (j->newest + j->capacity - j->n_unchained + 1) % j->capacity;
        struct join_row *r = &j->rows[index];
        uint32_t *at = bucket(j, r->id, r->row);
        r->next = *at;
        *at = index + 1;
    }
}

struct join_row *join_find(struct join *j, const uint8_t id[16], uint32_t row)
{
    chain(j);
    for (uint32_t i = *bucket(j, id, row); i; i = j->rows[i - 1].next)
        if (j->rows[i - 1].row == row && memcmp(j->rows[i - 1].id, id, 16) == 0)
            return &j->rows[i - 1];
    return NULL;
}

bool join_has_labels(const struct join *j)
{
    return j->counts.waiting || j->counts.judged;
}

static void count(struct join *j, uint8_t state, int sign)
{
    uint64_t one = (uint64_t)(int64_t)sign; // minus one by wrapping
    j->counts.rows += one;
    j->counts.waiting += state == JOIN_WAITING ? one : 0;
    j->counts.judged += state == JOIN_JUDGED ? one : 0;
}

static void unchain(struct join *j, uint32_t index)
{
    const struct join_row *r = &j->rows[index];
    uint32_t *at = bucket(j, r->id, r->row);
    while (*at != index + 1)
        at = &j->rows[*at - 1].next;
    *at = r->next;
}

// The oldest row.
static void evict(struct join *j, uint32_t index)
{
    const struct join_row *r = &j->rows[index];
    if (j->n_unchained == j->capacity)
        j->n_unchained--;
    else
        unchain(j, index);
    count(j, r->state, -1);
    j->counts.evicted_predictions += r->state == JOIN_PREDICTED;
    j->counts.evicted_labels += r->state == JOIN_WAITING;
}

static uint32_t after(const struct join *j, uint32_t index)
{
    return index + 1 < j->capacity ? index + 1 : 0;
}

const struct join_row *join_oldest(const struct join *j)
{
    const struct join_row *r = &j->rows[after(j, j->newest)];
    return r->state ? r : NULL;
}

struct join_row *join_add(struct join *j, const uint8_t id[16], uint32_t row, enum join_state state)
{
    j->newest = after(j, j->newest);
    struct join_row *r = &j->rows[j->newest];
    uintptr_t ahead = (uintptr_t)r + AHEAD * sizeof *r; // beyond the end nothing is fetched
    for (size_t i = 0; i < sizeof *r; i += LINE)
        __builtin_prefetch((const void *)(ahead + i), 1);
    if (r->state)
        evict(j, j->newest);
    *r = (struct join_row){.row = row, .state = (uint8_t)state};
    memcpy(r->id, id, sizeof r->id);
    j->n_unchained++;
    count(j, r->state, 1);
    return r;
}

void join_set_state(struct join *j, struct join_row *r, enum join_state state)
{
    count(j, r->state, -1);
    r->state = (uint8_t)state;
    count(j, r->state, 1);
}

void join_count(const struct join *j, struct join_counts *ret)
{
    *ret = j->counts;
    ret->capacity = j->capacity;
    ret->bytes = (uint64_t)j->capacity * sizeof *j->rows + (uint64_t)j->n_buckets * sizeof *j->buckets;
}

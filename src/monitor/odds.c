// SPDX-License-Identifier: Apache-2.0
// Cells are counted for ever; a place is the low half of the count at which it begins. What would cross the
// end of the ring begins at its start instead.
#include "monitor/odds.h"

#include <stdlib.h>
#include <string.h>

struct odds {
    uint64_t written; // cells
    uint32_t n_cells;
    char *ring;
};

int odds_new(size_t bytes, struct odds **ret, struct err *e)
{
    struct odds *o = *ret = calloc(1, sizeof *o);
    if (o)
        o->ring = calloc(bytes, 1);
    if (!o || !o->ring) {
        odds_free(o);
        *ret = NULL;
        return err_set(e, ERR_NOMEM, "no memory for the probabilities of classes");
    }
    o->n_cells = (uint32_t)(bytes / ODDS_CELL);
    o->written = o->n_cells; // no place is 0
    return 0;
}

void odds_free(struct odds *o)
{
    if (!o)
        return;
    free(o->ring);
    free(o);
}

size_t odds_bytes(const struct odds *o)
{
    return (size_t)o->n_cells * ODDS_CELL;
}

static uint32_t cells_of(size_t bytes)
{
    return (uint32_t)((bytes + ODDS_CELL - 1) / ODDS_CELL);
}

uint32_t odds_put(struct odds *o, const void *p, size_t bytes)
{
    uint32_t n = cells_of(bytes), at = (uint32_t)o->written & (o->n_cells - 1);
    if (n == 0 || bytes > ODDS_BYTES_MAX)
        return 0;
    if (n > o->n_cells - at) {
        o->written += o->n_cells - at;
        at = 0;
    }
    if ((uint32_t)o->written == 0) // once in 2^32 cells everything before is forgotten
        o->written += o->n_cells;
    uint32_t place = (uint32_t)o->written;
    memcpy(o->ring + (size_t)at * ODDS_CELL, p, bytes);
    o->written += n;
    return place;
}

const void *odds_get(const struct odds *o, uint32_t place, size_t bytes)
{
    uint32_t age = (uint32_t)o->written - place;
    if (place == 0 || age > o->n_cells || age < cells_of(bytes))
        return NULL;
    return o->ring + (size_t)(place & (o->n_cells - 1)) * ODDS_CELL;
}

static double at(const void *p, size_t size, uint32_t i)
{
    float f;
    double d;
    if (size == sizeof d) {
        memcpy(&d, (const char *)p + i * sizeof d, sizeof d);
        return d;
    }
    memcpy(&f, (const char *)p + i * sizeof f, sizeof f);
    return (double)f;
}

unsigned odds_rank(const void *p, size_t size, uint32_t n, uint32_t truth, double *ret_p)
{
    unsigned rank = 1;
    double own = *ret_p = at(p, size, truth);
    for (uint32_t i = 0; i < n && rank < ODDS_RANK_MAX; i++)
        rank += at(p, size, i) > own || (at(p, size, i) == own && i > truth);
    return rank;
}

double odds_squares(const void *p, size_t size, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += at(p, size, i) * at(p, size, i);
    return sum;
}

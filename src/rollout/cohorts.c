// SPDX-License-Identifier: Apache-2.0
// A ring of cohorts, named by a serial number. It holds twice as many as one timeout has widths, for weights
// that change. Marks are lists through one array.
#include "rollout/cohorts.h"

#include "base/assert.h"

#include <stdlib.h>

struct cohort {
    struct cohort_tick tick;
    uint64_t open[ARMS]; // requests without an outcome yet
    uint32_t marks;      // a list
};

// In a list; 0 ends it.
struct mark {
    struct cohort_mark mark;
    uint32_t next;
};

struct cohorts {
    uint64_t width_ns, timeout_ns;
    uint32_t timeout_events;
    struct mark *marks;       // (n_marks + 1), the first never used
    uint32_t n_marks, n_used; // those behind n_used were never taken
    uint32_t free, closed;    // lists: given back, and of the cohort that was closed last
    uint64_t first, end;      // serials: the oldest that is not counted, and the next to be opened
    uint64_t n_ring;
    struct cohort ring[];
};

int cohorts_new(uint64_t width_ns, uint64_t timeout_ns, uint32_t timeout_events, uint32_t n_marks,
                struct cohorts **ret, struct err *e)
{
    ASSERT(width_ns > 0 && timeout_events < 1u << COHORT_METRICS);
    uint64_t n = 2 * (timeout_ns / width_ns + 4);
    struct cohorts *c = *ret = calloc(1, sizeof *c + n * sizeof c->ring[0]);
    if (c && n_marks)
        c->marks = calloc((size_t)n_marks + 1, sizeof *c->marks);
    if (!c || (n_marks && !c->marks)) {
        free(c);
        *ret = NULL;
        return err_set(e, ERR_NOMEM, "no memory for %llu cohorts", (unsigned long long)n);
    }
    c->n_marks = n_marks;
    c->width_ns = width_ns;
    c->timeout_ns = timeout_ns;
    c->timeout_events = timeout_events;
    c->n_ring = n;
    return 0;
}

void cohorts_free(struct cohorts *c)
{
    if (c)
        free(c->marks);
    free(c);
}

static struct cohort *at(struct cohorts *c, uint64_t serial)
{
    return &c->ring[serial % c->n_ring];
}

bool cohorts_arrive(struct cohorts *c, uint64_t mono_ns, uint32_t weight, enum arm arm, uint64_t *ret_cohort)
{
    // Widths are those of the clock, so that all gateways cut at the same times.
    uint64_t opened = mono_ns - mono_ns % c->width_ns;
    struct cohort *last = c->end > c->first ? at(c, c->end - 1) : NULL;
    if (!last || last->tick.opened_ns != opened || last->tick.weight != weight) {
        if (c->end - c->first == c->n_ring)
            return false;
        last = at(c, c->end++);
        *last = (struct cohort){.tick = {.opened_ns = opened, .weight = weight}};
    }
    last->tick.requests[arm]++;
    last->open[arm]++;
    *ret_cohort = c->end - 1;
    return true;
}

static void count_events(struct cohort *k, enum arm arm, uint32_t events, uint64_t n)
{
    for (int m = 0; m < COHORT_METRICS; m++)
        if (events & 1u << m)
            k->tick.events[m][arm] += n;
}

static void mark(struct cohorts *c, struct cohort *k, const struct cohort_mark *m)
{
    uint32_t at = c->free;
    if (at)
        c->free = c->marks[at].next;
    else if (c->n_used < c->n_marks)
        at = ++c->n_used;
    else
        return;
    c->marks[at] = (struct mark){*m, k->marks};
    k->marks = at;
}

void cohorts_finish(struct cohorts *c, uint64_t cohort, enum arm arm, uint32_t events, uint64_t entity)
{
    if (cohort < c->first)
        return;
    struct cohort *k = at(c, cohort);
    ASSERT(cohort < c->end && k->open[arm] > 0);
    k->open[arm]--;
    if (!events)
        return;
    if (!entity)
        count_events(k, arm, events, 1);
    else
        mark(c, k, &(struct cohort_mark){entity, events, (uint8_t)arm});
}

bool cohorts_take_mark(struct cohorts *c, struct cohort_mark *ret)
{
    uint32_t at = c->closed;
    if (!at)
        return false;
    *ret = c->marks[at].mark;
    c->closed = c->marks[at].next;
    c->marks[at].next = c->free;
    c->free = at;
    return true;
}

bool cohorts_close(struct cohorts *c, uint64_t mono_ns, struct cohort_tick *ret)
{
    if (c->first == c->end)
        return false;
    struct cohort *k = at(c, c->first);
    uint64_t over = k->tick.opened_ns + c->width_ns;
    bool done = k->open[ARM_CANARY] == 0 && k->open[ARM_STABLE] == 0;
    if (mono_ns < over || (!done && mono_ns < over + c->timeout_ns))
        return false;
    for (int arm = 0; arm < ARMS; arm++)
        count_events(k, arm, c->timeout_events, k->open[arm]);
    for (struct cohort_mark unread; cohorts_take_mark(c, &unread);)
        ;
    *ret = k->tick;
    c->closed = k->marks;
    c->first++;
    return true;
}

bool cohorts_is_empty(const struct cohorts *c)
{
    return c->first == c->end;
}

uint64_t cohorts_closed_until(const struct cohorts *c, uint64_t mono_ns)
{
    if (c->first == c->end)
        return mono_ns - mono_ns % c->width_ns;
    return c->ring[c->first % c->n_ring].tick.opened_ns;
}

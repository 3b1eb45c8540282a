// SPDX-License-Identifier: Apache-2.0
#include "monitor/join.h"

#include "unit.h"

#include <string.h>

enum { CAPACITY = 13, IDS = 40 };

// The same table as a list, the newest last.
struct plain {
    struct {
        uint8_t id;
        uint32_t row;
        enum join_state state;
    } rows[CAPACITY];
    unsigned n;
};

static void id_of(unsigned i, uint8_t ret[16])
{
    memset(ret, 0x22, 16);
    ret[5] = (uint8_t)i;
}

static int plain_find(const struct plain *p, unsigned id, uint32_t row)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->rows[i].id == id && p->rows[i].row == row)
            return (int)i;
    return -1;
}

static void plain_add(struct plain *p, unsigned id, uint32_t row, enum join_state state)
{
    if (p->n == CAPACITY)
        memmove(p->rows, p->rows + 1, --p->n * sizeof p->rows[0]);
    p->rows[p->n].id = (uint8_t)id;
    p->rows[p->n].row = row;
    p->rows[p->n++].state = state;
}

static bool plain_has_labels(const struct plain *p)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->rows[i].state != JOIN_PREDICTED)
            return true;
    return false;
}

static void expect_same(struct join *j, const struct plain *p)
{
    uint8_t id[16];
    for (unsigned i = 0; i < IDS; i++)
        for (uint32_t row = 0; row < 2; row++) {
            id_of(i, id);
            int at = plain_find(p, i, row);
            const struct join_row *r = join_find(j, id, row);
            ck_assert_msg((r != NULL) == (at >= 0), "id %u row %u", i, row);
            if (r)
                ck_assert(r->state == p->rows[at].state && r->row == row && memcmp(r->id, id, 16) == 0);
        }
}

static uint32_t draw(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % n;
}

// However many rows came since somebody looked last: none, some, more than there is room for.
START_TEST(rows_are_found_until_the_oldest_go_whenever_somebody_looks)
{
    struct join_counts counts;
    struct err e;
    uint8_t id[16];
    uint32_t random = 7;
    for (uint32_t pause = 1; pause < 3 * CAPACITY; pause++) {
        struct join *j;
        struct plain p = {0};
        unsigned n_added = 0;
        ck_assert_int_eq(join_new(CAPACITY, &j, &e), 0);
        for (unsigned step = 0; step < 400; step++) {
            unsigned one = draw(&random, IDS);
            uint32_t row = draw(&random, 2);
            enum join_state state = (enum join_state)(JOIN_PREDICTED + draw(&random, 3) * !draw(&random, 4));
            if (plain_find(&p, one, row) >= 0)
                continue; // which must not be there
            id_of(one, id);
            const struct join_row *r = join_add(j, id, row, state);
            ck_assert(r->state == state && r->row == row);
            plain_add(&p, one, row, state);
            ck_assert_int_eq(join_has_labels(j), plain_has_labels(&p));
            if (++n_added % pause == 0)
                expect_same(j, &p);
        }
        expect_same(j, &p);
        join_count(j, &counts);
        ck_assert(counts.rows == p.n && counts.evicted_predictions + counts.evicted_labels <= n_added - p.n);
        join_free(j);
    }
}
END_TEST

START_TEST(a_table_has_labels_from_the_first_to_the_end_of_the_last)
{
    struct err e;
    struct join *j;
    uint8_t id[16];
    ck_assert_int_eq(join_new(CAPACITY, &j, &e), 0);
    ck_assert(!join_has_labels(j));
    for (unsigned i = 0; i < 3; i++) {
        id_of(i, id);
        (void)join_add(j, id, 0, JOIN_PREDICTED);
    }
    ck_assert(!join_has_labels(j));
    join_set_state(j, join_find(j, id, 0), JOIN_JUDGED);
    ck_assert(join_has_labels(j));
    id_of(3, id);
    (void)join_add(j, id, 0, JOIN_WAITING); // the last one in the table that has a label
    for (unsigned i = 4; i < 3 + CAPACITY; i++) {
        id_of(i, id);
        (void)join_add(j, id, 0, JOIN_PREDICTED);
        ck_assert(join_has_labels(j));
    }
    id_of(3 + CAPACITY, id);
    (void)join_add(j, id, 0, JOIN_PREDICTED);
    ck_assert(!join_has_labels(j));
    join_free(j);
}
END_TEST

UNIT_MAIN("monitor/join", rows_are_found_until_the_oldest_go_whenever_somebody_looks,
          a_table_has_labels_from_the_first_to_the_end_of_the_last)

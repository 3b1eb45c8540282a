// SPDX-License-Identifier: Apache-2.0
// The queue of mirrored requests: bounded in number and bytes, and what does not fit, or is not known, is
// dropped and counted.
#include "role/gateway/shadow.h"

#include "divided.h"
#include "unit.h"

#include <string.h>

#define GUARDED     "\"key\":\"none\",\"arms\":[],\"guards\":[\"errors\"],"
#define ALL_MIRRORS GUARDED "\"shadow\":{\"deployment\":9,\"share\":10000,\"budget_percent\":50},"
#define NO_MIRRORS  GUARDED "\"shadow\":{\"deployment\":9,\"share\":0,\"budget_percent\":50},"

static char body[GATEWAY_DECODE_BYTES + 1];

static struct trial_part *mirror(size_t bytes)
{
    struct deployment *d;
    struct trial_part *p = divided_begin(NULL, NULL, &d);
    ck_assert_uint_eq(d->id, 7);
    shadow_mirror(&divided_gateway, p, divided_gateway.table->models[0].split, false,
                  (struct str){body, bytes});
    return p;
}

static void finish(struct trial_part *p, bool is_gone)
{
    trial_end(p, &(struct trial_outcome){.is_gone = is_gone});
}

static uint64_t dropped(void)
{
    return trial_pairs(divided_gateway.trials)->dropped;
}

static void start(const char *split)
{
    divided_start();
    memset(body, ' ', sizeof body);
    divided_route(split);
}

static void end(void)
{
    shadow_free(&divided_gateway);
    ck_assert_ptr_null(divided_gateway.shadows);
    divided_end();
}

START_TEST(the_queue_has_a_bounded_number)
{
    start(ALL_MIRRORS);
    for (int i = 0; i < SHADOW_QUEUE + 44; i++)
        finish(mirror(2), false);
    ck_assert_uint_eq(dropped(), 44);
    end();
}
END_TEST

START_TEST(the_queue_has_bounded_bytes)
{
    start(ALL_MIRRORS);
    unsigned room = SHADOW_QUEUE_BYTES / GATEWAY_DECODE_BYTES;
    finish(mirror(sizeof body), false); // longer than what others may wait for
    ck_assert_uint_eq(dropped(), 1);
    for (unsigned i = 0; i < room + 1; i++)
        finish(mirror(GATEWAY_DECODE_BYTES), false);
    ck_assert_uint_ge(dropped(), 2);
    ck_assert_uint_le(dropped(), 2 + room / 2); // buffers may be larger than what they hold
    end();
}
END_TEST

START_TEST(what_became_of_nobody_knows_leaves_the_queue)
{
    start(ALL_MIRRORS);
    for (int i = 0; i < 2 * SHADOW_QUEUE; i++)
        finish(mirror(2), true);
    ck_assert_uint_eq(dropped(), 2 * SHADOW_QUEUE);
    struct trial_part *p = mirror(2);
    ck_assert_ptr_nonnull(p->mirror); // so there is room
    finish(p, false);
    end();
}
END_TEST

START_TEST(only_the_share_is_mirrored)
{
    start(NO_MIRRORS);
    for (int i = 0; i < 100; i++) {
        struct trial_part *p = mirror(2);
        ck_assert_ptr_null(p->mirror);
        finish(p, false);
    }
    ck_assert_uint_eq(dropped(), 0);
    end();
}
END_TEST

UNIT_MAIN("role/gateway/shadow", the_queue_has_a_bounded_number, the_queue_has_bounded_bytes,
          what_became_of_nobody_knows_leaves_the_queue, only_the_share_is_mirrored)

// SPDX-License-Identifier: Apache-2.0
// The queue of mirrored requests: bounded in number and bytes, and what does not fit, or is not known, is
// dropped and counted. A shadow that the gateway computes itself.
#include "role/gateway/shadow.h"

#include "divided.h"
#include "rollout/pairs.h"
#include "settings/settings.h"
#include "unit.h"

#include <string.h>

#define GUARDED     "\"key\":\"none\",\"arms\":[],\"guards\":[\"errors\"],"
#define ALL_MIRRORS GUARDED "\"shadow\":{\"deployment\":9,\"share\":10000,\"budget_percent\":50},"
#define NO_MIRRORS  GUARDED "\"shadow\":{\"deployment\":9,\"share\":0,\"budget_percent\":50},"

static char body[GATEWAY_DECODE_BYTES + 1];

static struct trial_part *mirror_of(const char *user, size_t bytes)
{
    struct deployment *d;
    struct trial_part *p = divided_begin(user, NULL, &d);
    ck_assert_uint_eq(d->id, 7);
    shadow_mirror(&divided_gateway, p, divided_gateway.table->models[0].split, false,
                  (struct str){body, bytes});
    return p;
}

static struct trial_part *mirror(size_t bytes)
{
    return mirror_of(NULL, bytes);
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

static void predict(struct model *m, const void *rows, uint32_t n_rows, void *out)
{
    (void)m;
    memcpy(out, rows, n_rows * sizeof(float));
}

// A version whose one output is its one input.
static struct feature feature = {.name = {"x", 1}};
static const struct signature sig = {.n_features = 1,
                                     .n_outputs = 1,
                                     .input_dtype = DTYPE_FP32,
                                     .output_dtype = DTYPE_FP32,
                                     .features = &feature};
static const struct engine echo = {.name = "echo", .predict = predict};

// Has the shadow compute what is queued.
static void compute(const struct signature *sig_of)
{
    struct deployment *d = divided_gateway.table->models[0].split->shadow;
    d->engine = &echo;
    d->sig = sig_of;
    d->row_bytes = 2 * sizeof(float);
    do // its budget is earned by time
        shadow_work(&divided_gateway);
    while (trial_pairs(divided_gateway.trials)->n + dropped() == 0);
}

// As many rows as fit, one value each; returns how many there are.
static uint32_t fill_body(void)
{
    static const char HEAD[] = "{\"instances\":[[1]", ROW[] = ",[1]", END[] = "]}";
    uint32_t n = 1;
    size_t at = sizeof HEAD - 1;
    memcpy(body, HEAD, at);
    for (; at + sizeof ROW + sizeof END < GATEWAY_DECODE_BYTES; n++, at += sizeof ROW - 1)
        memcpy(body + at, ROW, sizeof ROW - 1);
    memcpy(body + at, END, sizeof END - 1);
    return n;
}

// Mirrors a body of as many rows as fit.
static void mirror_rows(void)
{
    static struct settings settings;
    static float ones[GATEWAY_DECODE_BYTES / 4];
    const struct deployment baseline = {.sig = &sig};
    settings_init(&settings);
    divided_gateway.settings = &settings;
    uint32_t n = fill_body();
    ck_assert_uint_gt(n, GATEWAY_TURN_ROWS);
    ck_assert_uint_le(n, settings.max_rows_per_request);
    for (uint32_t i = 0; i < n; i++)
        ones[i] = 1;
    struct trial_part *p = mirror(GATEWAY_DECODE_BYTES);
    shadow_answered_rows(p->mirror, &baseline, ones, n, "01234567-89ab-7def-8123-456789abcdef");
    finish(p, false);
}

START_TEST(a_shadow_takes_as_many_rows_as_the_baseline)
{
    start(ALL_MIRRORS);
    mirror_rows();
    compute(&sig);
    const struct pairs *pairs = trial_pairs(divided_gateway.trials);
    ck_assert_uint_eq(pairs->n, 1);
    ck_assert_uint_eq(pairs->shadow_failed, 0);
    ck_assert_uint_eq(pairs->unlike, 0);
    ck_assert_uint_gt(pairs->rows, 0);
    end();
}
END_TEST

START_TEST(what_memory_does_not_bear_says_nothing_of_the_shadow)
{
    struct signature wide = sig;
    wide.n_outputs = GATEWAY_TURN_ARENA / 1024; // of 256 rows
    start(ALL_MIRRORS);
    mirror_rows();
    compute(&wide);
    ck_assert_uint_eq(dropped(), 1);
    ck_assert_uint_eq(trial_pairs(divided_gateway.trials)->n, 0);
    end();
}
END_TEST

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

START_TEST(what_is_dropped_is_told_apart)
{
    static const char *const USERS[] = {"DE", "FR", NULL, "DE"};
    start(GUARDED "\"shadow\":{\"deployment\":9,\"share\":10000,\"budget_percent\":50,\"segment\":\"header\","
                  "\"segment_name\":\"X-User\"},");
    for (size_t i = 0; i < sizeof USERS / sizeof USERS[0]; i++)
        finish(mirror_of(USERS[i], 2), true);
    struct trial *t = divided_gateway.trials;
    ck_assert_uint_eq(trial_segment(t, 0)->dropped, 2);
    ck_assert_uint_eq(trial_segment(t, 1)->dropped, 1);
    ck_assert_uint_eq(trial_segment(t, SEGMENT_ABSENT)->dropped, 1);
    ck_assert_uint_eq(dropped(), 4);
    const char *told = divided_wait("\"segments\":{\"of\":[{\"value\":\"DE\",\"pairs\":");
    ck_assert_ptr_nonnull(strstr(told, "{\"value\":\"FR\",\"pairs\":"));
    ck_assert_uint_eq(trial_segment(t, 0)->dropped, 0); // counts begin anew, places stay
    finish(mirror_of("FR", 2), true);
    ck_assert_uint_eq(trial_segment(t, 1)->dropped, 1);
    end();
}
END_TEST

UNIT_MAIN("role/gateway/shadow", a_shadow_takes_as_many_rows_as_the_baseline,
          what_memory_does_not_bear_says_nothing_of_the_shadow, the_queue_has_a_bounded_number,
          the_queue_has_bounded_bytes, what_became_of_nobody_knows_leaves_the_queue,
          only_the_share_is_mirrored, what_is_dropped_is_told_apart)

// SPDX-License-Identifier: Apache-2.0
// The split of a routing table: what is read, what is refused, and which arm a request gets.
#include "role/gateway/split.h"

#include "role/gateway/table.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEYS = 1000000, DEPLOYMENTS = 4 };

#define SALT "0123456789abcdeffedcba9876543210"
#define SPLIT(more)                                                                                          \
    "{\"rollout\":12,\"epoch\":3,\"salt\":\"" SALT "\",\"baseline\":7,\"timeout_ns\":1000," more "}"
#define CANARY(weight) "\"arms\":[{\"name\":\"canary\",\"deployment\":9,\"weight\":" weight "}]"
#define BY_USER        "\"key\":\"header\",\"key_name\":\"X-User\","

static struct deployment of[DEPLOYMENTS];
static struct deployment *pool[DEPLOYMENTS];
static struct arena arena;

static void make_pool(void)
{
    struct err e;
    for (int i = 0; i < DEPLOYMENTS; i++) {
        of[i] = (struct deployment){.id = 7 + (uint32_t)i, .refs = 1, .version = "1"};
        pool[i] = &of[i];
    }
    ck_assert_int_eq(arena_init(&arena, 1 << 20, &e), 0);
}

// All that was read was given back.
static void free_table(struct table *t)
{
    table_free(t);
    for (int i = 0; i < DEPLOYMENTS; i++)
        ck_assert_uint_eq(of[i].refs, 1);
}

// The table of one model with this split.
static int parse(const char *split, struct table **ret, struct err *e)
{
    char json[2048];
    if (!pool[0])
        make_pool();
    snprintf(json, sizeof json,
             "{\"generation\":1,\"ready\":true,\"models\":[{\"name\":\"m\",\"default\":7,\"versions\":"
             "[{\"version\":1,\"deployment\":7}],\"aliases\":[],\"split\":%s}]}",
             split);
    return table_parse(str_of(json), pool, DEPLOYMENTS, ret, e);
}

static struct table *parsed(const char *split)
{
    struct table *t;
    struct err e;
    int rc = parse(split, &t, &e);
    ck_assert_msg(rc == 0, "%s: %s", split, rc ? e.msg : "");
    return t;
}

// Check's assertions take a system call each: here only what fails is told.
static struct split_choice choose_at(const struct split *s, const char *head, const char *body, uint64_t draw)
{
    struct http1_request req;
    struct split_choice c;
    struct err e = {0};
    char text[1024];
    int n = snprintf(text, sizeof text, "POST %s\r\n\r\n", head);
    if (http1_request_parse(text, (size_t)n, &req, &e) != 1 ||
        split_choose(s, &req, str_of(body), draw, &arena, &c, &e))
        ck_abort_msg("%s: %s", head, e.msg);
    arena_reset(&arena, 1 << 20);
    return c;
}

static struct split_choice choose(const struct split *s, const char *head, const char *body)
{
    return choose_at(s, head, body, 0);
}

START_TEST(all_of_it_is_read)
{
    struct table *t = parsed(SPLIT(
        "\"alias\":\"champion\"," BY_USER
        "\"arms\":[{\"name\":\"a\",\"deployment\":8,\"weight\":1000},{\"name\":\"b\",\"deployment\":9,"
        "\"weight\":3000}],\"shadow\":{\"deployment\":10,\"share\":5000,\"budget_percent\":20,"
        "\"segment\":\"query\",\"segment_name\":\"country\"},"
        "\"shield\":true,\"guards\":[\"errors\",\"latency\",\"latency\",\"invalid_output\"],\"latency\":"
        "[{\"guard\":2,\"stable_ns\":100,\"canary_ns\":110}],\"range\":[-1,2.5],\"later\":1"));
    const struct split *s = t->models[0].split;
    ck_assert_uint_eq(s->rollout, 12);
    ck_assert_uint_eq(s->epoch, 3);
    ck_assert(s->salt.k0 == 0xefcdab8967452301u && s->salt.k1 == 0x1032547698badcfeu);
    ck_assert(s->key == KEY_HEADER && strcmp(s->key_name, "X-User") == 0 &&
              strcmp(s->alias, "champion") == 0);
    ck_assert(s->baseline == pool[0] && s->arms[0] == pool[1] && s->arms[1] == pool[2] &&
              s->shadow == pool[3]);
    ck_assert(s->n_arms == 2 && s->weights_bp[0] == 1000 && s->weights_bp[1] == 3000);
    ck_assert(s->shadow_share_bp == 5000 && s->shadow_budget_percent == 20 && s->shield);
    ck_assert(s->segment == KEY_QUERY && strcmp(s->segment_name, "country") == 0);
    ck_assert(s->n_guards == 4 && s->guards[3] == GUARD_INVALID_OUTPUT);
    ck_assert(!s->has_gate[1] && s->has_gate[2] && s->gates[2].limit_ns[ARM_CANARY] == 110);
    ck_assert(s->timeout_ns == 1000 && s->range_lo == -1 && s->range_hi == 2.5);
    ck_assert_uint_eq(split_pair_weight(s, 0), 142857); // 1000 of 1000 + 6000
    ck_assert_uint_eq(split_pair_weight(s, 1), 333333);
    ck_assert(str_eq(split_arm_name(s, 1), STR("b")) && str_eq(split_arm_name(s, 2), STR("stable")));
    free_table(t);
}
END_TEST

START_TEST(only_the_table_that_is_served_divides)
{
    struct table *t = parsed(SPLIT(CANARY("1000") ",\"key\":\"none\""));
    ck_assert_ptr_null(of[0].split);
    table_divide(t, true);
    ck_assert_ptr_eq(of[0].split, t->models[0].split);
    ck_assert_ptr_null(of[2].split);
    table_divide(t, false);
    ck_assert_ptr_null(of[0].split);
    free_table(t);
}
END_TEST

START_TEST(what_is_not_as_agreed_is_refused_by_its_name)
{
    static const char *const BAD[][2] = {
        {"{}", "rollout"},
        {SPLIT("\"key\":\"cookie\""), "key"},
        {SPLIT("\"key\":\"header\""), "key"},
        {SPLIT("\"key\":\"none\"," CANARY("10001")), "arms"},
        {SPLIT("\"key\":\"none\"," CANARY("-1")), "arms"},
        {SPLIT("\"key\":\"none\",\"arms\":[{\"name\":\"x\",\"deployment\":99,\"weight\":1}]"), "arms"},
        {SPLIT("\"key\":\"none\",\"arms\":[{\"deployment\":9,\"weight\":1}]"), "arms"},
        {SPLIT("\"key\":\"none\",\"shadow\":{\"deployment\":6,\"share\":1,\"budget_percent\":1}"), "shadow"},
        {SPLIT("\"key\":\"none\",\"shadow\":{\"deployment\":8,\"share\":1,\"budget_percent\":101}"),
         "shadow"},
        {SPLIT("\"key\":\"none\",\"shadow\":{\"deployment\":8,\"share\":1,\"budget_percent\":1,"
               "\"segment\":\"cookie\"}"),
         "shadow"},
        {SPLIT("\"key\":\"none\",\"guards\":[\"speed\"]"), "guards"},
        {SPLIT("\"key\":\"none\",\"guards\":[\"errors\"],\"latency\":[{\"guard\":0,\"stable_ns\":1,"
               "\"canary_ns\":1}]"),
         "latency"},
        {SPLIT("\"key\":\"none\",\"range\":[1,0]"), "range"},
        {SPLIT("\"key\":\"none\",\"range\":[1]"), "range"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct table *t;
        struct err e;
        char quoted[40];
        snprintf(quoted, sizeof quoted, "'%s'", BAD[i][1]);
        ck_assert_msg(parse(BAD[i][0], &t, &e) == ERR_INVALID, "accepted: %s", BAD[i][0]);
        ck_assert_msg(strstr(e.msg, quoted), "%s: %s", BAD[i][0], e.msg);
        free_table(NULL);
    }
}
END_TEST

START_TEST(a_key_that_is_no_path_makes_draws)
{
    struct table *t = parsed(SPLIT("\"key\":\"json\",\"key_name\":\"user\"," CANARY("5000")));
    ck_assert(!choose(t->models[0].split, "/ HTTP/1.1\r\nHost: x", "{\"user\":\"ann\"}").sticky);
    free_table(t);
}
END_TEST

START_TEST(a_key_is_the_same_wherever_it_stands)
{
    struct table *by_header = parsed(SPLIT(BY_USER CANARY("5000")));
    struct table *by_query = parsed(SPLIT("\"key\":\"query\",\"key_name\":\"user\"," CANARY("5000")));
    struct table *by_json =
        parsed(SPLIT("\"key\":\"json\",\"key_name\":\"$.instances[0].user\"," CANARY("5000")));
    struct split_choice a =
        choose(by_header->models[0].split, "/?user=z HTTP/1.1\r\nHost: x\r\nx-uSer: ann b\r\nX-User: c", "");
    struct split_choice b =
        choose(by_query->models[0].split, "/?a=1&user=ann+b HTTP/1.1\r\nHost: x\r\nX-User: c", "");
    struct split_choice c = choose(by_json->models[0].split, "/?user=z HTTP/1.1\r\nHost: x",
                                   "{\"instances\":[{\"user\":\"ann\\u0020b\"},{\"user\":\"z\"}]}");
    ck_assert(a.sticky && b.sticky && c.sticky);
    ck_assert_uint_eq(a.bucket, split_bucket(by_header->models[0].split->salt, STR("ann b")));
    ck_assert(a.bucket == b.bucket && b.bucket == c.bucket && a.arm == b.arm && b.arm == c.arm);
    ck_assert(a.entity == b.entity && b.entity == c.entity && a.entity != 0);
    table_free(by_header);
    table_free(by_query);
    table_free(by_json);
}
END_TEST

START_TEST(a_segment_is_what_stands_at_its_place)
{
    struct table *t = parsed(SPLIT("\"key\":\"none\",\"arms\":[],\"shadow\":{\"deployment\":9,\"share\":1,"
                                   "\"budget_percent\":1,\"segment\":\"json\",\"segment_name\":\"$.land\"}"));
    struct table *none = parsed(SPLIT("\"key\":\"none\",\"arms\":[]"));
    static const char HEAD[] = "POST / HTTP/1.1\r\nHost: x\r\n\r\n";
    struct http1_request req;
    struct err e;
    struct str value;
    ck_assert_int_eq(http1_request_parse(HEAD, sizeof HEAD - 1, &req, &e), 1);
    split_segment(t->models[0].split, &req, STR("{\"land\":\"DE\"}"), &arena, &value);
    ck_assert(str_eq(value, STR("DE")));
    split_segment(t->models[0].split, &req, STR("{\"country\":\"DE\"}"), &arena, &value);
    ck_assert_uint_eq(value.n, 0);
    split_segment(none->models[0].split, &req, STR("{\"land\":\"DE\"}"), &arena, &value);
    ck_assert_uint_eq(value.n, 0);
    table_free(none);
    free_table(t);
}
END_TEST

START_TEST(requests_without_their_key_are_drawn)
{
    struct table *t = parsed(SPLIT(BY_USER CANARY("3000")));
    const struct split *s = t->models[0].split;
    int n = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        struct split_choice c = choose_at(s, "/ HTTP/1.1\r\nHost: x\r\nX-User:", "", i);
        if (c.sticky || c.entity || c.asked || c.bucket != split_draw(s->salt, i))
            ck_abort_msg("request %llu", (unsigned long long)i);
        n += c.arm == 0;
    }
    ck_assert(n > 2800 && n < 3200);
    free_table(t);
}
END_TEST

START_TEST(a_tester_gets_the_arm_that_is_asked_for)
{
    struct table *t = parsed(SPLIT(BY_USER CANARY("0")));
    const struct split *s = t->models[0].split;
    struct split_choice c = choose(s, "/ HTTP/1.1\r\nHost: x\r\nX-User: a\r\nSlipway-Arm: canary", "");
    ck_assert(c.asked && c.arm == 0 && !c.sticky && c.entity == 0);
    c = choose(s, "/ HTTP/1.1\r\nHost: x\r\nslipway-arm: stable", "");
    ck_assert(c.asked && c.arm == 1);
    struct http1_request req;
    struct err e;
    static const char HEAD[] = "POST / HTTP/1.1\r\nHost: x\r\nSlipway-Arm: canarx\r\n\r\n";
    ck_assert_int_eq(http1_request_parse(HEAD, sizeof HEAD - 1, &req, &e), 1);
    ck_assert_int_eq(split_choose(s, &req, STR(""), 0, &arena, &c, &e), ERR_INVALID);
    ck_assert_msg(strstr(e.hint, "canary, stable"), "%s", e.hint);
    free_table(t);
}
END_TEST

// Each key as a request has it, at two weights, by two gateways: tables of their own, read again.
START_TEST(a_million_keys_follow_the_weight_and_keep_their_arm)
{
    struct table *one = parsed(SPLIT(BY_USER CANARY("1000"))), *two = parsed(SPLIT(BY_USER CANARY("1000"))),
                 *grown = parsed(SPLIT(BY_USER CANARY("2500")));
    size_t n = 0, n_grown = 0;
    for (int i = 0; i < KEYS; i++) {
        char head[80];
        snprintf(head, sizeof head, "/ HTTP/1.1\r\nHost: x\r\nX-User: user-%d", i);
        struct split_choice c = choose(one->models[0].split, head, "");
        bool in_grown = choose(grown->models[0].split, head, "").arm == 0;
        bool stays = c.arm == 1 || in_grown; // nobody leaves the canary
        if (!stays || (i % 16 == 0 && choose(two->models[0].split, head, "").arm != c.arm))
            ck_abort_msg("%s: arm %u", head, c.arm);
        n += c.arm == 0;
        n_grown += in_grown;
    }
    ck_assert_double_le(fabs((double)n / KEYS - 0.1), 0.002);
    ck_assert_double_le(fabs((double)n_grown / KEYS - 0.25), 0.002);
    table_free(one);
    table_free(two);
    table_free(grown);
}
END_TEST

UNIT_MAIN("role/gateway/split", all_of_it_is_read, only_the_table_that_is_served_divides,
          what_is_not_as_agreed_is_refused_by_its_name, a_key_that_is_no_path_makes_draws,
          a_key_is_the_same_wherever_it_stands, a_segment_is_what_stands_at_its_place,
          requests_without_their_key_are_drawn, a_tester_gets_the_arm_that_is_asked_for,
          a_million_keys_follow_the_weight_and_keep_their_arm)

// SPDX-License-Identifier: Apache-2.0
// Alerts fire after long enough, once, are resolved after as long, and survive as text.
#include "monitor/alert.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct alert_book *book;
static uint64_t now = 1000000 * S;
static const char RULES[] =
    "{\"rules\":[{\"name\":\"errors\",\"above\":0.1,\"for\":\"3s\",\"window\":\"8s\",\"at_least\":10},"
    "{\"name\":\"latency\",\"above\":0.05,\"for\":\"0s\",\"window\":\"8s\",\"at_least\":10},"
    "{\"name\":\"log_drops\",\"window\":\"8s\"}]}";

static void start(const char *rules)
{
    struct err e;
    struct alert_rules r;
    ck_assert_int_eq(alert_book_new(&book, &e), 0);
    alert_rules_init(&r);
    ck_assert_msg(alert_rules_read(&r, str_of(rules), &e) == 0, "%s", e.msg);
    alert_book_set_rules(book, &r, now);
}

// A second passes; of the kind errors so many more are bad, and were at all.
static uint32_t second(uint64_t bad, uint64_t all)
{
    static uint64_t sum_bad, sum_all;
    struct alert_reading r = {.kind = ALERT_ERRORS, .model = STR("churn"), .version = 3};
    r.cells[0] = sum_bad += bad;
    r.cells[1] = sum_all += all;
    now += S;
    alert_book_begin(book);
    alert_book_read(book, &r, now);
    return alert_book_end(book, now);
}

static const struct alert *only(void)
{
    ck_assert_ptr_null(alert_book_at(book, 1));
    ck_assert_ptr_nonnull(alert_book_at(book, 0));
    return alert_book_at(book, 0);
}

START_TEST(a_breach_fires_once_after_its_time_and_is_resolved_after_as_long)
{
    start(RULES);
    unsigned fired = 0, seconds = 0;
    second(0, 100);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(second(50, 100), 0); // pending
    ck_assert_int_eq(only()->state, ALERT_PENDING);
    for (int i = 0; i < 20; i++)
        fired += second(50, 100);
    ck_assert_uint_eq(fired, 1);
    ck_assert_int_eq(only()->state, ALERT_FIRING);
    ck_assert(only()->value == 0.5);
    ck_assert_uint_eq(only()->fired_wall_ns - only()->since_wall_ns, 3 * S);
    while (only()->state == ALERT_FIRING) {
        second(0, 100);
        ck_assert_uint_lt(++seconds, 30);
    }
    ck_assert_uint_ge(seconds, 6 + 3); // 0.1 of 8 s is not reached before, then it must stay so
    ck_assert_uint_le(seconds, 8 + 3);
    alert_book_free(book);
}
END_TEST

START_TEST(a_breach_that_ends_too_early_or_of_too_few_says_nothing)
{
    start(RULES);
    second(0, 1);
    for (int i = 0; i < 40; i++)
        ck_assert_uint_eq(second(1, 1), 0); // eight in a window
    ck_assert_int_eq(only()->state, ALERT_QUIET);
    second(40, 100);
    ck_assert_int_eq(only()->state, ALERT_PENDING);
    second(0, 1000);
    ck_assert_int_eq(only()->state, ALERT_QUIET);
    alert_book_free(book);
}
END_TEST

START_TEST(without_traffic_it_is_held_for_a_minute)
{
    start(RULES);
    second(0, 100);
    while (second(50, 100) == 0)
        ;
    uint64_t fired = now;
    while (second(0, 0) == 0)
        ck_assert_uint_lt(now - fired, 100 * S);
    ck_assert_uint_ge(now - fired, 60 * S);
    ck_assert_int_eq(only()->state, ALERT_RESOLVED);
    alert_book_free(book);
}
END_TEST

static double latency_of(uint64_t dur_ns)
{
    static struct hist h;
    struct alert_reading r = {.kind = ALERT_LATENCY, .model = STR("churn"), .version = 3};
    for (int i = 0; i < 3; i++) {
        for (unsigned k = 0; k < HIST_EDGES; k++)
            r.cells[k] = hist_count_at_edge(&h, k);
        r.cells[HIST_EDGES] = h.count;
        now += S;
        alert_book_begin(book);
        alert_book_read(book, &r, now);
        alert_book_end(book, now);
        hist_add_n(&h, dur_ns, 100);
    }
    return only()->value;
}

START_TEST(a_quantile_lies_between_the_edges_of_its_durations)
{
    start(RULES);
    double v = latency_of(60 * 1000000);
    ck_assert_double_eq_tol(v, 0.05 + 0.99 * 0.025, 1e-9); // 60 ms lie between 50 and 75
    ck_assert_int_eq(only()->state, ALERT_FIRING);
    alert_book_free(book);
}
END_TEST

static void drops(uint64_t n)
{
    struct alert_reading r = {.kind = ALERT_LOG_DROPS, .cells = {n}};
    now += S;
    alert_book_begin(book);
    alert_book_read(book, &r, now);
    alert_book_end(book, now);
}

START_TEST(what_fires_and_who_knows_survive_a_restart)
{
    struct buf state, again;
    struct err e;
    start(RULES);
    drops(7);
    drops(9);
    ck_assert_int_eq(only()->state, ALERT_FIRING);
    ck_assert(only()->value == 2); // what was before the monitor is not counted
    alert_book_told(book, only()->fingerprint, only()->fired_wall_ns, false);
    buf_init(&state, 1 << 20);
    buf_init(&again, 1 << 20);
    alert_book_save(book, &state);
    alert_book_free(book);
    start(RULES);
    ck_assert_int_eq(alert_book_load(book, buf_str(&state), &e), 0);
    alert_book_save(book, &again);
    ck_assert(str_eq(buf_str(&state), buf_str(&again)));
    drops(9); // the same as before: neither fires again nor is resolved by an empty window
    ck_assert_int_eq(only()->state, ALERT_FIRING);
    ck_assert_uint_eq(alert_book_n_untold(book), 0);
    for (int i = 0; i < 9; i++)
        drops(9);
    ck_assert_int_eq(only()->state, ALERT_RESOLVED);
    ck_assert_ptr_eq(alert_book_untold(book), only());
    alert_book_told(book, only()->fingerprint, only()->fired_wall_ns, true);
    ck_assert_ptr_null(alert_book_untold(book));
    alert_book_clear(book);
    ck_assert_int_eq(alert_book_load(book, STR("{\"alerts\":[{\"state\":9}]}"), &e), ERR_INVALID);
    ck_assert_ptr_null(alert_book_at(book, 0));
    buf_done(&state);
    buf_done(&again);
    alert_book_free(book);
}
END_TEST

START_TEST(there_is_a_bound_and_what_finds_no_room_is_counted)
{
    start(RULES);
    char name[32];
    now += S;
    alert_book_begin(book);
    for (unsigned i = 0; i < LIMIT_ALERTS + 5; i++) {
        snprintf(name, sizeof name, "gateway %u", i);
        struct alert_reading r = {.kind = ALERT_PROCESS_RESTARTS, .subject = str_of(name)};
        alert_book_read(book, &r, now);
    }
    alert_book_end(book, now);
    ck_assert_ptr_nonnull(alert_book_at(book, LIMIT_ALERTS - 1));
    ck_assert_ptr_null(alert_book_at(book, LIMIT_ALERTS));
    ck_assert_uint_eq(alert_book_n_left_out(book), 5);
    alert_book_free(book);
}
END_TEST

START_TEST(a_rule_of_a_model_stands_in_for_those_of_all)
{
    static struct alert_rules r;
    struct err e;
    alert_rules_init(&r);
    ck_assert_int_eq(
        alert_rules_read(&r,
                         STR("{\"rules\":[{\"name\":\"mine\",\"kind\":\"errors\",\"model\":\"a\","
                             "\"above\":0.5,\"severity\":\"critical\"},{\"name\":\"drift\",\"off\":true}]}"),
                         &e),
        0);
    const struct alert_rule *mine = alert_rules_find(&r, "mine"), *all = alert_rules_find(&r, "errors");
    ck_assert_ptr_null(alert_rules_find(&r, "drift"));
    ck_assert(mine->is_critical && mine->limit == 0.5 && mine->for_ns == 60 * S && mine->at_least == 20);
    ck_assert(alert_rules_apply(&r, mine, ALERT_ERRORS, STR("a")));
    ck_assert(!alert_rules_apply(&r, all, ALERT_ERRORS, STR("a")));
    ck_assert(alert_rules_apply(&r, all, ALERT_ERRORS, STR("b")));
    ck_assert(!alert_rules_apply(&r, mine, ALERT_ERRORS, STR("b")));
    ck_assert(!alert_rules_apply(&r, all, ALERT_LATENCY, STR("b")));
}
END_TEST

static const char QUALITY_RULES[] =
    "{\"rules\":[{\"name\":\"low\",\"kind\":\"quality\",\"metric\":\"accuracy\",\"below\":0.8,"
    "\"at_least\":50},{\"name\":\"high\",\"kind\":\"quality\",\"metric\":\"brier\",\"above\":0.3,"
    "\"window\":\"72h\",\"severity\":\"critical\"}]}";

static void judged(const char *rule, double value, uint64_t n)
{
    struct alert_reading r = {.kind = ALERT_QUALITY,
                              .model = STR("churn"),
                              .version = 3,
                              .subject = STR("stable"),
                              .level = value,
                              .n = n,
                              .rule = rule};
    now += S;
    alert_book_begin(book);
    alert_book_read(book, &r, now);
    alert_book_end(book, now);
}

START_TEST(quality_fires_below_or_above_its_bound_with_enough_labels)
{
    struct buf out;
    struct err e;
    start(QUALITY_RULES);
    judged("low", 0.5, 49);
    ck_assert_int_eq(only()->state, ALERT_QUIET);
    judged("low", 0.8, 50);
    ck_assert_int_eq(only()->state, ALERT_QUIET);
    judged("low", 0.79, 50);
    ck_assert_int_eq(only()->state, ALERT_FIRING);
    ck_assert(only()->is_below && !only()->is_critical && only()->limit == 0.8);
    buf_init(&out, 1 << 16);
    alert_put(only(), &out);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "\"metric\":\"accuracy\",\"value\":0.79,\"below\":0.8,"));
    ck_assert_ptr_nonnull(
        strstr(out.p, "\"churn version 3 stable: accuracy of labelled predictions is 0.79, below 0.8\""));
    buf_clear(&out);
    alert_book_save(book, &out);
    alert_book_clear(book);
    ck_assert_int_eq(alert_book_load(book, buf_str(&out), &e), 0);
    ck_assert(only()->is_below && strcmp(only()->metric, "accuracy") == 0);
    judged("low", (double)NAN, 50); // held for a minute, not for the window of a day
    uint64_t from = now;
    while (only()->state == ALERT_FIRING) {
        judged("low", (double)NAN, 50);
        ck_assert_uint_lt(now - from, 70 * S);
    }
    alert_book_clear(book);
    judged("high", 0.3, 100);
    ck_assert_int_eq(only()->state, ALERT_QUIET);
    judged("high", 0.31, 100);
    ck_assert(only()->state == ALERT_FIRING && only()->is_critical && !only()->is_below);
    judged("high", 0.29, 100);
    ck_assert_int_eq(only()->state, ALERT_RESOLVED);
    buf_done(&out);
    alert_book_free(book);
}
END_TEST

START_TEST(rules_of_quality_say_what_they_hold_against_what)
{
    static struct alert_rules r;
    struct buf out;
    struct err e;
    alert_rules_init(&r);
    for (uint32_t i = 0; i < r.n; i++)
        ck_assert_int_ne(r.list[i].kind, ALERT_QUALITY); // nobody could say for all models
    ck_assert_int_eq(alert_rules_read(&r, str_of(QUALITY_RULES), &e), 0);
    const struct alert_rule *low = alert_rules_find(&r, "low");
    ck_assert(low->is_below && low->limit == 0.8 && low->at_least == 50 && low->window_ns == 86400 * S);
    ck_assert_int_eq(alert_rules_read(&r,
                                      STR("{\"rules\":[{\"name\":\"low\",\"above\":0.9},"
                                          "{\"name\":\"high\",\"at_least\":7}]}"),
                                      &e),
                     0);
    ck_assert(!low->is_below && low->limit == 0.9 && strcmp(low->metric, "accuracy") == 0);
    buf_init(&out, 1 << 20);
    alert_rules_put(&r, &out);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "\"what\":\"brier of labelled predictions\",\"metric\":\"brier\","
                                        "\"above\":0.29999999999999999,"));
    buf_done(&out);
}
END_TEST

START_TEST(a_change_of_quality_is_looked_for_without_being_told_what_is_usual)
{
    static struct alert_rules r;
    struct buf out;
    struct err e;
    alert_rules_init(&r);
    const struct alert_rule *all = alert_rules_find(&r, "quality_change");
    ck_assert(all && all->limit == 1e6 && all->expected == 0 && all->ratio == 2 && all->at_least == 1000);
    ck_assert_int_eq(
        alert_rules_read(&r,
                         STR("{\"rules\":[{\"name\":\"mine\",\"kind\":\"quality_change\",\"model\":\"a\","
                             "\"above\":1e4,\"expected\":0.125,\"ratio\":1.5}]}"),
                         &e),
        0);
    buf_init(&out, 1 << 20);
    alert_rules_put(&r, &out);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "\"expected\":0.125,\"ratio\":1.5,\"above\":10000,"));
    ck_assert_ptr_nonnull(strstr(out.p, "than before\",\"ratio\":2,\"above\":1000000,"));
    buf_done(&out);
    start("{\"rules\":[]}");
    struct alert_reading read = {.kind = ALERT_QUALITY_CHANGE,
                                 .model = STR("churn"),
                                 .version = 3,
                                 .subject = STR("stable"),
                                 .level = 2e6,
                                 .rule = "quality_change"};
    alert_book_begin(book);
    alert_book_read(book, &read, now);
    alert_book_end(book, now);
    buf_init(&out, 1 << 16);
    alert_put(only(), &out);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p,
                                 "churn version 3 stable: evidence that more predictions are wrong than "
                                 "before is 2e+06, above 1e+06"));
    buf_done(&out);
    alert_book_free(book);
}
END_TEST

START_TEST(rules_that_are_not_sound_are_refused_with_their_place)
{
    static const struct {
        const char *json;
        int code;
    } CASES[] = {
        {"{", ERR_BAD_JSON},
        {"[]", ERR_WRONG_TYPE},
        {"{\"rules\":[7]}", ERR_WRONG_TYPE},
        {"{\"rules\":[{\"name\":\"x\"}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"a b\",\"kind\":\"errors\"}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"x\",\"kind\":\"error\"}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"errors\",\"abov\":1}]}", ERR_UNKNOWN_FIELD},
        {"{\"rules\":[{\"name\":\"errors\",\"above\":\"1\"}]}", ERR_WRONG_TYPE},
        {"{\"rules\":[{\"name\":\"errors\",\"for\":5}]}", ERR_WRONG_TYPE},
        {"{\"rules\":[{\"name\":\"errors\",\"for\":\"31d\"}]}", ERR_WRONG_TYPE},
        {"{\"rules\":[{\"name\":\"errors\",\"window\":\"10ms\"}]}", ERR_OUT_OF_RANGE},
        {"{\"rules\":[{\"name\":\"latency\",\"quantile\":1}]}", ERR_OUT_OF_RANGE},
        {"{\"rules\":[{\"name\":\"log_drops\",\"model\":\"m\"}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"errors\",\"below\":1}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"errors\",\"metric\":\"auc\"}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"q\",\"kind\":\"quality\",\"below\":1}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"q\",\"kind\":\"quality\",\"metric\":\"auc\"}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"q\",\"kind\":\"quality\",\"metric\":\"auk\",\"below\":1}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"q\",\"kind\":\"quality\",\"metric\":\"auc\",\"below\":1,\"above\":0}]}",
         ERR_INVALID},
        {"{\"rules\":[{\"name\":\"q\",\"kind\":\"quality\",\"metric\":\"auc\",\"below\":1,"
         "\"window\":\"73h\"}]}",
         ERR_OUT_OF_RANGE},
        {"{\"rules\":[{\"name\":\"quality_change\",\"expected\":1}]}", ERR_OUT_OF_RANGE},
        {"{\"rules\":[{\"name\":\"quality_change\",\"ratio\":1}]}", ERR_OUT_OF_RANGE},
        {"{\"rules\":[{\"name\":\"quality_change\",\"above\":9}]}", ERR_OUT_OF_RANGE},
        {"{\"rules\":[{\"name\":\"quality_change\",\"below\":100}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"errors\",\"ratio\":3}]}", ERR_INVALID},
        {"{\"rules\":[{\"name\":\"errors\",\"expected\":0.1}]}", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        static struct alert_rules r;
        struct err e = {0};
        alert_rules_init(&r);
        ck_assert_msg(alert_rules_read(&r, str_of(CASES[i].json), &e) == CASES[i].code, "%s: %s",
                      CASES[i].json, e.msg);
        ck_assert(i < 2 || strcmp(e.path, "$.rules[0]") == 0);
    }
}
END_TEST

UNIT_MAIN("monitor/alert", a_breach_fires_once_after_its_time_and_is_resolved_after_as_long,
          a_breach_that_ends_too_early_or_of_too_few_says_nothing, without_traffic_it_is_held_for_a_minute,
          a_quantile_lies_between_the_edges_of_its_durations, what_fires_and_who_knows_survive_a_restart,
          there_is_a_bound_and_what_finds_no_room_is_counted, a_rule_of_a_model_stands_in_for_those_of_all,
          quality_fires_below_or_above_its_bound_with_enough_labels,
          rules_of_quality_say_what_they_hold_against_what,
          a_change_of_quality_is_looked_for_without_being_told_what_is_usual,
          rules_that_are_not_sound_are_refused_with_their_place)

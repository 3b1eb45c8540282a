// SPDX-License-Identifier: Apache-2.0
#include "rollout/request.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct rollout_spec spec;
static struct err e;

START_TEST(the_documented_request_is_understood)
{
    const struct str json = STR(
        "{\"model\":\"fraud\",\"candidate\":\"7\",\"baseline\":\"champion\",\"strategy\":\"canary\","
        "\"key\":\"$.user_id\",\"steps\":[{\"weight\":1},{\"weight\":5},{\"weight\":10},{\"weight\":25},"
        "{\"weight\":50}],\"guardrails\":[{\"metric\":\"errors\",\"fail_ratio\":1.1,\"pass_ratio\":1.5,"
        "\"slo\":0.005},{\"metric\":\"latency\",\"q\":0.95,\"tolerance\":0.10},{\"metric\":\"latency\","
        "\"q\":0.99,\"tolerance\":0.10},{\"metric\":\"invalid_output\",\"fail_ratio\":1.1}],\"alpha\":0.05,"
        "\"on_fail\":\"rollback\",\"on_timeout\":\"hold\",\"bake\":{\"holdback\":5,\"seconds\":1800}}");
    ck_assert_msg(rollout_request_decode(json, &spec, &e) == 0, "%s %s", e.path, e.msg);
    ck_assert_str_eq(spec.model, "fraud");
    ck_assert_str_eq(spec.arms[0].version, "7");
    ck_assert_int_eq(spec.key, KEY_JSON);
    ck_assert_str_eq(spec.key_name, "$.user_id");
    ck_assert_uint_eq(spec.n_steps, 5);
    ck_assert_uint_eq(spec.steps[3].weight_bp, 2500);
    ck_assert_uint_eq(spec.steps[0].min_requests, 1000);
    ck_assert(spec.steps[3].advance_undecided && !spec.steps[4].advance_undecided);
    ck_assert_uint_eq(spec.rules.n_guards, 4);
    ck_assert_double_eq(spec.rules.guards[0].slo, 0.005);
    ck_assert_double_eq(spec.rules.guards[2].q, 0.99);
    ck_assert_double_eq(spec.rules.guards[2].fail_ratio, 1);
    ck_assert_uint_eq(spec.holdback_bp, 500);
}
END_TEST

START_TEST(what_is_left_out_has_the_documented_default)
{
    ck_assert_int_eq(rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\"}"), &spec, &e), 0);
    const uint32_t weights[] = {100, 500, 1000, 2500, 5000};
    ck_assert_uint_eq(spec.n_steps, 5);
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(spec.steps[i].weight_bp, weights[i]);
        ck_assert_uint_eq(spec.steps[i].min_seconds, 300);
        ck_assert_uint_eq(spec.steps[i].max_seconds, 86400);
        ck_assert(spec.steps[i].advance_undecided == (i < 4));
    }
    ck_assert_str_eq(spec.baseline, "champion");
    ck_assert_int_eq(spec.strategy, STRATEGY_CANARY);
    ck_assert_int_eq(spec.on_fail, ON_FAIL_ROLLBACK);
    ck_assert_int_eq(spec.on_timeout, ON_TIMEOUT_HOLD);
    ck_assert_uint_eq(spec.rules.n_guards, 4);
    ck_assert_double_eq(spec.rules.alpha_fail, 0.05);
    ck_assert_double_eq(spec.rules.alpha_ratio, 0.001);
    ck_assert_double_eq(spec.rules.min_effect_abs, 0.0005);
    ck_assert_uint_eq(spec.rules.min_events, 5);
    ck_assert_uint_eq(spec.bake_seconds, 1800);
    ck_assert_uint_eq(spec.undo_seconds, 3600);
    ck_assert(!spec.has_shadow && !spec.shield && spec.key == KEY_NONE);
    ck_assert(!spec.allow_breaking); // as in all requests of builds that did not ask
    const struct str allowed = STR("{\"model\":\"m\",\"candidate\":\"2\",\"allow_breaking\":true}");
    ck_assert_int_eq(rollout_request_decode(allowed, &spec, &e), 0);
    ck_assert(spec.allow_breaking);
}
END_TEST

START_TEST(a_last_step_of_all_traffic_stands_for_baking)
{
    ck_assert_int_eq(rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\",\"steps\":[{\"weight\":"
                                                "0.29},{\"weight\":50},{\"weight\":100}]}"),
                                            &spec, &e),
                     0);
    ck_assert_uint_eq(spec.n_steps, 2);
    ck_assert_uint_eq(spec.steps[0].weight_bp, 29);
    ck_assert(spec.steps[0].advance_undecided && !spec.steps[1].advance_undecided);
}
END_TEST

START_TEST(arms_of_an_ab_test_share_alpha)
{
    const struct str json =
        STR("{\"model\":\"m\",\"strategy\":\"ab\",\"arms\":[{\"version\":\"2\",\"weight\":20},"
            "{\"version\":\"3\",\"weight\":30}],\"max_seconds\":600,\"key\":\"header:X-User\"}");
    ck_assert_msg(rollout_request_decode(json, &spec, &e) == 0, "%s %s", e.path, e.msg);
    ck_assert_uint_eq(spec.n_arms, 2);
    ck_assert_uint_eq(spec.rules.n_arms, 2);
    ck_assert_uint_eq(spec.n_steps, 1);
    ck_assert_uint_eq(spec.steps[0].weight_bp, 5000);
    ck_assert_uint_eq(spec.steps[0].max_seconds, 600);
    ck_assert_str_eq(spec.key_name, "X-User");
}
END_TEST

START_TEST(mirrored_requests_may_be_told_apart)
{
    const struct str json =
        STR("{\"model\":\"m\",\"candidate\":\"2\",\"strategy\":\"shadow\",\"key\":\"query:user\","
            "\"shadow\":{\"min_seconds\":1,\"segment\":\"$.country\"}}");
    ck_assert_msg(rollout_request_decode(json, &spec, &e) == 0, "%s %s", e.path, e.msg);
    ck_assert(spec.segment == KEY_JSON && strcmp(spec.segment_name, "$.country") == 0);
    ck_assert(spec.key == KEY_QUERY && strcmp(spec.key_name, "user") == 0);
    ck_assert_uint_eq(spec.shadow.min_seconds, 1);
}
END_TEST

START_TEST(an_error_names_field_value_and_what_was_expected)
{
    const struct {
        const char *fields; // after model and candidate
        int code;
        const char *path, *part;
    } cases[] = {
        {"\"steps\":[{\"weight\":0}]", ERR_OUT_OF_RANGE, "$.steps[0].weight", "from 0.01 to 100, not 0"},
        {"\"steps\":[{\"weight\":\"5\"}]", ERR_WRONG_TYPE, "$.steps[0].weight", "not \"5\""},
        {"\"steps\":[{\"weight\":5},{\"weight\":5}]", ERR_OUT_OF_RANGE, "$.steps[1].weight",
         "more than the weight of the step before, 5"},
        {"\"steps\":[{\"weight\":100},{\"weight\":5}]", ERR_OUT_OF_RANGE, "$.steps[0].weight",
         "less than 100"},
        {"\"steps\":[{\"weight\":100}]", ERR_OUT_OF_RANGE, "$.steps[0].weight", "less than 100"},
        {"\"steps\":[{\"weight\":0.005}]", ERR_OUT_OF_RANGE, "$.steps[0].weight", "0.01"},
        {"\"steps\":[{\"weight\":1.234}]", ERR_OUT_OF_RANGE, "$.steps[0].weight", "steps of 0.01, not 1.234"},
        {"\"steps\":[{}]", ERR_INVALID, "$.steps[0]", "'weight' is missing"},
        {"\"steps\":[]", ERR_WRONG_COUNT, "$.steps", "array of 1 to 32"},
        {"\"steps\":[{\"weight\":1,\"min_seconds\":9,\"max_seconds\":8}]", ERR_OUT_OF_RANGE,
         "$.steps[0].max_seconds", "at least min_seconds, 9, not 8"},
        {"\"stepps\":[]", ERR_UNKNOWN_FIELD, "$", "'stepps' is not known"},
        {"\"alpha\":0.05,\"alpha\":0.05", ERR_DUPLICATE_KEY, "$", "'alpha' is there twice"},
        {"\"alpha\":1", ERR_OUT_OF_RANGE, "$.alpha", "from 1e-06 to 0.5, not 1"},
        {"\"on_fail\":\"retry\"", ERR_OUT_OF_RANGE, "$.on_fail", "rollback or freeze, not \"retry\""},
        {"\"strategy\":7", ERR_WRONG_TYPE, "$.strategy", "canary, shadow or ab, not 7"},
        {"\"strategy\":\"ab\"", ERR_INVALID, "$.candidate", "no such field with the strategy ab"},
        {"\"strategy\":\"shadow\",\"steps\":[{\"weight\":1}]", ERR_INVALID, "$.steps", "strategy canary"},
        {"\"arms\":[]", ERR_INVALID, "$.arms", "strategy ab"},
        {"\"key\":\"user\"", ERR_OUT_OF_RANGE, "$.key", "header:NAME, query:NAME or $.FIELD, not \"user\""},
        {"\"key\":\"header:\"", ERR_OUT_OF_RANGE, "$.key", "header:NAME"},
        {"\"shadow\":{\"segment\":\"country\"}", ERR_OUT_OF_RANGE, "$.shadow.segment",
         "header:NAME, query:NAME or $.FIELD, not \"country\""},
        {"\"shield\":1", ERR_WRONG_TYPE, "$.shield", "true or false, not 1"},
        {"\"allow_breaking\":\"yes\"", ERR_WRONG_TYPE, "$.allow_breaking", "true or false, not \"yes\""},
        {"\"guardrails\":[{\"metric\":\"errors\",\"q\":0.9}]", ERR_INVALID, "$.guardrails[0].q",
         "only with the metric latency"},
        {"\"guardrails\":[{\"metric\":\"errors\",\"pass_ratio\":1.05}]", ERR_OUT_OF_RANGE,
         "$.guardrails[0].pass_ratio", "at least the fail_ratio, 1.1, not 1.05"},
        {"\"guardrails\":[{\"metric\":\"errors\",\"slo\":0}]", ERR_OUT_OF_RANGE, "$.guardrails[0].slo",
         "1e-05"},
        {"\"bake\":{\"holdback\":60}", ERR_OUT_OF_RANGE, "$.bake.holdback", "from 0 to 50, not 60"},
        {"\"bake\":3", ERR_WRONG_TYPE, "$.bake", "an object"},
        {"\"min_events\":-1", ERR_OUT_OF_RANGE, "$.min_events", "from 0 to"},
        {"\"min_events\":1.5", ERR_OUT_OF_RANGE, "$.min_events", "a whole number"},
        {"\"model\\u0000x\":1", ERR_UNKNOWN_FIELD, "$", "not known"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[512];
        int n = snprintf(json, sizeof json, "{\"model\":\"m\",\"candidate\":\"2\",%s}", cases[i].fields);
        int rc = rollout_request_decode((struct str){json, (size_t)n}, &spec, &e);
        ck_assert_msg(rc == cases[i].code && e.code == rc, "%s: %s: %s", json, err_name(rc), e.msg);
        ck_assert_msg(strcmp(e.path, cases[i].path) == 0, "%s: %s", json, e.path);
        ck_assert_msg(strstr(e.msg, cases[i].part) != NULL, "%s: %s", json, e.msg);
    }
    ck_assert_int_eq(
        rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\",\"stepz\":[]}"), &spec, &e),
        ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.hint, "Did you mean 'steps'?");
    ck_assert_int_eq(
        rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\",\"strategy\":\"ab\"}"), &spec, &e),
        ERR_INVALID);
    ck_assert_msg(strstr(e.hint, "--arm 7=20") != NULL, "%s", e.hint);
    ck_assert_int_eq(rollout_request_decode(STR("{\"model\":\"m\"}"), &spec, &e), ERR_INVALID);
    ck_assert_int_eq(rollout_request_decode(STR("{"), &spec, &e), ERR_BAD_JSON);
    ck_assert_int_eq(rollout_request_decode(STR(""), &spec, &e), ERR_BAD_JSON);
}
END_TEST

UNIT_MAIN("rollout/request", the_documented_request_is_understood,
          what_is_left_out_has_the_documented_default, a_last_step_of_all_traffic_stands_for_baking,
          arms_of_an_ab_test_share_alpha, mirrored_requests_may_be_told_apart,
          an_error_names_field_value_and_what_was_expected)

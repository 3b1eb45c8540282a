// SPDX-License-Identifier: Apache-2.0
// Bodies of admin requests: what is read, and what is refused with its place.
#include "role/controller/manifest.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

#define DIGEST "\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
#define FILE_  "{\"name\":\"model.json\",\"digest\":" DIGEST ",\"size\":3}"

static struct err e;

static void refused(const char *json, int code, const char *path, const char *in_message)
{
    struct manifest m;
    memset(&e, 0, sizeof e);
    ck_assert_msg(manifest_parse(str_of(json), &m, &e) == code, "%s: %s", json, e.msg);
    ck_assert_str_eq(e.path, path);
    ck_assert_msg(strstr(e.msg, in_message), "%s: %s", json, e.msg);
    manifest_done(&m);
}

START_TEST(a_whole_manifest_is_read)
{
    struct manifest m;
    const char *json = "{\"artifacts\":[" FILE_ "],\"description\":\"d\xc3\xa9j\xc3\xa0\","
                       "\"tags\":{\"a\":\"1\",\"b \\\"q\\\"\":\"\"},\"promote\":false}";
    ck_assert_int_eq(manifest_parse(str_of(json), &m, &e), 0);
    ck_assert(m.n_artifacts == 1 && m.model == &m.artifacts[0]);
    ck_assert(str_eq(m.model->name, STR("model.json")) && m.model->size_bytes == 3);
    ck_assert_uint_eq(m.model->digest.bytes[0], 0xba);
    ck_assert(str_eq(m.description, STR("d\xc3\xa9j\xc3\xa0")) && !m.promote);
    ck_assert(str_eq(buf_str(&m.tags_json), STR("{\"a\":\"1\",\"b \\\"q\\\"\":\"\"}")));
    manifest_done(&m);
    ck_assert_int_eq(manifest_parse(STR("{\"artifacts\":[" FILE_ "]}"), &m, &e), 0);
    ck_assert(m.promote && m.description.n == 0 && str_eq(buf_str(&m.tags_json), STR("{}")));
    manifest_done(&m);
}
END_TEST

#define PART(name, role) "{\"name\":\"" name "\",\"role\":\"" role "\",\"digest\":" DIGEST ",\"size\":3}"

START_TEST(a_version_has_one_model_and_files_of_other_roles)
{
    struct manifest m;
    ck_assert_int_eq(
        manifest_parse(
            STR("{\"artifacts\":[" PART("w1.bin", "data") "," PART("w2.bin", "data") "," FILE_ "," PART(
                "g.json", "golden") "," PART("b.csv", "baseline") "," PART("in.json", "example") "]}"),
            &m, &e),
        0);
    ck_assert(m.n_artifacts == 6 && m.model == &m.artifacts[2]);
    ck_assert(m.artifacts[1].role == REGISTRY_ROLE_DATA && m.artifacts[5].role == REGISTRY_ROLE_EXAMPLE);
    manifest_done(&m);
    refused("{\"artifacts\":[" PART("w1.bin", "data") "]}", ERR_WRONG_COUNT, "$.artifacts", "none of 1");
    refused("{\"artifacts\":[" FILE_ "," PART("n.json", "model") "]}", ERR_WRONG_COUNT, "$.artifacts[1].role",
            "one artifact of role model");
    refused("{\"artifacts\":[" FILE_ "," PART("a", "golden") "," PART("b", "golden") "]}", ERR_WRONG_COUNT,
            "$.artifacts[2].role", "role golden");
    refused("{\"artifacts\":[" PART("a", "gold") "]}", ERR_INVALID, "$.artifacts[0].role", "expected one of");
    // The name that the profile of a baseline will have.
    refused("{\"artifacts\":[" FILE_
            "," PART("t.csv", "baseline") "," PART("t.csv.profile.json", "data") "]}",
            ERR_DUPLICATE_KEY, "$.artifacts[2].name", "kept as 't.csv.profile.json'");
    refused("{\"artifacts\":[" PART("t.csv.profile.json", "data") "," FILE_
                                                                  "," PART("t.csv", "baseline") "]}",
            ERR_DUPLICATE_KEY, "$.artifacts[0].name", "another artifact's name");
    ck_assert_int_eq(
        manifest_parse(STR("{\"artifacts\":[" FILE_ "," PART("t.csv.profile.json", "baseline") "]}"), &m, &e),
        0);
    manifest_done(&m);
    ck_assert_int_eq(
        manifest_parse(STR("{\"artifacts\":[" FILE_ "," PART("t.csv.profile.json", "data") "]}"), &m, &e), 0);
    manifest_done(&m);
}
END_TEST

START_TEST(numbers_of_the_trainer_are_kept)
{
    struct manifest m;
    ck_assert_int_eq(
        manifest_parse(STR("{\"artifacts\":[" FILE_ "],\"metrics\":{\"auc\":0.91,\"n \\\"1\\\"\":"
                           "12},\"trained_from\":\"run 7\"}"),
                       &m, &e),
        0);
    ck_assert_msg(str_eq(buf_str(&m.metrics_json), STR("{\"auc\":0.91,\"n \\\"1\\\"\":12}")), STR_FMT,
                  STR_ARG(buf_str(&m.metrics_json)));
    ck_assert(str_eq(m.trained_from, STR("run 7")));
    manifest_done(&m);
    refused("{\"artifacts\":[" FILE_ "],\"metrics\":{\"auc\":\"high\"}}", ERR_WRONG_TYPE, "$.metrics.auc",
            "a number");
    refused("{\"artifacts\":[" FILE_ "],\"metrics\":{\"a\":1,\"a\":2}}", ERR_DUPLICATE_KEY, "$.metrics.a",
            "twice");
    refused("{\"artifacts\":[" FILE_ "],\"metrics\":[]}", ERR_WRONG_TYPE, "$.metrics", "an object");
}
END_TEST

static void settings_are(const char *more, const char *stored, struct version_settings want)
{
    char json[1024];
    struct manifest m;
    struct version_settings again;
    snprintf(json, sizeof json, "{\"artifacts\":[" FILE_ "]%s}", more);
    ck_assert_msg(manifest_parse(str_of(json), &m, &e) == 0, "%s: %s", more, e.msg);
    ck_assert_mem_eq(&m.settings, &want, sizeof want);
    ck_assert_msg(str_eq(buf_str(&m.settings_json), str_of(stored)), STR_FMT,
                  STR_ARG(buf_str(&m.settings_json)));
    ck_assert_int_eq(version_settings_decode(buf_str(&m.settings_json), &again, &e), 0);
    ck_assert_mem_eq(&again, &want, sizeof want);
    manifest_done(&m);
}

START_TEST(settings_of_replicas_are_read_and_kept_as_they_were_given)
{
    struct version_settings want;
    version_settings_init(&want);
    settings_are("", "{}", want);
    want.min_replicas = want.max_replicas = 2;
    settings_are(",\"replicas\":2", "{\"replicas\":2}", want);
    settings_are(",\"replicas\":\"2\"", "{\"replicas\":\"2\"}", want);
    want.min_replicas = 0;
    want.max_replicas = 4;
    want.threads = 8;
    strcpy(want.optimization, "basic");
    strcpy(want.provider, "cuda");
    want.memory_mb = 512;
    want.batch_budget_ms = 0;
    want.hang_ms = 5000;
    settings_are(",\"hang_ms\":5000,\"replicas\":\"0:4\",\"threads\":8,\"optimization\":\"basic\","
                 "\"provider\":\"cuda\","
                 "\"memory_mb\":512,\"batch_budget_ms\":0",
                 "{\"replicas\":\"0:4\",\"threads\":8,\"optimization\":\"basic\",\"provider\":\"cuda\","
                 "\"memory_mb\":512,\"batch_budget_ms\":0,\"hang_ms\":5000}",
                 want);
}
END_TEST

START_TEST(settings_of_the_log_are_of_all_versions)
{
    struct version_settings want;
    struct manifest m;
    version_settings_init(&want);
    strcpy(want.log, "on");
    strcpy(want.log_overflow, "block");
    strcpy(want.log_durability, "commit");
    want.log_one_in = 1000000;
    static const char GIVEN[] = ",\"log_durability\":\"commit\",\"log\":\"on\",\"log_one_in\":1000000,"
                                "\"log_overflow\":\"block\"",
                      KEPT[] = "{\"log\":\"on\",\"log_one_in\":1000000,\"log_overflow\":\"block\","
                               "\"log_durability\":\"commit\"}";
    settings_are(GIVEN, KEPT, want);
    const char *fields[] = {GIVEN, ",\"log_one_in\":10,\"threads\":2,\"log\":\"off\""},
               *of_replicas[] = {"", "threads"};
    for (int i = 0; i < 2; i++) {
        char json[512];
        snprintf(json, sizeof json, "{\"artifacts\":[" FILE_ "]%s}", fields[i]);
        ck_assert_int_eq(manifest_parse(str_of(json), &m, &e), 0);
        ck_assert(str_eq(m.replica_setting, str_of(of_replicas[i])));
        manifest_done(&m);
    }
}
END_TEST

START_TEST(a_wrong_setting_is_refused_with_field_value_and_what_is_expected)
{
    static const struct {
        const char *field, *value;
        int code;
        const char *in_message;
    } CASES[] = {
        {"replicas", "0", ERR_OUT_OF_RANGE,
         "expected a number from 1 to 64, or \"MIN:MAX\" such as \"0:4\", got 0"},
        {"replicas", "65", ERR_OUT_OF_RANGE, "got 65"},
        {"replicas", "\"4:2\"", ERR_OUT_OF_RANGE, "got \"4:2\""},
        {"replicas", "\"0:0\"", ERR_OUT_OF_RANGE, "got \"0:0\""},
        {"replicas", "\"4:\"", ERR_WRONG_TYPE, "got \"4:\""},
        {"replicas", "\"\"", ERR_WRONG_TYPE, "got \"\""},
        {"replicas", "-1", ERR_WRONG_TYPE, "got -1"},
        {"replicas", "1.5", ERR_WRONG_TYPE, "got 1.5"},
        {"threads", "0", ERR_OUT_OF_RANGE, "expected a whole number from 1 to 256, got 0"},
        {"threads", "-3", ERR_OUT_OF_RANGE, "got -3"},
        {"threads", "\"4\"", ERR_WRONG_TYPE, "got \"4\""},
        {"optimization", "\"most\"", ERR_OUT_OF_RANGE,
         "expected one of none|basic|extended|all, got \"most\""},
        {"optimization", "null", ERR_WRONG_TYPE, "got null"},
        {"provider", "\"\"", ERR_OUT_OF_RANGE, "expected one of cpu|cuda|tensorrt|openvino, got \"\""},
        {"memory_mb", "1e3", ERR_WRONG_TYPE, "expected a whole number from 0 to 16777216"},
        {"batch_budget_ms", "60001", ERR_OUT_OF_RANGE, "from 0 to 60000"},
        {"hang_ms", "99", ERR_OUT_OF_RANGE, "from 100 to 3600000, got 99"},
        {"log", "true", ERR_WRONG_TYPE, "expected one of on|off, got true"},
        {"log", "\"yes\"", ERR_OUT_OF_RANGE, "expected one of on|off, got \"yes\""},
        {"log_one_in", "0", ERR_OUT_OF_RANGE, "from 1 to 1000000, got 0"},
        {"log_overflow", "\"wait\"", ERR_OUT_OF_RANGE, "expected one of drop|sample|block"},
        {"log_durability", "\"\"", ERR_OUT_OF_RANGE, "expected one of async|commit"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char json[512], path[64];
        snprintf(json, sizeof json, "{\"artifacts\":[" FILE_ "],\"%s\":%s}", CASES[i].field, CASES[i].value);
        snprintf(path, sizeof path, "$.%s", CASES[i].field);
        refused(json, CASES[i].code, path, CASES[i].in_message);
    }
    struct version_settings s;
    ck_assert_int_eq(version_settings_decode(STR("[]"), &s, &e), ERR_INVALID);
    ck_assert_int_eq(version_settings_decode(STR("{\"thread\":1}"), &s, &e), ERR_INVALID);
    ck_assert_int_eq(version_settings_decode(STR("{\"threads\":0}"), &s, &e), ERR_OUT_OF_RANGE);
}
END_TEST

START_TEST(what_is_not_understood_is_refused_by_name)
{
    refused("{\"artifacts\":[" FILE_ "],\"promot\":true}", ERR_UNKNOWN_FIELD, "$.promot", "'promot'");
    ck_assert_str_eq(e.hint, "Did you mean 'promote'?");
    refused("{\"artifacts\":[{\"name\":\"m\",\"digest\":" DIGEST ",\"size\":1,\"sha\":1}]}",
            ERR_UNKNOWN_FIELD, "$.artifacts[0].sha", "'sha'");
    refused("{\"artifacts\":[" FILE_ "],\"promote\":true,\"promote\":true}", ERR_DUPLICATE_KEY, "$.promote",
            "twice");
    refused("{\"artifacts\":[" FILE_ "],\"tags\":{\"a\":\"1\",\"a\":\"2\"}}", ERR_DUPLICATE_KEY, "$.tags.a",
            "twice");
}
END_TEST

START_TEST(what_is_wrong_is_refused_with_its_place)
{
    refused("", ERR_BAD_JSON, "", "empty");
    refused("{\"artifacts\":", ERR_BAD_JSON, "", "byte");
    refused("[]", ERR_WRONG_TYPE, "$", "object");
    refused("{}", ERR_INVALID, "$", "'artifacts'");
    refused("{\"artifacts\":{}}", ERR_WRONG_TYPE, "$.artifacts", "array");
    refused("{\"artifacts\":[]}", ERR_WRONG_COUNT, "$.artifacts", "none of 0");
    refused("{\"artifacts\":[" FILE_ "," FILE_ "]}", ERR_DUPLICATE_KEY, "$.artifacts[1].name",
            "'model.json'");
    refused("{\"artifacts\":[{\"name\":\"m\",\"digest\":" DIGEST ",\"size\":-1}]}", ERR_WRONG_TYPE,
            "$.artifacts[0].size", "whole number");
    refused("{\"artifacts\":[{\"name\":\"m\",\"digest\":" DIGEST ",\"size\":1.5}]}", ERR_WRONG_TYPE,
            "$.artifacts[0].size", "whole number");
    refused("{\"artifacts\":[{\"name\":\"../m\",\"digest\":" DIGEST ",\"size\":1}]}", ERR_INVALID,
            "$.artifacts[0].name", "../m");
    refused("{\"artifacts\":[{\"name\":\"m\",\"digest\":\"sha256:1\",\"size\":1}]}", ERR_INVALID,
            "$.artifacts[0].digest", "sha256");
    refused("{\"artifacts\":[{\"name\":\"m\",\"digest\":" DIGEST "}]}", ERR_INVALID, "$.artifacts[0]",
            "'size'");
    refused("{\"artifacts\":[" FILE_ "],\"tags\":{\"a\":1}}", ERR_WRONG_TYPE, "$.tags.a", "string");
    refused("{\"artifacts\":[" FILE_ "],\"promote\":1}", ERR_WRONG_TYPE, "$.promote", "true or false");
}
END_TEST

START_TEST(an_alias_names_a_version_by_number)
{
    struct alias_body body;
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":3}"), &body, &e), 0);
    ck_assert(body.version == 3 && body.reason[0] == '\0');
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":4,\"reason\":\"w\\u00e4rmer\"}"), &body, &e), 0);
    ck_assert_str_eq(body.reason, "w\xc3\xa4rmer");
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":0}"), &body, &e), ERR_INVALID);
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":4294967296}"), &body, &e), ERR_INVALID);
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":\"3\"}"), &body, &e), ERR_WRONG_TYPE);
    ck_assert_int_eq(alias_body_parse(STR("{\"number\":3}"), &body, &e), ERR_UNKNOWN_FIELD);
    ck_assert_int_eq(alias_body_parse(STR("{}"), &body, &e), ERR_INVALID);
}
END_TEST

START_TEST(a_rollback_needs_to_say_nothing)
{
    struct rollback_body body;
    char json[LIMIT_REASON_BYTES + 64];
    ck_assert_int_eq(rollback_body_parse(STR(""), &body, &e), 0);
    ck_assert(strcmp(body.alias, "champion") == 0 && body.to == 0);
    ck_assert_int_eq(rollback_body_parse(STR("{\"alias\":\"blue\",\"to\":2,\"reason\":\"slow\"}"), &body, &e),
                     0);
    ck_assert(strcmp(body.alias, "blue") == 0 && body.to == 2 && strcmp(body.reason, "slow") == 0);
    ck_assert_int_eq(rollback_body_parse(STR("{\"alias\":\"7\"}"), &body, &e), ERR_INVALID);
    ck_assert_int_eq(rollback_body_parse(STR("{\"to\":0}"), &body, &e), ERR_INVALID);
    ck_assert_str_eq(e.path, "$.to");
    memset(json, 'x', sizeof json);
    memcpy(json, "{\"reason\":\"", 11);
    strcpy(json + sizeof json - 3, "\"}");
    ck_assert_int_eq(rollback_body_parse(str_of(json), &body, &e), ERR_TOO_LARGE);
    ck_assert_str_eq(e.path, "$.reason");
}
END_TEST

UNIT_MAIN("role/controller/manifest", settings_of_replicas_are_read_and_kept_as_they_were_given,
          settings_of_the_log_are_of_all_versions,
          a_wrong_setting_is_refused_with_field_value_and_what_is_expected, a_whole_manifest_is_read,
          what_is_not_understood_is_refused_by_name, what_is_wrong_is_refused_with_its_place,
          an_alias_names_a_version_by_number, a_rollback_needs_to_say_nothing,
          a_version_has_one_model_and_files_of_other_roles, numbers_of_the_trainer_are_kept)

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
    ck_assert(str_eq(m.artifact.name, STR("model.json")) && m.artifact.size_bytes == 3);
    ck_assert_uint_eq(m.artifact.digest.bytes[0], 0xba);
    ck_assert(str_eq(m.description, STR("d\xc3\xa9j\xc3\xa0")) && !m.promote);
    ck_assert(str_eq(buf_str(&m.tags_json), STR("{\"a\":\"1\",\"b \\\"q\\\"\":\"\"}")));
    manifest_done(&m);
    ck_assert_int_eq(manifest_parse(STR("{\"artifacts\":[" FILE_ "]}"), &m, &e), 0);
    ck_assert(m.promote && m.description.n == 0 && str_eq(buf_str(&m.tags_json), STR("{}")));
    manifest_done(&m);
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
    refused("{\"artifacts\":[]}", ERR_WRONG_COUNT, "$.artifacts", "got 0");
    refused("{\"artifacts\":[" FILE_ "," FILE_ "]}", ERR_WRONG_COUNT, "$.artifacts", "got 2");
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
    uint32_t version;
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":3}"), &version, &e), 0);
    ck_assert_uint_eq(version, 3);
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":0}"), &version, &e), ERR_INVALID);
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":4294967296}"), &version, &e), ERR_INVALID);
    ck_assert_int_eq(alias_body_parse(STR("{\"version\":\"3\"}"), &version, &e), ERR_WRONG_TYPE);
    ck_assert_int_eq(alias_body_parse(STR("{\"number\":3}"), &version, &e), ERR_UNKNOWN_FIELD);
    ck_assert_int_eq(alias_body_parse(STR("{}"), &version, &e), ERR_INVALID);
}
END_TEST

UNIT_MAIN("role/controller/manifest", a_whole_manifest_is_read, what_is_not_understood_is_refused_by_name,
          what_is_wrong_is_refused_with_its_place, an_alias_names_a_version_by_number)

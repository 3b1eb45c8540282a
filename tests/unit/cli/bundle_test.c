// SPDX-License-Identifier: Apache-2.0
// slipway.json and the OCI manifest: what is refused, what comes out for a version, and the manifest of a
// push made of both.
#include "cli/bundle.h"
#include "cli/oci.h"

#include "unit.h"

#include <string.h>

#define DIGEST    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define FILE_JSON "{\"name\":\"m.json\",\"digest\":\"" DIGEST "\",\"size\":3}"

static struct err e;

static int parse(const char *json)
{
    struct bundle b;
    memset(&e, 0, sizeof e);
    int rc = bundle_parse(str_of(json), &b, &e);
    bundle_done(&b);
    return rc;
}

START_TEST(what_is_wrong_is_named)
{
    ck_assert_int_eq(parse("{\"slipway\":1,\"artifacts\":[" FILE_JSON "]}"), 0);
    ck_assert_int_eq(parse(""), ERR_BAD_JSON);
    ck_assert_int_eq(parse("{}"), ERR_INVALID);
    ck_assert_int_eq(parse("{\"slipway\":2,\"artifacts\":[" FILE_JSON "]}"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "slipway.json has format 2, and this program reads 1");
    ck_assert_int_eq(parse("{\"slipway\":1,\"artifacts\":[]}"), ERR_INVALID);
    ck_assert_int_eq(parse("{\"slipway\":1,\"artifacts\":[" FILE_JSON "],\"odd\":1}"), ERR_UNKNOWN_FIELD);
    ck_assert_int_eq(parse("{\"slipway\":1,\"artifacts\":[" FILE_JSON "],\"tags\":[]}"), ERR_WRONG_TYPE);
    ck_assert_str_eq(e.path, "$.tags");
    ck_assert_int_eq(
        parse("{\"slipway\":1,\"artifacts\":[{\"name\":\"m\",\"digest\":\"sha256:AB\",\"size\":3}]}"),
        ERR_INVALID);
    ck_assert_str_eq(e.path, "$.artifacts[0].digest");
    ck_assert_int_eq(parse("{\"slipway\":1,\"artifacts\":[" FILE_JSON ",{\"name\":\"n\",\"digest\":\"" DIGEST
                           "\",\"size\":3,\"role\":\"boss\"}]}"),
                     ERR_INVALID);
    ck_assert_str_eq(e.path, "$.artifacts[1].role");
}
END_TEST

START_TEST(names_stay_in_the_directory)
{
    static const char *const BAD[] = {"..", "../x", "a/../x", "/etc/passwd", "a//b",
                                      "",   "a/",   ".",      "a\\u0000b",   "\\n"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char json[512];
        snprintf(json, sizeof json,
                 "{\"slipway\":1,\"artifacts\":[{\"name\":\"%s\",\"digest\":\"" DIGEST "\",\"size\":3}]}",
                 BAD[i]);
        ck_assert_msg(parse(json) == ERR_INVALID, "%s", BAD[i]);
        ck_assert_str_eq(e.path, "$.artifacts[0].name");
    }
}
END_TEST

static const char VERSION[] =
    "{\"model\":\"churn\",\"version\":7,\"state\":\"ready\",\"created\":\"2026-01-01\",\"description\":\"\","
    "\"tags\":{},"
    "\"metrics\":{\"auc\":0.91,\"n\":600},\"trained_from\":\"runs:/1\",\"settings\":{\"replicas\":2},"
    "\"artifacts\":[{\"name\":\"m.json\",\"role\":\"model\",\"digest\":\"" DIGEST "\",\"size\":3}],"
    "\"signature\":{\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"missing\":true,\"seen\":1,\"mode\":"
    "\"strict\",\"min\":"
    "0}],"
    "\"outputs\":[],\"named\":true}}";
static const char WRITTEN[] =
    "{\n  \"slipway\": 1,\n  \"artifacts\": [\n    {\"name\": \"m.json\", \"role\": \"model\", "
    "\"digest\": \"" DIGEST "\", \"size\": 3}\n  ],\n  \"metrics\": {\"auc\":0.91,\"n\":600},\n"
    "  \"trained_from\": \"runs:/1\",\n  \"settings\": {\"replicas\":2},\n"
    "  \"signature\": {\"inputs\":[{\"name\":\"age\",\"missing\":true,\"min\":0,\"mode\":\"strict\"}]}\n}\n";

static void write_version(const char *json, struct buf *out)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    buf_init(out, 1 << 20);
    ck_assert_int_eq(bundle_write(yyjson_doc_get_root(doc), out, &e), 0);
    yyjson_doc_free(doc);
}

START_TEST(a_version_is_written_without_what_an_import_cannot_give_back)
{
    struct buf out;
    write_version(VERSION, &out);
    buf_putc(&out, '\0');
    ck_assert_str_eq(out.p, WRITTEN);
    buf_done(&out);
}
END_TEST

START_TEST(a_push_joins_what_flags_and_package_say)
{
    struct package p;
    struct bundle b;
    struct buf out;
    ck_assert_int_eq(package_init(&p, &e), 0);
    ck_assert_int_eq(bundle_parse(str_of(WRITTEN), &b, &e), 0);
    bundle_fill(&b, &p);
    package_put_tag(&p, "a", STR("1"));
    package_put_tag(&p, "b", STR("2"));
    package_put_tag(&p, "none", STR(""));
    buf_init(&out, 1 << 20);
    ck_assert_int_eq(
        package_put_manifest(&p, STR("{\"promote\":false,\"trained_from\":\"me\",\"tags\":{\"b\":\"3\"}}"),
                             &out, &e),
        0);
    buf_putc(&out, '\0');
    ck_assert_str_eq(
        out.p,
        "{\"artifacts\":[],\"promote\":false,\"trained_from\":\"me\",\"tags\":{\"b\":\"3\",\"a\":\"1\"},"
        "\"metrics\":{\"auc\":0.91,\"n\":600},\"replicas\":2,"
        "\"signature\":{\"inputs\":[{\"name\":\"age\",\"missing\":true,\"min\":0,\"mode\":\"strict\"}]}}");
    // What flags say of a signature stands alone.
    buf_clear(&out);
    ck_assert_int_eq(package_put_manifest(&p, STR("{\"signature\":{\"outputs\":[]}}"), &out, &e), 0);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "\"signature\":{\"outputs\":[]}"));
    ck_assert_int_eq(package_put_manifest(&p, STR("["), &out, &e), ERR_INTERNAL);
    buf_done(&out);
    bundle_done(&b);
    package_done(&p);
}
END_TEST

START_TEST(an_oci_manifest_is_read_as_it_was_written)
{
    struct bundle b;
    struct buf out;
    struct oci_manifest m;
    struct oci_descriptor found;
    yyjson_doc *doc;
    ck_assert_int_eq(bundle_parse(str_of(WRITTEN), &b, &e), 0);
    buf_init(&out, 1 << 20);
    oci_manifest_write(&b, str_of(WRITTEN), DIGEST, &out);
    ck_assert_int_eq(oci_manifest_parse(buf_str(&out), &m, &e), 0);
    ck_assert_uint_eq(m.n_layers, 1);
    ck_assert_uint_eq(m.config.size, strlen(WRITTEN));
    ck_assert(str_eq(m.layers[0].title, STR("m.json")) && str_eq(m.layers[0].digest, STR(DIGEST)));
    oci_manifest_done(&m);
    buf_clear(&out);
    oci_index_write(STR("12345"), DIGEST, "3", "churn", &out);
    ck_assert_int_eq(oci_index_parse(buf_str(&out), &doc, &found, &e), 0);
    ck_assert_uint_eq(found.size, 5);
    yyjson_doc_free(doc);
    bundle_done(&b);
    buf_done(&out);
}
END_TEST

START_TEST(other_artifacts_are_refused)
{
    struct oci_manifest m;
    struct oci_descriptor found;
    yyjson_doc *doc;
    ck_assert_int_eq(
        oci_manifest_parse(STR("{\"schemaVersion\":2,\"artifactType\":\"application/x\"}"), &m, &e),
        ERR_UNSUPPORTED_MODEL);
    oci_manifest_done(&m);
    ck_assert_int_eq(oci_manifest_parse(STR("{\"schemaVersion\":1}"), &m, &e), ERR_INVALID);
    oci_manifest_done(&m);
    static const char INDEX[] = "{\"schemaVersion\":2,\"manifests\":[%s]}";
    static const char OURS[] =
        "{\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"digest\":\"" DIGEST "\",\"size\":1}";
    char json[1024], two[512];
    snprintf(two, sizeof two, "%s,%s", OURS, OURS);
    const char *const LISTS[] = {"", two, "{\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"size\":1}"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(json, sizeof json, INDEX, LISTS[i]);
        ck_assert_int_eq(oci_index_parse(str_of(json), &doc, &found, &e), ERR_INVALID);
        yyjson_doc_free(doc);
    }
}
END_TEST

UNIT_MAIN("cli/bundle", what_is_wrong_is_named, names_stay_in_the_directory,
          a_version_is_written_without_what_an_import_cannot_give_back,
          a_push_joins_what_flags_and_package_say, an_oci_manifest_is_read_as_it_was_written,
          other_artifacts_are_refused)

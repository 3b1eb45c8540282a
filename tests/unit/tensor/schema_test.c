// SPDX-License-Identifier: Apache-2.0
// Signature documents: what is refused, what a user's lays over a model's, and what changes between two.
#include "tensor/schema.h"

#include "unit.h"

#include <string.h>

static struct arena arena;

static struct schema read_as(const char *json, bool is_users)
{
    struct schema s;
    struct err e = {0};
    int rc = schema_read(str_of(json), is_users, "$", &arena, &s, &e);
    ck_assert_msg(rc == 0, "%s: %s at %s", json, e.msg, e.path);
    return s;
}

static void begin(void)
{
    struct err e;
    ck_assert_int_eq(arena_init(&arena, 64 << 20, &e), 0);
}

static void end(void)
{
    arena_done(&arena);
}

#define MODEL                                                                                                \
    "{\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"type\":\"number\",\"missing\":true},"            \
    "{\"name\":\"color\",\"datatype\":\"FP32\",\"type\":\"category\",\"missing\":true,\"categorical\":true," \
    "\"categories\":[\"blue\",\"green\",\"red\"]},"                                                          \
    "{\"name\":\"k\",\"datatype\":\"FP32\",\"type\":\"number\",\"missing\":false}],"                         \
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1]}],\"named\":true}"
#define UNNAMED                                                                                              \
    "{\"inputs\":[{\"name\":\"f0\",\"datatype\":\"FP32\",\"missing\":true},"                                 \
    "{\"name\":\"f1\",\"datatype\":\"FP32\",\"missing\":true}],"                                             \
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1]}],\"named\":false}"
#define TENSORS                                                                                              \
    "{\"platform\":\"onnx_onnxv1\",\"max_batch_rows\":64,"                                                   \
    "\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"shape\":[-1,1]},"                                 \
    "{\"name\":\"job\",\"datatype\":\"BYTES\",\"shape\":[-1,1]},"                                            \
    "{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[-1,1],\"optional\":true}],"                           \
    "\"outputs\":[{\"name\":\"score\",\"datatype\":\"FP32\",\"shape\":[-1,2],\"labels\":[\"no\",\"yes\"]}]}"
#define IN(columns) "{\"inputs\":[" columns "]}"

static void written_is_read(const char *json)
{
    struct buf out;
    struct schema s = read_as(json, false);
    buf_init(&out, 1 << 20);
    schema_write(&s, STR(""), &out);
    ck_assert_msg(!out.failed && str_eq(buf_str(&out), str_of(json)), "%.*s\n%s", STR_ARG(buf_str(&out)),
                  json);
    buf_done(&out);
}

START_TEST(what_was_written_is_read)
{
    begin();
    written_is_read(MODEL);
    written_is_read(UNNAMED);
    written_is_read(
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP64\",\"type\":\"integer\",\"missing\":false,"
        "\"min\":-0.5,\"max\":1e+300,\"mode\":\"warn\",\"seen\":[0,7.25],\"description\":\"d\","
        "\"unit\":\"u\",\"log\":\"bucket:10\"},{\"name\":\"b\",\"categories\":[1,2.5],\"mode\":\"coerce\"},"
        "{\"name\":\"c\",\"categories\":[\"x\",\"y\"],\"codes\":[2,0],\"mode\":\"strict\"}],"
        "\"outputs\":[{\"name\":\"o\",\"log\":\"drop\"}],\"named\":true,\"renamed\":true}");
    end();
}
END_TEST

static void refuses_as(const char *json, int code, const char *path, const char *hint, bool is_users)
{
    struct schema s;
    struct err e = {0};
    int rc = schema_read(str_of(json), is_users, "$", &arena, &s, &e);
    ck_assert_msg(rc == code && e.code == code, "%s: %d %s", json, rc, e.msg);
    ck_assert_msg(strcmp(e.path, path) == 0, "%s: path %s", json, e.path);
    ck_assert_msg(strstr(e.hint, hint), "%s: hint %s", json, e.hint);
}

START_TEST(what_is_not_understood_is_refused_by_name)
{
    begin();
    refuses_as("", ERR_BAD_JSON, "", "", true);
    refuses_as("{", ERR_BAD_JSON, "", "", true);
    refuses_as("[]", ERR_WRONG_TYPE, "$", "", true);
    refuses_as("{\"input\":[]}", ERR_UNKNOWN_FIELD, "$.input", "'inputs'", true);
    refuses_as("{\"mode\":\"lax\"}", ERR_INVALID, "$.mode", "", true);
    refuses_as("{\"inputs\":{}}", ERR_WRONG_TYPE, "$.inputs", "", true);
    refuses_as(IN("3"), ERR_WRONG_TYPE, "$.inputs[0]", "", true);
    refuses_as(IN("{\"type\":\"number\"}"), ERR_INVALID, "$.inputs[0]", "", true);
    refuses_as(IN("{\"name\":3}"), ERR_WRONG_TYPE, "$.inputs[0].name", "", true);
    refuses_as(IN("{\"name\":\"a\",\"typ\":\"number\"}"), ERR_UNKNOWN_FIELD, "$.inputs[0].typ", "'type'",
               true);
    refuses_as(IN("{\"name\":\"a\",\"type\":\"nubmer\"}"), ERR_INVALID, "$.inputs[0].type", "'number'", true);
    refuses_as(IN("{\"name\":\"a\",\"mode\":\"stric\"}"), ERR_INVALID, "$.inputs[0].mode", "'strict'", true);
    refuses_as(IN("{\"name\":\"a\",\"log\":false}"), ERR_WRONG_TYPE, "$.inputs[0].log", "", true);
    refuses_as(IN("{\"name\":\"a\",\"min\":\"1\"}"), ERR_WRONG_TYPE, "$.inputs[0].min", "", true);
    refuses_as(IN("{\"name\":\"a\",\"min\":2,\"max\":1}"), ERR_INVALID, "$.inputs[0]", "", true);
    refuses_as(IN("{\"name\":\"a\",\"missing\":1}"), ERR_WRONG_TYPE, "$.inputs[0].missing", "", true);
    refuses_as(IN("{\"name\":\"a\",\"categories\":[]}"), ERR_WRONG_TYPE, "$.inputs[0].categories", "", true);
    refuses_as(IN("{\"name\":\"a\",\"categories\":[\"x\",1]}"), ERR_WRONG_TYPE, "$.inputs[0].categories[1]",
               "", true);
    refuses_as(IN("{\"name\":\"a\",\"categories\":[\"x\",\"x\"]}"), ERR_DUPLICATE_KEY,
               "$.inputs[0].categories[1]", "", true);
    refuses_as(IN("{\"name\":\"a\",\"categories\":[1],\"min\":0}"), ERR_INVALID, "$.inputs[0]", "", true);
    refuses_as(IN("{\"name\":\"a\",\"type\":\"category\",\"max\":3}"), ERR_INVALID, "$.inputs[0]", "", true);
    refuses_as(IN("{\"name\":\"a\"},{\"name\":\"a\"}"), ERR_DUPLICATE_KEY, "$.inputs[1].name", "", true);
    refuses_as(IN("{\"name\":\"a\",\"name\":\"b\"}"), ERR_DUPLICATE_KEY, "$.inputs[0].name", "", true);
    struct schema s = read_as("{\"x\":1,\"inputs\":[{\"name\":\"a\",\"y\":2}]}", false); // of a later Slipway
    ck_assert_uint_eq(s.n_inputs, 1);
    end();
}
END_TEST

START_TEST(a_column_with_a_rule_is_strict_unless_said_otherwise)
{
    begin();
    struct schema s =
        read_as(IN("{\"name\":\"a\",\"min\":0},{\"name\":\"b\",\"unit\":\"m\"},"
                   "{\"name\":\"c\",\"max\":0,\"mode\":\"warn\"},{\"name\":\"d\",\"type\":\"double\"},"
                   "{\"name\":\"e\",\"log\":\"drop\"}"),
                true);
    ck_assert_int_eq(s.inputs[0].mode, SCHEMA_STRICT);
    ck_assert_int_eq(s.inputs[1].mode, SCHEMA_MODE_UNSAID);
    ck_assert_int_eq(s.inputs[2].mode, SCHEMA_WARN);
    ck_assert_int_eq(s.inputs[3].type, SCHEMA_NUMBER);
    ck_assert_int_eq(s.inputs[4].mode, SCHEMA_MODE_UNSAID); // requests are not held to it
    s = read_as("{\"mode\":\"coerce\",\"inputs\":[{\"name\":\"a\"},{\"name\":\"b\",\"mode\":\"warn\"}]}",
                true);
    ck_assert_int_eq(s.inputs[0].mode, SCHEMA_COERCE);
    ck_assert_int_eq(s.inputs[1].mode, SCHEMA_WARN);
    end();
}
END_TEST

static struct schema complete(const char *model, const char *user)
{
    struct schema m = read_as(model, false), u = read_as(user, true);
    struct err e = {0};
    int rc = schema_complete(&m, &u, "$", &arena, &e);
    ck_assert_msg(rc == 0, "%s: %s at %s", user, e.msg, e.path);
    return m;
}

static void contradicts(const char *model, const char *user, int code, const char *path, const char *says)
{
    struct schema m = read_as(model, false), u = read_as(user, true);
    struct err e = {0};
    int rc = schema_complete(&m, &u, "$", &arena, &e);
    ck_assert_msg(rc == code, "%s: %d %s", user, rc, e.msg);
    ck_assert_msg(strcmp(e.path, path) == 0, "%s: path %s", user, e.path);
    ck_assert_msg(strstr(e.msg, says) || strstr(e.hint, says), "%s: %s %s", user, e.msg, e.hint);
}

START_TEST(what_contradicts_the_model_file_is_refused)
{
    begin();
    contradicts(MODEL, IN("{\"name\":\"agee\"}"), ERR_UNKNOWN_FEATURE, "$.inputs[0].name",
                "Did you mean 'age'?");
    contradicts(MODEL, IN("{\"name\":\"color\",\"type\":\"number\"}"), ERR_WRONG_TYPE, "$.inputs[0].type",
                "color");
    contradicts(MODEL, IN("{\"name\":\"color\",\"min\":1}"), ERR_WRONG_TYPE, "$.inputs[0].type", "no range");
    contradicts(MODEL, IN("{\"name\":\"age\",\"type\":\"text\"}"), ERR_WRONG_TYPE, "$.inputs[0].type",
                "categories");
    contradicts(MODEL, IN("{\"name\":\"age\",\"type\":\"category\"}"), ERR_WRONG_TYPE, "$.inputs[0].type",
                "number");
    contradicts(MODEL, IN("{\"name\":\"age\",\"datatype\":\"FP64\"}"), ERR_WRONG_TYPE, "$.inputs[0].datatype",
                "FP32");
    contradicts(MODEL, IN("{\"name\":\"age\",\"shape\":[-1]}"), ERR_INVALID, "$.inputs[0].shape", "shape");
    contradicts(MODEL, IN("{\"name\":\"age\"},{\"name\":\"k\",\"missing\":true}"), ERR_INVALID,
                "$.inputs[1].missing", "no rule");
    contradicts(MODEL, IN("{\"name\":\"color\",\"categories\":[\"red\",\"bleu\"]}"), ERR_INVALID,
                "$.inputs[0].categories", "Did you mean 'blue'?");
    contradicts(MODEL, "{\"outputs\":[{\"name\":\"predictions\"}]}", ERR_UNKNOWN_OUTPUT, "$.outputs[0].name",
                "Did you mean 'prediction'?");
    contradicts(MODEL, "{\"outputs\":[{\"name\":\"prediction\",\"min\":0}]}", ERR_INVALID, "$.outputs[0]",
                "rules are for inputs");
    contradicts(UNNAMED, IN("{\"name\":\"a\"}"), ERR_WRONG_COUNT, "$.inputs", "f0 to f1");
    contradicts(UNNAMED, IN("{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}"), ERR_WRONG_COUNT,
                "$.inputs", "2");
    contradicts(TENSORS, IN("{\"name\":\"job\",\"type\":\"number\"}"), ERR_WRONG_TYPE, "$.inputs[0].type",
                "text");
    contradicts(TENSORS, IN("{\"name\":\"age\",\"type\":\"text\"}"), ERR_WRONG_TYPE, "$.inputs[0].type",
                "numbers");
    contradicts(TENSORS, IN("{\"name\":\"n\",\"missing\":true}"), ERR_INVALID, "$.inputs[0].missing",
                "INT64");
    contradicts(TENSORS, IN("{\"name\":\"age\",\"shape\":[-1,2]}"), ERR_INVALID, "$.inputs[0].shape",
                "shape");
    contradicts(TENSORS, "{\"outputs\":[{\"name\":\"score\",\"labels\":[\"no\",\"maybe\"]}]}", ERR_INVALID,
                "$.outputs[0].labels", "classes");
    end();
}
END_TEST

START_TEST(a_user_completes_what_the_file_says)
{
    begin();
    struct schema s =
        complete(MODEL, IN("{\"name\":\"color\",\"categories\":[\"red\",\"blue\"],\"missing\":false},"
                           "{\"name\":\"age\",\"min\":0,\"unit\":\"years\"}"));
    ck_assert_uint_eq(s.n_inputs, 3);
    ck_assert(s.inputs[0].has_min && s.inputs[0].missing == SCHEMA_YES && s.inputs[0].mode == SCHEMA_STRICT);
    ck_assert_uint_eq(s.inputs[1].n_categories, 2);
    ck_assert(s.inputs[1].has_codes && s.inputs[1].codes[0] == 2.0 && s.inputs[1].codes[1] == 0.0);
    ck_assert(s.inputs[1].missing == SCHEMA_NO && s.inputs[2].mode == SCHEMA_MODE_UNSAID);
    ck_assert(schema_has_rules(&s));
    s = complete(MODEL, "{\"inputs\":[{\"name\":\"age\",\"log\":\"hash\"}],"
                        "\"outputs\":[{\"name\":\"prediction\",\"log\":\"drop\"}]}");
    ck_assert(str_eq(s.inputs[0].log, STR("hash")) && s.inputs[1].log.n == 0);
    ck_assert(str_eq(s.outputs[0].log, STR("drop")) && !schema_has_rules(&s));
    s = complete(MODEL, "{}");
    ck_assert(!schema_has_rules(&s));
    s = complete(MODEL,
                 IN("{\"name\":\"k\",\"categories\":[\"low\",\"high\"]}")); // given in the order of codes
    ck_assert(s.inputs[2].type == SCHEMA_CATEGORY && s.inputs[2].codes[1] == 1.0);
    s = complete(UNNAMED, IN("{\"name\":\"a\"},{\"name\":\"b\"}"));
    ck_assert(s.named && s.renamed && str_eq(s.inputs[1].name, STR("b")) && schema_has_rules(&s));
    s = complete(UNNAMED, IN("{\"name\":\"f1\",\"max\":3}"));
    ck_assert(!s.named && s.inputs[1].has_max);
    s = complete(TENSORS, IN("{\"name\":\"job\",\"categories\":[\"a\",\"b\"]},{\"name\":\"age\",\"max\":9}"));
    ck_assert(s.inputs[1].n_categories == 2 && s.inputs[0].mode == SCHEMA_STRICT);
    end();
}
END_TEST

// A completed signature as it would be kept.
static struct schema version(const char *model, const char *user)
{
    return *user ? complete(model, user) : read_as(model, false);
}

static const struct change_case {
    const char *before_model, *before, *now_model, *now;
    const char *breaking[3], *compatible[3]; // all of them, in order
} CHANGES[] = {
    {MODEL, "", MODEL, "", {0}, {0}},
    {MODEL,
     "",
     MODEL,
     IN("{\"name\":\"age\",\"missing\":false}"),
     {"'age' may no longer be missing"},
     {"the mode was none, it is strict"}},
    {MODEL, IN("{\"name\":\"age\",\"missing\":false}"), MODEL, "", {0}, {"'age' may be missing now", "mode"}},
    {MODEL,
     "",
     MODEL,
     IN("{\"name\":\"age\",\"missing\":false,\"mode\":\"warn\"}"),
     {0},
     {"mode was none, it is warn"}},
    {MODEL,
     "",
     MODEL,
     IN("{\"name\":\"age\",\"max\":9}"),
     {"'age': the range was any, it is narrower: at most 9"},
     {"mode"}},
    {MODEL,
     IN("{\"name\":\"age\",\"min\":0,\"max\":9}"),
     MODEL,
     IN("{\"name\":\"age\",\"min\":0,\"max\":10}"),
     {0},
     {"wider: 0 to 10"}},
    {MODEL,
     IN("{\"name\":\"age\",\"max\":9,\"mode\":\"warn\"}"),
     MODEL,
     IN("{\"name\":\"age\",\"max\":9}"),
     {"narrower"},
     {"mode was warn"}},
    {MODEL,
     "",
     MODEL,
     IN("{\"name\":\"age\",\"type\":\"integer\"}"),
     {"'age': the type is narrower, integer only"},
     {"mode"}},
    {MODEL,
     IN("{\"name\":\"age\",\"mode\":\"coerce\"}"),
     MODEL,
     IN("{\"name\":\"age\",\"mode\":\"strict\"}"),
     {"'age' is strict now"},
     {0}},
    {MODEL,
     "",
     MODEL,
     IN("{\"name\":\"color\",\"categories\":[\"blue\",\"green\"]}"),
     {"'color': categories removed: 'red'"},
     {"mode"}},
    {MODEL,
     IN("{\"name\":\"color\",\"categories\":[\"blue\",\"green\"]}"),
     MODEL,
     "",
     {0},
     {"categories added: 'red'", "mode"}},
    {MODEL,
     IN("{\"name\":\"age\",\"unit\":\"s\"}"),
     MODEL,
     IN("{\"name\":\"age\",\"unit\":\"ms\"}"),
     {"unit was 's', it is 'ms'"},
     {0}},
    {MODEL,
     "{\"inputs\":[{\"name\":\"age\",\"log\":\"hash\"}],"
     "\"outputs\":[{\"name\":\"prediction\",\"log\":\"keep\"}]}",
     MODEL,
     "{\"outputs\":[{\"name\":\"prediction\",\"log\":\"drop\"}]}",
     {0},
     {"input 'age': the log's rule was 'hash', it is 'keep'",
      "output 'prediction': the log's rule was 'keep', it is 'drop'"}},
    {MODEL, "", UNNAMED, "", {"number of inputs was 3, it is 2", "no names any more", "was a category"}, {0}},
    {UNNAMED, "", UNNAMED, IN("{\"name\":\"a\"},{\"name\":\"b\"}"), {"have names: 'f0' is 'a'"}, {0}},
    {UNNAMED,
     IN("{\"name\":\"a\"},{\"name\":\"b\"}"),
     UNNAMED,
     IN("{\"name\":\"b\"},{\"name\":\"a\"}"),
     {"order of inputs changed: 'b' comes before 'a'"},
     {0}},
    {UNNAMED,
     IN("{\"name\":\"a\"},{\"name\":\"b\"}"),
     UNNAMED,
     IN("{\"name\":\"a\"},{\"name\":\"c\"}"),
     {"'b' was removed", "'c' is new: rows sent as lists"},
     {0}},
    {TENSORS,
     "",
     TENSORS,
     IN("{\"name\":\"job\",\"categories\":[\"a\"]}"),
     {"'job' takes only 1 categories"},
     {"mode"}},
    {TENSORS,
     "",
     "{\"max_batch_rows\":1,\"inputs\":[{\"name\":\"age\",\"datatype\":\"INT32\",\"shape\":[-1,1]},{\"name\":"
     "\"job\",\"datatype\":\"BYTES\",\"shape\":[-1,1]}],\"outputs\":[{\"name\":\"score\",\"datatype\":"
     "\"FP64\",\"shape\":[-1,2],\"labels\":[\"no\",\"aye\"]}]}",
     "",
     {"'age' was FP32, it is INT32", "'n' was removed", "'score' was FP32, it is FP64"},
     {0}},
    {TENSORS,
     "",
     "{\"max_batch_rows\":1,\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP64\",\"shape\":[-1,1]},{\"name\":"
     "\"job\",\"datatype\":\"BYTES\",\"shape\":[-1,-1]},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[-1,"
     "1],\"optional\":true},{\"name\":\"z\",\"datatype\":\"FP32\",\"shape\":[-1,1],\"optional\":true}],"
     "\"outputs\":[{\"name\":\"score\",\"datatype\":\"FP32\",\"shape\":[-1,2],\"labels\":[\"no\",\"yes\"]},{"
     "\"name\":\"more\",\"datatype\":\"FP32\",\"shape\":[-1]}]}",
     "",
     {0},
     {"'age' was FP32, it is FP64", "'job' had the shape [-1,1], it has [-1,-1]",
      "'z' is new; it can be left out"}},
    {TENSORS,
     "",
     "{\"max_batch_rows\":1,\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"shape\":[-1,1]},{\"name\":"
     "\"job\",\"datatype\":\"BYTES\",\"shape\":[-1,1]},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[-1,"
     "1]},{\"name\":\"z\",\"datatype\":\"FP32\",\"shape\":[-1,1]}],\"outputs\":[{\"name\":\"score\","
     "\"datatype\":\"FP32\",\"shape\":[-1,3],\"labels\":[\"no\",\"aye\"]}]}",
     "",
     {"'n' can no longer be left out", "'z' is new, and requests must have it",
      "'score' had the shape [-1,2], it has [-1,3]"},
     {0}},
    {TENSORS,
     "",
     "{\"max_batch_rows\":1,\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"shape\":[-1,1]},{\"name\":"
     "\"job\",\"datatype\":\"BYTES\",\"shape\":[-1,1]},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[-1,"
     "1],\"optional\":true}],\"outputs\":[{\"name\":\"score\",\"datatype\":\"FP32\",\"shape\":[-1,2],"
     "\"labels\":[\"no\",\"aye\"]}]}",
     "",
     {"'score': class 1 was 'yes', it is 'aye'"},
     {0}},
};

static void has(const struct schema_changes *c, bool breaking, const char *const expected[3], size_t row)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->list[i].breaking != breaking)
            continue;
        ck_assert_msg(at >= 3 || expected[at], "row %zu has more: %s", row, c->list[i].text.p);
        if (at < 3)
            ck_assert_msg(strstr(c->list[i].text.p, expected[at]), "row %zu: %s, expected %s", row,
                          c->list[i].text.p, expected[at]);
        at++;
    }
    ck_assert_msg(at >= 3 || !expected[at], "row %zu has not: %s", row, expected[at < 3 ? at : 0]);
}

START_TEST(changes_are_named)
{
    for (size_t row = 0; row < sizeof CHANGES / sizeof CHANGES[0]; row++) {
        const struct change_case *t = &CHANGES[row];
        struct schema_changes c;
        struct err e;
        begin();
        struct schema before = version(t->before_model, t->before), now = version(t->now_model, t->now);
        ck_assert_int_eq(schema_compare(&before, &now, &arena, &c, &e), 0);
        has(&c, true, t->breaking, row);
        has(&c, false, t->compatible, row);
        end();
    }
}
END_TEST

START_TEST(a_code_that_moved_is_breaking)
{
    struct schema_changes c;
    struct err e;
    begin();
    struct schema before = read_as(MODEL, false), now = read_as(MODEL, false);
    now.inputs[1].codes[2] = 3;
    ck_assert_int_eq(schema_compare(&before, &now, &arena, &c, &e), 0);
    ck_assert_uint_eq(c.n_breaking, 1);
    ck_assert_ptr_nonnull(strstr(c.list[0].text.p, "the code of category 'red' was 2, it is 3"));
    end();
}
END_TEST

UNIT_MAIN("tensor/schema", what_was_written_is_read, what_is_not_understood_is_refused_by_name,
          a_column_with_a_rule_is_strict_unless_said_otherwise, what_contradicts_the_model_file_is_refused,
          a_user_completes_what_the_file_says, changes_are_named, a_code_that_moved_is_breaking)

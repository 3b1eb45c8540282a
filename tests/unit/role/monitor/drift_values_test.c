// SPDX-License-Identifier: Apache-2.0
// Records as gateways write them become rows of an observer: tables, tensors, texts, and what privacy left
// out.
#include "role/monitor/drift_values.h"

#include "base/limits.h"
#include "predlog/schema.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 24 };

// "TAG.ROW.COLUMN"
static int put_text(char to[TEXT_SIZE], char tag, uint32_t row, uint32_t column)
{
    return snprintf(to, TEXT_SIZE, "%c.%u.%u", tag, row, column);
}

static struct observer *observer_of(const struct drift_columns *d)
{
    static struct observer_column columns[LIMIT_PROFILE_COLUMNS];
    struct observer *o;
    struct err e;
    for (uint32_t i = 0; i < d->n; i++)
        columns[i] = d->items[i].as;
    struct observer_spec spec = {
        .columns = columns, .n_columns = d->n, .window_ns = 1, .window_rows = 1 << 30};
    ck_assert_int_eq(observer_new(&spec, &o, &e), 0);
    return o;
}

static void columns_of(const char *json, struct arena *a, struct drift_columns *ret)
{
    static struct schema s;
    struct err e;
    ck_assert_int_eq(arena_init(a, 8 << 20, &e), 0);
    ck_assert_msg(schema_read(str_of(json), false, "$", a, &s, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(drift_columns_of(&s, a, ret, &e), 0);
}

static struct privacy *keep(bool is_table, const struct privacy_rule *rules, const enum dtype *dtypes,
                            uint32_t n)
{
    struct privacy *p;
    struct err e;
    ck_assert_int_eq(privacy_new(is_table, rules, dtypes, n, STR("key"), &p, &e), 0);
    return p;
}

// Writes a record and takes its rows.
static void take(struct observer *o, const struct drift_columns *d, const struct record_plan *plan,
                 const struct tensor *in, uint32_t n_in, const struct tensor *out, uint32_t rows)
{
    static _Alignas(8) char bytes[1 << 16];
    struct record r;
    struct err e;
    struct record_head head = {.kind = RECORD_PREDICTION, .rows = rows, .sample_weight = 1};
    size_t n = record_write(&head, plan, in, n_in, out, 1, bytes, sizeof bytes);
    ck_assert_msg(n && record_look(bytes, n, &r, &e) == 0, "%s", e.msg);
    drift_take_rows(o, d, &r);
}

static const char TABLE[] =
    "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\"},{\"name\":\"b\",\"datatype\":"
    "\"FP32\",\"categorical\":true}],\"outputs\":[{\"name\":\"prediction\",\"datatype\":"
    "\"FP32\",\"shape\":[-1]}],\"named\":true}";

START_TEST(rows_of_a_table_are_counted_column_by_column)
{
    static const struct privacy_rule KEEP[2] = {0}, DROP[2] = {{PRIVACY_DROP, 0}, {PRIVACY_KEEP, 0}};
    static const enum dtype DTYPES[2] = {DTYPE_FP32, DTYPE_FP32};
    static const float rows[6] = {1, 7, 3, NAN, 5, 9}, scores[3] = {.25f, .5f, .75f};
    struct arena a;
    struct drift_columns d;
    columns_of(TABLE, &a, &d);
    ck_assert(d.is_table && d.n == 3 && d.n_inputs == 2);
    ck_assert(!d.items[0].as.is_category && d.items[1].as.is_category && d.items[2].as.is_output);
    struct tensor in = {
        .dtype = DTYPE_FP32, .n_dims = 2, .shape = {3, 2}, .data = rows, .bytes = sizeof rows};
    struct tensor out = {
        .dtype = DTYPE_FP32, .n_dims = 1, .shape = {3}, .data = scores, .bytes = sizeof scores};
    struct record_plan plan = {.inputs = keep(true, KEEP, DTYPES, 2), .outputs = keep(true, KEEP, DTYPES, 1)};
    struct observer *o = observer_of(&d);
    take(o, &d, &plan, &in, 1, &out, 3);
    const struct tally *t = o->now.tallies;
    ck_assert_uint_eq(o->now.n_rows, 3);
    ck_assert(t[0].n == 3 && t[0].sum == 9 && t[0].min == 1 && t[0].max == 5);
    ck_assert(t[1].n == 2 && t[1].n_missing == 1 && t[1].sum == 16);
    ck_assert(t[2].n == 3 && t[2].sum == 1.5);
    // Of a table that lacks a column nobody knows which one is where: only the outputs are counted.
    struct record_plan dropping = {.inputs = keep(true, DROP, DTYPES, 2), .outputs = plan.outputs};
    take(o, &d, &dropping, &in, 1, &out, 3);
    ck_assert(t[0].n == 3 && t[1].n == 2 && t[2].n == 6);
    predlog_plan_done(&plan);
    dropping.outputs = NULL; // of the plan before
    predlog_plan_done(&dropping);
    observer_free(o);
    arena_done(&a);
}
END_TEST

START_TEST(tensors_are_columns_and_texts_are_values)
{
    static const char DOCUMENT[] =
        "{\"platform\":\"onnx_onnxv1\",\"max_batch_rows\":8,\"inputs\":[{\"name\":\"x\",\"datatype\":"
        "\"FP64\","
        "\"shape\":[-1,2]},{\"name\":\"city\",\"datatype\":\"BYTES\",\"shape\":[-1,1]},{\"name\":\"image\","
        "\"datatype\":\"FP32\",\"shape\":[-1,3,3]}],\"outputs\":[{\"name\":\"label\",\"datatype\":\"INT64\","
        "\"shape\":[-1]}]}";
    static const struct privacy_rule KEEP[3] = {0};
    static const enum dtype DTYPES[3] = {DTYPE_FP64, DTYPE_BYTES, DTYPE_FP32}, LABEL[1] = {DTYPE_INT64};
    static const double x[4] = {1, 2, 3, 4};
    static const char cities[] = "\5\0\0\0Paris\4\0\0\0Rome";
    static const float image[18] = {0};
    static const int64_t labels[2] = {7, 7};
    struct arena a;
    struct drift_columns d;
    columns_of(DOCUMENT, &a, &d);
    ck_assert_uint_eq(d.n, 4);
    ck_assert_uint_eq(d.n_left_out, 1); // an image's rows are no columns
    ck_assert(str_eq(d.items[1].as.name, STR("x_1")) && str_eq(d.items[2].as.name, STR("city")));
    struct tensor in[3] = {
        {.dtype = DTYPE_FP64, .n_dims = 2, .shape = {2, 2}, .data = x, .bytes = sizeof x},
        {.dtype = DTYPE_BYTES, .n_dims = 2, .shape = {2, 1}, .data = cities, .bytes = sizeof cities - 1},
        {.dtype = DTYPE_FP32, .n_dims = 3, .shape = {2, 3, 3}, .data = image, .bytes = sizeof image}};
    struct tensor out = {
        .dtype = DTYPE_INT64, .n_dims = 1, .shape = {2}, .data = labels, .bytes = sizeof labels};
    struct record_plan plan = {.inputs = keep(false, KEEP, DTYPES, 3),
                               .outputs = keep(false, KEEP, LABEL, 1)};
    struct observer *o = observer_of(&d);
    take(o, &d, &plan, in, 3, &out, 2);
    const struct tally *t = o->now.tallies;
    ck_assert(t[0].sum == 4 && t[1].sum == 6 && t[2].n == 2 && t[3].n == 2 && t[3].sum == 14);
    struct tops *cities_seen = &o->builders[2].tops;
    tops_sort(cities_seen);
    ck_assert_uint_eq(cities_seen->n_items, 2);
    ck_assert(strcmp(cities_seen->items[0].label, "Paris") == 0 ||
              strcmp(cities_seen->items[1].label, "Paris") == 0);
    predlog_plan_done(&plan);
    observer_free(o);
    arena_done(&a);
}
END_TEST

START_TEST(of_a_table_is_watched_what_its_rules_leave)
{
    static const char DOCUMENT[] =
        "{\"inputs\":[{\"name\":\"card\",\"datatype\":\"FP32\",\"log\":\"hash\"},{\"name\":\"a\","
        "\"datatype\":\"FP32\"},{\"name\":\"age\",\"datatype\":\"FP32\",\"log\":\"bucket:10\"},{\"name\":"
        "\"name\",\"datatype\":\"FP32\",\"log\":\"drop\"},{\"name\":\"b\",\"datatype\":\"FP32\","
        "\"categorical\":true}],\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1]},"
        "{\"name\":\"secret\",\"datatype\":\"FP32\",\"shape\":[-1],\"log\":\"drop\"}],\"named\":true}";
    static const struct privacy_rule RULES[5] = {
        {PRIVACY_HASH, 0}, {PRIVACY_KEEP, 0}, {PRIVACY_BUCKET, 10}, {PRIVACY_DROP, 0}, {PRIVACY_KEEP, 0}};
    static const enum dtype DTYPES[5] = {DTYPE_FP32, DTYPE_FP32, DTYPE_FP32, DTYPE_FP32, DTYPE_FP32};
    static const float rows[10] = {4, 1, 37, 5, 7, 4, 3, 42, 5, 9}, scores[2] = {.25f, .5f};
    struct arena a;
    struct drift_columns d;
    struct err e;
    columns_of(DOCUMENT, &a, &d);
    ck_assert_int_eq(drift_columns_of_log(&d, &a, &e), 0);
    ck_assert(d.n == 4 && d.n_inputs == 3 && d.n_unwatched == 3);
    ck_assert(str_eq(d.items[2].as.name, STR("b")) && d.items[2].as.is_category && d.items[3].as.is_output);
    ck_assert(!d.items[0].as.is_coarse && d.items[1].as.is_coarse);
    ck_assert(str_eq(d.unwatched[0].as.name, STR("card")) && d.unwatched[0].logged == PRIVACY_HASH);
    ck_assert(str_eq(d.unwatched[2].as.name, STR("secret")) && d.unwatched[2].as.is_output);
    struct tensor in = {
        .dtype = DTYPE_FP32, .n_dims = 2, .shape = {2, 5}, .data = rows, .bytes = sizeof rows};
    struct tensor out = {
        .dtype = DTYPE_FP32, .n_dims = 1, .shape = {2}, .data = scores, .bytes = sizeof scores};
    static const struct privacy_rule OUT[1] = {{PRIVACY_KEEP, 0}};
    struct record_plan plan = {.inputs = keep(true, RULES, DTYPES, 5),
                               .outputs = keep(false, OUT, DTYPES, 1)};
    struct observer *o = observer_of(&d);
    take(o, &d, &plan, &in, 1, &out, 2);
    const struct tally *t = o->now.tallies;
    ck_assert(t[0].n == 2 && t[0].sum == 4);
    ck_assert(t[1].n == 2 && t[1].sum == 70); // 30 and 40
    ck_assert(t[2].n == 2 && t[2].sum == 16);
    ck_assert(t[3].n == 2 && t[3].sum == .75);
    predlog_plan_done(&plan);
    observer_free(o);
    arena_done(&a);
}
END_TEST

// Rows of texts "TAG.ROW.COLUMN" as a tensor of BYTES.
static struct tensor texts_of(char tag, uint32_t rows, uint32_t width, char *to)
{
    char *at = to;
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t k = 0; k < width; k++) {
            uint32_t n = (uint32_t)put_text(at + 4, tag, row, k);
            memcpy(at, &n, sizeof n);
            at += sizeof n + n;
        }
    return (struct tensor){
        .dtype = DTYPE_BYTES, .n_dims = 2, .shape = {rows, width}, .data = to, .bytes = (size_t)(at - to)};
}

// Whether what was counted of a column are its own texts of these rows.
static void expect_texts(struct observer *o, const struct drift_columns *d, uint32_t i, char tag,
                         uint32_t rows)
{
    struct tops *seen = &o->builders[i].tops;
    char expected[TEXT_SIZE];
    ck_assert_uint_eq(seen->n, rows);
    ck_assert_uint_eq(seen->n_items, rows);
    for (uint32_t row = 0; row < rows; row++) {
        bool found = false;
        (void)put_text(expected, tag, row, d->items[i].element);
        for (uint32_t k = 0; k < seen->n_items; k++)
            found |= strcmp(seen->items[k].label, expected) == 0;
        ck_assert_msg(found, "%s is not in column %u", expected, i);
    }
}

START_TEST(texts_beyond_the_columns_that_are_watched_are_passed_over_in_each_row)
{
    static const char DOCUMENT[] =
        "{\"platform\":\"onnx_onnxv1\",\"max_batch_rows\":8,\"inputs\":[{\"name\":\"a\",\"datatype\":"
        "\"BYTES\",\"shape\":[-1,3]}],\"outputs\":[{\"name\":\"words\",\"datatype\":\"BYTES\",\"shape\":"
        "[-1,70]}]}";
    static const struct privacy_rule KEEP[1] = {0};
    static const enum dtype DTYPES[1] = {DTYPE_BYTES};
    enum { ROWS = 4, WIDTH = DRIFT_OUTPUTS_MAX + 6, INPUTS = 3 };
    static char a_bytes[ROWS * INPUTS * TEXT_SIZE + 4], words_bytes[ROWS * WIDTH * TEXT_SIZE + 4];
    struct arena a;
    struct drift_columns d;
    columns_of(DOCUMENT, &a, &d);
    ck_assert_uint_eq(d.n, INPUTS + DRIFT_OUTPUTS_MAX);
    struct tensor in = texts_of('a', ROWS, INPUTS, a_bytes), out = texts_of('w', ROWS, WIDTH, words_bytes);
    struct record_plan plan = {.inputs = keep(false, KEEP, DTYPES, 1),
                               .outputs = keep(false, KEEP, DTYPES, 1)};
    struct observer *o = observer_of(&d);
    take(o, &d, &plan, &in, 1, &out, ROWS);
    for (uint32_t i = 0; i < d.n; i++)
        expect_texts(o, &d, i, i < INPUTS ? 'a' : 'w', ROWS);
    // A tensor of another width than the version's is none of its columns.
    out = texts_of('w', ROWS, WIDTH - 1, words_bytes);
    take(o, &d, &plan, &in, 1, &out, ROWS);
    ck_assert_uint_eq(o->builders[0].tops.n, 2 * ROWS);
    ck_assert_uint_eq(o->builders[INPUTS].tops.n, ROWS);
    predlog_plan_done(&plan);
    observer_free(o);
    arena_done(&a);
}
END_TEST

// 2 * 600 columns, of which 1,024 are watched; a row of which only some are wanted; and a head that lies.
START_TEST(rows_that_are_not_wanted_and_columns_that_are_too_many_move_no_text)
{
    static const char DOCUMENT[] =
        "{\"platform\":\"onnx_onnxv1\",\"max_batch_rows\":8,\"inputs\":[{\"name\":\"a\",\"datatype\":"
        "\"BYTES\",\"shape\":[-1,600]},{\"name\":\"b\",\"datatype\":\"BYTES\",\"shape\":[-1,600]}],"
        "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1]}]}";
    static const struct privacy_rule KEEP[2] = {0};
    static const enum dtype DTYPES[2] = {DTYPE_BYTES, DTYPE_BYTES}, FLOAT[1] = {DTYPE_FP32};
    enum { ROWS = 3, WIDTH = 600 };
    static char bytes[2][ROWS * WIDTH * TEXT_SIZE + 4];
    static const float scores[ROWS] = {0};
    struct arena a;
    struct drift_columns d;
    columns_of(DOCUMENT, &a, &d);
    ck_assert_uint_eq(d.n, LIMIT_PROFILE_COLUMNS);
    struct tensor in[2] = {texts_of('a', ROWS, WIDTH, bytes[0]), texts_of('b', ROWS, WIDTH, bytes[1])};
    struct tensor out = {
        .dtype = DTYPE_FP32, .n_dims = 1, .shape = {ROWS}, .data = scores, .bytes = sizeof scores};
    struct record_plan plan = {.inputs = keep(false, KEEP, DTYPES, 2),
                               .outputs = keep(false, KEEP, FLOAT, 1)};
    struct observer *o = observer_of(&d);
    o->stride = 2; // the first and the last row are taken
    take(o, &d, &plan, in, 2, &out, ROWS);
    ck_assert_uint_eq(o->now.n_rows, 2);
    for (uint32_t i = 0; i < d.n; i++) {
        ck_assert_uint_eq(o->builders[i].tops.n, 2);
        for (uint32_t k = 0; k < 2; k++) {
            char expected[TEXT_SIZE];
            (void)put_text(expected, i < WIDTH ? 'a' : 'b', 2 * k, d.items[i].element);
            ck_assert_str_eq(o->builders[i].tops.items[k].label, expected);
        }
    }
    predlog_plan_done(&plan);
    observer_free(o);
    arena_done(&a);
}
END_TEST

START_TEST(a_record_has_no_more_rows_than_bytes)
{
    static const struct privacy_rule KEEP[2] = {0};
    static const enum dtype DTYPES[2] = {DTYPE_FP32, DTYPE_FP32};
    static const float row[2] = {1, 7}, score = .5f;
    static _Alignas(8) char bytes[1024];
    struct arena a;
    struct drift_columns d;
    struct record r;
    struct err e;
    columns_of(TABLE, &a, &d);
    struct tensor in = {.dtype = DTYPE_FP32, .n_dims = 2, .shape = {1, 2}, .data = row, .bytes = sizeof row};
    struct tensor out = {
        .dtype = DTYPE_FP32, .n_dims = 1, .shape = {1}, .data = &score, .bytes = sizeof score};
    struct record_plan plan = {.inputs = keep(true, KEEP, DTYPES, 2), .outputs = keep(true, KEEP, DTYPES, 1)};
    struct record_head head = {.kind = RECORD_PREDICTION, .rows = 1, .sample_weight = 1};
    struct observer *o = observer_of(&d);
    size_t n = record_write(&head, &plan, &in, 1, &out, 1, bytes, sizeof bytes);
    ck_assert_int_eq(record_look(bytes, n, &r, &e), 0);
    r.head.rows = r.head.rows_kept = UINT32_MAX;
    drift_take_rows(o, &d, &r);
    ck_assert_uint_le(o->now.n_seen, sizeof bytes);
    ck_assert_uint_eq(o->now.tallies[0].n, 1);
    predlog_plan_done(&plan);
    observer_free(o);
    arena_done(&a);
}
END_TEST

UNIT_MAIN("role/monitor/drift_values", rows_of_a_table_are_counted_column_by_column,
          tensors_are_columns_and_texts_are_values,
          texts_beyond_the_columns_that_are_watched_are_passed_over_in_each_row,
          rows_that_are_not_wanted_and_columns_that_are_too_many_move_no_text,
          a_record_has_no_more_rows_than_bytes, of_a_table_is_watched_what_its_rules_leave)

// SPDX-License-Identifier: Apache-2.0
#include "predlog/privacy.h"

#include "predlog/keyed_hash.h"
#include "unit.h"

#include <math.h>
#include <string.h>

static struct privacy *table(const char *rules, enum dtype t)
{
    struct privacy_rule list[8];
    enum dtype dtypes[8];
    struct str rest = str_of(rules);
    uint32_t n = 0;
    struct privacy *p;
    struct err e;
    for (; rest.n; n++, dtypes[n - 1] = t)
        ck_assert_msg(privacy_rule_read(str_split(&rest, ' '), &list[n], &e) == 0, "%s", e.msg);
    ck_assert_msg(privacy_new(true, list, dtypes, n, STR("key"), &p, &e) == 0, "%s", e.msg);
    return p;
}

static uint64_t hash(const char *text)
{
    struct keyed_hash h;
    keyed_hash_init(&h, STR("key"));
    return keyed_hash_64(&h, str_of(text));
}

START_TEST(rules_are_read_and_written)
{
    static const char *const GOOD[][2] = {{"keep", "keep"},
                                          {"drop", "drop"},
                                          {"hash", "hash"},
                                          {"bucket:10", "bucket:10.0"},
                                          {"bucket:0.25", "bucket:0.25"},
                                          {"truncate:-2", "truncate:-2.0"}};
    static const char *const BAD[] = {
        "",           "Keep",     "keep:1",       "bucket",     "bucket:",      "bucket:0",   "bucket:-1",
        "bucket:10x", "truncate", "truncate:1.5", "truncate:x", "bucket:1e999", "hash:secret"};
    struct privacy_rule r;
    struct err e;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        struct buf text;
        buf_init(&text, 100);
        ck_assert_int_eq(privacy_rule_read(str_of(GOOD[i][0]), &r, &e), 0);
        privacy_rule_write(&r, &text);
        ck_assert(str_eq(buf_str(&text), str_of(GOOD[i][1])));
        buf_done(&text);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(privacy_rule_read(str_of(BAD[i]), &r, &e) == ERR_INVALID, "%s", BAD[i]);
}
END_TEST

START_TEST(rules_that_a_datatype_cannot_have_are_refused)
{
    struct err e;
    struct privacy_rule bucket = {PRIVACY_BUCKET, 5}, cut = {PRIVACY_TRUNCATE, -1}, fine = {PRIVACY_HASH, 0};
    ck_assert_int_eq(privacy_rule_check(&bucket, DTYPE_BYTES, &e), ERR_INVALID);
    ck_assert_int_eq(privacy_rule_check(&bucket, DTYPE_BOOL, &e), ERR_INVALID);
    ck_assert_int_eq(privacy_rule_check(&bucket, DTYPE_INT32, &e), 0);
    ck_assert_int_eq(privacy_rule_check(&cut, DTYPE_BYTES, &e), ERR_INVALID);
    ck_assert_int_eq(privacy_rule_check(&cut, DTYPE_FP64, &e), 0);
    ck_assert_int_eq(privacy_rule_check(&fine, DTYPE_BYTES, &e), 0);
}
END_TEST

START_TEST(a_table_that_is_kept_is_copied)
{
    struct privacy *p = table("keep keep keep", DTYPE_FP32);
    float rows[2][3] = {{1, 2, NAN}, {4, 5, 6}}, to[2][3] = {0};
    ck_assert(privacy_keeps_all(p) && privacy_n_plain(p) == 3 && privacy_n_hashed(p) == 0);
    privacy_plain(p, DTYPE_FP32, rows, 2, to);
    ck_assert_int_eq(memcmp(rows, to, sizeof rows), 0);
    privacy_free(p);
}
END_TEST

START_TEST(columns_of_a_table_follow_their_rules)
{
    struct privacy *p = table("keep drop hash bucket:10 truncate:1 keep keep hash", DTYPE_FP64);
    double rows[2][8] = {{1, 2, 3.5, 47, 2.78, 6, 7, (double)NAN},
                         {-1, -2, 42, -47, -2.78, (double)NAN, (double)INFINITY, 0.1}};
    double to[2][5];
    uint64_t hashes[2][2];
    ck_assert(!privacy_keeps_all(p));
    ck_assert_uint_eq(privacy_n_plain(p), 5);
    ck_assert_uint_eq(privacy_n_hashed(p), 2);
    ck_assert(privacy_of(p, 0) == PRIVACY_KEEP && privacy_of(p, 1) == PRIVACY_DROP &&
              privacy_of(p, 6) == PRIVACY_KEEP);
    ck_assert(privacy_of(p, 7) == PRIVACY_HASH && privacy_of(p, 3) == PRIVACY_BUCKET);
    privacy_plain(p, DTYPE_FP64, rows, 2, to);
    privacy_hashed(p, DTYPE_FP64, rows, 2, &hashes[0][0]);
    ck_assert_double_eq(to[0][0], 1);
    ck_assert_double_eq(to[0][1], 40);
    ck_assert_double_eq(to[0][2], 2.7);
    ck_assert_double_eq(to[0][3], 6);
    ck_assert_double_eq(to[0][4], 7);
    ck_assert_double_eq(to[1][1], -50);
    ck_assert_double_eq(to[1][2], -2.7);
    ck_assert(isnan(to[1][3]) && isinf(to[1][4]));
    ck_assert_uint_eq(hashes[0][0], hash("3.5"));
    ck_assert_uint_eq(hashes[0][1], 0); // missing
    ck_assert_uint_eq(hashes[1][0], hash("42.0"));
    ck_assert_uint_eq(hashes[1][1], hash("0.1"));
    privacy_free(p);
}
END_TEST

// 0.1f is not 0.1, yet both are written "0.1".
START_TEST(equal_texts_of_other_datatypes_have_equal_hashes)
{
    struct privacy *p = table("hash", DTYPE_FP32);
    float f = 0.1f;
    uint64_t h;
    privacy_hashed(p, DTYPE_FP32, &f, 1, &h);
    ck_assert_uint_eq(h, hash("0.1"));
    privacy_free(p);
    // Whole numbers that no double holds are themselves.
    static const uint64_t LARGE[] = {7, (UINT64_C(1) << 53) + 1, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
    static const char *const TEXTS[] = {"7", "9007199254740993", "9223372036854775807", "9223372036854775808",
                                        "18446744073709551615"};
    uint64_t hashes[5];
    p = table("hash", DTYPE_UINT64);
    privacy_hashed(p, DTYPE_UINT64, LARGE, 5, hashes);
    for (int i = 0; i < 5; i++)
        ck_assert_msg(hashes[i] == hash(TEXTS[i]), "%s", TEXTS[i]);
    privacy_free(p);
}
END_TEST

static struct privacy *tensors(const char *rule, enum dtype t)
{
    struct privacy_rule r;
    struct privacy *p;
    struct err e;
    ck_assert_int_eq(privacy_rule_read(str_of(rule), &r, &e), 0);
    ck_assert_int_eq(privacy_new(false, &r, &t, 1, STR("key"), &p, &e), 0);
    return p;
}

START_TEST(texts_are_cut_between_characters_and_hashed_one_by_one)
{
    static const char TEXTS[] = "\5\0\0\0ab\xc3\xa9z\0\0\0\0\1\0\0\0q";
    struct tensor t = {.dtype = DTYPE_BYTES, .n_dims = 1, .shape = {3}, .data = TEXTS, .bytes = 18};
    char to[64];
    struct privacy *p = tensors("truncate:3", DTYPE_BYTES);
    ck_assert_uint_eq(privacy_tensor(p, 0, &t, to), 4 + 2 + 4 + 4 + 1);
    ck_assert_int_eq(memcmp(to, "\2\0\0\0ab\0\0\0\0\1\0\0\0q", 15), 0);
    privacy_free(p);
    p = tensors("hash", DTYPE_BYTES);
    ck_assert_uint_eq(privacy_tensor(p, 0, &t, to), 3 * 8);
    uint64_t hashes[3];
    memcpy(hashes, to, sizeof hashes);
    ck_assert_uint_eq(hashes[0], hash("ab\xc3\xa9z"));
    ck_assert_uint_eq(hashes[1], hash(""));
    ck_assert_uint_eq(hashes[2], hash("q"));
    privacy_free(p);
}
END_TEST

START_TEST(whole_numbers_stay_within_their_datatype)
{
    int8_t from[4] = {-128, 127, 7, -7}, to[4];
    struct tensor t = {.dtype = DTYPE_INT8, .n_dims = 1, .shape = {4}, .data = from, .bytes = 4};
    struct privacy *p = tensors("bucket:100", DTYPE_INT8);
    ck_assert_uint_eq(privacy_tensor(p, 0, &t, to), 4);
    ck_assert_int_eq(to[0], -128); // -200 does not fit
    ck_assert_int_eq(to[1], 100);
    ck_assert_int_eq(to[2], 0);
    ck_assert_int_eq(to[3], -100);
    privacy_free(p);
    p = tensors("truncate:-1", DTYPE_INT8);
    ck_assert_uint_eq(privacy_tensor(p, 0, &t, to), 4);
    ck_assert(to[0] == -120 && to[1] == 120 && to[2] == 0 && to[3] == 0);
    privacy_free(p);
}
END_TEST

// What a double cannot hold is near, and never beyond.
START_TEST(the_largest_whole_numbers_stay_whole_numbers)
{
    int64_t from[3] = {INT64_MAX, INT64_MIN, -1}, to[3];
    uint64_t large = UINT64_MAX, got;
    struct tensor t = {.dtype = DTYPE_INT64, .n_dims = 1, .shape = {3}, .data = from, .bytes = sizeof from};
    struct tensor u = {
        .dtype = DTYPE_UINT64, .n_dims = 1, .shape = {1}, .data = &large, .bytes = sizeof large};
    struct privacy *p = tensors("bucket:100", DTYPE_INT64);
    ck_assert_uint_eq(privacy_tensor(p, 0, &t, (char *)to), sizeof to);
    ck_assert(to[0] > INT64_MAX - 4096 && to[1] < INT64_MIN + 4096 && to[2] == -100);
    privacy_free(p);
    p = tensors("truncate:-1", DTYPE_UINT64);
    ck_assert_uint_eq(privacy_tensor(p, 0, &u, (char *)&got), sizeof got);
    ck_assert_uint_gt(got, UINT64_MAX - 4096);
    privacy_free(p);
}
END_TEST

UNIT_MAIN("predlog/privacy", rules_are_read_and_written, rules_that_a_datatype_cannot_have_are_refused,
          a_table_that_is_kept_is_copied, columns_of_a_table_follow_their_rules,
          equal_texts_of_other_datatypes_have_equal_hashes,
          texts_are_cut_between_characters_and_hashed_one_by_one, whole_numbers_stay_within_their_datatype,
          the_largest_whole_numbers_stay_whole_numbers)

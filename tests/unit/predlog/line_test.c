// SPDX-License-Identifier: Apache-2.0
#include "predlog/line.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char SCHEMA[] =
    "{\"key\":\"0000000000000001\",\"model\":\"churn\",\"version\":3,\"table\":true,\"inputs\":["
    "{\"name\":\"a \\\"b\\\"\",\"datatype\":\"FP32\"},{\"name\":\"\u00e4ge\",\"datatype\":\"FP32\"},"
    "{\"name\":\"card\",\"datatype\":\"FP32\",\"log\":\"hash\"}],"
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\"}]}";

START_TEST(times_are_those_of_the_c_library)
{
    char got[LINE_TIME_SIZE], date[32], want[64];
    const uint64_t last = UINT64_MAX / 1000000000u;
    uint64_t at[] = {0, 1, 86399, 951782400, 951868799, 951868800, 1709164800, 4107542399, 4107542400, last};
    for (uint64_t i = 0; i < 20000 + sizeof at / sizeof at[0]; i++) {
        uint64_t s = i < 20000 ? i * (last / 20000) + i % 86400 : at[i - 20000];
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
        unsigned micros = (unsigned)(i * 7919 % 709000);
        snprintf(want, sizeof want, "%s.%06uZ", date, micros);
        line_time(s * 1000000000u + micros * UINT64_C(1000) + 999, got);
        ck_assert_str_eq(got, want);
    }
}
END_TEST

// A record of two rows, with a trace, and one that failed: to the byte.
START_TEST(a_record_is_written_as_its_lines)
{
    static _Alignas(8) char bytes[1024];
    float in[2][3] = {{31, -0.5f, 7}, {NAN, 1e-7f, NAN}}, out[2] = {0.25f, INFINITY};
    struct tensor ti = {.dtype = DTYPE_FP32, .n_dims = 2, .shape = {2, 3}, .data = in, .bytes = sizeof in};
    struct tensor to = {.dtype = DTYPE_FP32, .n_dims = 1, .shape = {2}, .data = out, .bytes = sizeof out};
    struct record_head h = {.wall_ns = UINT64_C(1795344569123456789),
                            .id = {1, 0xa2, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff},
                            .version = 3,
                            .arm = 1,
                            .kind = RECORD_PREDICTION,
                            .status = 200,
                            .weight_bp = 2000,
                            .sample_weight = 8,
                            .bucket = 9999,
                            .flags = RECORD_FALLBACK | RECORD_SAMPLED,
                            .latency_us = UINT32_MAX,
                            .queue_us = 20,
                            .trace = {0x4b, 0xf9},
                            .parent = {0, 0, 0, 0, 0, 0, 0, 1},
                            .rows = 2};
    static const char HEAD[] =
        "\"kind\":\"prediction\",\"id\":\"01a20000-0000-7000-8000-0000000000ff\",\"time\":"
        "\"2026-11-22T10:49:29.123456Z\",\"model\":\"churn\",\"version\":3,\"arm\":1,\"status\":200,"
        "\"error\":null,\"latency_us\":4294967295,\"queue_us\":20,\"compute_us\":0,\"rows\":2,"
        "\"bucket\":9999,\"weight_bp\":2000,\"sample_weight\":8.0,\"truncated\":false,\"fallback\":true,"
        "\"override\":false,\"trace_id\":\"4bf90000000000000000000000000000\","
        "\"parent_id\":\"0000000000000001\",\"inputs\":{\"a \\\"b\\\"\":";
    struct predlog_schema *s;
    struct record_plan plan;
    struct record r;
    struct buf lines;
    struct err e;
    char want[4096], hash[17];
    ck_assert_msg(predlog_schema_read(STR(SCHEMA), &s, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(predlog_plan_init(&plan, s, STR("key"), &e), 0);
    size_t n = record_write(&h, &plan, &ti, 1, &to, 1, bytes, sizeof bytes);
    record_set_log_seq(bytes, UINT64_MAX);
    ck_assert_int_eq(record_read(bytes, n, &r, &e), 0);
    buf_init(&lines, 1 << 16);
    ck_assert_uint_eq(line_put(&r, s, &lines), 2);
    buf_putc(&lines, '\0');
    const char *card = strstr(lines.p, "\"card\":\"");
    ck_assert_ptr_nonnull(card);
    memcpy(hash, card + 8, 16);
    hash[16] = '\0';
    ck_assert_uint_eq(strspn(hash, "0123456789abcdef"), 16);
    snprintf(
        want, sizeof want,
        "{\"seq\":18446744073709551615,\"row\":0,%s31.0,\"\u00e4ge\":-0.5,\"card\":\"%s\"},\"outputs\":{"
        "\"prediction\":0.25}}\n{\"seq\":18446744073709551615,\"row\":1,%snull,\"\u00e4ge\":1e-07,\"card\":"
        "null},\"outputs\":{\"prediction\":null}}\n",
        HEAD, hash, HEAD);
    ck_assert_str_eq(lines.p, want);
    h = (struct record_head){
        .kind = RECORD_FAILURE, .status = 503, .error = (uint16_t)-ERR_BUSY, .sample_weight = 1};
    n = record_write(&h, &plan, NULL, 0, NULL, 0, bytes, sizeof bytes);
    ck_assert_int_eq(record_look(bytes, n, &r, &e), 0);
    buf_clear(&lines);
    ck_assert_uint_eq(line_put(&r, NULL, &lines), 1);
    buf_putc(&lines, '\0');
    ck_assert_str_eq(
        lines.p,
        "{\"seq\":0,\"row\":0,\"kind\":\"failure\",\"id\":\"00000000-0000-0000-0000-000000000000\",\"time\":"
        "\"1970-01-01T00:00:00.000000Z\",\"model\":null,\"version\":0,\"arm\":0,\"status\":503,\"error\":"
        "\"busy\",\"latency_us\":0,\"queue_us\":0,\"compute_us\":0,\"rows\":0,\"bucket\":0,\"weight_bp\":0,"
        "\"sample_weight\":1.0,\"truncated\":false,\"fallback\":false,\"override\":false,\"trace_id\":null,"
        "\"parent_id\":null,\"inputs\":null,\"outputs\":null}\n");
    buf_done(&lines);
    predlog_plan_done(&plan);
    predlog_schema_free(s);
}
END_TEST

UNIT_MAIN("predlog/line", times_are_those_of_the_c_library, a_record_is_written_as_its_lines)

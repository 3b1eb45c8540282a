// SPDX-License-Identifier: Apache-2.0
// `slipway bench` against a server in a thread, through the verb's own entry.
#include "cli/bench_rows.h"
#include "cli/cli.h"

#include "fake_server.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char output[1 << 20];

// Runs the verb with stdout in a file; its text is in `output`. Returns the exit code.
static int bench(const struct fake_server *f, const char *const *flags)
{
    char url[64], path[] = "/tmp/bench_testXXXXXX", program[] = "slipway", verb[] = "bench", model[] = "m",
                  url_flag[] = "--url";
    char *argv[16] = {program, verb, model, url_flag, url};
    int argc = 5, fd = mkstemp(path), saved = dup(STDOUT_FILENO);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", f->port);
    for (; *flags; flags++)
        argv[argc++] = strdup(*flags);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    int code = cli_main(argc, argv);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    ssize_t n = pread(fd, output, sizeof output - 1, 0);
    output[n > 0 ? n : 0] = '\0';
    unlink(path);
    close(fd);
    close(saved);
    while (argc > 5)
        free(argv[--argc]);
    return code;
}

#define BENCH(f, ...) bench(f, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(measures_and_prints_a_table)
{
    struct fake_server f = {0};
    fake_server_start(&f);
    int code = BENCH(&f, "--rows", "1,20", "--connections", "2", "--duration", "0.8", "--sleep");
    fake_server_stop(&f);
    ck_assert_msg(code == CLI_OK, "%s", output);
    ck_assert_ptr_nonnull(strstr(output, "5 values a row"));
    ck_assert_ptr_nonnull(strstr(output, "P99.9"));
    int lines = 0;
    for (const char *c = output; *c; c++)
        lines += *c == '\n';
    ck_assert_int_ge(lines, 3 + 1 + 8); // two sizes: full, 10 %, 50 %, 80 %
    ck_assert_ptr_nonnull(strstr(output, "80 %"));
}
END_TEST

START_TEST(json_has_each_run)
{
    struct fake_server f = {0};
    fake_server_start(&f);
    int code =
        BENCH(&f, "--rows", "3", "--connections", "1,4", "--rate", "200", "--duration", "0.3", "--json");
    fake_server_stop(&f);
    ck_assert_int_eq(code, CLI_OK);
    yyjson_doc *doc = yyjson_read(output, strlen(output), 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *runs = yyjson_obj_get(root, "runs");
    ck_assert_uint_eq(yyjson_arr_size(runs), 2);
    yyjson_val *last = yyjson_arr_get(runs, 1), *result = yyjson_obj_get(last, "result");
    ck_assert_uint_eq(yyjson_get_uint(yyjson_obj_get(last, "connections")), 4);
    ck_assert_uint_eq(yyjson_get_uint(yyjson_obj_get(last, "rows")), 3);
    ck_assert_uint_ge(yyjson_get_uint(yyjson_obj_get(result, "answered")), 30);
    ck_assert(yyjson_get_num(yyjson_obj_get(yyjson_obj_get(result, "latency_us"), "p99")) > 0);
    ck_assert(yyjson_is_true(yyjson_obj_get(root, "clean")));
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(loads_are_shares_of_the_capacity)
{
    struct fake_server f = {0};
    fake_server_start(&f);
    int code = BENCH(&f, "--rows", "1", "--connections", "2", "--duration", "1", "--sleep", "--json");
    fake_server_stop(&f);
    ck_assert_int_eq(code, CLI_OK);
    yyjson_doc *doc = yyjson_read(output, strlen(output), 0);
    yyjson_val *runs = yyjson_obj_get(yyjson_doc_get_root(doc), "runs"), *full = yyjson_arr_get(runs, 0);
    double capacity = yyjson_get_num(yyjson_obj_get(yyjson_obj_get(full, "result"), "rate"));
    const double shares[] = {0.1, 0.5, 0.8};
    ck_assert(capacity > 0);
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(full, "loop")), "closed");
    for (size_t i = 0; i < 3; i++) {
        yyjson_val *run = yyjson_arr_get(runs, i + 1);
        ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(run, "loop")), "open");
        ck_assert_double_eq_tol(yyjson_get_num(yyjson_obj_get(run, "target_rate")), shares[i] * capacity, 1);
    }
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(a_batch_that_differs_from_its_rows_is_wrong)
{
    struct fake_server f = {.wrong_in_batches = true};
    fake_server_start(&f);
    int alone =
        BENCH(&f, "--rows", "1", "--connections", "1", "--rate", "100", "--duration", "0.2", "--json");
    int together =
        BENCH(&f, "--rows", "4", "--connections", "1", "--rate", "100", "--duration", "0.2", "--json");
    fake_server_stop(&f);
    ck_assert_int_eq(alone, CLI_OK);
    ck_assert_int_eq(together, CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(output, "\"clean\":false"));
    ck_assert_ptr_null(strstr(output, "\"wrong\":0,"));
}
END_TEST

START_TEST(bad_flags_are_usage_errors)
{
    struct fake_server f = {.port = 1};
    ck_assert_int_eq(BENCH(&f, "--rows", "0"), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--rows", "1,x"), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--connections", "1,2,3,4,5,6,7,8,9"), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--rows", ""), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--rate", "-1"), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--duration", "0"), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--duration", "nan"), CLI_USAGE);
    ck_assert_int_eq(BENCH(&f, "--duration", "1s"), CLI_USAGE);
}
END_TEST

START_TEST(rows_are_made_after_the_metadata)
{
    static const char text[] = "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[-1,3,2]},"
                               "{\"name\":\"b\",\"datatype\":\"INT64\",\"shape\":[-1]},"
                               "{\"name\":\"c\",\"datatype\":\"BYTES\",\"shape\":[-1,-1]},"
                               "{\"name\":\"d\",\"datatype\":\"FP32\",\"shape\":[-1]}],"
                               "\"properties\":{\"optional_inputs\":\"[\\\"d\\\"]\"}}";
    struct bench_rows b = {0}, same = {0};
    struct err e;
    yyjson_doc *doc = yyjson_read(text, sizeof text - 1, 0);
    ck_assert_int_eq(bench_rows_make(&b, yyjson_doc_get_root(doc), 20, &e), 0);
    ck_assert_int_eq(bench_rows_make(&same, yyjson_doc_get_root(doc), 20, &e), 0);
    ck_assert_uint_eq(b.n, 20);
    ck_assert_uint_eq(b.n_features, 8);
    ck_assert(str_eq(b.rows[19], same.rows[19]) && !str_eq(b.rows[18], b.rows[19]));
    yyjson_doc *row = yyjson_read(b.rows[0].p, b.rows[0].n, 0);
    yyjson_val *root = yyjson_doc_get_root(row);
    ck_assert_uint_eq(yyjson_obj_size(root), 3);
    ck_assert_uint_eq(yyjson_arr_size(yyjson_obj_get(root, "a")), 3);
    ck_assert_uint_eq(yyjson_arr_size(yyjson_arr_get(yyjson_obj_get(root, "a"), 2)), 2);
    ck_assert_uint_lt(yyjson_get_uint(yyjson_obj_get(root, "b")), 2);
    ck_assert(yyjson_is_str(yyjson_arr_get_first(yyjson_obj_get(root, "c"))));
    yyjson_doc_free(row);
    bench_rows_done(&b);
    bench_rows_done(&same);
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(inputs_without_rows_are_refused)
{
    const char *texts[] = {"{}", "{\"inputs\":[]}", "{\"inputs\":[{\"datatype\":\"FP32\",\"shape\":[5,2]}]}",
                           "{\"inputs\":[{\"datatype\":\"FP32\",\"shape\":[-1,4294967296,4294967296]}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bench_rows b = {0};
        struct err e;
        yyjson_doc *doc = yyjson_read(texts[i], strlen(texts[i]), 0);
        ck_assert_int_eq(bench_rows_make(&b, yyjson_doc_get_root(doc), 2, &e), ERR_UNSUPPORTED_MODEL);
        bench_rows_done(&b);
        yyjson_doc_free(doc);
    }
}
END_TEST

START_TEST(rows_come_from_a_file)
{
    char path[] = "/tmp/bench_testXXXXXX";
    struct bench_rows b = {0};
    struct err e;
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "[1,2]\n {\"a\":3}\r\n[4]\n", 20), 20);
    ck_assert_int_eq(bench_rows_read(&b, path, 2, &e), 0);
    ck_assert_uint_eq(b.n, 2);
    ck_assert(str_eq(b.rows[1], STR("{\"a\":3}")));
    bench_rows_done(&b);
    ck_assert_int_eq(pwrite(fd, "7", 1, 18), 1); // the third line is now "[47": not JSON
    ck_assert_int_eq(bench_rows_read(&b, path, 9, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.msg, "line 3"));
    bench_rows_done(&b);
    close(fd);
    unlink(path);
}
END_TEST

UNIT_MAIN("cli/bench", measures_and_prints_a_table, json_has_each_run, loads_are_shares_of_the_capacity,
          a_batch_that_differs_from_its_rows_is_wrong, bad_flags_are_usage_errors,
          rows_are_made_after_the_metadata, inputs_without_rows_are_refused, rows_come_from_a_file)

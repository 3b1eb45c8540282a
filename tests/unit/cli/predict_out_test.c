// SPDX-License-Identifier: Apache-2.0
// Predictions as CSV and JSON lines, with the digits the server sent; a file appears whole or not at all.
#include "cli/predict_out.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[128], part[160], text[512];
static struct err e;

static void setup_paths(void)
{
    snprintf(folder, sizeof folder, "/tmp/slipway-out-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/p.csv", folder);
    snprintf(part, sizeof part, "%s.part", path);
}

static const char *content(void)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

// Writes the answers of one row each and closes; returns the file's content.
static const char *written(bool jsonl, const char *a, const char *b)
{
    struct predict_out o;
    setup_paths();
    memset(text, 0, sizeof text);
    ck_assert_int_eq(predict_out_open(&o, path, jsonl, &e), 0);
    int rc = predict_out_put(&o, str_of(a), 1, &e);
    if (rc == 0 && b)
        rc = predict_out_put(&o, str_of(b), 1, &e);
    ck_assert_ptr_null(content());
    int closed = predict_out_close(&o, rc == 0, rc == 0 ? &e : NULL);
    ck_assert_int_eq(closed, 0);
    const char *got = content();
    ck_assert_int_eq(access(part, F_OK), -1);
    unlink(path);
    rmdir(folder);
    return rc ? e.msg : got;
}

START_TEST(numbers_keep_their_digits)
{
    ck_assert_str_eq(written(false, "{\"predictions\":[0.10]}", "{\"predictions\":[1e-07]}"),
                     "prediction\n0.10\n1e-07\n");
    ck_assert_str_eq(written(true, "{\"predictions\":[18446744073709551615]}", NULL),
                     "18446744073709551615\n");
}
END_TEST

START_TEST(lists_become_columns)
{
    ck_assert_str_eq(written(false, "{\"predictions\":[[0.1,0.9]]}", NULL),
                     "prediction_0,prediction_1\n0.1,0.9\n");
    ck_assert_str_eq(written(true, "{\"predictions\":[[0.1,null]]}", NULL), "[0.1,null]\n");
    ck_assert_str_eq(written(false, "{\"predictions\":[[0.1]]}", NULL), "prediction_0\n0.1\n");
}
END_TEST

START_TEST(answers_that_do_not_fit_leave_no_file)
{
    ck_assert_str_eq(written(false, "{\"predictions\":[1,2]}", NULL),
                     "the server answered 2 predictions for 1 rows");
    ck_assert_str_eq(written(false, "{\"outputs\":[1]}", NULL),
                     "the server's answer has no list of predictions");
    ck_assert_str_eq(written(false, "[", NULL), "the server's answer has no list of predictions");
    ck_assert_str_eq(written(false, "{\"predictions\":[[1,2]]}", "{\"predictions\":[[1]]}"),
                     "the server's predictions have a form that is not understood");
    ck_assert_str_eq(written(false, "{\"predictions\":[\"a\"]}", NULL),
                     "the server's predictions have a form that is not understood");
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_an_error)
{
    struct predict_out o;
    ck_assert_int_eq(predict_out_open(&o, "/nonexistent/p.csv", false, &e), ERR_IO);
    ck_assert_int_eq(predict_out_close(&o, false, NULL), 0);
    ck_assert_int_eq(predict_out_open(&o, "/dev/full", false, &e), 0);
    ck_assert_int_eq(predict_out_put(&o, STR("{\"predictions\":[1]}"), 1, &e), 0);
    ck_assert_int_eq(predict_out_close(&o, true, &e), ERR_NO_SPACE);
}
END_TEST

// Writes one answer of n_rows twice over; the first answer is always parsed, later ones are copied if they
// can be. Returns what follows the header, or the error's message.
static const char *written_twice(bool jsonl, const char *answer, uint32_t n_rows, const char **ret_second)
{
    static char both[4096];
    struct predict_out o;
    FILE *file = tmpfile();
    ck_assert_int_eq(predict_out_open(&o, NULL, jsonl, &e), 0);
    o.fd = fileno(file);
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        if (predict_out_put(&o, str_of(answer), n_rows, &e) != 0) {
            ck_assert_int_eq(predict_out_close(&o, false, NULL), 0);
            fclose(file);
            *ret_second = e.msg;
            return e.msg;
        }
        n[i] = o.buffer.n;
    }
    ck_assert_uint_lt(n[1], sizeof both);
    ck_assert_uint_eq(o.n_rows, 2 * n_rows);
    memcpy(both, o.buffer.p, n[1]);
    both[n[1]] = '\0';
    both[n[0] - 1] = '\0';
    both[n[1] - 1] = '\0';
    ck_assert_int_eq(predict_out_close(&o, true, &e), 0);
    fclose(file);
    *ret_second = both + n[0];
    return jsonl ? both : strchr(both, '\n') + 1;
}

// Some rows of some width, mostly numbers, sometimes with null, an exponent, a blank or what is wrong.
static uint32_t random_answer(uint64_t *seed, struct buf *b)
{
    static const char *const ODD[] = {"null", "-1.25e-07", " 7", "7 ", "1e400",
                                      "true", "[2]",       "",   "1.", "\"a\""};
    uint32_t n_rows = 1 + (uint32_t)(*seed >> 11) % 5, width = (uint32_t)(*seed >> 17) % 4;
    unsigned rare = *seed >> 63 ? 60 : 4;
    buf_clear(b);
    buf_puts(b, "{\"predictions\":[");
    for (uint32_t i = 0; i < n_rows; i++) {
        buf_puts(b, i ? "," : "");
        buf_puts(b, width ? "[" : "");
        for (uint32_t c = 0; c == 0 || c < width; c++) {
            *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
            buf_puts(b, c ? "," : "");
            if ((*seed >> 30) % rare == 0)
                buf_puts(b, ODD[(*seed >> 40) % (sizeof ODD / sizeof ODD[0])]);
            else
                buf_printf(b, "%.*g", (int)(*seed >> 50) % 17 + 1, (double)(int64_t)*seed / 1e18);
        }
        buf_puts(b, width ? "]" : "");
    }
    buf_puts(b, rare == 4 && (*seed >> 33) % 8 == 0 ? "],\"x\":1}" : "]}");
    buf_putc(b, '\0');
    return n_rows;
}

START_TEST(copied_answers_equal_parsed_ones)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;
    struct buf b;
    buf_init(&b, 1 << 16);
    for (int round = 0; round < 5000; round++) {
        uint32_t n_rows = random_answer(&seed, &b);
        const char *second, *first = written_twice(round & 1, b.p, n_rows, &second);
        ck_assert_msg(strcmp(first, second) == 0, "%s gave '%s', then '%s'", b.p, first, second);
    }
    buf_done(&b);
}
END_TEST

START_TEST(a_later_answer_may_not_be_damaged)
{
    static const char *const DAMAGED[] = {"{\"predictions\":[1,2]",      "{\"predictions\":[1,2]}}",
                                          "{\"predictions\":[1,2,3]}",   "{\"predictions\":[1]}",
                                          "{\"predictions\":[1,[1,2]]}", "{\"predictions\":[1,[]]}",
                                          "{\"predictions\":[1;2]}",     "{\"predictions\":["};
    for (size_t i = 0; i < sizeof DAMAGED / sizeof DAMAGED[0]; i++) {
        struct predict_out o;
        ck_assert_int_eq(predict_out_open(&o, NULL, false, &e), 0);
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        o.fd = fd;
        ck_assert_int_eq(predict_out_put(&o, STR("{\"predictions\":[0.5,0.25]}"), 2, &e), 0);
        size_t before = o.buffer.n;
        ck_assert_msg(predict_out_put(&o, str_of(DAMAGED[i]), 2, &e) != 0, "%s was taken", DAMAGED[i]);
        ck_assert_uint_ge(o.buffer.n, before);
        ck_assert_int_eq(predict_out_close(&o, false, NULL), 0);
        close(fd);
    }
}
END_TEST

// One answer with that prediction of a model with these outputs.
static const char *written_tensors(bool jsonl, const char *outputs, const char *prediction)
{
    struct predict_out o;
    char answer[512];
    yyjson_doc *doc = yyjson_read(outputs, strlen(outputs), 0);
    snprintf(answer, sizeof answer, "{\"predictions\":[%s]}", prediction);
    setup_paths();
    memset(text, 0, sizeof text);
    memset(&e, 0, sizeof e);
    ck_assert_int_eq(predict_out_open(&o, path, jsonl, &e), 0);
    o.outputs = yyjson_doc_get_root(doc);
    int rc = predict_out_put(&o, str_of(answer), 1 + (strstr(prediction, "}, {") != NULL), &e);
    ck_assert_int_eq(predict_out_close(&o, rc == 0, rc == 0 ? &e : NULL), 0);
    const char *got = content();
    unlink(path);
    rmdir(folder);
    yyjson_doc_free(doc);
    return rc ? e.msg : got;
}

START_TEST(outputs_of_tensors_are_columns)
{
    static const char outputs[] = "[{\"name\":\"who\"},{\"name\":\"p\",\"labels\":[\"no\",\"a,b\"]}]";
    static const char row[] = "{\"who\":\"x \\\"y\\\"\",\"p\":[0.10,null]}";
    ck_assert_str_eq(written_tensors(false, outputs, row), "who,p_no,\"p_a,b\"\n\"x \"\"y\"\"\",0.10,\n");
    ck_assert_str_eq(written_tensors(true, outputs, row), "{\"who\":\"x \\\"y\\\"\",\"p\":[0.10,null]}\n");
    ck_assert_str_eq(written_tensors(false, "[{\"name\":\"y\"}]", "[[1,2],[3,4]]"),
                     "y_0,y_1,y_2,y_3\n1,2,3,4\n");
    ck_assert_str_eq(written_tensors(false, "[{\"name\":\"y\"}]", "true"), "y\ntrue\n");
    const char *uneven = "{\"who\":1,\"p\":[1]}, {\"who\":1,\"p\":[1,2]}";
    ck_assert_str_eq(written_tensors(false, outputs, uneven),
                     "the server's predictions have a form that is not understood");
    ck_assert_str_eq(e.hint, "Values that differ in number from row to row need --format jsonl.");
    ck_assert_ptr_nonnull(strstr(written_tensors(true, outputs, uneven), "[1]}\n{"));
}
END_TEST

UNIT_MAIN("cli/predict_out", outputs_of_tensors_are_columns, copied_answers_equal_parsed_ones,
          a_later_answer_may_not_be_damaged, numbers_keep_their_digits, lists_become_columns,
          answers_that_do_not_fit_leave_no_file, a_file_that_cannot_be_written_is_an_error)

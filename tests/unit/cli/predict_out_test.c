// SPDX-License-Identifier: Apache-2.0
// Predictions as CSV and JSON lines, with the digits the server sent; a file appears whole or not at all.
#include "cli/predict_out.h"

#include "unit.h"

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

UNIT_MAIN("cli/predict_out", numbers_keep_their_digits, lists_become_columns,
          answers_that_do_not_fit_leave_no_file, a_file_that_cannot_be_written_is_an_error)

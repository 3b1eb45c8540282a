// SPDX-License-Identifier: Apache-2.0
// Rows of files become requests: columns by name or position, missing values, and errors that name the row.
#include "cli/feed.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char SIGNATURE[] =
    "{\"inputs\":[{\"name\":\"age\",\"missing\":false},{\"name\":\"income\",\"missing\":true},"
    "{\"name\":\"mean radius\",\"missing\":true}]}";

static struct err e;
static char out[4096];

struct how {
    uint32_t max_rows;
    size_t max_bytes;
    bool by_position;
    const char *ignored;
    const char *signature;
};

// Feeds the text; returns all bodies, one a line, or the error's message.
static const char *feed(const char *text, struct how h)
{
    struct feed f;
    struct buf body;
    uint32_t n = 0;
    FILE *file = tmpfile();
    fwrite(text, 1, strlen(text), file);
    fflush(file);
    lseek(fileno(file), 0, SEEK_SET);
    yyjson_doc *doc =
        yyjson_read(h.signature ? h.signature : SIGNATURE, strlen(h.signature ? h.signature : SIGNATURE), 0);
    memset(&e, 0, sizeof e);
    buf_init(&body, sizeof out - 1);
    int rc = feed_init(&f, fileno(file), "rows.csv", yyjson_doc_get_root(doc), &e);
    f.by_position = h.by_position;
    f.ignored = &h.ignored;
    f.n_ignored = h.ignored != NULL;
    if (rc == 0)
        rc = feed_start(&f, &e);
    for (;;) {
        size_t before = body.n;
        if (rc == 0)
            rc = feed_batch(&f, h.max_rows ? h.max_rows : 100, before + (h.max_bytes ? h.max_bytes : 4000),
                            &body, &n, &e);
        if (rc || n == 0) {
            body.n = before;
            break;
        }
        buf_putc(&body, '\n');
    }
    memcpy(out, body.p ? body.p : "", body.n);
    out[body.n] = '\0';
    feed_done(&f);
    buf_done(&body);
    yyjson_doc_free(doc);
    fclose(file);
    return rc ? e.msg : out;
}
#define FEED(text, ...) feed(text, (struct how){__VA_ARGS__})

START_TEST(columns_are_matched_by_name)
{
    ck_assert_str_eq(FEED("mean radius,age\n3,1\n4.5e1,-2\n"),
                     "{\"instances\":[[1,null,3],[-2,null,4.5e1]]}\n");
    ck_assert_str_eq(FEED("\xef\xbb\xbf age ,\"income\",mean radius\r\n1,2,3\r\n"),
                     "{\"instances\":[[1,2,3]]}\n");
    ck_assert_str_eq(FEED("id,age,income\nx,1,2\n", .ignored = "id"), "{\"instances\":[[1,2,null]]}\n");
}
END_TEST

START_TEST(without_a_header_columns_are_the_features)
{
    ck_assert_str_eq(FEED("1,2,3\n4,,6"), "{\"instances\":[[1,2,3],[4,null,6]]}\n");
    ck_assert_str_eq(FEED("a,b,c\n1,2,3\n", .by_position = true), "{\"instances\":[[1,2,3]]}\n");
}
END_TEST

START_TEST(a_model_without_names_takes_any_header)
{
    const char *ours = "{\"inputs\":[{\"name\":\"f0\",\"missing\":true},{\"name\":\"f1\",\"missing\":true}],"
                       "\"named\":false}";
    ck_assert_str_eq(FEED("x,y\n1,2\n", .signature = ours), "{\"instances\":[[1,2]]}\n");
    ck_assert_str_eq(FEED("f1,f0\n1,2\n", .signature = ours), "{\"instances\":[[2,1]]}\n");
    ck_assert_str_eq(FEED("f1,y\n1,2\n", .signature = ours),
                     "rows.csv: column 'y' is no feature of the model");
    ck_assert_str_eq(FEED("x,y,z\n1,2,3\n", .signature = ours),
                     "rows.csv has 3 columns, the model has 2 features");
}
END_TEST

START_TEST(numbers_of_other_spellings_become_json)
{
    ck_assert_str_eq(FEED("+1,.5,5.\n007,NA,nan\nTrue, 2 ,null\n"),
                     "{\"instances\":[[1.0,0.5,5.0],[7.0,null,null],[1,2.0,null]]}\n");
}
END_TEST

START_TEST(json_lines_go_as_they_stand)
{
    ck_assert_str_eq(FEED("{\"age\": 1}\n\n [1,2.50,null]\r\n"),
                     "{\"instances\":[{\"age\": 1},[1,2.50,null]]}\n");
    ck_assert_str_eq(FEED("[1]],\"x\":[[2]\n"),
                     "rows.csv, row 1: not JSON at byte 3: unexpected content after document");
    ck_assert_str_eq(FEED("[1]\n2\n", .max_rows = 1), "rows.csv, row 2: expected an object or a list");
}
END_TEST

START_TEST(batches_end_at_their_limits)
{
    ck_assert_str_eq(FEED("1,2,3\n4,5,6\n7,8,9\n", .max_rows = 2),
                     "{\"instances\":[[1,2,3],[4,5,6]]}\n{\"instances\":[[7,8,9]]}\n");
    ck_assert_str_eq(FEED("1,2,3\n4,5,6\n", .max_bytes = 16),
                     "{\"instances\":[[1,2,3]]}\n{\"instances\":[[4,5,6]]}\n");
    ck_assert_str_eq(FEED(""), "");
    ck_assert_str_eq(FEED("\n\n"), "");
    ck_assert_str_eq(FEED("age\n"), "");
}
END_TEST

static const struct {
    const char *text, *msg, *hint;
} WRONG[] = {
    {"age,incme\n1,2\n", "rows.csv: column 'incme' is no feature of the model", "Did you mean 'income'?"},
    {"age,label\n1,2\n", "rows.csv: column 'label' is no feature of the model", "--ignore 'label'"},
    {"income\n1\n", "rows.csv has no column 'age', which the model needs", ""},
    {"age,age\n1,2\n", "rows.csv has two columns 'age'", ""},
    {"1,2\n", "rows.csv has 2 columns, the model has 3 features", "A header line"},
    {"age,income\n1,2\n3\n", "rows.csv, row 2: 1 fields, expected 2", ""},
    {"age,income\n1,2\n3,4,5\n", "rows.csv, row 2: 3 fields, expected 2", ""},
    {"age,income\n1,2\n3,x\n", "rows.csv, row 2, column 'income': 'x' is not a number", ""},
    {"age,income\n1,inf\n", "rows.csv, row 1, column 'income': 'inf' is not a number", ""},
    {"age,income\n1,\"2\n", "rows.csv, row 1: a quoted field has no closing quote", ""},
};

START_TEST(what_does_not_fit_is_named)
{
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const char *got = FEED(WRONG[i].text);
        ck_assert_msg(strcmp(got, WRONG[i].msg) == 0, "'%s' gave '%s'", WRONG[i].text, got);
        ck_assert_msg(strstr(e.hint, WRONG[i].hint), "'%s' hinted '%s'", WRONG[i].text, e.hint);
    }
}
END_TEST

UNIT_MAIN("cli/feed", columns_are_matched_by_name, without_a_header_columns_are_the_features,
          a_model_without_names_takes_any_header, numbers_of_other_spellings_become_json,
          json_lines_go_as_they_stand, batches_end_at_their_limits, what_does_not_fit_is_named)

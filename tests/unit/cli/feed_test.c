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
static char out[1 << 20];

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
            rc = feed_batch(&f, h.max_rows ? h.max_rows : 100,
                            before + (h.max_bytes ? h.max_bytes : sizeof out), &body, &n, &e);
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

// ---- many rows, each with the JSON that it must become

static const struct {
    const char *csv, *json;
} VALUES[] = {
    {"", "null"},   {"NA", "null"},
    {" 7 ", "7.0"}, {"1e-05", "1e-05"},
    {"+4", "4.0"},  {"\"8\"", "8"},
    {"TRUE", "1"},  {".5", "0.5"},
    {"007", "7.0"}, {"123456789012345678901234567890123", 0},
};

// Puts a value into both texts.
static void put_both(uint64_t seed, unsigned odd, struct buf *csv, struct buf *json)
{
    size_t i = (seed >> 40) % (sizeof VALUES / sizeof VALUES[0]);
    size_t from = csv->n;
    if ((seed >> 30) % odd == 0)
        buf_puts(csv, VALUES[i].csv);
    else if (seed >> 63)
        buf_printf(csv, "%d", (int)(seed >> 45) % 200 - 100);
    else
        buf_printf(csv, "%.*f", (int)(seed >> 50) % 14 + 1, (double)(int64_t)seed / 1e17);
    if ((seed >> 30) % odd == 0 && VALUES[i].json)
        buf_puts(json, VALUES[i].json);
    else
        buf_put(json, csv->p + from, csv->n - from);
}

// n_columns features, in the order of the model or backwards, with LF or CRLF, and odd values that are rarer
// or less rare.
static void feed_many(uint32_t n_columns, bool backwards, const char *line_end, unsigned odd)
{
    uint64_t seed = 0x9e3779b97f4a7c15u + n_columns;
    struct buf csv, want, parts[64], signature;
    buf_init(&csv, 1 << 20);
    buf_init(&want, 1 << 20);
    buf_init(&signature, 1 << 16);
    for (uint32_t c = 0; c < n_columns; c++) {
        buf_init(&parts[c], 4096);
        buf_printf(&signature, "%s{\"name\":\"f%u\",\"missing\":true}", c ? "," : "{\"inputs\":[", c);
        buf_printf(&csv, "%sf%u", c ? "," : "", backwards ? n_columns - 1 - c : c);
    }
    buf_put(&signature, "]}", sizeof "]}");
    buf_puts(&csv, line_end);
    buf_puts(&want, "{\"instances\":[");
    for (int row = 0; row < 200; row++) {
        for (uint32_t c = 0; c < n_columns; c++) {
            struct buf *part = &parts[backwards ? n_columns - 1 - c : c];
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            buf_clear(part);
            buf_puts(&csv, c ? "," : "");
            put_both(seed, odd, &csv, part);
        }
        buf_puts(&csv, line_end);
        for (uint32_t c = 0; c < n_columns; c++) {
            buf_puts(&want, c ? "," : row ? ",[" : "[");
            buf_put_str(&want, buf_str(&parts[c]));
        }
        buf_puts(&want, "]");
    }
    buf_put(&want, "]}\n", sizeof "]}\n");
    buf_putc(&csv, '\0');
    const char *got = FEED(csv.p, .max_rows = 1000, .max_bytes = sizeof out, .signature = signature.p);
    ck_assert_msg(strcmp(got, want.p) == 0, "%u columns: %s gave %s, not %s", n_columns, csv.p, got, want.p);
    for (uint32_t c = 0; c < n_columns; c++)
        buf_done(&parts[c]);
    buf_done(&csv);
    buf_done(&want);
    buf_done(&signature);
}

START_TEST(rows_become_the_same_by_every_path)
{
    for (uint32_t n_columns = 1; n_columns <= 64; n_columns += n_columns < 6 ? 1 : 19)
        for (unsigned odd = 1; odd <= 1000; odd *= 10)
            for (int how = 0; how < 4; how++)
                feed_many(n_columns, how & 1, how & 2 ? "\r\n" : "\n", odd);
}
END_TEST

// The errors of rows inside long input, where rows are copied whole.
START_TEST(a_wrong_row_among_many_is_named)
{
    static const struct {
        const char *row, *msg;
    } BAD[] = {
        {"1,2", "rows.csv, row 501: 2 fields, expected 3"},
        {"1,2,3,4", "rows.csv, row 501: 4 fields, expected 3"},
        {"1,2,3,", "rows.csv, row 501: 4 fields, expected 3"},
        {"1,x,3", "rows.csv, row 501, column 'income': 'x' is not a number"},
        {"1,2,3.5.1", "rows.csv, row 501, column 'mean radius': '3.5.1' is not a number"},
        {"1,2-,3", "rows.csv, row 501, column 'income': '2-' is not a number"},
        {"1,2\"5\",3", "rows.csv, row 501: a quote stands inside a field that is not quoted"},
        {"1,2,3\r4", "rows.csv, row 501: a carriage return stands inside a field"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct buf text;
        buf_init(&text, 1 << 16);
        for (int row = 1; row < 1000; row++)
            buf_printf(&text, "%s\n", row == 501 ? BAD[i].row : "1.5,-20,3");
        buf_putc(&text, '\0');
        ck_assert_str_eq(FEED(text.p, .max_rows = 400), BAD[i].msg);
        buf_done(&text);
    }
}
END_TEST

static const char TENSORS[] = "{\"inputs\":[{\"name\":\"n\",\"datatype\":\"FP32\",\"shape\":[-1,2]},"
                              "{\"name\":\"who\",\"datatype\":\"BYTES\",\"shape\":[-1,1]},"
                              "{\"name\":\"mask\",\"datatype\":\"INT64\",\"shape\":[-1],\"optional\":true}]}";

START_TEST(several_inputs_are_an_object_by_name)
{
    ck_assert_str_eq(FEED("who,n_1,n_0,mask\n\"a \"\"b\"\",\\\",2,1,7\n,,NA,0\n", .signature = TENSORS),
                     "{\"instances\":[{\"n\":[1,2],\"who\":\"a \\\"b\\\",\\\\\",\"mask\":7},"
                     "{\"n\":[null,null],\"who\":\"\",\"mask\":0}]}\n");
    ck_assert_str_eq(FEED("n_0,n_1,who\n1,2,3\n", .signature = TENSORS),
                     "{\"instances\":[{\"n\":[1,2],\"who\":\"3\"}]}\n");
    ck_assert_str_eq(FEED("a,b,c,d\n1,2,x,1\n", .signature = TENSORS, .by_position = true),
                     "{\"instances\":[{\"n\":[1,2],\"who\":\"x\",\"mask\":1}]}\n");
    ck_assert_str_eq(FEED("n_0,who\n1,x\n", .signature = TENSORS),
                     "rows.csv has no column 'n_1', which the model needs");
    ck_assert_str_eq(FEED("n_0,n_1,who\n1,two,x\n", .signature = TENSORS),
                     "rows.csv, row 1, column 'n_1': 'two' is not a number");
}
END_TEST

START_TEST(the_only_input_takes_columns_in_order)
{
    static const char open[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,-1]}]}";
    static const char texts[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"BYTES\",\"shape\":[-1]}]}";
    static const char cube[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,2,2]}]}";
    ck_assert_str_eq(FEED("1,2,3\n4,,6\n", .signature = open), "{\"instances\":[[1,2,3],[4,null,6]]}\n");
    ck_assert_str_eq(FEED("id,b,c\nz,2,3\n", .signature = open, .ignored = "id"),
                     "{\"instances\":[[2,3]]}\n");
    ck_assert_str_eq(FEED("text\n1\n\"\"\n", .signature = texts), "{\"instances\":[\"1\",\"\"]}\n");
    ck_assert_str_eq(FEED("1,2\n", .signature = cube),
                     "rows of input 'x' are no list of a known length, which CSV needs");
    ck_assert_str_eq(FEED("[[1,2],[3,4]]\n", .signature = cube), "{\"instances\":[[[1,2],[3,4]]]}\n");
}
END_TEST

START_TEST(texts_of_a_category_are_sent_as_texts)
{
    const char *names =
        "{\"inputs\":[{\"name\":\"n\"},{\"name\":\"c\",\"categories\":[\"NA\",\"5\",\"a b\"]}]}";
    const char *coerced = "{\"inputs\":[{\"name\":\"n\",\"mode\":\"coerce\"},{\"name\":\"m\"}]}";
    ck_assert_str_eq(FEED("n,c\n1,a b\n2,5\n3,7\n4,NA\n5,\n6,x\n", .signature = names),
                     "{\"instances\":[[1,\"a b\"],[2,\"5\"],[3,7],[4,\"NA\"],[5,null],[6,\"x\"]]}\n");
    ck_assert_str_eq(FEED("n,m\nx,1\n", .signature = coerced), "{\"instances\":[[\"x\",1]]}\n");
    ck_assert_ptr_nonnull(strstr(FEED("n,m\n1,x\n", .signature = coerced), "'x' is not a number"));
}
END_TEST

UNIT_MAIN("cli/feed", several_inputs_are_an_object_by_name, the_only_input_takes_columns_in_order,
          rows_become_the_same_by_every_path, a_wrong_row_among_many_is_named, columns_are_matched_by_name,
          without_a_header_columns_are_the_features, a_model_without_names_takes_any_header,
          numbers_of_other_spellings_become_json, json_lines_go_as_they_stand, batches_end_at_their_limits,
          what_does_not_fit_is_named, texts_of_a_category_are_sent_as_texts)

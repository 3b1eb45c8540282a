// SPDX-License-Identifier: Apache-2.0
// Rows for `slipway predict`.
#include "cli/feed.h"

#include "cli/digits.h"
#include "cli/feed_tensors.h"
#include "cli/sample.h"
#include "cli/signature.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/near.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

static int map_categories(struct feed_feature *feature, yyjson_val *list, struct err *e)
{
    size_t i, n = yyjson_arr_size(list);
    yyjson_val *v;
    if (!feature->takes_text || n == 0 || n > LIMIT_CATEGORIES)
        return 0;
    int rc = map_init(&feature->names, (uint32_t)n, e);
    yyjson_arr_foreach(list, i, n, v)
    {
        if (rc == 0 && yyjson_is_str(v))
            rc = map_add(&feature->names, (struct str){yyjson_get_str(v), yyjson_get_len(v)}, 0, NULL);
        rc = rc == ERR_DUPLICATE_KEY ? 0 : rc;
    }
    return rc;
}

int feed_init(struct feed *f, int fd, const char *name, yyjson_val *signature, struct err *e)
{
    yyjson_val *inputs = yyjson_obj_get(signature, "inputs"), *input;
    size_t i, n = yyjson_arr_size(inputs);
    *f = (struct feed){.fd = fd, .name = name};
    buf_init(&f->in, LIMIT_CLIENT_ROW_BYTES + READ_BYTES);
    if (n == 0 || n > LIMIT_MODEL_FEATURES)
        return err_set(e, ERR_INVALID, "the server describes the model's inputs in a way not understood");
    if (sample_is_tensors(signature)) {
        f->tensors = inputs;
        return 0;
    }
    f->is_plain = true;
    f->features = calloc(n, sizeof *f->features);
    if (!f->features)
        return err_set(e, ERR_NOMEM, "out of memory");
    f->n_features = (uint32_t)n;
    f->unnamed = yyjson_is_false(yyjson_obj_get(signature, "named"));
    yyjson_arr_foreach(inputs, i, n, input)
    {
        yyjson_val *missing = yyjson_obj_get(input, "missing");
        f->features[i].name = str_of(yyjson_get_str(yyjson_obj_get(input, "name")));
        f->features[i].may_be_missing = !missing || yyjson_get_bool(missing);
        f->features[i].takes_text = signature_takes_text(input);
        f->takes_text |= f->features[i].takes_text;
        int rc = map_categories(&f->features[i], yyjson_obj_get(input, "categories"), e);
        if (rc)
            return rc;
        if (f->features[i].name.n == 0)
            return err_set(e, ERR_INVALID, "the server names no feature %zu", i);
    }
    return 0;
}

void feed_done(struct feed *f)
{
    for (uint32_t i = 0; f->features && i < f->n_features; i++)
        map_done(&f->features[i].names);
    free(f->features);
    free(f->names);
    f->features = NULL;
    f->names = NULL;
    buf_done(&f->in);
    csv_row_done(&f->row);
}

// Reads once more. 1: there is more now, 0: the end.
static int refill(struct feed *f, struct err *e)
{
    if (f->end)
        return 0;
    buf_consume(&f->in, f->at);
    f->at = 0;
    char *to = buf_reserve(&f->in, READ_BYTES);
    if (!to)
        return err_set(e, ERR_TOO_LARGE, "%s, row %" PRIu64 ": longer than %d bytes", f->name, f->n_rows + 1,
                       LIMIT_CLIENT_ROW_BYTES);
    ssize_t n;
    do
        n = read(f->fd, to, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(e, errno, "read %s", f->name);
    buf_advance(&f->in, (size_t)n);
    f->end = n == 0;
    return n > 0;
}

// ---- CSV

// The next record that is not a blank line. 1, or 0 at the end.
static int next_record(struct feed *f, struct err *e)
{
    for (;;) {
        size_t used, left = f->in.n - f->at;
        int rc = left ? csv_take(f->in.p + f->at, left, f->end, &f->row, &used, e) : 0;
        if (rc < 0)
            return err_wrap(e, "%s, row %" PRIu64, f->name, f->n_rows + 1);
        if (rc == 1) {
            f->at += used;
            f->n_bytes += used;
            // A blank line is a missing value only where a row is one value.
            if (f->row.n > 1 || f->row.fields[0].n > 0 || f->n_columns == 1)
                return 1;
            continue;
        }
        rc = refill(f, e);
        if (rc < 0 || (rc == 0 && f->at == f->in.n))
            return rc;
    }
}

static bool is_missing_word(struct str s)
{
    static const struct str WORDS[] = {{"", 0},    {"NA", 2},   {"N/A", 3},  {"nan", 3}, {"NaN", 3},
                                       {"NAN", 3}, {"null", 4}, {"NULL", 4}, {"None", 4}};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (str_eq(s, WORDS[i]))
            return true;
    return false;
}

size_t feed_write_other(struct str field, char ret[NUM_TEXT_MAX])
{
    double v;
    size_t used;
    field = str_trim(field);
    if (is_missing_word(field)) {
        memcpy(ret, "null", 4);
        return 4;
    }
    if (str_eq_nocase(field, STR("true")) || str_eq_nocase(field, STR("false"))) {
        *ret = field.n == 4 ? '1' : '0';
        return 1;
    }
    if (num_parse_loose(field.p, field.n, &v, &used) && used == field.n && isfinite(v))
        return num_write_double(v, ret);
    return 0;
}

static bool is_data(const struct csv_row *row)
{
    char text[NUM_TEXT_MAX];
    for (uint32_t i = 0; i < row->n; i++) {
        struct str field = row->fields[i];
        bool is_number = field.n && digits_length(field.p, field.n) == field.n;
        if (!is_number && !feed_write_other(field, text))
            return false;
    }
    return true;
}

static bool is_ignored(const struct feed *f, struct str name)
{
    for (int i = 0; i < f->n_ignored; i++)
        if (str_eq(name, str_of(f->ignored[i])))
            return true;
    return false;
}

// Without a header (the first row waits) no column has a name that could be ignored.
static uint32_t count_columns(const struct feed *f)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < f->row.n; c++)
        n += f->row_waits || !is_ignored(f, str_trim(f->row.fields[c]));
    return n;
}

static int match_by_position(struct feed *f, struct err *e)
{
    uint32_t n_columns = count_columns(f), i = 0;
    f->n_columns = f->row.n;
    if (n_columns != f->n_features) {
        err_set(e, ERR_WRONG_COUNT, "%s has %u columns, the model has %u %s", f->name, n_columns,
                f->n_features, f->tensors ? "values a row" : "features");
        if (!f->tensors || yyjson_arr_size(f->tensors) > 1)
            err_hint(e, "A header line with the names of the %s lets columns be in any order and number.",
                     f->tensors ? "inputs" : "features");
        else if (n_columns > f->n_features)
            err_hint(e, "Leave out what the model does not take with --ignore COLUMN.");
        return ERR_WRONG_COUNT;
    }
    for (uint32_t c = 0; c < f->row.n; c++) {
        if (!f->row_waits && is_ignored(f, str_trim(f->row.fields[c])))
            continue;
        f->features[i].column = c;
        f->features[i++].used = true;
    }
    return 0;
}

static int unknown_column(struct feed *f, struct str name, struct err *e)
{
    int shown = (int)(name.n < 80 ? name.n : 80), near = -1;
    struct str *names = calloc(f->n_features, sizeof *names);
    for (uint32_t i = 0; names && i < f->n_features; i++)
        names[i] = f->features[i].name;
    if (names)
        near = near_find(name, names, f->n_features);
    free(names);
    err_set(e, ERR_UNKNOWN_FEATURE, "%s: column '%.*s' is no %s of the model", f->name, shown, name.p,
            f->tensors ? "input" : "feature");
    if (near >= 0)
        err_hint(e, "Did you mean '%.*s'? Else leave it out with --ignore.", 80, f->features[near].name.p);
    else
        err_hint(e, "Leave it out with --ignore '%.*s', or take columns in order with --by-position.", shown,
                 name.p);
    return ERR_UNKNOWN_FEATURE;
}

static int match_column(struct feed *f, const struct map *by_name, uint32_t c, struct err *e)
{
    struct str name = str_trim(f->row.fields[c]);
    if (is_ignored(f, name))
        return 0;
    int64_t i = map_get(by_name, name);
    if (i == MAP_NONE)
        return unknown_column(f, name, e);
    if (f->features[i].used)
        return err_set(e, ERR_DUPLICATE_KEY, "%s has two columns '%.*s'", f->name,
                       (int)(name.n < 80 ? name.n : 80), name.p);
    f->features[i].used = true;
    f->features[i].column = c;
    return 0;
}

// Whether another column of the same input is there: it needs all or none.
static bool is_begun(const struct feed *f, uint32_t i)
{
    for (uint32_t k = 0; f->tensors && k < f->n_features; k++)
        if (f->features[k].input == f->features[i].input && f->features[k].used)
            return true;
    return false;
}

static int match_by_name(struct feed *f, struct err *e)
{
    struct map by_name;
    uint32_t n_known = 0;
    int rc = map_init(&by_name, f->n_features, e);
    f->n_columns = f->row.n;
    for (uint32_t i = 0; rc == 0 && i < f->n_features; i++)
        rc = map_add(&by_name, f->features[i].name, i, e);
    for (uint32_t c = 0; rc == 0 && c < f->row.n; c++)
        n_known += map_get(&by_name, str_trim(f->row.fields[c])) != MAP_NONE;
    if (rc == 0 && f->unnamed && n_known == 0) {
        // The model was trained without names: its columns are known by their position only.
        map_done(&by_name);
        return match_by_position(f, e);
    }
    for (uint32_t c = 0; rc == 0 && c < f->row.n; c++)
        rc = match_column(f, &by_name, c, e);
    for (uint32_t i = 0; rc == 0 && i < f->n_features; i++)
        if (!f->features[i].used && (!f->features[i].may_be_missing || is_begun(f, i)))
            rc = err_set(e, ERR_MISSING_FEATURE, "%s has no column '%.*s', which the model needs", f->name,
                         (int)(f->features[i].name.n < 80 ? f->features[i].name.n : 80),
                         f->features[i].name.p);
    map_done(&by_name);
    return rc;
}

static int start_csv(struct feed *f, struct err *e)
{
    static const char BOM[] = "\xef\xbb\xbf";
    if (f->in.n >= 3 && memcmp(f->in.p, BOM, 3) == 0)
        f->at = 3;
    int rc = next_record(f, e);
    if (rc <= 0)
        return rc;
    // No header: this is the first row.
    f->row_waits = is_data(&f->row) && !f->takes_text && !(f->tensors && feed_tensors_has_text(f));
    rc = f->tensors ? feed_tensors_columns(f, count_columns(f), e) : 0;
    if (rc)
        return rc;
    if (f->row_waits || f->by_position)
        rc = match_by_position(f, e);
    else
        rc = match_by_name(f, e);
    f->in_order = f->is_plain && !f->takes_text && f->n_columns == f->n_features;
    for (uint32_t i = 0; i < f->n_features; i++)
        f->in_order = f->in_order && f->features[i].used && f->features[i].column == i;
    return rc;
}

// Writes the row's values as a JSON list. Returns where it ends, or NULL with *ret_wrong, the feature whose
// field is no value.
static char *write_row(const struct feed *f, char *to, uint32_t *ret_wrong)
{
    const char *end = f->in.p + f->in.n;
    for (uint32_t i = 0; i < f->n_features; i++) {
        const struct feed_feature *feature = &f->features[i];
        struct str field = feature->used ? f->row.fields[feature->column] : (struct str){0};
        *to++ = i ? ',' : '[';
        // Most fields are numbers that JSON has too: they go as they stand.
        size_t n = field.n ? digits_copy(field.p, (size_t)(end - field.p), to) : 0;
        if (n == 0 || n != field.n) {
            n = feed_write_other(field, to);
            if (n == 0) {
                *ret_wrong = i;
                return NULL;
            }
        }
        to += n;
    }
    *to++ = ']';
    return to;
}

// Puts the next row when its text may be copied; else nothing is done.
static bool copy_row(struct feed *f, struct buf *body)
{
    size_t n, left = f->in.n - f->at;
    if (!f->in_order || f->row_waits || left == 0)
        return false;
    char *to = buf_reserve(body, f->n_features * (size_t)DIGITS_ROOM + DIGITS_WINDOW + 2);
    size_t used = to ? digits_copy_row(f->in.p + f->at, left, f->n_features, to + 1, &n) : 0;
    if (used == 0)
        return false;
    to[0] = '[';
    to[1 + n] = ']';
    buf_advance(body, n + 2);
    f->at += used;
    f->n_bytes += used;
    return true;
}

// A row in which texts may stand.
static bool put_mixed_row(const struct feed *f, struct buf *body, uint32_t *ret_wrong)
{
    char number[NUM_TEXT_MAX];
    for (uint32_t i = 0; i < f->n_features; i++) {
        const struct feed_feature *feature = &f->features[i];
        struct str field = feature->used ? f->row.fields[feature->column] : (struct str){0};
        bool is_name = feature->names.n && map_get(&feature->names, field) != MAP_NONE;
        bool is_number = !is_name && field.n && digits_length(field.p, field.n) == field.n;
        size_t n = is_name || is_number ? 0 : feed_write_other(field, number);
        buf_putc(body, i ? ',' : '[');
        if (is_number)
            buf_put_str(body, field);
        else if (n)
            buf_put(body, number, n);
        else if (feature->takes_text)
            buf_put_json_str(body, field);
        else {
            *ret_wrong = i;
            return false;
        }
    }
    buf_putc(body, ']');
    return true;
}

// False with *ret_wrong; without memory the body has failed.
static bool put_plain_row(const struct feed *f, struct buf *body, uint32_t *ret_wrong)
{
    // A number as long as its field, or another value, and a comma for each feature.
    const struct str *first = &f->row.fields[0], *last = &f->row.fields[f->row.n - 1];
    size_t room = (size_t)(last->p + last->n - first->p) + f->n_features * (size_t)(NUM_TEXT_MAX + 1) +
                  DIGITS_WINDOW + 2;
    char *to = buf_reserve(body, room);
    if (!to)
        return true;
    char *list_end = write_row(f, to, ret_wrong);
    if (list_end)
        buf_advance(body, (size_t)(list_end - to));
    return list_end != NULL;
}

static int wrong_value(const struct feed *f, const struct feed_feature *feature, struct err *e)
{
    struct str field = f->row.fields[feature->column];
    return err_set(e, ERR_WRONG_TYPE, "%s, row %" PRIu64 ", column '%.*s': '%.*s' is not a number", f->name,
                   f->n_rows + 1, (int)(feature->name.n < 80 ? feature->name.n : 80), feature->name.p,
                   (int)(field.n < 60 ? field.n : 60), field.p);
}

static int put_csv_row(struct feed *f, struct buf *body, struct err *e)
{
    uint32_t wrong;
    if (copy_row(f, body))
        return 1;
    int rc = f->row_waits ? 1 : next_record(f, e);
    f->row_waits = false;
    if (rc != 1)
        return rc;
    if (f->row.n != f->n_columns)
        return err_set(e, ERR_WRONG_COUNT, "%s, row %" PRIu64 ": %u fields, expected %u", f->name,
                       f->n_rows + 1, f->row.n, f->n_columns);
    if (f->takes_text ? !put_mixed_row(f, body, &wrong)
        : f->is_plain ? !put_plain_row(f, body, &wrong)
                      : !feed_tensors_put_row(f, body, &wrong))
        return wrong_value(f, &f->features[wrong], e);
    return body->failed ? err_set(e, ERR_NOMEM, "%s, row %" PRIu64 ": no memory for the request", f->name,
                                  f->n_rows + 1)
                        : 1;
}

// ---- JSON lines

static int next_line(struct feed *f, struct str *ret, struct err *e)
{
    size_t searched = 0;
    for (;;) {
        size_t left = f->in.n - f->at;
        const char *from = f->in.p + f->at,
                   *lf = left > searched ? memchr(from + searched, '\n', left - searched) : NULL;
        if (lf || (f->end && left)) {
            *ret = str_trim((struct str){from, lf ? (size_t)(lf - from) : left});
            if (ret->n && ret->p[ret->n - 1] == '\r')
                ret->n--;
            f->at += lf ? (size_t)(lf - from) + 1 : left;
            f->n_bytes += lf ? (size_t)(lf - from) + 1 : left;
            if (ret->n)
                return 1;
            searched = 0;
            continue;
        }
        searched = left;
        int rc = refill(f, e);
        if (rc < 0 || (rc == 0 && f->at == f->in.n))
            return rc;
    }
}

// A line goes to the server as it stands, so it must be one whole JSON value: else it could close the list.
static int put_json_row(struct feed *f, struct buf *body, struct err *e)
{
    struct str line;
    yyjson_read_err problem;
    int rc = next_line(f, &line, e);
    if (rc != 1)
        return rc;
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)line.p, line.n, YYJSON_READ_NUMBER_AS_RAW, NULL, &problem);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!doc)
        rc = err_set(e, ERR_BAD_JSON, "%s, row %" PRIu64 ": not JSON at byte %zu: %s", f->name, f->n_rows + 1,
                     problem.pos, problem.msg);
    else if (f->tensors ? yyjson_is_null(root) : !yyjson_is_obj(root) && !yyjson_is_arr(root))
        rc = err_set(e, ERR_WRONG_TYPE, "%s, row %" PRIu64 ": expected an object or a list", f->name,
                     f->n_rows + 1);
    else
        buf_put_str(body, line);
    yyjson_doc_free(doc);
    return rc;
}

// ---- both

int feed_start(struct feed *f, struct err *e)
{
    size_t at = 0;
    while (at == f->in.n) {
        int rc = refill(f, e);
        if (rc <= 0)
            return rc;
        while (at < f->in.n && strchr(" \t\r\n", f->in.p[at]))
            at++;
    }
    if (f->format == FEED_UNKNOWN)
        f->format = f->in.p[at] == '{' || f->in.p[at] == '[' ? FEED_JSONL : FEED_CSV;
    return f->format == FEED_CSV ? start_csv(f, e) : 0;
}

int feed_batch(struct feed *f, uint32_t max_rows, size_t max_bytes, struct buf *body, uint32_t *ret_rows,
               struct err *e)
{
    int rc = 1;
    *ret_rows = 0;
    buf_puts(body, "{\"instances\":[");
    while (*ret_rows < max_rows && body->n < max_bytes) {
        size_t before = body->n;
        if (*ret_rows)
            buf_putc(body, ',');
        rc = f->format == FEED_CSV ? put_csv_row(f, body, e) : put_json_row(f, body, e);
        if (rc == 0)
            body->n = before;
        if (rc != 1)
            break;
        *ret_rows += 1;
        f->n_rows++;
    }
    buf_puts(body, "]}");
    if (rc >= 0 && body->failed)
        return err_set(e, ERR_NOMEM, "%s, row %" PRIu64 ": no memory for the request", f->name,
                       f->n_rows + 1);
    return rc < 0 ? rc : 0;
}

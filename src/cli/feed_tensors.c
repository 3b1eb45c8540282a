// SPDX-License-Identifier: Apache-2.0
// CSV rows for a model of tensors.
#include "cli/feed_tensors.h"

#include "cli/digits.h"

#include "base/limits.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_DIGITS = 12 };

static struct str name_of(yyjson_val *input)
{
    yyjson_val *name = yyjson_obj_get(input, "name");
    return (struct str){yyjson_get_str(name), yyjson_get_len(name)};
}

static bool is_text(yyjson_val *input)
{
    return yyjson_equals_str(yyjson_obj_get(input, "datatype"), "BYTES");
}

bool feed_tensors_has_text(const struct feed *f)
{
    size_t i, n;
    yyjson_val *input;
    yyjson_arr_foreach(f->tensors, i, n, input)
    {
        if (is_text(input))
            return true;
    }
    return false;
}

// Columns of one row of an input; 0: it has no form in CSV.
static uint64_t width_of(const struct feed *f, yyjson_val *input, uint32_t n_columns)
{
    yyjson_val *shape = yyjson_obj_get(input, "shape");
    int64_t width = yyjson_get_sint(yyjson_arr_get(shape, 1));
    if (yyjson_arr_size(shape) == 1)
        return 1;
    if (yyjson_arr_size(shape) != 2)
        return 0;
    if (width == -1)
        return yyjson_arr_size(f->tensors) == 1 ? n_columns : 0;
    return width > 0 ? (uint64_t)width : 0;
}

static int no_form(yyjson_val *input, struct err *e)
{
    struct str name = name_of(input);
    err_set(e, ERR_UNSUPPORTED_MODEL, "rows of input '%.*s' are no list of a known length, which CSV needs",
            (int)(name.n < 80 ? name.n : 80), name.p);
    err_hint(e, "Give the rows as JSON lines.");
    return ERR_UNSUPPORTED_MODEL;
}

// How many columns there are, and how much text their names take at most.
static int measure(const struct feed *f, uint32_t n_columns, uint64_t *ret_columns, size_t *ret_bytes,
                   struct err *e)
{
    size_t i, n;
    yyjson_val *input;
    *ret_columns = *ret_bytes = 0;
    yyjson_arr_foreach(f->tensors, i, n, input)
    {
        uint64_t width = width_of(f, input, n_columns);
        if (width == 0 && !yyjson_is_true(yyjson_obj_get(input, "optional")))
            return no_form(input, e);
        if (width > LIMIT_MODEL_FEATURES || (*ret_columns += width) > LIMIT_MODEL_FEATURES)
            return err_set(e, ERR_TOO_LARGE, "a row of the model has more than %d values",
                           LIMIT_MODEL_FEATURES);
        *ret_bytes += width * (name_of(input).n + INDEX_DIGITS);
    }
    return *ret_columns
               ? 0
               : err_set(e, ERR_INVALID, "the server describes the model's inputs in a way not understood");
}

// Returns where the next name goes.
static char *add_columns(struct feed *f, uint32_t input, uint64_t width, char *names)
{
    yyjson_val *v = yyjson_arr_get(f->tensors, input);
    for (uint64_t k = 0; k < width; k++) {
        struct feed_feature *c = &f->features[f->n_features++];
        struct str name = name_of(v);
        *c = (struct feed_feature){.name = name,
                                   .input = input,
                                   .is_text = is_text(v),
                                   .is_listed = width > 1,
                                   .may_be_missing = yyjson_is_true(yyjson_obj_get(v, "optional"))};
        if (width == 1)
            continue;
        memcpy(names, name.p, name.n);
        int n = snprintf(names + name.n, INDEX_DIGITS, "_%u", (unsigned)k);
        c->name = (struct str){names, name.n + (size_t)n};
        names += c->name.n + 1;
    }
    return names;
}

int feed_tensors_columns(struct feed *f, uint32_t n_columns, struct err *e)
{
    uint64_t n_features;
    size_t n_bytes, i, n;
    yyjson_val *input;
    int rc = measure(f, n_columns, &n_features, &n_bytes, e);
    if (rc)
        return rc;
    f->features = calloc(n_features, sizeof *f->features);
    f->names = malloc(n_bytes + 1);
    if (!f->features || !f->names)
        return err_set(e, ERR_NOMEM, "out of memory");
    char *names = f->names;
    yyjson_arr_foreach(f->tensors, i, n, input) names =
        add_columns(f, (uint32_t)i, width_of(f, input, n_columns), names);
    // A row of numbers of the only input looks as one of a model of rows does.
    f->is_plain = n == 1 && !f->features[0].is_text &&
                  yyjson_arr_size(yyjson_obj_get(yyjson_arr_get_first(f->tensors), "shape")) == 2;
    f->unnamed = n == 1;
    return 0;
}

static bool put_value(const struct feed_feature *c, struct str field, struct buf *body)
{
    char text[NUM_TEXT_MAX];
    if (c->is_text) {
        buf_put_json_str(body, field);
        return true;
    }
    if (field.n && digits_length(field.p, field.n) == field.n) {
        buf_put_str(body, field);
        return true;
    }
    size_t n = feed_write_other(field, text);
    buf_put(body, text, n);
    return n > 0;
}

bool feed_tensors_put_row(const struct feed *f, struct buf *body, uint32_t *ret_wrong)
{
    bool is_object = yyjson_arr_size(f->tensors) > 1;
    const char *comma = "";
    buf_puts(body, is_object ? "{" : "");
    for (uint32_t i = 0; i < f->n_features; i++) {
        const struct feed_feature *c = &f->features[i];
        bool begins = i == 0 || c[-1].input != c->input;
        bool ends = i + 1 == f->n_features || c[1].input != c->input;
        if (!c->used)
            continue;
        buf_puts(body, comma);
        comma = ",";
        if (begins && is_object) {
            buf_put_json_str(body, name_of(yyjson_arr_get(f->tensors, c->input)));
            buf_putc(body, ':');
        }
        buf_puts(body, begins && c->is_listed ? "[" : "");
        if (!put_value(c, f->row.fields[c->column], body)) {
            *ret_wrong = i;
            return false;
        }
        buf_puts(body, ends && c->is_listed ? "]" : "");
    }
    buf_puts(body, is_object ? "}" : "");
    return true;
}

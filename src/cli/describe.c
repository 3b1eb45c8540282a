// SPDX-License-Identifier: Apache-2.0
// What a server says about models and versions, as people read it.
#include "cli/describe.h"

#include "cli/sample.h"
#include "cli/term.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LABEL_COLUMNS = 14,
    NAMES_SHOWN = 12,
    CURL_FEATURES_MAX = 100,
    CURL_NAMED_MAX = 8,
    CURL_BYTES_MAX = 4096
};

const char *cli_describe_scalar(yyjson_val *v, char scratch[32])
{
    if (yyjson_is_str(v))
        return yyjson_get_str(v);
    if (yyjson_is_bool(v))
        return yyjson_get_bool(v) ? "yes" : "no";
    if (yyjson_is_uint(v))
        snprintf(scratch, 32, "%" PRIu64, yyjson_get_uint(v));
    else if (yyjson_is_num(v))
        snprintf(scratch, 32, "%.6g", yyjson_get_num(v));
    else
        scratch[0] = '\0';
    return scratch;
}

static void put_line(const char *label, const char *value, struct buf *out)
{
    if (!value || !*value)
        return;
    buf_printf(out, "  %-*s", LABEL_COLUMNS, label);
    term_put_safe(str_of(value), out);
    buf_putc(out, '\n');
}

static void put_features(yyjson_val *inputs, struct buf *out)
{
    size_t i, n;
    yyjson_val *input;
    if (!yyjson_is_arr(inputs))
        return;
    buf_printf(out, "  %-*s%zu:", LABEL_COLUMNS, "features", yyjson_arr_size(inputs));
    yyjson_arr_foreach(inputs, i, n, input)
    {
        const char *name = yyjson_get_str(yyjson_obj_get(input, "name"));
        if (i == NAMES_SHOWN) {
            buf_puts(out, ", …");
            break;
        }
        buf_puts(out, i ? ", " : " ");
        term_put_safe(str_of(name), out);
        if (yyjson_get_bool(yyjson_obj_get(input, "categorical")))
            buf_puts(out, " (category)");
    }
    buf_putc(out, '\n');
}

static void put_output(yyjson_val *output, struct buf *out)
{
    const char *name = yyjson_get_str(yyjson_obj_get(output, "name"));
    const char *type = yyjson_get_str(yyjson_obj_get(output, "datatype"));
    yyjson_val *width = yyjson_arr_get(yyjson_obj_get(output, "shape"), 1);
    if (!name)
        return;
    buf_printf(out, "  %-*s", LABEL_COLUMNS, "output");
    term_put_safe(str_of(name), out);
    if (width)
        buf_printf(out, ", %" PRIu64 " values a row", yyjson_get_uint(width));
    if (type)
        buf_printf(out, ", %s", type);
    buf_putc(out, '\n');
}

static void put_shape(yyjson_val *tensor, struct buf *out)
{
    size_t i, n;
    yyjson_val *dim;
    if (!yyjson_is_arr(yyjson_obj_get(tensor, "shape"))) {
        buf_puts(out, "of any shape");
        return;
    }
    buf_putc(out, '[');
    yyjson_arr_foreach(yyjson_obj_get(tensor, "shape"), i, n, dim)
        buf_printf(out, "%s%" PRId64, i ? ", " : "", yyjson_get_sint(dim));
    buf_putc(out, ']');
}

static void put_labels(yyjson_val *labels, struct buf *out)
{
    size_t i, n;
    yyjson_val *label;
    yyjson_arr_foreach(labels, i, n, label)
    {
        buf_puts(out, i ? ", " : ": ");
        if (i == NAMES_SHOWN) {
            buf_puts(out, "…");
            break;
        }
        term_put_safe(str_of(yyjson_get_str(label)), out);
    }
}

// "inputs  x, FP32 [-1, 4]", one a line.
static void put_tensors(const char *label, yyjson_val *tensors, struct buf *out)
{
    size_t i, n;
    yyjson_val *tensor;
    yyjson_arr_foreach(tensors, i, n, tensor)
    {
        const char *name = yyjson_get_str(yyjson_obj_get(tensor, "name"));
        const char *type = yyjson_get_str(yyjson_obj_get(tensor, "datatype"));
        buf_printf(out, "  %-*s", LABEL_COLUMNS, i ? "" : label);
        term_put_safe(str_of(name), out);
        buf_puts(out, ", ");
        term_put_safe(str_of(type), out);
        buf_putc(out, ' ');
        put_shape(tensor, out);
        if (yyjson_is_true(yyjson_obj_get(tensor, "optional")))
            buf_puts(out, " (may be left out)");
        put_labels(yyjson_obj_get(tensor, "labels"), out);
        buf_putc(out, '\n');
    }
}

static void put_replicas(yyjson_val *replicas, struct buf *out)
{
    if (yyjson_is_obj(replicas))
        buf_printf(out, "  %-*s%" PRIu64 " of %" PRIu64 " ready\n", LABEL_COLUMNS, "replicas",
                   yyjson_get_uint(yyjson_obj_get(replicas, "ready")),
                   yyjson_get_uint(yyjson_obj_get(replicas, "wanted")));
}

static void put_size(yyjson_val *size, struct buf *out)
{
    if (!yyjson_is_uint(size))
        return;
    buf_printf(out, "  %-*s", LABEL_COLUMNS, "size");
    term_put_bytes(yyjson_get_uint(size), out);
    buf_putc(out, '\n');
}

// "engine  trees" and the fields below it, one a line.
static void put_object(const char *label, yyjson_val *object, struct buf *out)
{
    size_t i, n;
    yyjson_val *key, *value;
    char scratch[32];
    if (!yyjson_is_obj(object)) {
        put_line(label, cli_describe_scalar(object, scratch), out);
        return;
    }
    yyjson_obj_foreach(object, i, n, key, value)
    {
        if (sample_is_tensors(object) && yyjson_is_arr(value))
            continue; // inputs and outputs, which have lines of their own
        buf_printf(out, "  %-*s", LABEL_COLUMNS, i ? "" : label);
        term_put_safe(str_of(yyjson_get_str(key)), out);
        buf_puts(out, ": ");
        if (yyjson_is_obj(value) || yyjson_is_arr(value)) {
            size_t size;
            char *json = yyjson_val_write(value, 0, &size);
            term_put_safe((struct str){json, json ? size : 0}, out);
            free(json);
        } else {
            term_put_safe(str_of(cli_describe_scalar(value, scratch)), out);
        }
        buf_putc(out, '\n');
    }
}

// Why the version was rejected: one line a reason, and what to do.
static void put_reasons(yyjson_val *reasons, struct buf *out)
{
    size_t i, n;
    yyjson_val *reason;
    yyjson_arr_foreach(reasons, i, n, reason)
    {
        const char *hint = yyjson_get_str(yyjson_obj_get(reason, "hint"));
        buf_printf(out, "  %-*s", LABEL_COLUMNS, i ? "" : "rejected");
        term_put_safe(str_of(yyjson_get_str(yyjson_obj_get(reason, "step"))), out);
        buf_puts(out, ": ");
        term_put_safe(str_of(yyjson_get_str(yyjson_obj_get(reason, "message"))), out);
        buf_putc(out, '\n');
        put_line("", hint, out);
    }
}

// The files beside the model: "golden  golden.json, 2 kB".
static void put_files(yyjson_val *artifacts, struct buf *out)
{
    size_t i, n;
    yyjson_val *file;
    yyjson_arr_foreach(artifacts, i, n, file)
    {
        struct str role = str_of(yyjson_get_str(yyjson_obj_get(file, "role")));
        if (role.n == 0 || str_eq(role, STR("model")))
            continue;
        buf_printf(out, "  %-*.*s", LABEL_COLUMNS, (int)role.n, role.p);
        term_put_safe(str_of(yyjson_get_str(yyjson_obj_get(file, "name"))), out);
        buf_puts(out, ", ");
        term_put_bytes(yyjson_get_uint(yyjson_obj_get(file, "size")), out);
        buf_putc(out, '\n');
    }
}

void cli_describe_version(yyjson_val *version, struct buf *out)
{
    static const char *const FIELDS[] = {"state",      "serving",      "error",    "description", "created",
                                         "created_by", "trained_from", "replaces", "format",      "digest"};
    char scratch[32];
    yyjson_val *signature = yyjson_obj_get(version, "signature");
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++)
        put_line(FIELDS[i], cli_describe_scalar(yyjson_obj_get(version, FIELDS[i]), scratch), out);
    put_size(yyjson_obj_get(version, "size"), out);
    put_files(yyjson_obj_get(version, "artifacts"), out);
    put_reasons(yyjson_obj_get(version, "reasons"), out);
    if (sample_is_tensors(signature)) {
        put_tensors("inputs", yyjson_obj_get(signature, "inputs"), out);
        put_tensors("outputs", yyjson_obj_get(signature, "outputs"), out);
    } else {
        put_features(yyjson_obj_get(signature, "inputs"), out);
        put_output(yyjson_arr_get_first(yyjson_obj_get(signature, "outputs")), out);
    }
    put_replicas(yyjson_obj_get(version, "replicas"), out);
    put_object("settings", yyjson_obj_get(version, "settings"), out);
    put_object("engine", yyjson_obj_get(version, "engine"), out);
    if (yyjson_obj_size(yyjson_obj_get(version, "metrics")) > 0)
        put_object("metrics", yyjson_obj_get(version, "metrics"), out);
    if (yyjson_obj_size(yyjson_obj_get(version, "tags")) > 0)
        put_object("tags", yyjson_obj_get(version, "tags"), out);
}

// Text inside a shell's single quotes.
static void put_shell(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, text.p[i]);
}

// A value that the input's rule takes.
static void put_sample(yyjson_val *input, struct buf *row)
{
    yyjson_val *category = yyjson_arr_get_first(yyjson_obj_get(input, "categories")),
               *min = yyjson_obj_get(input, "min"), *max = yyjson_obj_get(input, "max"), *shown = NULL;
    if (category)
        shown = category;
    else if (min && yyjson_get_num(min) > 0)
        shown = min;
    else if (max && yyjson_get_num(max) < 0)
        shown = max;
    char *text = shown ? yyjson_val_write(shown, 0, NULL) : NULL;
    buf_puts(row, text ? text : yyjson_equals_str(yyjson_obj_get(input, "type"), "boolean") ? "false" : "0");
    free(text);
}

// The first row of the features: by name where they are few.
static void put_row(yyjson_val *inputs, struct buf *row)
{
    size_t i, n;
    yyjson_val *input;
    bool named = yyjson_arr_size(inputs) <= CURL_NAMED_MAX;
    buf_putc(row, named ? '{' : '[');
    yyjson_arr_foreach(inputs, i, n, input)
    {
        if (i)
            buf_putc(row, ',');
        if (named) {
            buf_put_json_str(row, str_of(yyjson_get_str(yyjson_obj_get(input, "name"))));
            buf_putc(row, ':');
        }
        put_sample(input, row);
    }
    buf_putc(row, named ? '}' : ']');
}

void cli_describe_curl(yyjson_val *version, const char *url, struct buf *out)
{
    yyjson_val *signature = yyjson_obj_get(version, "signature"),
               *inputs = yyjson_obj_get(signature, "inputs");
    bool tensors = sample_is_tensors(signature), whole = tensors && !sample_takes_rows(inputs);
    struct buf row;
    if (!yyjson_is_arr(inputs) ||
        (tensors ? sample_size(inputs) : yyjson_arr_size(inputs)) > CURL_FEATURES_MAX)
        return;
    buf_init(&row, 1 << 20); // of names, which may be long
    if (tensors)
        sample_put(inputs, whole, NULL, &row);
    else
        put_row(inputs, &row);
    if (whole && row.n > CURL_BYTES_MAX) {
        buf_done(&row);
        return;
    }
    buf_puts(out, "  curl '");
    put_shell(str_of(url), out);
    buf_printf(out, "' -H 'Content-Type: application/json' -d '{%s",
               whole ? "\"inputs\":" : "\"instances\":[");
    put_shell(buf_str(&row), out);
    buf_puts(out, whole ? "}'\n" : "]}'\n");
    buf_done(&row);
}

int cli_describe_table(yyjson_val *rows, const char *const *fields, const char *const *heads, size_t n,
                       struct buf *out, struct err *e)
{
    size_t i, n_values, n_lines = yyjson_arr_size(rows) + 1;
    yyjson_val *row;
    const char **cells = calloc(n_lines * n, sizeof *cells);
    char(*scratch)[32] = calloc(n_lines * n, sizeof *scratch);
    int rc = cells && scratch ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        memcpy(cells, heads, n * sizeof *cells);
        yyjson_arr_foreach(rows, i, n_values, row)
        {
            for (size_t c = 0, at = (i + 1) * n; c < n; c++, at++)
                cells[at] = cli_describe_scalar(yyjson_obj_get(row, fields[c]), scratch[at]);
        }
        term_put_table(cells, n_lines, n, out);
    }
    free(cells);
    free(scratch);
    return rc;
}

// SPDX-License-Identifier: Apache-2.0
// Predictions of a model of tensors: values, lists of them of any depth, or an object of those by output.
#include "cli/predict_tensors.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

// Walks over the values of one output. Without `values` it writes their names, so that both are in step.
struct walk {
    struct buf *out;
    bool values;
    uint32_t n; // values of the row so far
    struct str name;
    yyjson_val *labels;
};

// As RFC 4180 has it: quotes only where they are needed.
static void put_field(struct str text, struct buf *out)
{
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++)
        quoted |= strchr(",\"\r\n", text.p[i]) != NULL;
    if (!quoted) {
        buf_put_str(out, text);
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"')
            buf_putc(out, '"');
        buf_putc(out, text.p[i]);
    }
    buf_putc(out, '"');
}

static bool put_value(yyjson_val *v, struct buf *out)
{
    if (yyjson_is_raw(v))
        buf_put(out, yyjson_get_raw(v), yyjson_get_len(v));
    else if (yyjson_is_str(v))
        put_field((struct str){yyjson_get_str(v), yyjson_get_len(v)}, out);
    else if (yyjson_is_bool(v))
        buf_puts(out, yyjson_get_bool(v) ? "true" : "false");
    return !yyjson_is_ctn(v);
}

static void put_name(const struct walk *w, uint32_t at, bool alone)
{
    struct buf name;
    yyjson_val *label = yyjson_arr_get(w->labels, at);
    buf_init(&name, LIMIT_INTERFACE_BYTES);
    buf_put_str(&name, w->name);
    if (label) {
        buf_putc(&name, '_');
        buf_put(&name, yyjson_get_str(label), yyjson_get_len(label));
    } else if (!alone) {
        buf_printf(&name, "_%u", at);
    }
    put_field(buf_str(&name), w->out);
    w->out->failed |= name.failed;
    buf_done(&name);
}

// `first`: values of the row when the output began.
static bool put_nested(struct walk *w, yyjson_val *v, uint32_t first, bool alone)
{
    size_t i, n;
    yyjson_val *item;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, item)
        {
            if (!put_nested(w, item, first, false))
                return false;
        }
        return true;
    }
    if (w->n++)
        buf_putc(w->out, ',');
    if (w->values)
        return put_value(v, w->out);
    put_name(w, w->n - 1 - first, alone);
    return true;
}

static bool put_output(struct walk *w, yyjson_val *output, yyjson_val *v)
{
    yyjson_val *name = yyjson_obj_get(output, "name");
    w->name = (struct str){yyjson_get_str(name), yyjson_get_len(name)};
    w->labels = yyjson_obj_get(output, "labels");
    return put_nested(w, v, w->n, true);
}

// Of several outputs the model may leave some out.
static bool put_row(struct walk *w, yyjson_val *outputs, yyjson_val *row)
{
    size_t i, n;
    yyjson_val *output;
    if (yyjson_arr_size(outputs) == 1)
        return put_output(w, yyjson_arr_get_first(outputs), row);
    yyjson_arr_foreach(outputs, i, n, output)
    {
        yyjson_val *v = yyjson_obj_get(row, yyjson_get_str(yyjson_obj_get(output, "name")));
        if (v && !put_output(w, output, v))
            return false;
    }
    return true;
}

static bool put_json(yyjson_val *row, struct buf *out)
{
    size_t n;
    char *json = yyjson_val_write(row, YYJSON_WRITE_NOFLAG, &n);
    if (!json)
        out->failed = true;
    else
        buf_put(out, json, n);
    free(json);
    buf_putc(out, '\n');
    return true;
}

bool predict_tensors_put(struct predict_out *o, yyjson_val *row)
{
    struct walk values = {.out = &o->buffer, .values = true}, names = {.out = &o->buffer};
    if (o->jsonl)
        return put_json(row, &o->buffer);
    if (o->n_columns == 0) {
        if (!put_row(&names, o->outputs, row))
            return false;
        buf_putc(&o->buffer, '\n');
        o->n_columns = names.n;
    }
    size_t before = o->buffer.n;
    if (!put_row(&values, o->outputs, row) || values.n != o->n_columns || values.n == 0) {
        o->buffer.n = before;
        return false;
    }
    buf_putc(&o->buffer, '\n');
    return true;
}

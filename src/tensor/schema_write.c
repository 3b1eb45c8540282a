// SPDX-License-Identifier: Apache-2.0
// Writing a signature document.
#include "tensor/schema.h"

#include "base/num.h"
#include "tensor/signature.h"

#include <math.h>
#include <stdlib.h>

static void put_number(double v, struct buf *json)
{
    char text[NUM_TEXT_MAX];
    bool whole = v == (double)(int64_t)(v > -1e15 && v < 1e15 ? v : 0) && v > -1e15 && v < 1e15;
    size_t n = whole ? num_write_i64((int64_t)v, text) : num_write_double(v, text);
    buf_put(json, text, n);
}

static void put_member(const char *name, double v, struct buf *json)
{
    buf_printf(json, ",\"%s\":", name);
    put_number(v, json);
}

static void put_text(const char *name, struct str text, struct buf *json)
{
    if (!text.n)
        return;
    buf_printf(json, ",\"%s\":", name);
    buf_put_json_str(json, text);
}

static void put_texts(const char *name, const struct str *list, uint32_t n, struct buf *json)
{
    buf_printf(json, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_putc(json, ',');
        buf_put_json_str(json, list[i]);
    }
    buf_putc(json, ']');
}

static void put_numbers(const char *name, const double *list, uint32_t n, struct buf *json)
{
    buf_printf(json, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_putc(json, ',');
        put_number(list[i], json);
    }
    buf_putc(json, ']');
}

static void put_shape(const struct schema_column *c, struct buf *json)
{
    if (c->any_shape)
        buf_puts(json, ",\"any_shape\":true");
    if (!c->has_shape)
        return;
    buf_puts(json, ",\"shape\":[");
    for (uint32_t i = 0; i < c->n_dims; i++)
        buf_printf(json, "%s%lld", i ? "," : "", (long long)c->shape[i]);
    buf_putc(json, ']');
}

static void put_column(const struct schema_column *c, struct buf *json)
{
    buf_puts(json, "{\"name\":");
    buf_put_json_str(json, c->name);
    if (c->dtype != DTYPE_NONE)
        buf_printf(json, ",\"datatype\":\"%s\"", dtype_name(c->dtype));
    put_shape(c, json);
    if (c->type)
        buf_printf(json, ",\"type\":\"%s\"", schema_type_name(c->type));
    if (c->missing)
        buf_printf(json, ",\"missing\":%s", c->missing == SCHEMA_YES ? "true" : "false");
    if (c->optional)
        buf_puts(json, ",\"optional\":true");
    if (c->categorical)
        buf_puts(json, ",\"categorical\":true");
    if (c->has_categories && c->numeric)
        put_numbers("categories", c->codes, c->n_categories, json);
    else if (c->has_categories)
        put_texts("categories", c->categories, c->n_categories, json);
    if (c->has_codes)
        put_numbers("codes", c->codes, c->n_categories, json);
    if (c->has_min)
        put_member("min", c->min, json);
    if (c->has_max)
        put_member("max", c->max, json);
    if (c->mode)
        buf_printf(json, ",\"mode\":\"%s\"", schema_mode_name(c->mode));
    if (c->was_seen)
        put_numbers("seen", (const double[]){c->seen_min, c->seen_max}, 2, json);
    if (c->n_labels)
        put_texts("labels", c->labels, c->n_labels, json);
    put_text("description", c->description, json);
    put_text("unit", c->unit, json);
    put_text("log", c->log, json);
    buf_putc(json, '}');
}

static void put_columns(const char *name, const struct schema_column *list, uint32_t n, struct buf *json)
{
    buf_printf(json, "\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_putc(json, ',');
        put_column(&list[i], json);
    }
    buf_putc(json, ']');
}

void schema_write(const struct schema *s, struct str changes, struct buf *json)
{
    buf_putc(json, '{');
    if (s->platform.n) {
        buf_puts(json, "\"platform\":");
        buf_put_json_str(json, s->platform);
        buf_putc(json, ',');
    }
    if (s->tensors)
        buf_printf(json, "\"max_batch_rows\":%llu,", (unsigned long long)s->max_batch_rows);
    put_columns("inputs", s->inputs, s->n_inputs, json);
    buf_putc(json, ',');
    put_columns("outputs", s->outputs, s->n_outputs, json);
    if (!s->tensors)
        buf_printf(json, ",\"named\":%s%s", s->named ? "true" : "false",
                   s->renamed ? ",\"renamed\":true" : "");
    if (changes.n) {
        buf_puts(json, ",\"changes\":");
        buf_put_str(json, changes);
    }
    buf_putc(json, '}');
}

// {"name":"age","datatype":"FP32","type":"number","missing":true}
static struct schema_column column_of(const struct signature *s, const struct feature *f)
{
    struct schema_column c = {.name = f->name,
                              .dtype = s->input_dtype,
                              .type = f->categorical               ? SCHEMA_CATEGORY
                                      : f->type == FEATURE_INTEGER ? SCHEMA_INTEGER
                                      : f->type == FEATURE_BOOLEAN ? SCHEMA_BOOLEAN
                                                                   : SCHEMA_NUMBER,
                              .missing = f->may_be_missing ? SCHEMA_YES : SCHEMA_NO,
                              .categorical = f->categorical,
                              .was_seen = f->was_seen && isfinite(f->seen_min) && isfinite(f->seen_max),
                              .seen_min = f->seen_min,
                              .seen_max = f->seen_max};
    if (f->categories) {
        c.type = SCHEMA_CATEGORY;
        c.has_categories = true;
        c.categories = f->categories->names;
        c.n_categories = f->categories->n;
    }
    return c;
}

void schema_write_signature(const struct signature *s, struct buf *json)
{
    struct schema_column *inputs = calloc(s->n_features, sizeof *inputs);
    struct schema_column output = {.name = str_of(s->output_name),
                                   .dtype = s->output_dtype,
                                   .has_shape = true,
                                   .n_dims = s->n_outputs > 1 || s->output_is_vector ? 2 : 1,
                                   .shape = {-1, s->n_outputs}};
    if (!inputs) {
        json->failed = true;
        return;
    }
    for (uint32_t i = 0; i < s->n_features; i++)
        inputs[i] = column_of(s, &s->features[i]);
    const struct schema schema = {
        .inputs = inputs, .n_inputs = s->n_features, .outputs = &output, .n_outputs = 1, .named = s->named};
    schema_write(&schema, STR(""), json);
    free(inputs);
}

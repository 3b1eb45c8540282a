// SPDX-License-Identifier: Apache-2.0
// Writing a signature document.
#include "tensor/schema.h"

#include "base/num.h"

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

// SPDX-License-Identifier: Apache-2.0
#include "cli/log_text.h"

#include "cli/term.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { VALUES_MAX = 6 };

static void put_json(yyjson_val *v, struct buf *out)
{
    size_t n = 0;
    char *text = yyjson_is_null(v) ? NULL : yyjson_val_write(v, 0, &n);
    if (yyjson_is_str(v))
        term_put_safe((struct str){yyjson_get_str(v), yyjson_get_len(v)}, out);
    else
        term_put_safe(text ? (struct str){text, n} : STR("-"), out);
    free(text);
}

static void put_field(yyjson_val *line, const char *name, struct buf *out)
{
    yyjson_val *v = yyjson_obj_get(line, name);
    if (v)
        put_json(v, out);
}

static void put_values(yyjson_val *object, struct buf *out)
{
    size_t i, n;
    yyjson_val *key, *v;
    yyjson_obj_foreach(object, i, n, key, v)
    {
        if (i == VALUES_MAX) {
            buf_printf(out, " (%zu more)", n - i);
            return;
        }
        buf_putc(out, ' ');
        put_json(key, out);
        buf_putc(out, '=');
        put_json(v, out);
    }
}

static void put_gap(yyjson_val *line, struct buf *out)
{
    yyjson_val *records = yyjson_obj_get(line, "records");
    buf_puts(out, "  GAP  ");
    if (yyjson_is_null(records))
        buf_puts(out, "records, how many is unknown,");
    else
        put_json(records, out), buf_puts(out, " records");
    buf_puts(out, " are missing: ");
    put_field(line, "reason", out);
    buf_putc(out, '\n');
}

void log_text_put(struct yyjson_val *line, struct buf *out)
{
    yyjson_val *error = yyjson_obj_get(line, "error");
    put_field(line, "time", out);
    if (yyjson_equals_str(yyjson_obj_get(line, "kind"), "gap")) {
        put_gap(line, out);
        return;
    }
    buf_puts(out, "  ");
    put_field(line, "model", out);
    buf_putc(out, '/');
    put_field(line, "version", out);
    buf_puts(out, "  ");
    put_field(line, "status", out);
    buf_puts(out, "  ");
    put_field(line, "latency_us", out);
    buf_puts(out, " us  ");
    put_field(line, "id", out);
    if (yyjson_is_str(error)) {
        buf_puts(out, "  ");
        put_json(error, out);
    }
    buf_puts(out, " ");
    put_values(yyjson_obj_get(line, "inputs"), out);
    if (yyjson_obj_size(yyjson_obj_get(line, "outputs"))) {
        buf_puts(out, " ->");
        put_values(yyjson_obj_get(line, "outputs"), out);
    }
    buf_putc(out, '\n');
}

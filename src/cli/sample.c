// SPDX-License-Identifier: Apache-2.0
// Made-up inputs, after the datatypes and shapes that the server says.
#include "cli/sample.h"

#include <string.h>

bool sample_is_tensors(yyjson_val *signature)
{
    yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(signature, "inputs"));
    return yyjson_obj_get(first, "shape") || yyjson_obj_get(first, "any_shape");
}

static bool is_optional(yyjson_val *input)
{
    return yyjson_is_true(yyjson_obj_get(input, "optional"));
}

bool sample_takes_rows(yyjson_val *inputs)
{
    size_t i, n;
    yyjson_val *input;
    yyjson_arr_foreach(inputs, i, n, input)
    {
        yyjson_val *rows = yyjson_arr_get_first(yyjson_obj_get(input, "shape"));
        if (!is_optional(input) && (!rows || (yyjson_get_sint(rows) != -1 && yyjson_get_sint(rows) != 1)))
            return false;
    }
    return true;
}

static uint64_t dim(yyjson_val *shape, size_t k)
{
    int64_t d = yyjson_get_sint(yyjson_arr_get(shape, k));
    return d < 0 ? 1 : (uint64_t)d;
}

uint64_t sample_size(yyjson_val *inputs)
{
    uint64_t total = 0;
    size_t i, n;
    yyjson_val *input;
    yyjson_arr_foreach(inputs, i, n, input)
    {
        yyjson_val *shape = yyjson_obj_get(input, "shape");
        uint64_t values = 1;
        if (is_optional(input))
            continue;
        for (size_t k = 1; k < yyjson_arr_size(shape); k++)
            if (__builtin_mul_overflow(values, dim(shape, k), &values))
                return UINT64_MAX;
        if (__builtin_add_overflow(total, values, &total))
            return UINT64_MAX;
    }
    return total;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    return z ^ z >> 27;
}

// Floats of the sizes that features have: a threshold of any size then divides them.
static void put_value(const char *type, uint64_t *state, struct buf *out)
{
    static const double sizes[] = {1, 1, 10, 100, 1000};
    uint64_t x = state ? random_next(state) : 0;
    if (type && strcmp(type, "BYTES") == 0)
        buf_printf(out, "\"%c\"", (int)('a' + (x >> 40) % 5));
    else if (type && strcmp(type, "BOOL") == 0)
        buf_puts(out, x >> 40 & 1 ? "true" : "false");
    else if (!state)
        buf_putc(out, '0');
    else if (type && (strstr(type, "INT")))
        buf_putc(out, x >> 40 & 1 ? '1' : '0');
    else
        buf_printf(out, "%.4g",
                   (double)(x >> 40) * 0x1p-24 * sizes[x % 5] * (x & 0x100 && x & 0x200 ? -1 : 1));
}

static void put_nested(yyjson_val *input, size_t k, uint64_t *state, struct buf *out)
{
    yyjson_val *shape = yyjson_obj_get(input, "shape");
    if (k >= yyjson_arr_size(shape)) {
        put_value(yyjson_get_str(yyjson_obj_get(input, "datatype")), state, out);
        return;
    }
    buf_putc(out, '[');
    for (uint64_t i = 0; i < dim(shape, k) && !out->failed; i++) {
        if (i)
            buf_putc(out, ',');
        put_nested(input, k + 1, state, out);
    }
    buf_putc(out, ']');
}

void sample_put(yyjson_val *inputs, bool whole, uint64_t *state, struct buf *out)
{
    size_t i, n;
    yyjson_val *input;
    const char *comma = "{";
    if (yyjson_arr_size(inputs) == 1) {
        put_nested(yyjson_arr_get_first(inputs), !whole, state, out);
        return;
    }
    yyjson_arr_foreach(inputs, i, n, input)
    {
        if (is_optional(input))
            continue;
        buf_puts(out, comma);
        buf_put_json_str(out, (struct str){yyjson_get_str(yyjson_obj_get(input, "name")),
                                           yyjson_get_len(yyjson_obj_get(input, "name"))});
        buf_putc(out, ':');
        put_nested(input, !whole, state, out);
        comma = ",";
    }
    buf_puts(out, *comma == '{' ? "{}" : "}");
}

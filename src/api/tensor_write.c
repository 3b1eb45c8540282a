// SPDX-License-Identifier: Apache-2.0
// Writing of values. The memory may be another process's: every length is loaded once and checked against
// what is left.
#include "api/tensor_write.h"

#include "api/base64.h"
#include "base/num.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

// The next string of a BYTES tensor. False when the lengths are not those that were checked.
static bool next_string(const struct tensor *t, size_t *at, struct str *ret)
{
    uint32_t length;
    if (t->bytes - *at < sizeof length)
        return false;
    const char *p = (const char *)t->data + *at;
    const volatile uint8_t *size = (const volatile uint8_t *)p;
    length = (uint32_t)size[0] | (uint32_t)size[1] << 8 | (uint32_t)size[2] << 16 | (uint32_t)size[3] << 24;
    if (t->bytes - *at - sizeof length < length)
        return false;
    *ret = (struct str){p + sizeof length, length};
    *at += sizeof length + length;
    return true;
}

static bool is_utf8(struct str s)
{
    while (s.n > 0) {
        size_t n = (uint8_t)*s.p < 0x80 ? 1 : str_utf8_len(s);
        if (n == 0)
            return false;
        s.p += n;
        s.n -= n;
    }
    return true;
}

void tensor_write_init(struct tensor_write *w, const struct tensor *t, struct buf *out)
{
    struct str s;
    size_t at = 0;
    *w = (struct tensor_write){.t = t, .out = out};
    while (t->dtype == DTYPE_BYTES && !w->base64 && next_string(t, &at, &s))
        w->base64 = !is_utf8(s);
}

static void put_string(struct tensor_write *w)
{
    struct str s;
    if (!next_string(w->t, &w->at, &s)) {
        w->out->failed = true;
        return;
    }
    if (!w->base64) {
        buf_put_json_str(w->out, s);
        return;
    }
    buf_putc(w->out, '"');
    base64_encode(s, w->out);
    buf_putc(w->out, '"');
}

// Decimal digits at p, whose length is returned.
static size_t write_u64(uint64_t v, char *p)
{
    if (v <= INT64_MAX)
        return num_write_i64((int64_t)v, p);
    size_t n = num_write_i64((int64_t)(v / 10), p);
    p[n] = (char)('0' + v % 10);
    return n + 1;
}

static size_t write_word(const char *word, char *p)
{
    size_t n = strlen(word);
    memcpy(p, word, n);
    return n;
}

static size_t write_double(double v, char *p)
{
    return isfinite(v) ? num_write_double(v, p) : write_word("null", p);
}

static size_t write_float(float v, char *p)
{
    return isfinite(v) ? num_write_float(v, p) : write_word("null", p);
}

// Element i of a tensor whose elements have a size.
static size_t write_value(const struct tensor *t, size_t i, char *p)
{
    const void *data = t->data;
    switch (t->dtype) {
    case DTYPE_BOOL:
        return write_word(((const uint8_t *)data)[i] ? "true" : "false", p);
    case DTYPE_UINT8:
        return num_write_i64(((const uint8_t *)data)[i], p);
    case DTYPE_UINT16:
        return num_write_i64(((const uint16_t *)data)[i], p);
    case DTYPE_UINT32:
        return num_write_i64(((const uint32_t *)data)[i], p);
    case DTYPE_UINT64:
        return write_u64(((const uint64_t *)data)[i], p);
    case DTYPE_INT8:
        return num_write_i64(((const int8_t *)data)[i], p);
    case DTYPE_INT16:
        return num_write_i64(((const int16_t *)data)[i], p);
    case DTYPE_INT32:
        return num_write_i64(((const int32_t *)data)[i], p);
    case DTYPE_INT64:
        return num_write_i64(((const int64_t *)data)[i], p);
    case DTYPE_FP16:
        return write_float((float)half_to_double(((const uint16_t *)data)[i]), p);
    case DTYPE_FP32:
        return write_float(((const float *)data)[i], p);
    default:
        return write_double(((const double *)data)[i], p);
    }
}

void tensor_write_values(struct tensor_write *w, uint64_t n)
{
    enum { CHUNK = 64 };
    size_t size = dtype_size(w->t->dtype), index = size ? w->at / size : 0;
    for (uint64_t i = 0; size == 0 && i < n && !w->out->failed; i++) {
        if (i)
            buf_putc(w->out, ',');
        put_string(w);
    }
    for (uint64_t i = 0; size && i < n;) {
        uint64_t end = n - i < CHUNK ? n : i + CHUNK;
        char *p = buf_reserve(w->out, CHUNK * (NUM_TEXT_MAX + 1)), *start = p;
        if (!p)
            return;
        for (; i < end; i++) {
            *p = ',';
            p += i > 0;
            p += write_value(w->t, index++, p);
        }
        buf_advance(w->out, (size_t)(p - start));
    }
    if (size)
        w->at = index * size;
}

void tensor_write_nested(struct tensor_write *w, uint32_t level)
{
    const struct tensor *t = w->t;
    if (level == t->n_dims) {
        bool b64 = w->base64;
        if (b64)
            buf_puts(w->out, "{\"b64\":");
        tensor_write_values(w, 1);
        if (b64)
            buf_putc(w->out, '}');
        return;
    }
    buf_putc(w->out, '[');
    if (level + 1 == t->n_dims && !w->base64) {
        tensor_write_values(w, (uint64_t)t->shape[level]);
    } else {
        for (int64_t i = 0; i < t->shape[level] && !w->out->failed; i++) {
            if (i)
                buf_putc(w->out, ',');
            tensor_write_nested(w, level + 1);
        }
    }
    buf_putc(w->out, ']');
}

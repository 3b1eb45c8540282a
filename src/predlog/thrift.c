// SPDX-License-Identifier: Apache-2.0
// Numbers are zigzag varints; a field's head is its distance to the one before, where that is small.
#include "predlog/thrift.h"

#include "base/assert.h"

enum {
    TYPE_TRUE = 1,
    TYPE_FALSE = 2,
    TYPE_I32 = 5,
    TYPE_I64 = 6,
    TYPE_TEXT = 8,
    TYPE_LIST = 9,
    TYPE_STRUCT = 12
};

static void varint(struct thrift *t, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_putc(t->out, (char)(v | 0x80));
    buf_putc(t->out, (char)v);
}

static void zigzag(struct thrift *t, int64_t v)
{
    varint(t, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void field_head(struct thrift *t, int16_t field, int type)
{
    int distance = field - t->last[t->depth];
    ASSERT(distance > 0 && distance < 16);
    buf_putc(t->out, (char)(distance << 4 | type));
    t->last[t->depth] = field;
}

void thrift_i32(struct thrift *t, int16_t field, int32_t v)
{
    field_head(t, field, TYPE_I32);
    zigzag(t, v);
}

void thrift_i64(struct thrift *t, int16_t field, int64_t v)
{
    field_head(t, field, TYPE_I64);
    zigzag(t, v);
}

void thrift_bool(struct thrift *t, int16_t field, bool v)
{
    field_head(t, field, v ? TYPE_TRUE : TYPE_FALSE);
}

void thrift_text(struct thrift *t, int16_t field, struct str v)
{
    field_head(t, field, TYPE_TEXT);
    thrift_element_text(t, v);
}

void thrift_struct(struct thrift *t, int16_t field)
{
    if (field)
        field_head(t, field, TYPE_STRUCT);
    t->depth++;
    ASSERT(t->depth < (int)(sizeof t->last / sizeof t->last[0]));
    t->last[t->depth] = 0;
}

void thrift_end(struct thrift *t)
{
    buf_putc(t->out, 0);
    t->depth--;
}

void thrift_list(struct thrift *t, int16_t field, enum thrift_element element, uint32_t n)
{
    field_head(t, field, TYPE_LIST);
    if (n < 15) {
        buf_putc(t->out, (char)(n << 4 | (uint32_t)element));
    } else {
        buf_putc(t->out, (char)(0xf0 | (uint32_t)element));
        varint(t, n);
    }
}

void thrift_element_i32(struct thrift *t, int32_t v)
{
    zigzag(t, v);
}

void thrift_element_text(struct thrift *t, struct str v)
{
    varint(t, v.n);
    buf_put_str(t->out, v);
}

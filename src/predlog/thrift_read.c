// SPDX-License-Identifier: Apache-2.0
// Every element takes at least a byte, so that no count makes more work than there are bytes.
#include "predlog/thrift_read.h"

enum { DEPTH_MAX = 16 };

static uint8_t byte(struct thrift_in *t)
{
    if (t->failed || t->p == t->end) {
        t->failed = true;
        return 0;
    }
    return *t->p++;
}

static uint64_t varint(struct thrift_in *t)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = byte(t);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
    t->failed = true;
    return 0;
}

static int64_t zigzag(struct thrift_in *t)
{
    uint64_t v = varint(t);
    return (int64_t)(v >> 1 ^ -(v & 1));
}

static void pass(struct thrift_in *t, uint64_t n)
{
    if (n > (uint64_t)(t->end - t->p))
        t->failed = true;
    else
        t->p += n;
}

bool thrift_in_field(struct thrift_in *t, int16_t *id, enum thrift_type *type)
{
    uint8_t head = byte(t);
    *type = (enum thrift_type)(head & 15);
    if (t->failed || *type == THRIFT_IN_STOP)
        return false;
    int64_t next = head >> 4 ? *id + (head >> 4) : zigzag(t);
    if (*type > THRIFT_IN_STRUCT || next < INT16_MIN || next > INT16_MAX)
        t->failed = true;
    *id = (int16_t)next;
    return !t->failed;
}

int64_t thrift_in_int(struct thrift_in *t, enum thrift_type type)
{
    if (type == THRIFT_IN_BYTE)
        return (int8_t)byte(t);
    if (type >= THRIFT_IN_I16 && type <= THRIFT_IN_I64)
        return zigzag(t);
    t->failed = true;
    return 0;
}

bool thrift_in_bool(struct thrift_in *t, enum thrift_type type)
{
    t->failed |= type != THRIFT_IN_TRUE && type != THRIFT_IN_FALSE;
    return type == THRIFT_IN_TRUE;
}

struct str thrift_in_text(struct thrift_in *t, enum thrift_type type)
{
    t->failed |= type != THRIFT_IN_TEXT;
    uint64_t n = varint(t);
    struct str text = {(const char *)t->p, n};
    pass(t, n);
    return t->failed ? (struct str){"", 0} : text;
}

uint32_t thrift_in_list(struct thrift_in *t, enum thrift_type type, enum thrift_type *element)
{
    uint8_t head = byte(t);
    uint64_t n = head >> 4 == 15 ? varint(t) : head >> 4;
    *element = (enum thrift_type)(head & 15);
    t->failed |= type != THRIFT_IN_LIST || *element == THRIFT_IN_STOP || *element > THRIFT_IN_STRUCT ||
                 n > (uint64_t)(t->end - t->p) || n > UINT32_MAX;
    return t->failed ? 0 : (uint32_t)n;
}

static void skip(struct thrift_in *t, enum thrift_type type, bool is_element, int depth);

static void skip_map(struct thrift_in *t, int depth)
{
    uint64_t n = varint(t);
    uint8_t types = n ? byte(t) : 0;
    for (uint64_t i = 0; i < n && !t->failed; i++) {
        skip(t, (enum thrift_type)(types >> 4), true, depth);
        skip(t, (enum thrift_type)(types & 15), true, depth);
    }
}

static void skip(struct thrift_in *t, enum thrift_type type, bool is_element, int depth)
{
    enum thrift_type inner;
    int16_t id = 0;
    uint32_t n;
    if (depth > DEPTH_MAX) {
        t->failed = true;
        return;
    }
    switch (type) {
    case THRIFT_IN_TRUE:
    case THRIFT_IN_FALSE:
        if (is_element)
            (void)byte(t);
        return;
    case THRIFT_IN_BYTE:
        (void)byte(t);
        return;
    case THRIFT_IN_I16:
    case THRIFT_IN_I32:
    case THRIFT_IN_I64:
        (void)varint(t);
        return;
    case THRIFT_IN_DOUBLE:
        pass(t, 8);
        return;
    case THRIFT_IN_TEXT:
        (void)thrift_in_text(t, type);
        return;
    case THRIFT_IN_LIST:
    case THRIFT_IN_SET:
        n = thrift_in_list(t, THRIFT_IN_LIST, &inner);
        while (n-- && !t->failed)
            skip(t, inner, true, depth + 1);
        return;
    case THRIFT_IN_MAP:
        skip_map(t, depth + 1);
        return;
    case THRIFT_IN_STRUCT:
        while (thrift_in_field(t, &id, &inner))
            skip(t, inner, false, depth + 1);
        return;
    default:
        t->failed = true;
    }
}

void thrift_in_skip(struct thrift_in *t, enum thrift_type type)
{
    skip(t, type, false, 0);
}

void thrift_in_skip_element(struct thrift_in *t, enum thrift_type type)
{
    skip(t, type, true, 0);
}

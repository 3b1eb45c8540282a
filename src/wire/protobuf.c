// SPDX-License-Identifier: Apache-2.0
// The wire types that are needed: varint, 64 bits, bytes with their length.
#include "wire/protobuf.h"

#include <string.h>

enum wire_type { VARINT = 0, BITS_64 = 1, BYTES = 2 };
enum { VARINT_MAX = 10, DOUBLE_BYTES = 8 };

void protobuf_varint(struct buf *out, uint64_t value)
{
    unsigned char bytes[VARINT_MAX];
    size_t n = 0;
    for (; value > 0x7f; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    buf_put(out, bytes, n);
}

static void put_tag(struct buf *out, uint32_t field, enum wire_type type)
{
    protobuf_varint(out, (uint64_t)field << 3 | type);
}

void protobuf_u64(struct buf *out, uint32_t field, uint64_t value)
{
    put_tag(out, field, VARINT);
    protobuf_varint(out, value);
}

void protobuf_sint(struct buf *out, uint32_t field, int64_t value)
{
    protobuf_u64(out, field, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

void protobuf_double(struct buf *out, uint32_t field, double value)
{
    unsigned char bytes[DOUBLE_BYTES];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < DOUBLE_BYTES; i++)
        bytes[i] = (unsigned char)(bits >> 8 * i);
    put_tag(out, field, BITS_64);
    buf_put(out, bytes, sizeof bytes);
}

void protobuf_bytes(struct buf *out, uint32_t field, struct str value)
{
    put_tag(out, field, BYTES);
    protobuf_varint(out, value.n);
    buf_put_str(out, value);
}

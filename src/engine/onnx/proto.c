// SPDX-License-Identifier: Apache-2.0
// The wire format's reader. Groups, which ONNX never had, count as broken.
#include "engine/onnx/proto.h"

enum { VARINT_BYTES_MAX = 10 };

struct proto proto_of(struct str message)
{
    const uint8_t *p = (const uint8_t *)message.p;
    return (struct proto){.p = p, .end = message.n ? p + message.n : p};
}

static bool fail(struct proto *in, bool cut)
{
    in->broken = true;
    in->cut = cut;
    in->p = in->end;
    return false;
}

static bool varint(struct proto *in, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        if (in->p == in->end)
            return fail(in, true);
        uint8_t b = *in->p++;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return fail(in, false);
}

static bool take(struct proto *in, uint64_t n, struct str *ret)
{
    if (n > (uint64_t)(in->end - in->p))
        return fail(in, true);
    *ret = (struct str){(const char *)in->p, (size_t)n};
    in->p += n;
    return true;
}

bool proto_next(struct proto *in, struct proto_field *ret)
{
    uint64_t tag, n;
    if (in->p == in->end)
        return false;
    *ret = (struct proto_field){.at = in->p};
    if (!varint(in, &tag))
        return false;
    if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return fail(in, false);
    ret->number = (uint32_t)(tag >> 3);
    ret->wire = (enum proto_wire)(tag & 7);
    switch (ret->wire) {
    case PROTO_VARINT:
        return varint(in, &ret->value);
    case PROTO_FIXED64:
        return take(in, 8, &ret->bytes);
    case PROTO_FIXED32:
        return take(in, 4, &ret->bytes);
    case PROTO_BYTES:
        return varint(in, &n) && take(in, n, &ret->bytes);
    }
    return fail(in, false);
}

bool proto_is_bytes(const struct proto_field *f, uint32_t number)
{
    return f->number == number && f->wire == PROTO_BYTES;
}

bool proto_packed(struct str *rest, uint64_t *ret)
{
    struct proto in = proto_of(*rest);
    if (in.p == in.end || !varint(&in, ret))
        return false;
    *rest = (struct str){(const char *)in.p, (size_t)(in.end - in.p)};
    return true;
}

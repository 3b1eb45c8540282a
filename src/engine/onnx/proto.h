// SPDX-License-Identifier: Apache-2.0
// Reading Protocol Buffers' wire format, as far as ONNX's messages need it: field by field, nothing is
// copied. Only what ONNX Runtime does not tell is read here (scan.h); the model itself is parsed by the
// library. Source: protobuf.dev/programming-guides/encoding.
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum proto_wire { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct proto {
    const uint8_t *p, *end;
    bool broken; // the bytes are not a message; there are no further fields
    bool cut;    // broken because a field goes past the end
};

struct proto_field {
    uint32_t number;
    enum proto_wire wire;
    uint64_t value;    // of a varint
    struct str bytes;  // of PROTO_BYTES: text or a message; of the fixed ones their 4 or 8 bytes
    const uint8_t *at; // its first byte, the tag
};

struct proto proto_of(struct str message);
// The next field; false at the end and when the message is broken.
bool proto_next(struct proto *in, struct proto_field *ret);
// Whether the field is a message or text of that number.
bool proto_is_bytes(const struct proto_field *f, uint32_t number);
// Takes one varint off a packed list; false at its end or when it is broken.
bool proto_packed(struct str *rest, uint64_t *ret);

// SPDX-License-Identifier: Apache-2.0
// Fields of Protocol Buffers messages, appended to a buffer. A message within a message is written to a
// buffer of its own first, because its length comes before it.
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdint.h>

void protobuf_varint(struct buf *out, uint64_t value);              // without a field
void protobuf_u64(struct buf *out, uint32_t field, uint64_t value); // uint32, enum, too
void protobuf_sint(struct buf *out, uint32_t field, int64_t value); // sint32, sint64
void protobuf_double(struct buf *out, uint32_t field, double value);
void protobuf_bytes(struct buf *out, uint32_t field, struct str value); // string, message, too

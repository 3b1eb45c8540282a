// SPDX-License-Identifier: Apache-2.0
// The compact protocol of Thrift, as far as the metadata of Parquet needs it: structs, lists, integers,
// texts.
#pragma once

#include "base/buf.h"

struct thrift {
    struct buf *out;
    int16_t last[8]; // field ids, by depth
    int depth;
};

void thrift_i32(struct thrift *t, int16_t field, int32_t v);
void thrift_i64(struct thrift *t, int16_t field, int64_t v);
void thrift_bool(struct thrift *t, int16_t field, bool v);
void thrift_text(struct thrift *t, int16_t field, struct str v);
// A struct as a field, or as an element of a list (field 0); ended by thrift_end.
void thrift_struct(struct thrift *t, int16_t field);
void thrift_end(struct thrift *t);
// The head of a list; its elements follow.
enum thrift_element { THRIFT_I32 = 5, THRIFT_TEXT = 8, THRIFT_STRUCT = 12 };
void thrift_list(struct thrift *t, int16_t field, enum thrift_element element, uint32_t n);
void thrift_element_i32(struct thrift *t, int32_t v);
void thrift_element_text(struct thrift *t, struct str v);

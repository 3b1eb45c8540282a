// SPDX-License-Identifier: Apache-2.0
// Reading the compact protocol of Thrift, as far as the metadata of Parquet needs it. The bytes are nobody's
// word: what runs over their end, or is of another type than asked for, sets `failed`, and from then on
// everything reads as zero and structs end.
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct thrift_in {
    const uint8_t *p, *end;
    bool failed;
};

enum thrift_type {
    THRIFT_IN_STOP,
    THRIFT_IN_TRUE,
    THRIFT_IN_FALSE,
    THRIFT_IN_BYTE,
    THRIFT_IN_I16,
    THRIFT_IN_I32,
    THRIFT_IN_I64,
    THRIFT_IN_DOUBLE,
    THRIFT_IN_TEXT,
    THRIFT_IN_LIST,
    THRIFT_IN_SET,
    THRIFT_IN_MAP,
    THRIFT_IN_STRUCT,
};

// A field of the struct at hand: its type, and its number in *id, which is 0 before the first. false: the
// end. Its value is to be taken or skipped before the next.
bool thrift_in_field(struct thrift_in *t, int16_t *id, enum thrift_type *type);
int64_t thrift_in_int(struct thrift_in *t, enum thrift_type type); // of any width
bool thrift_in_bool(struct thrift_in *t, enum thrift_type type);
struct str thrift_in_text(struct thrift_in *t, enum thrift_type type); // borrowed
// The head of a list: how many follow, of which type; never more than there are bytes.
uint32_t thrift_in_list(struct thrift_in *t, enum thrift_type type, enum thrift_type *element);
void thrift_in_skip(struct thrift_in *t, enum thrift_type type);
// The same of an element of a list, whose booleans take a byte.
void thrift_in_skip_element(struct thrift_in *t, enum thrift_type type);

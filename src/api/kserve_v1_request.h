// SPDX-License-Identifier: Apache-2.0
// The frame of a V1 request and of its answer by columns, which are the same for models of rows and of
// tensors. Private to src/api.
#pragma once

#include "api/values.h"

// A codec: reads the value that starts here, whose kind was looked at.
struct v1_codec {
    int (*read_instances)(void *context, struct err *e); // an array
    int (*read_inputs)(void *context, enum json_kind kind, struct err *e);
};

// Reads the whole body. Paths of errors go from the request on.
int v1_request_decode(struct decode *d, const struct v1_codec *codec, void *context,
                      struct err *e) ERR_CHECKED;

// An answer by columns: begin, write the values, end with what begin returned. TensorFlow's clients read them
// as `outputs`, KServe's as `predictions`, so they stand twice.
size_t v1_answer_columns(struct buf *out);
void v1_answer_columns_end(struct buf *out, size_t from);

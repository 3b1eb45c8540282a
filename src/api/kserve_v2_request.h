// SPDX-License-Identifier: Apache-2.0
// The frame of an Open Inference request, which is the same for models of rows and of tensors: its fields,
// its list of inputs, the fields of each, its list of outputs. What an input means, and what is an output,
// says the codec. Private to src/api.
#pragma once

#include "api/values.h"

struct v2_input {
    struct str name;
    enum dtype dtype;
    uint32_t n_dims;
    int64_t shape[TENSOR_DIMS_MAX];
    const char *data; // where it starts, if it came before what is needed to read it
};

// A codec. Each is called once for what it takes and returns 0 or an error, whose path is completed.
struct v2_codec {
    // More in `parameters` of an input (kserve_v2_parameters.h).
    unsigned input_parameters;
    // `shape` and `datatype`: the value that starts here.
    int (*read_shape)(struct decode *d, struct v2_input *in, struct err *e);
    int (*read_datatype)(struct decode *d, struct v2_input *in, struct err *e);
    // `data` of an input all of whose other fields are known; the path begins with that of the input's field.
    int (*read_data)(void *context, const struct v2_input *in, struct err *e);
    int (*inputs_end)(void *context, struct err *e); // all of the request was read
    int (*want_output)(void *context, struct str name, struct err *e);
};

struct v2_request {
    struct decode *d;
    const struct v2_codec *codec;
    void *context;                // of the codec's functions
    struct str id;                // in the arena; empty when absent
    uint32_t n_inputs, n_outputs; // that were read so far
};

// Reads the whole body. Paths of errors go from the request on.
int v2_request_decode(struct v2_request *r, struct err *e) ERR_CHECKED;

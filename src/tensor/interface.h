// SPDX-License-Identifier: Apache-2.0
// What a model of tensors takes and gives: named inputs and outputs with datatype and shape. Models of rows
// (trees) have a signature instead, see signature.h.
#pragma once

#include "base/buf.h"
#include "tensor/tensor.h"

#include <stdbool.h>

struct rule;

struct tensor_spec {
    struct str name; // unique among inputs, or among outputs
    enum dtype dtype;
    uint32_t n_dims;
    int64_t shape[TENSOR_DIMS_MAX]; // -1: any size
    bool optional;                  // an input that a request may leave out
    bool any_shape;                 // of any rank (an output's is known only when computed); n_dims is 0
    struct str *labels;             // (n_labels) class of each column of a score; NULL where unknown
    uint32_t n_labels;
    const struct rule *rule; // NULL: values are not looked at; set by rules_bind_interface (rule.h)
};

// Owned as one block; read-only.
struct interface {
    const char *platform; // "onnx_onnxv1"
    uint32_t n_inputs, n_outputs;
    struct tensor_spec *inputs, *outputs; // at most TENSORS_MAX each
    // Rows along the first dimension of every input and output are computed independently of each other, so
    // that requests may be put together; found out when the version was admitted. 0: never together.
    uint32_t max_batch_rows;
    bool has_rules; // some input has one
};

// The JSON that is stored with a version and sent to gateways and replicas:
//   {"platform":"onnx_onnxv1","max_batch_rows":64,
//    "inputs":[{"name":"x","datatype":"FP32","shape":[-1,4],"optional":true}],
//    "outputs":[{"name":"label","datatype":"INT64","any_shape":true},
//               {"name":"score","datatype":"FP32","shape":[-1,2],"labels":["no","yes"]}]}
// What a user says of an input besides (schema.h) may stand there too and is passed over.
// shape or any_shape; optional, any_shape and labels only where they say something. encode appends it; decode
// checks everything (it may come from a file that was changed) and returns one block to be freed by
// interface_free. Names are unique, not empty and without NUL; at most LIMIT_INTERFACE_BYTES. ERR_INVALID
// with the JSON path, ERR_NOMEM.
void interface_encode(const struct interface *i, struct buf *json);
int interface_decode(struct str json, struct interface **ret, struct err *e) ERR_CHECKED;
void interface_free(struct interface *i); // NULL is fine
// Index, or -1.
int interface_input(const struct interface *i, struct str name);
int interface_output(const struct interface *i, struct str name);

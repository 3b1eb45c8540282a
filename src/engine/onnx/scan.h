// SPDX-License-Identifier: Apache-2.0
// What ONNX Runtime does not tell of a model, found by walking its protobuf: whether the bytes are one at
// all, which other files hold its weights, which inputs and outputs state no shape, and which outputs are the
// maps that ZipMap makes of a classifier's scores. Pure; every byte may be hostile. Source: onnx/onnx.proto,
// onnx/onnx-ml.proto.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct scan_file { // a file with weights
    struct str name;
    bool in_attribute; // the tensor is an operator's attribute, not an initializer of the graph
    struct scan_file *next;
};

struct scan_port {
    struct str name;
    bool has_shape;
    struct scan_port *next;
};

// A node ZipMap of the main graph whose output is an output of the graph and read by no other node.
struct scan_zipmap {
    struct str input;    // the tensor of scores
    struct str output;   // the sequence of maps
    size_t node, result; // where the tags of the node and of the graph's output lie in the model
    struct str *labels;  // (n_labels) in the order of the scores' columns
    uint32_t n_labels;
    struct scan_zipmap *next;
};

struct scan { // everything lives in the arena, or in the model's bytes
    int64_t ir_version;
    struct scan_file *files;
    struct scan_port *inputs, *outputs; // in the graph's order
    struct scan_zipmap *zipmaps;
};

// "onnx" if the bytes look like a ModelProto, whole or cut short; else NULL.
const char *scan_detect(const uint8_t *bytes, size_t size);
// ERR_BAD_MODEL, ERR_TOO_DEEP, ERR_NOMEM (the arena is full).
int scan_model(struct str model, struct arena *a, struct scan *ret, struct err *e) ERR_CHECKED;

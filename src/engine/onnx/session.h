// SPDX-License-Identifier: Apache-2.0
// A loaded model and all that a run needs, made ready at load so that a run of ours allocates nothing: names,
// arrays of values, and what is known of the outputs' shapes. load.c makes it, ports.c its interface, run.c
// runs it.
#pragma once

#include "base/arena.h"
#include "engine/onnx/library.h"
#include "engine/onnx/scan.h"

// Where the size of an output's dimension is known from before a run.
struct port_size {
    int64_t fixed; // when >= 0
    int32_t input; // else the size of this input's dimension, or -1: unknown
    uint32_t dim;
};

// Whether an output's shape can be told beforehand, so that the result goes straight into the caller's
// memory.
enum port_plan {
    PORT_LEARN, // by its sizes; the next run tells
    PORT_AHEAD, // it was right so far
    PORT_NEVER,
};

enum port_kind { PORT_TENSOR, PORT_SEQUENCE };

struct port {
    const char *name;    // the library's; an output's name for clients is in the interface
    enum port_kind kind; // a sequence becomes one tensor, stacked
    bool maybe_none;     // an optional type
    ONNXTensorElementDataType element;
    const char *symbols[TENSOR_DIMS_MAX]; // names of variable dimensions, "" where they have none
    enum port_plan plan;
    struct port_size sizes[TENSOR_DIMS_MAX];
    // The last run
    OrtValue *value;
    struct tensor ahead; // what it will be, when its place is in the caller's memory; else data is NULL
    struct buf memory;   // of strings and stacked sequences
};

struct session {
    struct library *library;
    OrtSession *ort;
    struct interface interface;
    struct arena arena; // names, labels, arrays
    struct port *inputs, *outputs;
    // A run's arguments, of what is present and wanted
    const char **input_names, **output_names;
    OrtValue **input_values, **output_values;
};

// As in struct runtime.
int session_load(struct library *l, const void *bytes, size_t size, const struct runtime_options *o,
                 struct session **ret, struct err *e) ERR_CHECKED;
void session_close(struct session *s); // NULL and half-built are fine
int session_run(struct session *s, const struct run *r, struct err *e) ERR_CHECKED;
uint32_t session_probe_batching(struct session *s, double *ret_worst);

// Fills the interface and the ports from the loaded model.
int session_ports(struct session *s, const struct scan *scan, struct err *e) ERR_CHECKED;

enum dtype session_dtype(ONNXTensorElementDataType t); // DTYPE_NONE when there is none of ours
// Makes the options for a model. ERR_UNSUPPORTED_MODEL (provider), ERR_INVALID (a word that is not an
// option).
int session_options(const struct library *l, const struct runtime_options *o, OrtSessionOptions **ret,
                    struct err *e) ERR_CHECKED;

// strings.c: our form of strings (u32 length, bytes) to the library's and back.
int strings_to_value(struct session *s, const struct tensor *t, OrtValue **ret, struct err *e) ERR_CHECKED;
// Appends n strings to `to`.
int strings_of_value(struct session *s, const OrtValue *v, size_t n, struct buf *to,
                     struct err *e) ERR_CHECKED;

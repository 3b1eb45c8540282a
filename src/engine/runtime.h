// SPDX-License-Identifier: Apache-2.0
// What a library that runs models in a process of their own is to the rest (ONNX Runtime). Its files are read
// before the sandbox is entered (open), the model afterwards (load), from memory. Engines that compute rows
// inside a gateway are in engine.h.
#pragma once

#include "tensor/interface.h"

struct library; // an opened library
struct session; // a loaded model

// Weights that a model keeps in another file, by the name it calls the file.
struct runtime_file {
    struct str name;
    const void *bytes; // may be released after load
    size_t size;
};

// Settings of a version.
struct runtime_options {
    unsigned threads;                 // of one run; 1 makes the session safe to fork; 0 is 1
    const char *optimization;         // "none", "basic", "extended", "all"; NULL or empty: "all"
    const char *provider;             // "cpu", "cuda", "tensorrt", "openvino"; NULL or empty: "cpu"
    const struct runtime_file *files; // (n_files)
    size_t n_files;
};

// One computation. `inputs` are by index of the interface's inputs, absent ones have DTYPE_NONE.
struct run {
    const struct tensor *inputs; // (n_inputs of the interface)
    uint64_t outputs;            // set of outputs to compute: bit i is output i
    // Memory for the results, used for those whose size is known beforehand, in order, TENSOR_ALIGN-aligned.
    void *room;
    size_t room_bytes;
    // (n_outputs of the interface) Results; unset ones have DTYPE_NONE, as does one that the model leaves
    // out. Their memory is `room`, or else the session's, valid until its next run and perhaps aligned to 16
    // only.
    struct tensor *results;
};

struct runtime {
    const char *name; // "onnx", the engine's

    // Loads the shared library: `path`, or where it is usually found when path is empty. ERR_UNAVAILABLE: not
    // found, the hint says in one sentence what to install; or it lacks what we need. Before the sandbox.
    int (*open)(const char *path, struct library **ret, struct err *e);
    const char *(*version)(const struct library *l); // "1.23.2"

    // Reads a model from memory, which may be released afterwards. ERR_BAD_MODEL, ERR_UNSUPPORTED_MODEL (say
    // a provider the library has not, or an operator), ERR_NOMEM.
    int (*load)(struct library *l, const void *bytes, size_t size, const struct runtime_options *o,
                struct session **ret, struct err *e);
    const struct interface *(*interface)(const struct session *s); // borrowed; max_batch_rows is 0
    // ERR_INVALID when the model refuses the inputs (shapes that do not fit), ERR_NOMEM, ERR_INTERNAL.
    int (*run)(struct session *s, const struct run *r, struct err *e);
    void (*close)(struct session *s); // never in a process that was forked after load

    // Finds out whether rows are independent, by random inputs alone and together, and returns how many rows
    // may be put together (0: they may not); *ret_worst is the largest difference seen, relative to the
    // largest value of the output. Optional inputs are left out: requests that have one are to be run alone.
    // May take some seconds.
    uint32_t (*probe_batching)(struct session *s, double *ret_worst);
};

extern const struct runtime runtime_onnx;

// By an engine's name; NULL when there is none.
const struct runtime *runtime_find(struct str engine);

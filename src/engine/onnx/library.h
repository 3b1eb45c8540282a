// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime's shared library: where it is found, its table of functions, its errors in our words.
#pragma once

#include "engine/runtime.h"

#include <onnxruntime_c_api.h>

enum { LIBRARY_PATH_MAX = 4096 };

struct library {
    void *handle;
    const OrtApi *api;
    const char *version; // "1.23.2", the library's memory
    OrtEnv *env;
    OrtMemoryInfo *memory;   // of the processor
    OrtAllocator *allocator; // the library's default; not to be freed
    char path[LIBRARY_PATH_MAX];
};

// As in struct runtime. The library is never unloaded: it does not support that.
int library_open(const char *path, struct library **ret, struct err *e) ERR_CHECKED;
const char *library_version(const struct library *l);

// What the library was asked for when it failed: the same status means different things.
enum library_call { LIBRARY_OPEN, LIBRARY_LOAD, LIBRARY_RUN };

// 0 when the status is NULL; else frees it and sets the error that callers know.
int library_check(const struct library *l, enum library_call call, OrtStatus *status,
                  struct err *e) ERR_CHECKED;
// The library's message without its source files' names and C++ signatures, in one line. `out` has `size`
// bytes.
void library_message(const char *message, char *out, size_t size);

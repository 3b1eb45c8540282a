// SPDX-License-Identifier: Apache-2.0
// What an engine is to the rest: it recognises model files, compiles them into an image once, and computes
// rows from the image. An image is position-independent and read-only, so that all gateways share one copy of
// it. A new engine is one more struct engine, listed in engine.c.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "tensor/signature.h"

#include <stddef.h>
#include <stdint.h>

struct model; // a compiled image, opened by its engine
struct runtime;

struct engine {
    const char *name; // "trees"
    // Set when models of this engine are computed in replicas by that library: then there are only name and
    // detect here, and a version's image is its interface as JSON (tensor/interface.h).
    const struct runtime *runtime;

    // Name of the format ("xgboost_json") if the bytes look like a model of this engine, judged by content;
    // else NULL.
    const char *(*detect)(const uint8_t *bytes, size_t size);

    // Parses and validates a model file fully and appends its image to `image` (64-byte aligned start
    // assumed). May take seconds and much memory; runs in a throw-away process. ERR_BAD_MODEL,
    // ERR_UNSUPPORTED_MODEL (msg names what), ERR_TOO_LARGE, ERR_NOMEM.
    int (*compile)(const uint8_t *bytes, size_t size, struct buf *image, struct err *e);

    // Opens an image that stays mapped, unchanged and 64-byte aligned until close. Every offset, index and
    // count in it is checked: after success no input makes predict read out of bounds. ERR_BAD_MODEL,
    // ERR_NOMEM.
    int (*open)(const void *image, size_t size, struct model **ret, struct err *e);
    void (*close)(struct model *m); // NULL is fine

    const struct signature *(*signature)(const struct model *m); // borrowed, lives as long as m

    // rows: (n_rows, n_features) row-major of input_dtype, NaN = missing; out: (n_rows, n_outputs) row-major
    // of output_dtype. Never fails, never allocates; one model is used by one thread at a time.
    void (*predict)(struct model *m, const void *rows, uint32_t n_rows, void *out);
    // The same before the output transform: margins, of input_dtype; out: (n_rows, n_outputs of the margin).
    void (*margin)(struct model *m, const void *rows, uint32_t n_rows, void *out);
    uint32_t (*n_margins)(const struct model *m);

    // For trying a model out. predict by the i-th of the ways that this processor has, of which another start
    // may choose another: its name, or NULL when there is no i-th.
    const char *(*predict_by)(struct model *m, uint32_t i, const void *rows, uint32_t n_rows, void *out);
    // Made-up rows (n_rows, n_features) of input_dtype that spread over what the model tells apart; the same
    // for the same seed.
    void (*make_rows)(struct model *m, uint64_t seed, uint32_t n_rows, void *rows);

    // Appends one JSON object that says what runs: format, trees, nodes, kernel chosen and its measured time.
    void (*describe)(const struct model *m, struct buf *json);
};

extern const struct engine engine_trees, engine_onnx;

// The engine whose detect knows the bytes and the format's name, or NULL.
const struct engine *engine_detect(const uint8_t *bytes, size_t size, const char **ret_format);
// By its name, or NULL.
const struct engine *engine_find(struct str name);
// The error for bytes that no engine knows: names the kind of file where it is a common one, and what to do
// instead. Returns ERR_UNSUPPORTED_MODEL.
int engine_refuse(const uint8_t *bytes, size_t size, struct err *e) ERR_CHECKED;

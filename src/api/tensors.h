// SPDX-License-Identifier: Apache-2.0
// The predict protocols for models of tensors (ONNX): a codec decodes a body against the model's interface
// straight into the memory of the message that goes to a replica, and writes the answer from its tensors.
// Models of rows have predict.h instead. Codecs are pure: no sockets, no clock, no log.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "tensor/interface.h"

struct json_pause;
struct rule_counts;

// Where decoded tensors go.
struct tensor_sink {
    // TENSOR_ALIGN-aligned memory in the message being built, NULL when it does not fit. bytes may be 0, and
    // may be a little more than the tensor needs in the end. Called at most once for each input.
    void *(*alloc)(struct tensor_sink *s, size_t bytes);
};

// What a codec remembers of a request until its answer is written. Slices point into the arena, not into the
// body.
struct tensors_request {
    struct tensor *inputs; // (n_inputs of the interface) by its indexes; DTYPE_NONE where left out
    uint64_t outputs;      // set of outputs wanted
    uint32_t n_rows;       // first dimension that all inputs which came have in common; 0: they have none
    struct str id;         // Open Inference Protocol request id to echo; empty when absent
    bool columns;          // KServe V1 `inputs`: answered as `outputs` and `predictions`
    uint32_t n_warnings;   // values that break a rule of the mode warn
    struct rule_counts *counts; // of values that break rules, in the arena, also after an error; NULL: none
};

// The computed answer of one request. The tensors were checked (tensor_check), but their memory may change
// while it is read: then the text is of no use, and nothing worse happens.
struct tensors_answer {
    const struct interface *interface;
    struct str model, version; // "churn", "3"
    struct str prediction_id;
    const struct tensor *results; // (n_outputs of the interface) unset ones DTYPE_NONE
};

// Decodes `body`; on an error what was taken from the sink is the caller's to give back, and e has the JSON
// path, what was expected and, for a misspelt input or output, the nearest name. ERR_BAD_JSON,
// ERR_WRONG_TYPE, ERR_WRONG_COUNT, ERR_OUT_OF_RANGE, ERR_UNKNOWN_CATEGORY, ERR_UNKNOWN_FEATURE (an input the
// model does not have), ERR_MISSING_FEATURE (one it needs), ERR_UNKNOWN_FIELD, ERR_UNKNOWN_OUTPUT,
// ERR_DUPLICATE_KEY, ERR_TOO_DEEP, ERR_TOO_LARGE (also when the sink is full), ERR_NOMEM. `pause`, which may
// be NULL, is called about every so many bytes of the body (wire/json_scan.h), so that a long one can be
// decoded in pieces.
typedef int tensors_decode_fn(struct str body, const struct json_pause *pause, const struct interface *i,
                              struct tensor_sink *sink, struct arena *scratch, struct tensors_request *ret,
                              struct err *e);
// Appends the JSON body of the answer; out->failed tells when it did not fit.
typedef void tensors_encode_fn(const struct tensors_request *req, const struct tensors_answer *a,
                               struct buf *out);

tensors_decode_fn kserve_v1_tensors_decode, kserve_v2_tensors_decode;
tensors_encode_fn kserve_v1_tensors_encode, kserve_v2_tensors_encode;

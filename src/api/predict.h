// SPDX-License-Identifier: Apache-2.0
// What all predict protocols share: a codec turns a body into rows of features, the engine makes outputs of
// the rows, the codec writes the answer. Codecs are pure: no sockets, no clock, no log.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "tensor/rows.h"
#include "tensor/signature.h"

struct interface;
struct json_pause;
struct rule_counts;

// What a codec remembers of a request until its answer is written. Slices point into the arena, not into the
// body.
struct predict_request {
    uint32_t n_rows;
    struct str id; // Open Inference Protocol request id to echo; empty when absent
    bool columns;  // KServe V1 `inputs`: answered as `outputs` and `predictions`
    bool no_outputs_listed;
    uint32_t n_warnings;        // values that break a rule of the mode warn
    struct rule_counts *counts; // of values that break rules, in the arena, also after an error; NULL: none
};

// The computed answer of one request.
struct predict_answer {
    const struct signature *sig;
    struct str model, version; // "churn", "3"
    struct str prediction_id;
    const void *outputs; // (n_rows, sig->n_outputs) row-major of sig->output_dtype
    uint32_t n_rows;
};

// `pause`, which may be NULL, is called about every so many bytes of the body (wire/json_scan.h), so that a
// long one can be decoded in pieces.
//
// Decodes `body`, appending its rows to `rows` (which has sig's dtype and width). On an error rows is as
// before, and e has the JSON path, what was expected and, for a misspelt feature, the nearest name.
// ERR_BAD_JSON (with byte offset), ERR_WRONG_TYPE, ERR_UNKNOWN_CATEGORY, ERR_WRONG_COUNT, ERR_OUT_OF_RANGE,
// ERR_UNKNOWN_FEATURE, ERR_MISSING_FEATURE, ERR_UNKNOWN_FIELD, ERR_UNKNOWN_OUTPUT, ERR_DUPLICATE_KEY,
// ERR_TOO_DEEP, ERR_TOO_LARGE, ERR_NOMEM.
typedef int predict_decode_fn(struct str body, const struct json_pause *pause, const struct signature *sig,
                              struct rows *rows, struct arena *scratch, struct predict_request *ret,
                              struct err *e);
// Appends the JSON body of the answer; out->failed tells when it did not fit.
typedef void predict_encode_fn(const struct predict_request *req, const struct predict_answer *a,
                               struct buf *out);

predict_decode_fn kserve_v1_decode, kserve_v2_decode;
predict_encode_fn kserve_v1_encode, kserve_v2_encode;

// The error body of every JSON protocol: {"error":msg,"code":name,"path":…,"hint":…,"request_id":…}; path and
// hint only where there are any. `error` is a string because the protocols' clients read it as one.
void api_error_encode(const struct err *e, struct str request_id, struct buf *out);

// Bodies of the read-only routes of both protocols (contracts: KServe V1, TF Serving status, Open Inference
// V2).
struct api_version {
    struct str version;          // "3"
    const struct signature *sig; // borrowed; NULL for a model of tensors
    bool ready;
    const struct interface *interface; // borrowed; NULL for a model of rows
};
void kserve_v1_models_encode(const struct str *names, size_t n, struct buf *out);
void kserve_v1_model_encode(struct str name, const struct api_version *versions, size_t n, struct buf *out);
void kserve_v2_server_encode(struct str server_version, struct buf *out);
void kserve_v2_model_encode(struct str name, const struct api_version *versions, size_t n,
                            const struct signature *sig, struct buf *out);
// The same for a model of tensors. A rank that is not known is written as the shape [-1].
void kserve_v2_interface_encode(struct str name, const struct api_version *versions, size_t n,
                                const struct interface *i, struct buf *out);

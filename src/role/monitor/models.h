// SPDX-License-Identifier: Apache-2.0
// What is served, as the controller says it: versions with their columns, names and defaults. A version that
// is not served any more is kept for a while, because its records may still come.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "tensor/schema.h"

#include <stdbool.h>
#include <stdint.h>

struct version {
    uint64_t deployment; // its number for ever; records name it
    char model[LIMIT_MODEL_NAME_BYTES + 1];
    uint32_t version;
    uint32_t slot;        // of records, while it is served
    char engine[32];      // "trees", "onnx"
    bool is_served;       // named by the present routes
    bool is_default;      // answers when a request names no version
    struct schema schema; // its columns, in `arena`; of a version without a signature empty
    char baseline[80];    // "sha256:…" of the profile it was pushed with; "": none
    char *log_json;       // predlog/schema.h; owned; NULL: nothing is logged of it
    uint64_t log_key;     // that records name it by
    char *signature_json; // (schema as text) owned; "{}" where it is not known
    struct arena arena;
    // What the parts of the monitor keep for it, each its own; NULL before they look at it the first time.
    void *drift, *quality, *alerts;
};

struct models;

// ERR_NOMEM.
int models_new(struct models **ret, struct err *e) ERR_CHECKED;
void models_free(struct models *ms); // NULL is fine

// IPC_DEPLOY and IPC_ROUTES. ERR_INVALID: not as agreed; ERR_NOMEM.
int models_take_deploy(struct models *ms, struct str json, struct err *e) ERR_CHECKED;
int models_take_routes(struct models *ms, struct str json, struct err *e) ERR_CHECKED;
// Whether the controller has said all that is served.
bool models_are_complete(const struct models *ms);

// The version that a record means, by its head's `schema` and `model`, which makes it quick. NULL: not known
// (yet).
struct version *models_by_log_key(const struct models *ms, uint64_t key, uint32_t slot);
// By name: `selector` is a number, an alias, or empty for the default. ERR_UNKNOWN_MODEL,
// ERR_UNKNOWN_VERSION.
int models_find(const struct models *ms, struct str model, struct str selector, struct version **ret,
                struct err *e) ERR_CHECKED;
// All versions, the served ones and those that were: i = 0 … until NULL.
struct version *models_at(const struct models *ms, size_t i);

// SPDX-License-Identifier: Apache-2.0
// The routing table: which deployment answers for a model, a version or an alias. Built whole from what the
// controller published, swapped between two turns, never changed.
#pragma once

#include "base/map.h"
#include "engine/engine.h"
#include "role/gateway/journal.h"
#include "role/metrics.h"
#include "tensor/interface.h"
#include "tensor/rows.h"

// One version that is being served: its opened image and what a turn gathers for it.
struct deployment {
    uint64_t key;      // of model and version: the same after a restart of the controller
    uint32_t id, refs; // id: the controller's number for it
    char *model;       // owned
    char version[12];  // "3"
    // Either a model that this gateway computes itself …
    const struct engine *engine;
    struct model *compiled;
    const struct signature *sig; // of compiled, with the rules
    struct rules *rules;         // NULL: none
    const void *image;           // the mapping that compiled lies in
    size_t image_bytes;
    // … or one that replicas compute
    struct interface *interface; // NULL for the others
    struct backend *backend;
    struct journal_plan log;       // what is logged of it, and how
    uint32_t number;               // of the version
    uint16_t slot;                 // of series
    struct metrics_series *series; // in this gateway's shard
    uint64_t row_bytes;            // memory that one row takes: inputs, outputs and their text
    const struct split *split;     // of its model, while it is the baseline; in the table that is served by

    // This turn (predict.c)
    struct rows rows; // all requests' rows, one batch
    char *outputs;    // (rows.n_rows, n_outputs) once computed, in the turn's arena
    uint32_t turn_requests;
    uint64_t compute_start_ns, compute_ns;
    uint32_t slice_rows; // rows it computes in about GATEWAY_SLICE_NS
    struct deployment *next_touched;
    bool touched;
};

struct backend;
struct gateway;
struct split;

struct table_name {
    char *name; // version number or alias, owned
    struct deployment *deployment;
};

struct table_model {
    char *name;                  // owned
    struct deployment *fallback; // answers when the request names no version; may be NULL
    bool is_replacing;           // then NULL for the moment, by a policy
    struct table_name *names;    // versions first, then aliases
    uint32_t n_versions, n_names;
    struct split *split; // owned; NULL: requests that name no version go to the fallback
};

struct table {
    uint64_t generation;
    bool ready;    // every version that is to be loaded at a start is loaded or given up
    bool has_more; // the registry has versions that are not here, to be asked for
    char *tokens;  // keys of feedback tokens as JSON (role/feedback_token.h), owned; NULL: none
    struct table_model *models;
    uint32_t n_models;
    struct map by_name; // model name -> index
};

// Opens the image in the descriptor (a sealed memfd) and maps it read-only; fd stays the caller's. An engine
// that is not this gateway's runs in replicas: the image is an interface. rules_fd: the signature's rules in
// the same way, or -1.
// ERR_BAD_MODEL, ERR_UNSUPPORTED_MODEL, ERR_NOMEM, ERR_IO.
int deployment_open(struct gateway *g, uint32_t id, struct str model, uint32_t version, const char *engine,
                    int fd, int rules_fd, struct metrics_series *series, struct deployment **ret,
                    struct err *e) ERR_CHECKED;
// Whether a request would be computed now, or by a replica that it starts.
bool deployment_is_ready(const struct deployment *d);
struct deployment *deployment_ref(struct deployment *d);
void deployment_unref(struct deployment *d); // frees with the last reference; NULL is fine

// Builds a table from an IPC_ROUTES payload; deployments are found by id in pool (n_pool) and referenced.
// ERR_INVALID names what is wrong; ERR_NOMEM.
int table_parse(struct str json, struct deployment *const *pool, size_t n_pool, struct table **ret,
                struct err *e) ERR_CHECKED;
struct table *table_empty(void); // NULL without memory
// From now on requests are divided by this table, of all that may name the same deployments; with false not
// any more.
void table_divide(struct table *t, bool on);
void table_free(struct table *t);
// The deployment for a request; version empty = the model's default. ERR_UNKNOWN_MODEL and
// ERR_UNKNOWN_VERSION list near names; ERR_UNAVAILABLE when the model has no version that is ready. The
// result is not referenced.
int table_route(const struct table *t, struct str model, struct str version, struct deployment **ret,
                struct err *e) ERR_CHECKED;
// Whether table_route needs nobody else: it finds one, or says why the model is away.
bool table_has(const struct table *t, struct str model, struct str version);
// Of a model without a default version: ERR_UNAVAILABLE that says why.
int table_no_default(const struct table_model *m, struct err *e) ERR_CHECKED;
// The model's row, or NULL with ERR_UNKNOWN_MODEL set.
const struct table_model *table_model_find(const struct table *t, struct str model, struct err *e);

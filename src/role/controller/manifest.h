// SPDX-License-Identifier: Apache-2.0
// The JSON bodies of admin requests, parsed strictly: pure functions from bytes to structs, fuzzed.
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "registry/registry.h"
#include "role/controller/version_settings.h"

// POST …/versions: {"artifacts":[{"name","role","digest","size"}],"description","tags":{…},"metrics":{…},
// "trained_from","reason","promote","signature":{…},"allow_breaking"}, and the fields of struct
// version_settings.
struct manifest {
    struct registry_artifact *artifacts;   // owned; (n_artifacts) as they were given; names borrowed from doc
    size_t n_artifacts;                    // at least 1
    const struct registry_artifact *model; // the one of them that is the model file
    struct str description;                // borrowed from doc; may be empty
    struct str trained_from;               // likewise
    struct buf tags_json;                  // an object of strings
    struct buf metrics_json;               // an object of numbers
    struct str reason;                     // why it is made, for the audit; may be empty
    bool promote;                          // true unless said otherwise
    struct buf signature_json;             // what the user says of the model's columns; empty: nothing
    bool allow_breaking;                   // changes of the signature
    struct version_settings settings;
    struct buf settings_json;   // an object of those that were given
    struct str replica_setting; // the name of one that was given and is of replicas only; empty when none was
    struct yyjson_doc *doc;
};

// Errors carry the JSON path: ERR_BAD_JSON (with byte offset), ERR_WRONG_TYPE, ERR_WRONG_COUNT,
// ERR_UNKNOWN_FIELD (hint: the nearest name), ERR_DUPLICATE_KEY, ERR_OUT_OF_RANGE, ERR_INVALID,
// ERR_TOO_LARGE, ERR_NOMEM. Call manifest_done in any case.
int manifest_parse(struct str json, struct manifest *ret, struct err *e) ERR_CHECKED;
void manifest_done(struct manifest *m);

// PUT …/aliases/{alias}: {"version":3,"reason":"…","allow_breaking":true}. Errors as above.
struct alias_body {
    uint32_t version;
    bool allow_breaking;                 // changes that break clients of the alias
    char reason[LIMIT_REASON_BYTES + 1]; // may be empty
};
int alias_body_parse(struct str json, struct alias_body *ret, struct err *e) ERR_CHECKED;

// POST …/rollback: {"alias":"champion","to":2,"reason":"…"}, all of it optional, the body too. Errors as
// above.
struct rollback_body {
    char alias[LIMIT_ALIAS_BYTES + 1]; // "champion" unless said otherwise
    uint32_t to;                       // 0: not said
    char reason[LIMIT_REASON_BYTES + 1];
};
int rollback_body_parse(struct str json, struct rollback_body *ret, struct err *e) ERR_CHECKED;

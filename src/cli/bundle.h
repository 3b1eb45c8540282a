// SPDX-License-Identifier: Apache-2.0
// The description of an exported version, slipway.json: everything that makes it but the bytes of its files.
// The same bytes are the config of the OCI artifact. It has nothing in it that an import could not give back
// (no number, no name, no time), so that a version that was exported, pushed and exported again is the same
// to the last byte. Reading is pure and fuzzed.
#pragma once

#include "cli/package.h"

enum { BUNDLE_FORMAT = 1 };
#define BUNDLE_NAME "slipway.json"

struct bundle_file {
    struct str name;   // borrowed from the document
    const char *role;  // static
    struct str digest; // "sha256:…", valid
    uint64_t size;
};

struct bundle {
    yyjson_doc *doc;
    struct bundle_file *files; // (n_files), at least one
    size_t n_files;
};

// Reads slipway.json. ERR_BAD_JSON, ERR_WRONG_TYPE, ERR_INVALID (a name or digest that is none, a newer
// format), ERR_UNKNOWN_FIELD, ERR_TOO_LARGE, ERR_NOMEM, with paths. Call bundle_done in any case.
int bundle_parse(struct str json, struct bundle *ret, struct err *e) ERR_CHECKED;
void bundle_done(struct bundle *b);
// Sets the package's fields to those of the description; the files are for the caller to add.
void bundle_fill(const struct bundle *b, struct package *p);

// Appends slipway.json for a version as the server describes it. ERR_INVALID when the answer lacks what is
// needed, ERR_NOMEM.
int bundle_write(yyjson_val *version, struct buf *out, struct err *e) ERR_CHECKED;

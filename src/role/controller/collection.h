// SPDX-License-Identifier: Apache-2.0
// One run of garbage collection; see housekeeping.h.
#pragma once

#include "role/controller/controller.h"

struct collection;

struct collection_end {
    const struct err *why; // why the run ended early; NULL: it did all it should
    struct str answer;     // JSON
    struct str what;       // for the audit: "versions=2 files=3 bytes=1200"
};

struct collection_spec {
    bool dry_run;
    // Whether a version answered a request lately.
    bool (*is_used)(void *ctx, const struct deployment *d);
    // Called once, never by collection_start. May free the run.
    void (*on_done)(void *ctx, const struct collection_end *end);
    void *ctx;
};

// ERR_CONFLICT while a backup runs; ERR_NOMEM, ERR_IO.
int collection_start(struct controller *c, const struct collection_spec *s, struct collection **ret,
                     struct err *e) ERR_CHECKED;
void collection_free(struct collection *k); // stops it; NULL is fine

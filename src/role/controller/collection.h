// SPDX-License-Identifier: Apache-2.0
// One run of garbage collection; see housekeeping.h.
#pragma once

#include "role/controller/controller.h"

struct collection;

struct collection_spec {
    bool dry_run;
    // Whether a version answered a request lately.
    bool (*is_used)(void *ctx, const struct deployment *d);
    // Called once, never by collection_start: the answer as JSON, or why the run ended. May free the run.
    void (*on_done)(void *ctx, struct str answer, const struct err *e);
    void *ctx;
};

// ERR_CONFLICT while a backup runs; ERR_NOMEM, ERR_IO.
int collection_start(struct controller *c, const struct collection_spec *s, struct collection **ret,
                     struct err *e) ERR_CHECKED;
void collection_free(struct collection *k); // stops it; NULL is fine

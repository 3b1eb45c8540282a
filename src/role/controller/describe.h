// SPDX-License-Identifier: Apache-2.0
// The JSON in which the admin API shows models, versions and what is served.
#pragma once

#include "base/buf.h"
#include "role/controller/controller.h"

struct describe_version {
    const struct registry_version *version;
    const struct registry_alias *aliases; // (n_aliases) of its model
    size_t n_aliases;
    const struct deployment *deployment; // NULL when it is not served
    bool in_full;                        // with signature, engine and artifacts' details
};
void describe_version(const struct describe_version *d, struct buf *out);
// ,"key":"value"
void describe_text(const char *key, struct str value, struct buf *out);
// ,"key":"2026-11-22T…Z"
void describe_time(const char *key, uint64_t wall_ns, struct buf *out);

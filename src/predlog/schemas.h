// SPDX-License-Identifier: Apache-2.0
// The schemas met while a log is read, by their keys.
#pragma once

#include "predlog/schema.h"

struct schemas_one {
    struct predlog_schema *schema;
    struct str json; // ours
};

struct schemas {
    struct schemas_one *list;
    size_t n, cap;
    size_t last; // found last: records of one version come in runs
};

void schemas_done(struct schemas *s); // zeroed is fine
// From a record of kind schema; one that cannot be read is passed over. ERR_NOMEM.
int schemas_add(struct schemas *s, struct str json, struct err *e) ERR_CHECKED;
const struct schemas_one *schemas_find(struct schemas *s, uint64_t key); // NULL: not met

// SPDX-License-Identifier: Apache-2.0
// Private to the stores: the hash that chains the rows of the audit, the same whatever database keeps them.
#pragma once

#include "registry/registry.h"

// Of `row`, whose hash is not read, after a row with hash `before` (all zero before the first). ERR_NOMEM.
int audit_hash(const struct registry_digest *before, const struct registry_audit *row,
               struct registry_digest *ret, struct err *e) ERR_CHECKED;

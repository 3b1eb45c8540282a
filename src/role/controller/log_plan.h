// SPDX-License-Identifier: Apache-2.0
// What is logged of a version: said to gateways and monitor with its deployment (role/ipc.h, "log").
#pragma once

#include "role/controller/controller.h"

// Fills d->log_json, which says it all but the key, from the version's signature and settings as the registry
// has them, once; later calls do nothing. ERR_INVALID, ERR_OUT_OF_RANGE, ERR_WRONG_TYPE, ERR_NOMEM.
int log_plan_make(struct deployment *d, const struct registry_version *v, struct err *e) ERR_CHECKED;
// The key of hashes, 64 hex digits, from data_dir/state/log.key, which is made when it is needed first; empty
// for a version that hashes nothing. ERR_IO, ERR_NO_SPACE.
int log_plan_key(struct controller *c, const struct deployment *d, struct str *ret,
                 struct err *e) ERR_CHECKED;

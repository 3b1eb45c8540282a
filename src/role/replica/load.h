// SPDX-License-Identifier: Apache-2.0
// The model that a loader or replica holds: from a file descriptor to a session that has run once. The
// library is opened before the sandbox is entered, the file read behind it.
#pragma once

#include "engine/runtime.h"
#include "role/role.h"

struct loaded {
    const struct runtime *runtime;
    struct session *session;
    struct interface *interface; // as admitted, with max_batch_rows
    uint64_t load_ns;
    char sandbox[128]; // what confines this process
};

// ERR_UNAVAILABLE without the engine's library; ERR_DIGEST when the file has another content; ERR_BAD_MODEL,
// ERR_UNSUPPORTED_MODEL, ERR_NOMEM; ERR_CONFLICT when the model is not the one that was admitted. On failure
// the process is of no more use and ends, so nothing is freed. Descriptors of `a` stay open.
int load_model(struct loaded *m, const struct replica_args *a, struct err *e) ERR_CHECKED;
// Most memory that this process had so far, in bytes.
uint64_t load_memory_bytes(void);

// SPDX-License-Identifier: Apache-2.0
// The two messages about a version that a gateway's table does not have: IPC_ASK and IPC_ABSENT (role/ipc.h),
// written by one end and read by the other. What is read is bounded and checked here.
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct yyjson_doc;

// Texts of a message that was read are borrowed from doc.
struct ipc_ask {
    struct str model, name; // name: a number, an alias, or empty for the default
    struct yyjson_doc *doc;
};
struct ipc_absent {
    struct str model, name;
    struct err why; // with its hint
    struct yyjson_doc *doc;
};

void ipc_ask_encode(struct str model, struct str name, struct buf *json);
void ipc_absent_encode(struct str model, struct str name, const struct err *why, struct buf *json);
// ERR_INVALID when a message is not as agreed; *ret is not touched then. Done with ipc_ask_done,
// ipc_absent_done.
int ipc_ask_decode(struct str json, struct ipc_ask *ret, struct err *e) ERR_CHECKED;
int ipc_absent_decode(struct str json, struct ipc_absent *ret, struct err *e) ERR_CHECKED;
void ipc_ask_done(struct ipc_ask *m);
void ipc_absent_done(struct ipc_absent *m);

// SPDX-License-Identifier: Apache-2.0
// A request that changes what is named or served: its answer is written before the registry is changed,
// because it is stored with the change where the request has an Idempotency-Key; it is sent once every
// gateway goes by the new table.
#pragma once

#include "role/controller/request.h"

// Before the registry is changed: afterwards nothing may fail. ERR_NOMEM.
int change_new(struct request *r, struct err *e) ERR_CHECKED;
// The answer, a JSON object, lies in r->out whole: it will be stored by what request_cause gives from now on.
void change_promise(struct request *r, int status);
// The registry has been changed: the answer gets the change's receipt, number and hash of its audit row.
void change_receipt(struct request *r);
// The routing has been changed, too: publishes, and answers when all gateways have it. Needs change_new.
void change_publish(struct request *r);

// Refuses because of what would change for clients: `changes`, a JSON object or empty, stands beside the
// error.
void change_refuse(struct request *r, const struct err *why, struct str changes);

// A request with an Idempotency-Key, whose body is whole: 1 when it was done before, and is answered as it
// was then once all gateways have the present table; 0: it is to be done now. ERR_KEY_REUSED,
// ERR_IN_PROGRESS, ERR_INVALID.
int change_once(struct request *r, struct err *e) ERR_CHECKED;

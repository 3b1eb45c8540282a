// SPDX-License-Identifier: Apache-2.0
// Answers that come as lines of JSON while the server works (application/x-ndjson), of which the last is what
// would have been the whole answer.
#pragma once

#include "cli/client.h"

// As client_json, but that *ret is also the object of an error, and each line of a step goes to on_line as it
// comes. A server that answers at
// once, with one JSON, is fine.
int client_lines(struct client *c, const struct client_request *q,
                 void (*on_line)(void *ctx, yyjson_val *line), void *ctx, yyjson_doc **ret,
                 struct err *e) ERR_CHECKED;

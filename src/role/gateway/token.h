// SPDX-License-Identifier: Apache-2.0
// Feedback tokens of this gateway's answers (role/feedback_token.h), where the setting feedback_tokens asks
// for them. A model whose outputs may not be logged as they are gets none: a token would bring them into the
// log of feedback.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

struct call;
struct gateway;
struct pending;
struct tensor;
struct tokens;

// ERR_NOMEM. Nothing is made, and g->tokens stays NULL, where the setting is off.
int tokens_open(struct gateway *g, struct err *e) ERR_CHECKED;
void tokens_close(struct gateway *g);
// The table has changed, and with it maybe the keys.
void tokens_routed(struct gateway *g);
// The token of an answer, good until the next one; empty: it gets none. Not for g->tokens NULL.
struct str token_of_rows(struct gateway *g, const struct pending *p);
struct str token_of_call(struct gateway *g, const struct call *k, const struct tensor *results);
// Whether it stands in the body, not in the head.
bool token_is_in_body(const struct gateway *g);
// Adds it to the object that `out` ends with, the body of an answer of protocol V2 or V1.
void token_put_field(struct str token, bool v2, struct buf *out);

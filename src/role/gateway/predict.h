// SPDX-License-Identifier: Apache-2.0
// Predictions: decoded as they arrive, computed together at the end of the turn, answered in order.
#pragma once

#include "api/predict.h"
#include "api/routes.h"
#include "base/ids.h"
#include "role/gateway/conn.h"

struct trial_part;

// One request that is decoded and waits for the end of the turn.
struct pending {
    struct conn *conn;
    struct deployment *deployment;
    predict_decode_fn *decode;
    predict_encode_fn *encode;
    uint32_t first_row;      // in the deployment's batch
    bool old_keep_alive;     // see reply_keeps_alive
    struct trial_part *part; // in a rollout; NULL: none
    struct predict_request request;
    struct str request_id, traceparent; // what the client sent, in the turn's arena
    char id[IDS_UUID_SIZE];             // the prediction id, once answered
    uint8_t raw_id[16];                 // likewise
};

// Decodes one predict request and gathers its rows. An error is to be answered by the caller.
int predict_gather(struct conn *c, const struct http1_request *req, const struct route_match *m,
                   struct str body, struct err *e) ERR_CHECKED;
// The same for a deployment that is chosen already; `v2`: the protocol. The part is the caller's when this
// fails.
int predict_gather_on(struct conn *c, const struct http1_request *req, bool v2, struct deployment *d,
                      struct trial_part *part, struct str body, struct err *e) ERR_CHECKED;
// Asks the baseline for what an arm failed, of a connection that waits for nothing else any more; answers in
// any case. `body` is taken over.
void predict_again(struct conn *c, const struct http1_request *req, bool v2, struct deployment *d,
                   struct trial_part *part, struct buf *body);
// Counts a request to a deployment that could not be decoded; gives the hint on the number of rows.
void predict_refused(struct conn *c, struct deployment *d, struct str traceparent, int code, struct err *e);
// How many rows one request may have: the setting, and what memory bears however short the body is.
uint32_t predict_rows_max(const struct gateway *g, const struct deployment *d);
// Computes and answers all that is gathered. Called at the end of each turn, and before any answer of another
// kind.
void predict_finish(struct gateway *g);
// Appends the whole answer of p, whose deployment's outputs are computed, to out; `last`: the connection ends
// with it. From then on the connection's answers wait for the log, if this one has to.
void predict_encode(struct gateway *g, struct pending *p, bool last, struct buf *out);

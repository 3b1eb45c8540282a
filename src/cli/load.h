// SPDX-License-Identifier: Apache-2.0
// The load generator: many keep-alive connections from one thread, requests at fixed times (open loop) or
// each after an answer (closed loop), latency counted from the time a request was meant to be sent, so that a
// server that stalls cannot hide the requests it kept waiting. Used by `slipway bench` and by
// bench/loadgen.c.
#pragma once

#include "base/err.h"
#include "base/hist.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One request, ready to send, and what its answer must be. Owned by a load_set.
struct load_request {
    struct str message; // head and body
    double *values;     // the predictions in order, flattened; NULL: not checked
    size_t n_values;    // may be 0: the answer has no predictions
    struct str known;   // an answer's body found right before: the same bytes are right again
};

struct load_set {
    struct load_request *requests; // sent in turn, over and over
    size_t n, cap;
    double tolerance;  // |got - want| <= tolerance * max(1, |want|)
    struct str wanted; // bytes that every answer's body must contain; empty: any
};

// What the messages are made of.
struct load_target {
    const char *method, *path, *host; // host: for the Host field, with its port
    const char *content_type;         // NULL: none
    const char *headers;              // more field lines, each with CR LF; NULL: none
};

void load_set_done(struct load_set *s);
// Adds a request. values: copied, NULL when the answer's numbers are not checked. ERR_NOMEM.
int load_set_add(struct load_set *s, const struct load_target *t, struct str body, const double *values,
                 size_t n_values, struct err *e) ERR_CHECKED;
// Adds the lines of a file as bodies; the lines of expect_path (NULL: none), each a JSON value, hold the
// numbers that the answers must have. ERR_IO, ERR_INVALID naming the line, ERR_WRONG_COUNT, ERR_NOMEM.
int load_set_read(struct load_set *s, const struct load_target *t, const char *path, const char *expect_path,
                  struct err *e) ERR_CHECKED;

struct load_options {
    const char *host, *port;
    struct load_set *set;
    int n_connections;
    int depth;             // requests under way on one connection at most (pipelining)
    double rate;           // requests/s, or 0 for a closed loop
    bool even;             // equal gaps instead of random (Poisson) ones
    bool spin;             // never sleep: exact send times, at the price of one core
    uint64_t warmup_ns;    // before counting begins
    uint64_t duration_ns;  // counted
    uint64_t max_requests; // 0: no limit
    uint64_t timeout_ns;   // of one answer, and of what is under way at the end
    uint64_t seed;         // of the random gaps
};

struct load_result {
    struct hist latency; // from the intended send time to the last byte of the answer
    struct hist lag;     // from the intended to the real send time
    uint64_t n_sent;     // with what was sent while warming up
    uint64_t n_answered; // right or wrong, of those that count
    uint64_t n_in_time;  // answered before the end: what the rate is made of
    uint64_t n_wrong;    // answered with other values than expected
    uint64_t n_refused;  // answered with a status other than 2xx
    uint64_t n_timeouts; // not answered, or never sent, when the time was over; they count as latency too
    uint64_t n_broken;   // lost with their connection, or not HTTP
    uint64_t n_reconnects;
    uint64_t window_ns, cpu_ns; // time that was counted; own CPU over the whole run
    uint64_t bytes_in, bytes_out;
    char problem[ERR_MSG_MAX]; // the first that was met; "" for none
};

// Blocks until the end. ERR_UNAVAILABLE when no connection can be made at the start, ERR_NOMEM, ERR_IO; what
// goes wrong later is counted. ret is filled on success.
int load_run(const struct load_options *o, struct load_result *ret, struct err *e) ERR_CHECKED;

// Answers per second over the counted time.
double load_result_rate(const struct load_result *r);
// Whether every counted request was answered, and rightly.
bool load_result_clean(const struct load_result *r);

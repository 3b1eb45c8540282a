// SPDX-License-Identifier: Apache-2.0
// The gateway process: one event loop that takes requests from clients, computes predictions inline and
// answers. This header is for the files of this folder; others start a gateway through role/role.h.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/ids.h"
#include "base/log.h"
#include "os/loop.h"
#include "role/gateway/head_memo.h"
#include "role/metrics.h"

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct board;
struct call;
struct conn;
struct control;
struct deployment;
struct job;
struct journal;
struct pending;
struct settings;
struct shadows;
struct tokens;
struct links;
struct parked_list;
struct table;
struct trial;

enum {
    GATEWAY_READ_BYTES = 64 << 10, // taken from a socket at once
    GATEWAY_TURN_REQUESTS = 1024,  // requests gathered before they are computed, even in the middle of a turn
    GATEWAY_TURN_ROWS = 8192,      // rows of one deployment gathered before they are computed
    GATEWAY_TURN_BYTES = 16 << 20, // bytes of rows and outputs gathered before they are computed
    GATEWAY_REQUEST_BYTES = 512 << 20, // bytes of rows and outputs of one request
    GATEWAY_JOBS_BYTES = 1 << 30,      // bytes of rows and outputs of all large requests together
    GATEWAY_DECODE_BYTES = 256 << 10,  // of a body decoded before others get their turn
    GATEWAY_SLICE_NS = 500000,         // about how long a large request computes before others get their turn
    GATEWAY_TURN_ARENA = 64 << 20,     // bytes of request state and outputs in one turn
    GATEWAY_TURN_KEEP = 1 << 20,       // bytes of it kept warm between turns
    GATEWAY_BUFFER_KEEP = 4 << 20,     // bytes of shared buffers kept between turns
    GATEWAY_OUT_MAX = 1 << 30,         // bytes of answers one connection may have waiting
    GATEWAY_ANSWERS_MAX = 1 << 30,     // bytes of answers waiting over all connections
    GATEWAY_BUFFERED_MAX = 512 << 20,  // bytes of unfinished requests over all connections
    GATEWAY_SWEEP_MS = 500,            // how often deadlines are looked at
    GATEWAY_ORPHAN_MS = 5000,          // how long it serves without supervisor and controller
};

struct gateway {
    struct loop *loop;
    struct settings *settings;
    struct log log;
    const struct board *board;     // states of all processes, read-only
    struct metrics_shard *shards;  // (n_gateways), all gateways' counters
    struct metrics_shard *metrics; // this gateway's own shard
    unsigned index, n_gateways;
    const char *control_path, *monitor_path;

    // Connections (conn.c)
    struct watch listener;
    bool accepting, draining;
    struct conn *conns; // all open ones
    uint32_t n_conns;
    struct conn *dead;       // closed in this turn, freed at its end
    uint64_t buffered_bytes; // held in connection buffers together
    uint64_t answer_bytes;   // likewise, of answers that clients did not take yet
    struct timer sweep;
    uint64_t drain_deadline_ns, idle_close_ns;
    uint64_t orphaned_mono_ns; // neither a supervisor nor one who could start it is left; 0: not so
    char *read_buf;            // (GATEWAY_READ_BYTES) shared by all connections
    struct head_memo head_memo;

    // Routing (table.c, control.c)
    struct table *table; // never NULL; swapped whole
    struct control *control;
    struct trial *trials;       // rollouts whose requests are divided, or not all counted yet
    bool has_been_ready;        // rollouts that come now begin; those before may have begun long ago
    struct shadows *shadows;    // mirrored requests (shadow.c); NULL before the first
    bool has_shadow_work;       // for the next turn
    uint64_t n_draws;           // from a random number on, so that no two gateways draw alike
    struct parked_list *parked; // requests for versions that are being loaded; NULL before the first

    struct tokens *tokens;     // of feedback, in answers (token.c); NULL: none are given
    struct journal *journal;   // what is given to the prediction log; NULL: nothing
    struct backend *backends;  // replicas of deployments that do not run inline
    struct links *supervision; // where replicas are introduced (links.c)

    // The turn (predict.c)
    struct pending *pending; // (GATEWAY_TURN_REQUESTS) decoded, not yet computed; in order of arrival
    uint32_t n_pending;
    uint32_t n_divided;         // of them that are in a rollout
    struct deployment *touched; // deployments that have rows in this turn
    uint64_t turn_bytes;        // of rows and outputs gathered
    struct job *jobs;           // large requests, computed in slices over several turns
    struct call *decoding;      // large requests to replicas, decoded likewise
    uint64_t jobs_bytes;        // of all of them, and of what waits for replicas
    struct arena arena;         // reset when the turn's answers are written
    struct buf out;             // answers under construction, shared by all connections
    struct buf body;            // a body after its content coding is undone
    struct ids_maker ids;
    uint64_t wall_ns; // wall clock, read once a turn when needed; 0 = not yet
    char date[32];    // Date header of date_second
    uint64_t date_second;
    struct timer reports; // of what rollouts counted (trial.c)
};

// The supervisor sent new settings.
void gateway_reload(struct gateway *g, const struct settings *s);
// The loop does not sleep while there are slices to do.
void gateway_set_busy(struct gateway *g);
// Wall clock in nanoseconds, read at most once a turn.
uint64_t gateway_wall_ns(struct gateway *g);
// "Sun, 22 Nov 2026 10:49:29 GMT" for this turn.
const char *gateway_date(struct gateway *g);

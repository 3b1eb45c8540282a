// SPDX-License-Identifier: Apache-2.0
// What a process is that answers requests: its links to gateways, the requests that wait, the batch that is
// being computed. One thread; a computation blocks everything else, also the answers to the supervisor, which
// is how a hang is noticed.
//
//   link.c     a link to one gateway: handshake, requests from its ring into its queue, its end
//   work.c     which requests are computed next, and their computation (policy: batch.c)
//   answer.c   results and errors into the rings, or kept while a ring is full
//   serve.c    the loop, the supervisor's messages, the end
#pragma once

#include "base/log.h"
#include "os/loop.h"
#include "role/link_end.h"
#include "role/replica/batch.h"
#include "role/replica/load.h"
#include "role/supervision.h"

struct serve;

// A request in a gateway's queue. Its tensors stay in the gateway's ring.
struct waiting {
    struct waiting *next;
    struct peer *peer;
    uint64_t id, deadline_mono_ns, since_mono_ns;
    struct batch_item item;
};

// An answer that found no room in the ring.
struct kept {
    struct kept *next;
    size_t bytes;
    char message[];
};

struct peer {
    struct serve *serve;
    struct peer *next;
    struct msg_conn socket;
    struct watch socket_ready, woken;
    struct link_end end;
    bool is_open; // the rings are there
    bool is_dead; // to be freed at the end of the turn
    bool is_full; // its ring has no room for the next answer: nothing of it is computed
    // Requests: all that may wait at once, (LIMIT_REPLICA_QUEUE); their inputs, (LIMIT_REPLICA_QUEUE,
    // n_inputs).
    struct waiting *pool, *free, *first, **last;
    struct tensor *inputs;
    struct kept *kept, **kept_last;
    // Of the batch being made.
    struct waiting **at;  // how far its queue was looked through
    size_t planned_bytes; // of answers
    size_t n_started;
    uint64_t started[LINK_BATCH_REQUESTS_MAX];
};

// Memory that grows to what is needed, aligned for tensors.
struct scratch {
    char *p;
    size_t size;
};

struct serve {
    const struct replica_args *args;
    const struct loaded *model;
    struct log log;
    uint32_t replica;
    struct loop *loop;
    struct msg_conn supervisor;
    struct watch supervisor_ready, signals;
    uint64_t now_ns;  // monotonic, of the last look at the clock
    bool is_orphaned; // it serves the gateways that it has
    bool stopping;    // SIGTERM: answer what is there, then end
    int exit_code;
    struct peer *peers;
    unsigned n_peers;
    struct peer *turn; // whose request leads the next batch; NULL: the first
    struct waiting *batch[LINK_BATCH_REQUESTS_MAX];
    size_t n_batch;
    struct batch_profile profile;
    struct tensor *inputs;  // (n_inputs) of the batch
    struct tensor *results; // (2, n_outputs): of the run, of one request of it
    size_t *row_bytes;      // (n_outputs) most that one row of it took so far
    struct scratch in, out;
};

// Serves until the supervisor says otherwise; returns the process's exit code. Owns supervision_fd.
int serve_run(const struct replica_args *a, const struct loaded *m, uint32_t replica, int supervision_fd);

// link.c
int peer_new(struct serve *s, int fd, struct err *e) ERR_CHECKED; // owns fd, also on failure
void peer_free(struct peer *p);
// Takes what is in its ring into its queue, and gives room of answers back that were read.
void peer_collect(struct peer *p);
// Says that we sleep; false when there is something to do first.
bool peer_sleep(struct peer *p);
void peer_awake(struct peer *p);
// Removes the request that *at points at from its queue, to be answered.
struct waiting *peer_unqueue(struct peer *p, struct waiting **at);

// work.c
// Computes and answers the next batch; false when there is nothing that could be computed.
bool work_next(struct serve *s);
int work_init(struct serve *s, struct err *e) ERR_CHECKED;
void work_done(struct serve *s);
void work_trim(struct serve *s); // gives large memory back; when idle

// answer.c
struct answer {
    struct waiting *request;
    uint64_t started_mono_ns, compute_ns;
    uint32_t batch_rows;
};

// Upper bound of the answer's bytes, as far as is known beforehand.
size_t answer_bytes_expected(const struct serve *s, const struct waiting *w);
// Whether an answer of so many bytes may be begun now, with planned_bytes of others before it.
bool answer_has_room(struct peer *p, size_t bytes);
// Room in the ring for the results of a request that is computed by itself; NULL: none.
void *answer_room(struct peer *p, size_t bytes);
// Sends results, (n_outputs): from where they are, or from the room they lie in already. The request is done.
void answer_results(const struct answer *a, const struct tensor *results);
void answer_error(const struct answer *a, const struct err *error);
// Sends answers that were kept; false while some still are.
bool answer_flush(struct peer *p);
void answer_drop(struct peer *p);
// Wakes the gateway if it sleeps.
void answer_wake(struct peer *p);

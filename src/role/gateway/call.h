// SPDX-License-Identifier: Apache-2.0
// One predict request to a model that runs in replicas: decoded straight into a replica's ring, or into
// memory of its own while no replica has room; answered when the answer is in the replica's ring.
#pragma once

#include "api/routes.h"
#include "api/tensors.h"
#include "base/ids.h"
#include "role/gateway/backend.h"
#include "role/gateway/conn.h"
#include "role/gateway/table.h"

//   DECODING            a large body, over several turns
//      ↓
//   WAITING ──→ SENT ──→ ENDING ──→ freed
//      ^          │
//      └──────────┘      its replica ended: sent once more. The next one computes it alone if the first had
//                        begun with it; a second end that it is part of is its own.
enum call_state { CALL_DECODING, CALL_WAITING, CALL_SENT, CALL_ENDING };

struct mirror;
struct trial_part;

struct call {
    struct call *next; // of those that are decoded, or that wait in its backend
    struct conn *conn; // NULL once the client left
    struct deployment *deployment;
    tensors_decode_fn *decode;
    tensors_encode_fn *encode;
    struct decoding *decoding;      // while CALL_DECODING
    struct tensors_request request; // without its inputs once decoded
    enum call_state state;
    bool old_keep_alive;
    bool alone;
    bool has_no_room; // to be kept for another replica
    bool is_mirrored; // behind all others
    unsigned tries;   // replicas that ended while they computed it
    unsigned moves;   // replicas that ended while they had it
    void *memory;     // its message while it waits; owned
    size_t bytes;
    struct link *link; // while CALL_SENT
    uint64_t slot;     // its id there
    uint64_t start_ns, deadline_ns;
    struct str request_id, traceparent; // in names
    char *names;                        // owned
    struct trial_part *part;            // in a rollout; NULL: none
    struct buf body;                    // for the baseline, while a shield stands before the part's arm
    uint64_t kept_bytes;                // of it, that are counted in the gateway's jobs_bytes
    uint64_t most_ns;                   // until when the baseline may take
    struct mirror *mirror;              // of a request that is mirrored to a shadow: it has no connection
    char id[IDS_UUID_SIZE];
};

// Decodes one predict request and sends it on its way; the connection waits. An error is to be answered by
// the caller, whose the part then is. v2: the protocol. ERR_BUSY: too many are under way, or it would wait
// longer than its deadline. ERR_CRASHED: this request ended two replicas a moment ago.
int call_start(struct conn *c, const struct http1_request *req, bool v2, struct deployment *d,
               struct trial_part *part, struct str body, struct err *e) ERR_CHECKED;
// Asks a shadow what a client asked its baseline: the answer goes to shadow_done, or else shadow_lost is
// called. Nothing is called when this fails. ERR_BUSY: no replica has room; others: the request is not one
// that the shadow takes.
int call_mirror(struct deployment *d, bool v2, struct str body, struct mirror *m, struct arena *scratch,
                struct err *e) ERR_CHECKED;
// The client went away.
void call_abandon(struct conn *c);

// What the call cost its replica: its rows' part of the batch, and never more than the time that it took. The
// replica's word is not believed further than that.
uint64_t call_share_ns(const struct call *k, const struct link_response *r, uint64_t now_ns);

// Decodes one slice of the large body whose turn it is. Called at the end of each turn.
void calls_decode(struct gateway *g);

// For backend.c. The answer of `bytes` bytes in the replica's ring, r its fixed part: the client is answered
// and the call freed. What does not fit the interface is an error of the model.
void call_answered(struct call *k, const void *message, size_t bytes, const struct link_response *r);
// The link's replica ended: its calls are sent to others, wait for one, or are answered with an error.
void calls_lost(struct link *l);
// Gives waiting calls to replicas that have room.
void calls_pump(struct backend *b);
// Its version is not served any more and has no replica: what waits is told so.
void calls_refuse(struct backend *b);
void calls_sweep(struct backend *b);

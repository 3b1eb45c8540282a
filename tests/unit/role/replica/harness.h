// SPDX-License-Identifier: Apache-2.0
// Plays supervisor and gateway for a real replica process with the fake runtime: this very program, started
// again as a role.
#pragma once

#include "os/proc.h"
#include "role/link_end.h"
#include "role/supervision.h"

// x FP32 [-1,3]; words BYTES [-1], optional -> y FP32 [-1,2]; wide FP32 [-1,-1]; text BYTES [-1]
enum { OUT_Y = 1, OUT_WIDE = 2, OUT_TEXT = 4, OUT_ALL = 7, X_WIDTH = 3 };

struct process {
    struct proc proc; // of a fork only the pid
    struct msg_conn supervisor;
};

struct process_options {
    bool is_loader;
    uint32_t max_batch_rows, batch_budget_us;
    uint64_t memory_bytes;
    size_t weights;            // bytes behind the interface in the model file
    const char *digest;        // NULL: the right one
    const char *other_outputs; // JSON of the outputs that were admitted, when not the model's
};

// What a test's main does first: the program may have been started as a replica.
int harness_role(int argc, char **argv); // -1: it was not

void process_start(struct process *p, const struct process_options *o);
void process_send(struct process *p, enum supervision_type type, const void *payload, int fd);
// How long the tests wait for what must come.
enum { PATIENCE_MS = 60000 };
// Waits for the next message; fails the test after PATIENCE_MS, or when it is of another type.
struct supervision_message process_expect(struct process *p, enum supervision_type type);
// Waits for its end: exit code, or minus the signal.
int process_end(struct process *p);
void process_stop(struct process *p); // it stands still until process_go_on
void process_go_on(struct process *p);
void process_close(struct process *p); // kills it if it runs

struct gate {
    struct msg_conn socket;
    struct link_end end;
    struct interface *interface;
    struct arena arena;
    uint64_t next_id, sent_ns; // of the next request; of the last, as it says
};

void gate_connect(struct gate *g, struct process *p, size_t ring_bytes, uint32_t max_batch_rows);
void gate_reopen(struct gate *g, size_t ring_bytes); // new rings for the same link
void gate_close(struct gate *g);

struct ask {
    const float *x; // (n_rows, X_WIDTH)
    uint32_t n_rows;
    const char *const *words; // (n_rows); NULL: left out
    uint64_t outputs;         // 0: OUT_Y
    uint64_t deadline_mono_ns;
    bool alone;
};

// Puts a request into the ring; its id, or 0 when there is no room. gate_rouse tells the replica.
uint64_t gate_put(struct gate *g, const struct ask *a);
void gate_rouse(struct gate *g);

struct reply {
    struct tensor results[TENSORS_MAX];
    struct err error;
    struct link_response head; // the last, for it ends in an array
};

// The next answer: 1; 0 when the link ended; -1 after timeout_ms. Valid until gate_next or gate_free.
int gate_next(struct gate *g, struct reply *r, uint64_t outputs, int timeout_ms);
// Frees all requests that were sent: none is in flight.
void gate_free_requests(struct gate *g);
// One request and its answer.
void gate_ask(struct gate *g, const struct ask *a, struct reply *ret);
// Waits until the request is computed, in a batch of n of this link's.
void gate_wait_begun(struct gate *g, uint64_t id, size_t n);
// A request that is being computed, in a replica that stands still when this returns: how those that are put
// until process_go_on are batched is then certain. Its answer comes first.
void gate_put_slow(struct gate *g, struct process *p);

enum { MAX_ROWS = 16, RING = 1 << 20 };

// A replica that is loaded, and one gateway.
void start(struct process *p, struct gate *g, const struct process_options *o);
void start_default(struct process *p, struct gate *g); // MAX_ROWS
void stop(struct process *p, struct gate *g);
// Row `row` of y is as the fake runtime computes it.
void check_y(const struct reply *r, uint32_t row, float sum);

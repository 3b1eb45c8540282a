// SPDX-License-Identifier: Apache-2.0
// What this gateway gives to the prediction log: one record for each prediction, and for each request to a
// version that failed, written into memory that the monitor reads (role/log_memory.h). Nothing here
// allocates or, while the monitor keeps up, calls the kernel. What does not fit is dropped and counted.
#pragma once

#include "base/err.h"
#include "predlog/record.h"
#include "role/log_memory.h"

#include <stdbool.h>
#include <stdint.h>

struct call;
struct conn;
struct deployment;
struct gateway;
struct link_response;
struct pending;
struct signature;
struct str;
struct trial_part;
struct yyjson_val;

// What is logged of a deployment, and how: what the controller said with it, else as the settings say.
struct journal_plan {
    struct record_plan record;
    struct record_rows rows; // of a model of rows, where `record` is plain
    struct record_head head; // likewise: what all its records of predictions have in common
    uint64_t schema;         // key; 0: the controller gave none, nothing is logged
    // -1: as the settings say
    int is_on, one_in, overflow, durability;
};

// Reads the member "log" of IPC_DEPLOY, NULL is fine. ERR_INVALID, ERR_NOMEM.
int journal_plan_read(struct yyjson_val *json, struct journal_plan *ret, struct err *e) ERR_CHECKED;
// Of a deployment that this gateway computes, once its plan was read; version, slot: of its records.
void journal_plan_rows(struct journal_plan *p, const struct signature *sig, uint32_t version, uint16_t slot);
void journal_plan_done(struct journal_plan *p);

// fd -1: there is none, nothing is logged. ERR_IO, ERR_INVALID, ERR_NOMEM.
int journal_open(struct gateway *g, int fd, struct err *e) ERR_CHECKED;
void journal_close(struct gateway *g);

// One answered prediction of rows, which lie in `rows` from p->first_row on; start, end: read of the request,
// write of the answer.
void journal_prediction(struct gateway *g, const struct pending *p, const void *rows, uint64_t start_ns,
                        uint64_t end_ns);
// One that a replica computed: `message` is its request as it lies in our ring, results what came back.
void journal_call(struct gateway *g, const struct call *k, const void *message, size_t bytes,
                  const struct link_response *r, const struct tensor *results, uint64_t end_ns);
// A request to d that was answered with an error; queue and compute are unknown.
void journal_failure(struct gateway *g, const struct deployment *d, struct str traceparent, uint64_t start_ns,
                     int code);
// What a record says of the part that its request has in a rollout.
void journal_put_part(struct record_head *h, const struct trial_part *part);
// At the end of each turn: the monitor sees what was written, and is woken if it sleeps.
void journal_turn_end(struct gateway *g);

// Whether an answer of d waits until its record is durable: there will be one. id: of the prediction; part:
// in a rollout, or NULL.
bool journal_promises(const struct gateway *g, const struct deployment *d, const struct trial_part *part,
                      const uint8_t id[16]);
// The answers that c is given in this turn wait for all records written in it.
void journal_hold(struct gateway *g, struct conn *c);
// c is closed.
void journal_forget(struct gateway *g, struct conn *c);

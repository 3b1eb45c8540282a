// SPDX-License-Identifier: Apache-2.0
// How a model's requests are divided between versions while a rollout runs: what the controller published
// (role/ipc.h), part of the routing table, and the choice of an arm for one request. What becomes of the
// requests is counted in trial.c.
#pragma once

#include "base/arena.h"
#include "rollout/judge.h"
#include "rollout/latency.h"
#include "rollout/request.h"
#include "rollout/split.h"
#include "wire/http1.h"

struct deployment;
struct trial;
struct yyjson_val;

struct split {
    uint64_t rollout;
    uint32_t epoch;
    struct siphash_key salt;
    enum rollout_key key;
    char key_name[ROLLOUT_KEY_BYTES + 1];
    char alias[LIMIT_ALIAS_BYTES + 1]; // is divided too; empty: none
    struct deployment *baseline;       // referenced, as those below
    uint32_t n_arms;
    char names[GUARD_ARMS_MAX][LIMIT_ALIAS_BYTES + 1];
    struct deployment *arms[GUARD_ARMS_MAX];
    uint32_t weights_bp[GUARD_ARMS_MAX + 1]; // of all requests; the last, at n_arms: the baseline's
    uint32_t pair_weights[GUARD_ARMS_MAX];   // against the baseline, in millionths of both together
    struct deployment *shadow;               // NULL: none
    uint32_t shadow_share_bp, shadow_budget_percent;
    enum rollout_key segment; // by what pairs are told apart
    char segment_name[ROLLOUT_KEY_BYTES + 1];
    bool shield;
    uint32_t n_guards;
    enum guard_metric guards[GUARDS_MAX];
    bool has_gate[GUARDS_MAX]; // of the guards on latency, those whose limits are known
    struct latency_gate gates[GUARDS_MAX];
    struct score_gate scores; // of the guard on a distribution, where the cuts are made
    uint64_t timeout_ns;
    double range_lo, range_hi; // of sound outputs
    struct trial *trial;       // that counts; while the table is served by
};

// Reads the member "split" of a model; deployments are found by id in pool (n_pool) and referenced.
// ERR_INVALID names what is wrong; ERR_NOMEM.
int split_read(struct yyjson_val *json, struct deployment *const *pool, size_t n_pool, struct split **ret,
               struct err *e) ERR_CHECKED;
void split_free(struct split *s); // NULL is fine

struct split_choice {
    uint32_t arm;    // n_arms: the baseline
    uint16_t bucket; // 0 when asked for
    bool asked;      // by the header: no part of the experiment
    bool sticky;     // by a key; else drawn for this request alone
    uint64_t entity; // of the key, another hash than the bucket's; 0 when not sticky
};

// Which arm a request belongs to. n_draw: another number for each request that all gateways ever see; used
// when it has no key. scratch: for a key with escapes. ERR_INVALID when the header asks for an arm that is
// not there.
int split_choose(const struct split *s, const struct http1_request *req, struct str body, uint64_t n_draw,
                 struct arena *scratch, struct split_choice *ret, struct err *e) ERR_CHECKED;
// The value by which the pair of a mirrored request is told apart; empty when it has none, or nothing is
// asked for. scratch: for a value with escapes; *ret lies there, or in the request.
void split_segment(const struct split *s, const struct http1_request *req, struct str body,
                   struct arena *scratch, struct str *ret);
// "canary"; "stable" for the baseline.
struct str split_arm_name(const struct split *s, uint32_t arm);
// The share of the requests that an arm gets, n_arms: the baseline, in basis points.
uint32_t split_weight_bp(const struct split *s, uint32_t arm);
// The weight of an arm against the baseline, in millionths of both together; 0 when neither has any.
uint32_t split_pair_weight(const struct split *s, uint32_t arm);

// SPDX-License-Identifier: Apache-2.0
// What is served, in the controller's memory: deployments by slot, aliases, the generation. Pure: the
// registry is asked by those who change this (versions.c, startup.c), the gateways are told by gateways.c.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "registry/registry.h"
#include "role/controller/version_settings.h"
#include "rollout/latency.h"
#include "rollout/request.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct scaler;

//  RESERVED → READY           a push, once its version is committed
//  LOADING  → READY, FAILED   a version known from the registry, after a start or when it is asked for
enum deployment_state { DEPLOYMENT_RESERVED, DEPLOYMENT_LOADING, DEPLOYMENT_READY, DEPLOYMENT_FAILED };

struct deployment {
    uint64_t id; // the version's, from the registry; 0 while reserved
    char model[LIMIT_MODEL_NAME_BYTES + 1];
    uint32_t version; // 0 while reserved
    uint32_t slot;
    enum deployment_state state;
    int image_fd; // sealed, owned; -1 unless ready
    uint64_t image_bytes;
    struct registry_digest image_name; // image_cache.c
    bool has_image_name;
    int rules_fd;                // sealed, owned: a signature with rules for the gateways; -1: none
    const struct engine *engine; // NULL unless ready
    char *describe_json;         // owned; what the engine says of itself
    char *log_json;              // owned; what is logged of it (log_plan.h); NULL: not known yet
    bool log_hashes;             // by a key
    struct err why;              // when failed
    bool is_newest;              // of its model in the registry, not counting those that were rejected
    bool is_on_demand;           // because somebody asked, or after all others: nothing else waits for it
    uint64_t used_ns, n_seen;    // deploying.c: when it last answered or was loaded, and requests until then

    // Of an engine that runs in replicas
    uint64_t promised_id;          // while reserved: what it will be when it is committed; 0: nothing yet
    uint32_t promised_version;     //
    struct registry_digest digest; // of the model file
    char *files;                   // owned; its external data as in role/model_files.h; NULL: none
    struct version_settings settings;
    bool is_declared;           // to the supervisor
    unsigned n_wanted, n_ready; // replicas
    bool is_given_up;           // those that end are not replaced any more
    uint64_t load_ns;           // of the last replica that became ready
    uint64_t memory_bytes;      // likewise, of its own
    struct scaler *scaler;      // owned; NULL until it is looked at by scaling.c
    uint64_t n_cold_starts;
    bool is_away;        // left the routes to make room for another version (replace.c)
    bool is_coming_back; // as that failed: when nothing runs of `after`, then when a replica is ready
    uint64_t after;
    bool is_unloaded; // by a policy: settings.min_replicas is 0, and else would be
    uint32_t own_min_replicas;
    bool is_starved;                               // its load asks for more replicas than it gets
    double requests_per_second, errors_per_second; // of late, over about a minute (scaling.c)
    uint64_t rate_requests, rate_errors;           // what they were a second ago
    uint32_t n_rates;                              // seconds that they are made of
    uint32_t rollout_floor; // replicas that a rollout needs, whatever the load is; 0: no rollout needs it
};

struct routing_alias {
    char model[LIMIT_MODEL_NAME_BYTES + 1], name[LIMIT_ALIAS_BYTES + 1];
    uint32_t version;
};

// How the traffic of a model is shared during a rollout. Owned and kept current by rollouts.c; left out of
// the routes while a deployment that it names is not ready, so that all goes to the default.
struct routing_split {
    struct routing_split *next;
    uint64_t rollout;
    uint32_t epoch; // grows with each change of what follows, over restarts too
    char model[LIMIT_MODEL_NAME_BYTES + 1], alias[LIMIT_ALIAS_BYTES + 1];
    char salt[2 * 16 + 1];
    enum rollout_key key;
    const char *key_name;
    bool shield;
    uint32_t baseline; // versions
    uint32_t n_arms;   // 0 while it only mirrors
    struct routing_arm {
        const char *name;
        uint32_t version, weight_bp;
    } arms[GUARD_ARMS_MAX];
    uint32_t shadow; // 0: none
    enum rollout_key segment;
    const char *segment_name;
    uint32_t n_guards;
    const struct guard *guards;
    const struct latency_gate *gates; // (n_guards); a limit of 0: nothing is slow yet
    const struct score_gate *scores;  // without cuts: none are made yet
    uint64_t timeout_ns;              // after which a request without an outcome has failed
};

struct routing {
    struct routing_split *splits;
    struct deployment *slots[LIMIT_DEPLOYMENTS];
    unsigned limit;     // of them that may be taken; 0: all
    bool has_more;      // the registry has versions that are not here: gateways ask for what they do not know
    unsigned next_slot; // slots are given out in turn, so that a freed one rests before it is reused
    struct routing_alias *aliases; // by model and name
    size_t n_aliases, cap_aliases;
    uint64_t generation;
};

void routing_done(struct routing *r);
unsigned routing_limit(const struct routing *r);
bool routing_has_room(const struct routing *r);
// A deployment in a free slot, RESERVED. ERR_CONFLICT when all are taken, ERR_NOMEM.
int routing_reserve(struct routing *r, struct str model, struct deployment **ret, struct err *e) ERR_CHECKED;
// A deployment of a version that the registry has, LOADING; in that slot, if it is one and free.
// ERR_CONFLICT when all are taken, ERR_NOMEM.
int routing_restore(struct routing *r, struct str model, uint64_t id, uint32_t version, uint32_t slot,
                    struct deployment **ret, struct err *e) ERR_CHECKED;
void routing_drop(struct routing *r, struct deployment *d); // frees it
// NULL when there is none.
struct deployment *routing_find(const struct routing *r, struct str model, uint32_t version);

// Makes sure that the next routing_alias_set succeeds. ERR_CONFLICT at the limit, ERR_NOMEM.
int routing_alias_reserve(struct routing *r, struct err *e) ERR_CHECKED;
void routing_alias_set(struct routing *r, struct str model, struct str alias, uint32_t version);
// The version that an alias names; 0 without that alias.
uint32_t routing_alias_target(const struct routing *r, struct str model, struct str alias);
void routing_alias_remove(struct routing *r, struct str model, struct str alias);
// Drops the aliases of a model's version; of all its versions when version is 0.
void routing_aliases_drop(struct routing *r, struct str model, uint32_t version);
bool routing_has_alias(const struct routing *r, struct str model, uint32_t version);
// d is the newest version of its model, and no other one is, unless one of a higher number is already.
void routing_set_newest(struct routing *r, struct deployment *d);
// The version that answers when a request names none: the champion, else the newest; 0 without one, or when
// that is not here.
uint32_t routing_default(const struct routing *r, struct str model);

// Whether every version that was to be loaded at the start is ready or failed.
bool routing_is_complete(const struct routing *r);
// Appends the payloads of IPC_DEPLOY and IPC_ROUTES.
void routing_deploy_encode(const struct deployment *d, struct buf *out);
void routing_routes_encode(const struct routing *r, struct buf *out);
const char *deployment_state_name(enum deployment_state s);

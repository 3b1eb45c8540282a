// SPDX-License-Identifier: Apache-2.0
// The controller process: the only writer of the registry. One event loop that keeps the gateways' routing
// tables current and answers admin requests. This header is for the files of this folder; others start it
// through controller_main in role/role.h.
#pragma once

#include "base/log.h"
#include "os/loop.h"
#include "os/msg.h"
#include "registry/registry.h"
#include "role/controller/memory_kept.h"
#include "role/controller/routing.h"
#include "role/peer.h"
#include "role/role.h"

#include <stdbool.h>
#include <stdint.h>

struct adoption;
struct blob_hold;
struct board;
struct compile_job;
struct deploying;
struct helper;
struct housekeeping;
struct image_cache;
struct publication;
struct replacing;
struct revival;
struct rollouts;
struct scaling;
struct supervisor_link;
struct upgrade;
struct withdrawal;
struct verification;

// What the controller knows of one gateway.
struct gateway_link {
    struct peer *peer; // NULL while it is not connected
    uint64_t since_ns; // of connecting, or of losing the connection
    bool has_table;    // it serves by a table of an earlier controller
    uint64_t sent_generation, acked_generation;
    uint64_t sent[LIMIT_DEPLOYMENTS]; // by slot: id of the deployment that was sent on this connection
};

enum { CONTROLLER_MEMORY_KEPT = 64 }; // processes whose memory is looked at in full

struct controller {
    const struct controller_args *args;
    const char *data_dir;
    struct loop *loop;
    struct log log;
    const struct board *board; // NULL without one
    struct registry *registry;
    struct blobs *blobs;
    struct routing routing;
    struct gateway_link *gateways; // (args->n_gateways)
    struct gateway_link monitor;   // the same, without images
    char log_key[64];              // of hashes in the prediction log (log_plan.h)
    bool has_log_key;
    char *token_keys; // of feedback tokens, as text (token_keys.h), owned; NULL: none
    struct timer token_keys_due;
    struct watch signals;
    bool draining; // SIGTERM came: no new requests, ends with the last one that runs

    struct peers peers;

    struct helper *helpers; // helper.c: all throw-away processes, also those that are being killed

    struct verification *verifications; // store_job.c: blobs being read back, the next first
    struct timer verification_due;

    struct housekeeping *housekeeping;
    struct blob_hold *blob_holds; // housekeeping.c: blobs that are about to be used

    struct compile_job *jobs_waiting, *jobs_running; // compile_job.c
    unsigned n_jobs_waiting, n_jobs_running, max_jobs_running;
    unsigned n_forecasts;     // rollout_forecast.c: that are being made
    unsigned n_looks;         // look_job.c: answers that are being made or sent
    struct revival *revivals; // startup.c: versions being brought back
    uint64_t started_wall_ns;

    struct supervisor_link *supervisor;                // replicas.c
    struct upgrade *upgrade;                           // upgrade.c; NULL before the first
    struct adoption *adoption;                         // adoption.c: what a new supervisor would need
    struct memory_kept memory[CONTROLLER_MEMORY_KEPT]; // status.c: of the processes in the board's order
    struct withdrawal *withdrawals;                    // what no gateway shall use any more

    struct scaling *scaling;     // scaling.c
    struct replacing *replacing; // replace.c
    struct deploying *deploying; // deploying.c
    struct rollouts *rollouts;   // rollouts.c

    struct image_cache *image_cache; // image_cache.c; NULL without one
    struct timer revival_due;        // startup.c: images that are to be read
    unsigned n_images_read;          // since the start

    struct publication *publications; // gateways.c: changes that wait for the gateways
    struct timer publication_timer;
};

// Once c->loop is there: who may connect, and what is answered (routes.c).
void controller_peers_init(struct controller *c);
// Ends the process once nothing is in progress; called whenever something ended while draining.
void controller_drain_step(struct controller *c);

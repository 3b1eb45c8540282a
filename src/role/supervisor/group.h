// SPDX-License-Identifier: Apache-2.0
// One deployment that runs in replicas: how many of them there shall be, what becomes of each, and when the
// deployment is given up. Pure policy: now is an argument, what is to be done goes through struct group_ops.
// Processes, sockets and the board are in crew.c.
//
//   threads == 1   a loader loads the model once; each replica is a fork of it
//   threads  > 1   each replica is a process that loads for itself; there is no loader
#pragma once

#include "role/board.h"
#include "role/supervision.h"
#include "role/supervisor/restart.h"

enum { GROUP_PING_MS = 250 };

struct group;

// A loader or a replica, alive or not. The states are those of the board.
struct member {
    struct group *group;
    bool is_loader;
    uint32_t place;  // 0 … wanted - 1; of the loader 0
    uint32_t number; // of the process, from group_ops.next_number; 0 before the first
    enum board_state state;
    bool has_process; // it is known and has not ended
    bool is_asked;    // the loader was asked for a fork that has no process yet
    bool is_loaded;   // it said so
    bool is_old;      // of the program before an upgrade: it ends when there is one more
    bool is_killed;   // by us, and `why` says why
    // Points in time; 0: not set
    uint64_t started_mono_ns, ready_mono_ns, pinged_mono_ns, next_ping_mono_ns, restart_mono_ns, stop_mono_ns;
    uint32_t restarts;
    int32_t last_exit; // as in struct board_row
    uint64_t load_ns, memory_bytes;
    char why[SUPERVISION_WHY_BYTES];
    void *io; // of the one who implements group_ops
};

struct group_ops {
    // Starts the process of a loader, or of a replica that loads for itself.
    int (*spawn)(struct member *m, struct err *e);
    // Asks the loader for a fork that becomes m; group_forked or group_not_forked tells how it went.
    int (*fork)(struct member *loader, struct member *m, struct err *e);
    void (*ping)(struct member *m);
    void (*signal)(struct member *m, int sig); // only while it has a process
    uint64_t (*memory)(struct member *m);      // bytes of its own; 0: not known
    uint32_t (*next_number)(struct group *g);
    // m moved, or, with m NULL, the group itself; one that moved to READY is to be linked to the gateways,
    // one that has no process any more is to be let go of.
    void (*changed)(struct group *g, struct member *m);
};

struct group {
    const struct group_ops *ops;
    void *ctx; // of ops
    struct supervision_serve want;
    uint64_t drain_ns;      // for ending after SIGTERM
    enum board_state state; // STARTING until the first replica is ready, READY, FAILED; STOPPING: withdrawn
    bool is_declared;       // by the present controller
    bool is_renewing;       // one more than wanted runs until none is_old is left
    char why[SUPERVISION_WHY_BYTES]; // when FAILED
    struct restart restart;
    uint64_t killed_mono_ns; // the last death that does not count
    struct member loader;
    struct member members[LIMIT_REPLICAS];
};

// `serve` has threads > 0 and at most LIMIT_REPLICAS replicas, which is checked here: ERR_OUT_OF_RANGE.
int group_check(const struct supervision_serve *serve, struct err *e) ERR_CHECKED;
// Nothing happens before the first group_step.
void group_init(struct group *g, const struct group_ops *ops, void *ctx,
                const struct supervision_serve *serve, uint64_t drain_ns);
// Whether `serve` differs in nothing but the number of replicas and what a reload of the settings changes.
bool group_is_same(const struct group *g, const struct supervision_serve *serve);
// 0: the loader ends, too, and loads again when there are to be replicas.
void group_scale(struct group *g, uint32_t replicas);
// Ends all of it: SIGTERM, and SIGKILL after drain_ns.
void group_withdraw(struct group *g, uint64_t now_mono_ns);
// Replaces all replicas that are ready, one after the other, each after its successor is ready.
void group_renew(struct group *g);
bool group_is_gone(const struct group *g); // withdrawn, and no process is left
unsigned group_n_ready(const struct group *g);

// Does what is due; when there is more to do, or UINT64_MAX. Call it after each of the functions below, too.
uint64_t group_step(struct group *g, uint64_t now_mono_ns);

// What was heard.
void group_loaded(struct member *m, const struct supervision_loaded *l, uint64_t now_mono_ns);
void group_load_failed(struct member *m, const struct supervision_failed *f);
void group_pong(struct member *m, uint64_t now_mono_ns);
struct member *group_asked(struct group *g, uint32_t number); // the member a fork was asked for; NULL: none
void group_forked(struct member *m, uint64_t now_mono_ns);
void group_not_forked(struct member *m, const char *why, uint64_t now_mono_ns);
// It did what no sound replica does: it is killed, `why` is kept.
void group_misbehaved(struct member *m, const char *why);
// Its process has ended with `status`: an exit code, or minus a signal.
void group_ended(struct member *m, int status, uint64_t now_mono_ns);

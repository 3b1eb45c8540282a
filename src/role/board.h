// SPDX-License-Identifier: Apache-2.0
// The board: what runs, in shared memory, for everybody to read (health and metrics routes, slipway status).
// One row per child, loader and replica. Only the supervisor writes; the kernel refuses writable mappings to
// all others (memfd with F_SEAL_FUTURE_WRITE), and the supervisor never reads it back, so no child can
// mislead it.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    BOARD_ROWS_MAX = 1024,
    BOARD_CHILDREN_MAX = 128, // rows of gateways, controller and monitor, the first ones
    BOARD_MODEL_BYTES = 136,
    BOARD_WHY_BYTES = 256,
};

// A loader holds a model in memory and forks its replicas.
enum board_kind {
    BOARD_GATEWAY = 1,
    BOARD_CONTROLLER,
    BOARD_LOADER,
    BOARD_REPLICA,
    BOARD_MONITOR,
    BOARD_KINDS
};

//                  ┌──── successor started ────┐
//                  v                           │
//    EMPTY ──→ STARTING ──→ READY ──┬──→ RESTARTING     died; STARTING dies the same ways
//                                   └──→ FAILED         died too often in a short time
//
//    Shutting down: STARTING, READY ──→ STOPPING ──→ STOPPED;  RESTARTING, FAILED ──→ STOPPED
//    The row of a replica that is not wanted any more becomes EMPTY again after STOPPED.
enum board_state {
    BOARD_EMPTY,
    BOARD_STARTING,
    BOARD_READY,
    BOARD_RESTARTING, // dead, its successor is due
    BOARD_FAILED,     // dead, and no successor comes
    BOARD_STOPPING,
    BOARD_STOPPED,
    BOARD_STATES,
};

struct board_row {
    uint32_t kind;  // enum board_kind
    uint32_t index; // of a gateway; of a replica its place, 0 … wanted - 1; else 0
    uint32_t state; // enum board_state
    int32_t pid;    // 0 when not running
    uint32_t restarts;
    int32_t last_exit;        // exit code, or minus the signal that ended it; 0 before the first death
    uint64_t started_mono_ns; // of this process
    uint64_t ready_mono_ns;   // 0 until ready
    // Of a loader or replica
    // replica: number of this process among all, never reused; of a gateway its shard: that of one which
    // replaces another, while both serve, differs
    uint32_t version, replica;
    uint64_t deployment, load_ns;
    char model[BOARD_MODEL_BYTES];
    char why[BOARD_WHY_BYTES]; // the last death or failure, a phrase: "ended by signal 9"; "" before
};

struct board; // layout of the shared memory

// "ready", …; "unknown" for a number that is no state.
const char *board_state_name(uint32_t state);
const char *board_kind_name(uint32_t kind);
bool board_move_allowed(enum board_state from, enum board_state to);

// The writer's side. *ret_fd is sealed for children; the caller closes it and calls board_done.
int board_new(struct board **ret, int *ret_fd, struct err *e) ERR_CHECKED;
// Replaces row `slot` whole; asserts that its state stays or makes an allowed move.
void board_write(struct board *b, unsigned slot, const struct board_row *row);
// The same without asking for the row before: on the board of a new supervisor, which goes on with what it
// found.
void board_restore(struct board *b, unsigned slot, const struct board_row *row);

// A reader's side: maps fd read-only; fd stays the caller's. ERR_INVALID when it is not a board.
int board_attach(int fd, const struct board **ret, struct err *e) ERR_CHECKED;
unsigned board_n_rows(const struct board *b);
// A consistent copy of row `slot`, never half old; asserts slot < BOARD_ROWS_MAX.
struct board_row board_read(const struct board *b, unsigned slot);
void board_done(const struct board *b); // unmaps; NULL is fine

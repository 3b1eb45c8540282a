// SPDX-License-Identifier: Apache-2.0
// What the supervisor and its children say to each other, over one Unix socket pair per child that it made
// when it started the child (framing: os/msg; payloads are the structs below, native layout, as all are the
// same binary; the receiver checks sizes and ranges). The supervisor parses nothing else.
//
//   controller → supervisor
//     SUPERVISION_SERVE     struct supervision_serve + 2 descriptors: the model file, its interface (JSON, a
//                           sealed memfd)
//                           so many replicas of this deployment shall run; again with another number to
//                           scale. Descriptors are needed the first time only.
//     SUPERVISION_WITHDRAW  struct supervision_withdraw   its replicas finish what they have and end
//     SUPERVISION_COMPLETE  (empty) after a start: what was not declared since is withdrawn
//     SUPERVISION_UPGRADE   struct supervision_upgrade    go on as another program; answered by UPGRADED
//   supervisor → controller
//     SUPERVISION_CHANGING  (empty) it becomes that program now: a STATE follows soon, or it is to be killed
//     SUPERVISION_UPGRADED  struct supervision_failed     code 0: all children are new but the controller,
//                           which is next; else why not
//     SUPERVISION_REPLICA   struct supervision_replica    a replica changed its state
//
//   supervisor → gateway, controller, monitor
//     SUPERVISION_SETTINGS  struct supervision_settings   SIGHUP changed some: the receiver takes over those
//                           that are reloadable (settings_reload)
//   supervisor → controller, and from it to a new supervisor, when the old one died
//     SUPERVISION_KEEP      (empty) + 1 to 4 descriptors: those that a new supervisor would need. The very
//                           first of them is a handle of the supervisor's own process.
//     SUPERVISION_STATE     struct supervision_state + 1 descriptor, a sealed memfd: how everything stands
//                           (supervisor/handover.h). It and what came by KEEP since the last STATE replace
//                           all that was kept before, at once, so that they always belong together.
//   supervisor → gateway, controller, monitor
//     SUPERVISION_BOARD     (empty) + 1 descriptor: the board of a new supervisor
//
//   supervisor → gateway, replica
//     SUPERVISION_LINK      struct supervision_link + 1 descriptor: one end of a socket pair; the other end
//                           goes to the other party. role/link.h says what they do with it.
//   supervisor → replica
//     SUPERVISION_PING      (empty) answered by SUPERVISION_PONG as soon as it is not computing
//     SUPERVISION_FORK      struct supervision_fork + 1 descriptor: the new replica's supervision socket.
//                           To the process that loaded the model (the loader); it forks itself, as a child of
//                           the supervisor (CLONE_PARENT), and answers SUPERVISION_FORKED.
//   gateway → supervisor
//     SUPERVISION_DISTRUST  struct supervision_distrust   a replica broke the protocol of role/link.h, or
//                           answers no request
//   replica → supervisor
//     SUPERVISION_LOADED    struct supervision_loaded     a loader has the model ready to fork from; a
//     replica
//                           (forked ones too, over their own socket) takes links from now on
//     SUPERVISION_FAILED    struct supervision_failed     it cannot be loaded; the process ends
//     SUPERVISION_PONG      (empty)
//     SUPERVISION_FORKED    struct supervision_forked
//
// A supervisor that dies is followed by another, which gets its ends of all these sockets from the
// controller: the children do not notice. A child whose socket ends has lost both for good: a loader ends at
// once, a replica with its last gateway, a gateway drains and ends after a while (GATEWAY_ORPHAN_MS). SIGTERM
// asks a replica to answer what it has and to exit with 0.
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "os/msg.h"
#include "settings/settings.h"

#include <stdbool.h>
#include <stdint.h>

enum supervision_type {
    SUPERVISION_SERVE = 1,
    SUPERVISION_WITHDRAW,
    SUPERVISION_COMPLETE,
    SUPERVISION_REPLICA,
    SUPERVISION_LINK,
    SUPERVISION_PING,
    SUPERVISION_PONG,
    SUPERVISION_FORK,
    SUPERVISION_FORKED,
    SUPERVISION_LOADED,
    SUPERVISION_FAILED,
    SUPERVISION_SETTINGS,
    SUPERVISION_DISTRUST,
    SUPERVISION_KEEP,
    SUPERVISION_STATE,
    SUPERVISION_BOARD,
    SUPERVISION_UPGRADE,
    SUPERVISION_CHANGING,
    SUPERVISION_UPGRADED,
};

enum {
    SUPERVISION_PROTOCOL = 2, // of all that is said here and in the structs below
    SUPERVISION_PAYLOAD_MAX = 16384,
    SUPERVISION_WORD_BYTES = 32,
    SUPERVISION_DIGEST_BYTES = 72,
    SUPERVISION_WHY_BYTES = 256
};

struct supervision_serve {
    uint64_t deployment;
    uint32_t version, slot;
    char model[LIMIT_MODEL_NAME_BYTES + 1];
    char engine[SUPERVISION_WORD_BYTES];
    char digest[SUPERVISION_DIGEST_BYTES]; // "sha256:…" of the model file
    // Settings of the version
    uint32_t replicas; // wanted now
    uint32_t threads;
    char optimization[SUPERVISION_WORD_BYTES], provider[SUPERVISION_WORD_BYTES];
    uint64_t memory_bytes;     // of one replica; 0: no limit
    uint32_t start_timeout_ms; // for loading
    uint32_t hang_ms;          // a replica that does not answer for so long is replaced
    uint32_t batch_budget_us;  // how long a batch may take; 0: no limit but max_batch_rows
};

struct supervision_withdraw {
    uint64_t deployment;
};

// Also sent for each replica when a deployment is declared that runs already.
struct supervision_replica {
    uint64_t deployment;
    uint32_t replica;  // its number, never reused while the supervisor lives; 0: the deployment as a whole
    uint32_t state;    // enum board_state; of the deployment: STARTING, READY, FAILED (nothing is replaced)
    uint32_t ready;    // replicas of the deployment that are ready now
    int32_t last_exit; // as in struct board_row
    uint64_t load_ns, memory_bytes;
    char why[SUPERVISION_WHY_BYTES]; // of a failure, a sentence
};

struct supervision_link {
    uint64_t deployment;
    uint32_t replica, gateway;
    uint32_t hang_ms, zero; // of the version; 0: the gateway does not watch over its answers
};

struct supervision_fork {
    uint32_t replica, zero;
};

struct supervision_forked {
    uint32_t replica;
    int32_t pid; // or minus errno
};

struct supervision_loaded {
    uint64_t load_ns, memory_bytes;
    char sandbox[128]; // what confines it: "landlock 6, seccomp"
};

struct supervision_failed {
    int32_t code; // enum err_code
    char why[508];
};

struct supervision_settings {
    struct settings settings;
};

struct supervision_distrust {
    uint64_t deployment;
    uint32_t replica;
    char why[SUPERVISION_WHY_BYTES];
};

struct supervision_upgrade {
    char path[1024]; // "": where this program lies now
};

struct supervision_state {
    uint32_t n_kept; // descriptors that came by KEEP
    uint32_t zero;
};

// One message as it was received.
struct supervision_message {
    enum supervision_type type;
    unsigned n_fds;
    int fds[MSG_FDS_MAX]; // the receiver's to close
    union {
        struct supervision_serve serve;
        struct supervision_withdraw withdraw;
        struct supervision_replica replica;
        struct supervision_link link;
        struct supervision_fork fork;
        struct supervision_forked forked;
        struct supervision_loaded loaded;
        struct supervision_failed failed;
        struct supervision_settings settings;
        struct supervision_distrust distrust;
        struct supervision_state state;
        struct supervision_upgrade upgrade;
    };
};

// Who speaks: what each may say is in the list above.
enum supervision_sender {
    SUPERVISION_FROM_CONTROLLER = 1,
    SUPERVISION_FROM_SUPERVISOR = 2,
    SUPERVISION_FROM_REPLICA = 4,
    SUPERVISION_FROM_GATEWAY = 8,
    SUPERVISION_FROM_MONITOR = 16, // which says nothing
};

// Two connected sockets, close-on-exec and non-blocking. ERR_IO.
int supervision_pair(int ret_fds[2], struct err *e) ERR_CHECKED;
// Prepares a connection on fd, which it owns from now on.
void supervision_init(struct msg_conn *c, int fd);
// Queues a message; `payload` is the type's struct, or NULL where there is none. Descriptors stay the
// caller's. Errors as msg_conn_send.
int supervision_send(struct msg_conn *c, enum supervision_type type, const void *payload, const int *fds,
                     unsigned n_fds, struct err *e) ERR_CHECKED;
// Takes the next message that `from` may send: 1 taken, 0 none yet (msg_conn_fill, then again). Sizes,
// numbers of descriptors, words without end and states are checked. ERR_INVALID: not as agreed; nothing is
// kept open.
int supervision_take(struct msg_conn *c, enum supervision_sender from, struct supervision_message *ret,
                     struct err *e) ERR_CHECKED;

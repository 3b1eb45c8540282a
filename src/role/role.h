// SPDX-License-Identifier: Apache-2.0
// What the supervisor hands to each kind of child, and how a child says that it serves. A role's main runs in
// a process of its own (fork + exec of this binary); it returns the exit code. Descriptors are inherited and
// owned by the child; the supervisor keeps its own copies of listeners and shared memory, so that a
// successor gets the same.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;

struct gateway_args {
    unsigned index;      // 0 … n_gateways - 1
    unsigned n_gateways; //
    int listen_fd;       // TCP, listening, SO_REUSEPORT, non-blocking, TCP_NODELAY inherited by accept
    int board_fd;        // role/board: map with board_attach
    int metrics_fd;      // memfd, sealed size, all gateways' slots; write only slot `index`
    int ready_fd;        // role_ready(ready_fd) once
    int supervision_fd;  // role/supervision: links to replicas come here; -1: none
    int log_fd; // memfd, sealed size: rings of the prediction log, one a gateway; -1: nothing is logged
    const char *control_path;  // of the controller's Unix socket: sock_unix_connect, again when it went away
    const char *monitor_path;  // likewise
    struct settings *settings; // its own; SUPERVISION_SETTINGS changes them
};

struct controller_args {
    unsigned n_gateways;
    int control_listen_fd; // Unix stream, listening, non-blocking
    int board_fd;
    int metrics_fd; // role/metrics: what the gateways count, only read; -1: nothing is scaled
    int ready_fd;
    int supervision_fd;        // role/supervision: what shall run in replicas is said here; -1: nothing can
    struct settings *settings; // likewise
};

// What is watched: the prediction log, and all that follows from it.
struct monitor_args {
    unsigned n_gateways;
    int listen_fd; // Unix stream, listening, non-blocking: admin requests (role/ipc.h)
    int board_fd, metrics_fd, ready_fd, supervision_fd;
    int log_fd; // of all gateways
    const char *control_path;
    struct settings *settings;
};

// A process that runs a model for others: the loader, which loads it and then only forks replicas from itself
// (threads == 1), or a replica that loads for itself. It says SUPERVISION_LOADED or SUPERVISION_FAILED on
// supervision_fd; there is no ready pipe, no board and no other descriptor.
struct replica_args {
    bool is_loader;
    uint64_t deployment;
    uint32_t replica; // its number; of a loader 0: each fork is given one
    const char *model;
    uint32_t version;
    const char *engine; // runtime_find
    const char *digest; // "sha256:…" that the model file must have, else it says so and ends
    // Settings of the version
    uint32_t threads;
    const char *optimization, *provider;
    uint64_t memory_bytes; // 0: no limit
    uint32_t batch_budget_us;
    int supervision_fd;
    int model_fd;     // for reading
    int interface_fd; // memfd, sealed for good: JSON, interface_decode
    // Memory of the command line, for role_title_set.
    char *title;
    size_t title_bytes;
    const struct settings *settings;
};

// Tells the supervisor that this child serves, and closes ready_fd: a gateway once it has its first routing
// table and accepts, the controller once the registry is open and it accepts, the
// monitor once it accepts. -1 is fine: nothing to tell.
//
// SIGTERM asks a child to finish: a gateway accepts what is waiting in its listener, closes it, answers what
// is in flight and returns 0; the controller finishes what was acknowledged and returns 0. A child that
// takes longer than the setting drain_timeout_ms is killed. SIGKILL also comes when the supervisor dies.
void role_ready(int ready_fd);

// Exit code of a replica that ends because it may take no more memory.
enum { ROLE_EXIT_MEMORY = 66 };

// Shows `text`, cut to fit, as the command line of this process: "slipway: replica churn/3".
void role_title_set(char *title, size_t title_bytes, const char *text);

// The mains; each returns the exit code of its process.
int gateway_main(const struct gateway_args *args);
int controller_main(const struct controller_args *args);
int monitor_main(const struct monitor_args *args);
int replica_main(const struct replica_args *args);

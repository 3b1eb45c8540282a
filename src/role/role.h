// SPDX-License-Identifier: Apache-2.0
// What the supervisor hands to each kind of child, and how a child says that it serves. A role's main runs in
// a process of its own (fork + exec of this binary); it returns the exit code. Descriptors are inherited and
// owned by the child; the supervisor keeps its own copies of listeners and shared memory, so that a
// successor gets the same.
#pragma once

struct settings;

struct gateway_args {
    unsigned index;           // 0 … n_gateways - 1
    unsigned n_gateways;      //
    int listen_fd;            // TCP, listening, SO_REUSEPORT, non-blocking, TCP_NODELAY inherited by accept
    int board_fd;             // role/board: map with board_attach
    int metrics_fd;           // memfd, sealed size, all gateways' slots; write only slot `index`
    int ready_fd;             // role_ready(ready_fd) once
    const char *control_path; // of the controller's Unix socket: sock_unix_connect, again when it went away
    const struct settings *settings;
};

struct controller_args {
    unsigned n_gateways;
    int control_listen_fd; // Unix stream, listening, non-blocking
    int board_fd;
    int ready_fd;
    const struct settings *settings;
};

// Tells the supervisor that this child serves, and closes ready_fd: a gateway once it has its first routing
// table and accepts, the controller once the registry is open and it accepts. -1 is fine: nothing to tell.
//
// SIGTERM asks a child to finish: a gateway accepts what is waiting in its listener, closes it, answers what
// is in flight and returns 0; the controller finishes what was acknowledged and returns 0. A child that
// takes longer than the setting drain_timeout_ms is killed. SIGKILL also comes when the supervisor dies.
void role_ready(int ready_fd);

// The mains; each returns the exit code of its process.
int gateway_main(const struct gateway_args *args);
int controller_main(const struct controller_args *args);

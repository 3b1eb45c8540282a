// SPDX-License-Identifier: Apache-2.0
// Listening sockets and Unix connections. All descriptors are close-on-exec and non-blocking.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { SOCK_ADDRESS_SIZE = 56 };

// "127.0.0.1:8080" or "[::1]:8080".
void sock_address_format(const struct sockaddr_storage *a, char ret[SOCK_ADDRESS_SIZE]);
// A URL clients on this machine can use: "http://127.0.0.1:8080"; for 0.0.0.0 and [::] a loopback one.
void sock_address_url(const struct sockaddr_storage *a, char ret[SOCK_ADDRESS_SIZE + 8]);

// n TCP listeners on one address; the kernel spreads connections over them (SO_REUSEPORT). Port 0 is chosen
// once, the same for all, and stored in *a. ERR_CONFLICT when somebody else listens there, ERR_REFUSED
// without the right to bind, ERR_IO. On failure none is open.
int sock_listen_tcp(struct sockaddr_storage *a, size_t n, int *ret_fds, struct err *e) ERR_CHECKED;
// A Unix stream listener at `path` with mode `mode`; what lay there before is removed. Paths may be longer
// than the kernel's 107 bytes.
int sock_listen_unix(const char *path, mode_t mode, int *ret_fd, struct err *e) ERR_CHECKED;
// Whether a TCP connection comes from this machine: over 127.0.0.0/8 or ::1.
bool sock_peer_is_local(int fd);
// Connects to such a listener. ERR_UNAVAILABLE when nobody listens or its queue is full.
int sock_unix_connect(const char *path, int *ret_fd, struct err *e) ERR_CHECKED;

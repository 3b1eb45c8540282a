// SPDX-License-Identifier: Apache-2.0
// What a service tells its service manager, and what it gets from it: the protocols of sd_notify(3) and
// sd_listen_fds(3), which are a datagram and three variables. Without a manager nothing happens.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOTIFY_FDS_MAX = 256 };

// Sends assignments, one a line: "READY=1\nSTATUS=…". True when a manager got them. Does not block.
bool notify_send(const char *text);
// Leaves a descriptor with the manager, which hands it to the next start of the service under that name.
bool notify_store(const char *name, int fd);
// How often the manager wants to hear WATCHDOG=1, half of its patience; 0: not at all.
uint64_t notify_watchdog_ns(void);
// Takes the descriptors that the manager handed to this start under `name`, close-on-exec and non-blocking:
// at most n of them; their number.
size_t notify_take(const char *name, int *ret_fds, size_t n);

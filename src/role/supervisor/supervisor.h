// SPDX-License-Identifier: Apache-2.0
// The supervisor: starts the gateways and the controller, restarts those that die, ends them in order. It
// holds the listeners and the shared memory, so that a child can be replaced without a refused connection. It
// parses nothing that comes from the network or from a model, and has no threads and no TLS.
#pragma once

#include "role/entry.h"

#include <stdint.h>

struct settings;

// Runs the server until SIGTERM or SIGINT and returns the exit code: 0 after a drain; 1 when it could not
// start, when all gateways failed, or when a second signal cut the drain short. Events go to stderr
// (base/log). SIGHUP loads the settings again as they were loaded into s: settings_load of these flags.
int supervisor_main(struct settings *s, int n_flags, char *const *flags, uint64_t started_mono_ns);
// The same after another supervisor, whose children go on.
int supervisor_successor_main(struct settings *s, enum entry_succession how, int fd);

// SPDX-License-Identifier: Apache-2.0
// How a child is started: the argument list that the supervisor writes and the child reads. Both sides are
// here, so that they cannot disagree.
//
//   slipway @gateway INDEX GATEWAYS CONTROL_PATH --data-dir=… --listen=… (every setting as its flag)
//
// The descriptors have fixed numbers, from enum entry_fd.
#pragma once

#include "base/err.h"
#include "role/role.h"

#include <stdbool.h>

struct gateway_args;
struct controller_args;

enum entry_fd {
    ENTRY_FD_BOARD = 3, // PROC_FIRST_FD
    ENTRY_FD_READY,
    ENTRY_FD_LISTEN,
    ENTRY_FD_METRICS, // gateways only
};

// The mains of the roles; tests put their own here.
struct entry_mains {
    int (*gateway)(const struct gateway_args *a);
    int (*controller)(const struct controller_args *a);
};

// An argument list for proc_spawn; entry_argv_free when done. `role` is "@gateway" or "@controller". NULL
// without memory.
char **entry_argv_new(const char *role, unsigned index, unsigned n_gateways, const char *control_path,
                      const struct settings *s);
void entry_argv_free(char **argv); // NULL is fine
// Whether argv[1] names a role.
bool entry_is_role(int argc, char *const *argv);
// Runs the role that argv[1] names and returns its exit code; 2 when argv is not as entry_argv_new made it.
int entry_main(const struct entry_mains *m, int argc, char *const *argv);

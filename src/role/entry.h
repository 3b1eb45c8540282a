// SPDX-License-Identifier: Apache-2.0
// How a child is started: the argument list that the supervisor writes and the child reads. Both sides are
// here, so that they cannot disagree.
//
//   slipway @gateway INDEX GATEWAYS CONTROL_PATH --data-dir=… --listen=… (every setting as its flag)
//   SLIPWAY_CHILD_ROLLOUT_WEBHOOK=… (the environment: settings that may be secrets, because every user of the
//   machine can read arguments; the child takes them out of its environment)
//   slipway @supervisor … (the same; started by the controller when the supervisor died, descriptor 3 is its
//   socket) slipway @replica loader|replica … (members of struct replica_args in their order) … --data-dir=…
//
// The descriptors have fixed numbers, from enum entry_fd.
#pragma once

#include "base/err.h"
#include "role/role.h"

#include <stdbool.h>

struct settings;

enum entry_fd {
    ENTRY_FD_BOARD = 3, // PROC_FIRST_FD
    ENTRY_FD_READY,
    ENTRY_FD_LISTEN,
    ENTRY_FD_SUPERVISION,
    ENTRY_FD_METRICS,
    ENTRY_FD_LOG,
};
// Of a loader or replica.
enum entry_replica_fd {
    ENTRY_REPLICA_FD_SUPERVISION = 3,
    ENTRY_REPLICA_FD_MODEL,
    ENTRY_REPLICA_FD_INTERFACE,
    ENTRY_REPLICA_FD_LIMIT,
};

// How a supervisor follows another.
enum entry_succession {
    ENTRY_ADOPTS,  // @supervisor: a new process, started by the controller; fd is their socket
    ENTRY_BECOMES, // @upgraded: the same process, by execve; fd is what it wrote down
    ENTRY_CHECKS,  // @check: only whether it could, asked before that; fd likewise, and the answer goes to fd
                   // + 1
};

// The mains of the roles; tests put their own here.
struct entry_mains {
    int (*gateway)(const struct gateway_args *a);
    int (*controller)(const struct controller_args *a);
    int (*monitor)(const struct monitor_args *a);
    int (*replica)(const struct replica_args *a);
    int (*supervisor)(struct settings *s, enum entry_succession how, int fd); // supervisor_successor_main
};

// An argument list for proc_spawn; entry_argv_free when done. `role` is "@gateway", "@controller",
// "@monitor", "@supervisor", "@check" or "@upgraded" (control_path: the number of the descriptor). NULL
// without memory.
char **entry_argv_new(const char *role, unsigned index, unsigned n_gateways, const char *control_path,
                      const struct settings *s);
// The same for a loader or replica; descriptors and title of `a` are not looked at.
char **entry_replica_argv_new(const struct replica_args *a);
void entry_argv_free(char **argv); // NULL is fine
// The environment of a child that needs the secrets: those variables, then `base`. Free likewise; NULL
// without memory.
char **entry_environ_new(char *const *base, const struct settings *s);
// The monitor's Unix socket, beside the controller's.
enum { ENTRY_PATH_BYTES = 1024 + 32 };
void entry_monitor_path(const struct settings *s, char ret[ENTRY_PATH_BYTES]);
// Whether argv[1] names a role.
bool entry_is_role(int argc, char *const *argv);
// Runs the role that argv[1] names and returns its exit code (takes the secrets out of the environment); 2
// when argv is not as entry_argv_new made it.
int entry_main(const struct entry_mains *m, int argc, char *const *argv);

// SPDX-License-Identifier: Apache-2.0
// The throw-away process that checks what the registry has written down: the audit, hash by hash, or the
// record of a rollout, move by move. The controller starts it, because both grow with the years. It opens the
// database read-only beside the controller and sees what was committed when it began.
#pragma once

// Its arguments and descriptors (os/proc places them).
enum look_arg {
    LOOK_ARG_PROGRAM,
    LOOK_ARG_ROLE,
    LOOK_ARG_DATA_DIR,
    LOOK_ARG_WHAT,   // LOOK_AUDIT or LOOK_ROLLOUT
    LOOK_ARG_NUMBER, // of a receipt, 0: none; of the rollout
    LOOK_ARG_HASH,   // of the receipt, 64 hexadecimal digits; else empty
    LOOK_ARGS,
};
#define LOOK_ROLE    "@look"
#define LOOK_AUDIT   "audit"
#define LOOK_ROLLOUT "rollout"
enum look_fd {
    LOOK_FD_BODY = 3, // gets the answer, a JSON object
    LOOK_FD_RESULT,
};

// Result: {} when the answer is there, or an error as compile_main writes it. Returns the exit code, 0 when a
// result was written. argc and argv are main's; argv[1] is LOOK_ROLE.
int look_main(int argc, char *const *argv);

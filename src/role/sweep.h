// SPDX-License-Identifier: Apache-2.0
// The throw-away process that empties the trash of the blobs: to free the space of large files may take a
// file system longer than the controller's loop may stand still.
#pragma once

#define SWEEP_ROLE "@sweep"
enum sweep_fd {
    SWEEP_FD_TRASH = 3, // PROC_FIRST_FD
    SWEEP_FD_RESULT,
};

// Result: {"emptied":true} or an error as compile_main writes it. Returns the exit code, 0 when a result was
// written. argc and argv are main's; argv[1] is SWEEP_ROLE.
int sweep_main(int argc, char *const *argv);

// SPDX-License-Identifier: Apache-2.0
// A throw-away process that does one piece of work for the controller (compile.c, store.c): started, given a
// deadline, its report read when it has ended. The controller never waits for it, not even for its death.
#pragma once

#include "role/controller/controller.h"
#include "role/helper_report.h"

#include <stddef.h>

enum { HELPER_FDS_MAX = 4 };

struct helper; // of the controller; gone once on_end was called or it was cancelled

struct helper_end {
    int status;        // exit code, or minus the signal that ended it
    bool is_late;      // it did not end in time and is being killed; status says nothing then
    struct str report; // all that it wrote, maybe nothing; borrowed for the call
};

struct helper_spec {
    char *const *argv; // argv[1] names the role
    const int *fds;    // what it gets as PROC_FIRST_FD …; behind them the pipe for its report
    size_t n_fds;      // at most HELPER_FDS_MAX
    uint64_t timeout_ms;
    void (*on_line)(void *owner, struct str line); // of its report, as they come; NULL: nobody wants them
    void (*on_end)(void *owner, const struct helper_end *end); // called once
    void *owner;
};

// ERR_IO, ERR_NOMEM.
int helper_start(struct controller *c, const struct helper_spec *s, struct helper **ret,
                 struct err *e) ERR_CHECKED;
// Kills it; on_end is not called. NULL is fine.
void helper_cancel(struct helper *h);
// Kills all that are left and waits for their ends: the controller is about to end itself.
void helpers_end(struct controller *c);

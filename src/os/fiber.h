// SPDX-License-Identifier: Apache-2.0
// Long work in pieces, without threads: a function runs on a stack of its own and may pause in the midst of
// any call depth; whoever resumed it goes on meanwhile. Not for work that holds resources while it pauses,
// other than those its caller can release: an unfinished fiber is dropped, nothing of it runs again.
#pragma once

#include "base/err.h"

#include <stdbool.h>

struct fiber;

// Nothing of run is executed yet. ERR_NOMEM.
int fiber_new(void (*run)(void *ctx), void *ctx, struct fiber **ret, struct err *e) ERR_CHECKED;
// Frees it, whether it is finished or not; NULL is fine. Not from within it.
void fiber_free(struct fiber *f);
// Runs it until it pauses or ends. Returns whether it paused. Not to be called again once it has ended.
bool fiber_resume(struct fiber *f);
// From within: goes back to fiber_resume's caller; returns with the next fiber_resume.
void fiber_pause(struct fiber *f);

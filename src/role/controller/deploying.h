// SPDX-License-Identifier: Apache-2.0
// Which versions are loaded, when the registry has more than there is room for: those with an alias, the
// newest of each model, and those that were asked for lately. Others are loaded when a request names them;
// the one that was not asked for the longest makes room.
#pragma once

#include "role/controller/controller.h"

struct deployment;

// Somebody who waits until a version is loaded. Embedded in what waits.
struct deploying_wait {
    struct deploying_wait *next;
    struct controller *c;
    uint64_t deployment;
    bool is_waiting;
    // Called once: NULL, or why it is not.
    void (*on_done)(struct deploying_wait *w, const struct err *e);
};

int deploying_open(struct controller *c, struct err *e) ERR_CHECKED;
void deploying_close(struct controller *c);

// A place for a version that is pushed. ERR_BUSY when all are taken by those that are being pushed.
int deploying_make_room(struct controller *c, struct err *e) ERR_CHECKED;
// A gateway has a request for a version that it does not know; `name` is a number, an alias, or empty for the
// default. 0: it is or will be loaded, and published then. ERR_UNKNOWN_MODEL, ERR_UNKNOWN_VERSION;
// ERR_NOT_DEPLOYED when there is no room; ERR_UNAVAILABLE when it failed.
int deploying_ask(struct controller *c, struct str model, struct str name, struct err *e) ERR_CHECKED;
// Before a version is given an alias. 1: it serves, or is none that could; 0: it is being loaded, w->on_done
// will be called. ERR_CONFLICT when it failed, else as deploying_ask.
int deploying_ensure(struct controller *c, struct str model, uint32_t number, struct deploying_wait *w,
                     struct err *e) ERR_CHECKED;
void deploying_forget(struct deploying_wait *w); // not waiting is fine
// The version was loaded, or named: if requests that give no number reach it, it is in use from now on.
void deploying_named(const struct controller *c, struct deployment *d);
// After versions of the model were deleted: which of those that are loaded is the newest.
void deploying_renew(struct controller *c, struct str model);

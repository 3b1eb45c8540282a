// SPDX-License-Identifier: Apache-2.0
// Garbage collection: versions that the retention rules let go, then blobs that no version needs. One run at
// a time, when it is asked for or when it is time, in slices between other events; files are only renamed
// here, a process of its own frees their space (role/sweep.h).
//
// A blob is removed in the same turn of the loop in which it was seen that
//   no version needs it,
//   nobody holds it (struct blob_hold), and
//   it was stored, or asked for with HEAD or PUT, longer ago than the setting gc_grace.
// So whoever finds a blob and takes a hold in that same turn has it until the hold is released, and whoever
// was told that a blob is there has gc_grace to make a version of it. Across processes, a backup keeps
// collection out with a lock (REGISTRY_BLOBS_LOCK).
#pragma once

#include "role/controller/controller.h"

// Blobs that somebody is about to use. Embedded in what uses them; zero-initialised is "none".
struct blob_hold {
    const struct registry_artifact *artifacts; // (n) the owner's
    size_t n;
    struct blob_hold *next, **link; // link NULL: not held
};
void housekeeping_hold(struct controller *c, struct blob_hold *h, const struct registry_artifact *artifacts,
                       size_t n);
void housekeeping_release(struct blob_hold *h); // not held is fine
bool housekeeping_is_held(const struct controller *c, const struct registry_digest *d);

// Starts the timer. ERR_NOMEM.
int housekeeping_open(struct controller *c, struct err *e) ERR_CHECKED;
void housekeeping_close(struct controller *c);

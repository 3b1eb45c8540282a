// SPDX-License-Identifier: Apache-2.0
// Whether a version that runs in replicas fits into memory beside what runs already. What it will need is
// known only once it runs, so this is an estimate, and it says of what it is made.
#pragma once

#include "os/memory.h"
#include "role/controller/controller.h"
#include "role/controller/version_settings.h"

struct fit_asked {
    uint64_t file_bytes;   // of the model and its external data
    uint64_t loaded_bytes; // what it took when it was loaded by somebody; 0: not known
    uint64_t freed_bytes;  // of versions that are to end first
    const struct version_settings *settings;
};

struct fit {
    uint64_t needed_bytes;
    struct memory_room room; // with what is to be freed
};

enum {
    FIT_COPIES = 2,      // of the weights: as read, and packed for the kernels
    FIT_REPLICA_MB = 12, // of a replica beside the model's: stacks, buffers, what a run takes
};

// Fills *ret. ERR_NO_SPACE when it does not fit, with all numbers in the text; ERR_IO when nothing is known.
int fit_check(const struct controller *c, const struct fit_asked *a, struct fit *ret,
              struct err *e) ERR_CHECKED;
// The same with what is known of the machine: pure. `room` without what is to be freed.
int fit_decide(const struct fit_asked *a, const struct memory_room *room, struct fit *ret,
               struct err *e) ERR_CHECKED;
// Memory of its own that a deployment's loader and replicas take, or that all take together (0); what a fork
// shares with its loader counts once.
uint64_t fit_used_bytes(const struct controller *c, uint64_t deployment);

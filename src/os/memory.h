// SPDX-License-Identifier: Apache-2.0
// How much memory there is for this process and those that it works with: of the machine, and of the control
// groups that it is in. Read anew each time; what somebody else takes meanwhile is not foreseen.
#pragma once

#include "base/err.h"

#include <stdint.h>

// The limit that leaves least.
struct memory_room {
    uint64_t budget_bytes;
    uint64_t used_bytes; // of it, without files in memory that the kernel would drop
    uint64_t available_bytes;
    char what[160]; // "control group /a/b", "machine"
};

// Looks below `root`, which is "/" but in tests: proc/self/cgroup, sys/fs/cgroup of both versions, each group
// up to the topmost that can be seen, and proc/meminfo. ERR_IO when not even that tells anything.
int memory_room(const char *root, struct memory_room *ret, struct err *e) ERR_CHECKED;
// One more limit: replaces *r if it leaves less.
void memory_room_cap(struct memory_room *r, uint64_t budget_bytes, uint64_t used_bytes, const char *what);

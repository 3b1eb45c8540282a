// SPDX-License-Identifier: Apache-2.0
// The fair share of memory that processes have. To add it up the kernel walks all that a process has mapped,
// up to milliseconds each, so what was found is kept for a second however often it is asked for.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_memory;

// Of one process. Zero-initialised: none was looked at.
struct memory_kept {
    pid_t pid;
    uint64_t pss_bytes, looked_mono_ns;
};

// As proc_memory_in_full, with pss_bytes of at most a second ago.
bool memory_kept_look(struct memory_kept *k, pid_t pid, uint64_t mono_ns, struct proc_memory *ret);

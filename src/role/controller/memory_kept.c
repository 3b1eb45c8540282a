// SPDX-License-Identifier: Apache-2.0
// What costs microseconds, resident and own memory, is looked at each time.
#include "role/controller/memory_kept.h"

#include "os/proc.h"

enum { KEPT_NS = 1000000000 };

bool memory_kept_look(struct memory_kept *k, pid_t pid, uint64_t mono_ns, struct proc_memory *ret)
{
    if (k->pid == pid && k->looked_mono_ns && mono_ns - k->looked_mono_ns < KEPT_NS) {
        if (!proc_memory(pid, ret))
            return false;
        ret->pss_bytes = k->pss_bytes;
        return true;
    }
    if (!proc_memory_in_full(pid, ret))
        return false;
    *k = (struct memory_kept){.pid = pid, .pss_bytes = ret->pss_bytes, .looked_mono_ns = mono_ns};
    return true;
}

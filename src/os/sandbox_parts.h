// SPDX-License-Identifier: Apache-2.0
// Between the files of the sandbox: what sandbox.c puts together, and the form of the rules for system calls.
#pragma once

#include "os/sandbox.h"

#include <stddef.h>

// The calling thread, and those it makes, lose all rights to files by name, the network, and signals and
// abstract sockets of others. *ret_abi: the kernel's version of Landlock; 0 with *ret_why ("the kernel has no
// Landlock") when there is none. ERR_IO.
int sandbox_landlock(int *ret_abi, const char **ret_why, struct err *e) ERR_CHECKED;
// Whether a Landlock of this version keeps signals from leaving the sandbox.
bool sandbox_landlock_scopes_signals(int abi);

// Flags of rules, and what of it a filter has.
enum sandbox_need {
    NEED_THREADS = 1,   // n_threads > 1
    NEED_FORK = 2,      // may_fork
    NEED_MESSAGES = 4,  // may_message
    NEED_TASKS_END = 8, // a way to call sandbox_end_tasks later
    NEED_SIBLINGS = 32, // siblings
    NEED_ANY_PID = 16,  // signals are confined by Landlock, and children will have pids of their own
};

// The filter over what is allowed, with the flags `have`.
int sandbox_seccomp(unsigned have, struct err *e) ERR_CHECKED;
// A second filter: nothing new is allowed, tasks no more.
int sandbox_seccomp_end_tasks(struct err *e) ERR_CHECKED;

// On one argument of a call. The kernel ignores the upper half of an int, and so does a mask that has none.
enum cond_op {
    COND_NONE,
    COND_MASKED,      // (argument & mask) == value
    COND_OWN_PID,     // the process that installs the filter
    COND_BELOW,       // argument < value
    COND_NEVER,       // does not hold
    COND_BELOW_STACK, // an address under the first thread's stack
};
struct cond {
    enum cond_op op;
    unsigned arg;
    uint64_t mask, value;
};

enum { RULE_CONDS = 3, RULE_KILL = -1 };

// One system call. Without conditions it is allowed; with some, where all hold. Rules for one call are
// neighbours, and one of them that holds is enough; one whose `need` the filter has not never holds. If none
// holds, `otherwise` of the first is the answer: an errno, 0 for EPERM, or RULE_KILL, with which a rule never
// holds.
struct rule {
    int nr;
    unsigned need; // enum sandbox_need, or 0
    int otherwise;
    struct cond conds[RULE_CONDS];
};
struct rules {
    const struct rule *p;
    size_t n;
};
extern const struct rules sandbox_rules; // sandbox_rules.c: of every architecture
extern const struct rules
    sandbox_rules_end_tasks; // the second filter's: what they do not name stays as it was

// sandbox_x86_64.c, sandbox_aarch64.c
struct sandbox_arch {
    uint32_t audit;       // AUDIT_ARCH_…: calls of another are killed
    uint32_t call_limit;  // numbers from here on are of another ABI: killed
    uint32_t call_newest; // greater numbers are newer than the rules: ENOSYS, so that a library falls back
};
extern const struct sandbox_arch sandbox_arch;
extern const struct rules sandbox_rules_arch; // for calls that only this architecture has

#define INT_MASK 0xffffffffULL
#define ARG_IS(a, v)                                                                                         \
    {                                                                                                        \
        COND_MASKED, a, INT_MASK, (v)                                                                        \
    }
#define ARG_NULL(a)                                                                                          \
    {                                                                                                        \
        COND_MASKED, a, ~0ULL, 0                                                                             \
    }
#define ARG_WITHOUT(a, bits)                                                                                 \
    {                                                                                                        \
        COND_MASKED, a, (bits), 0                                                                            \
    }
#define ARG_MASKED(a, m, v)                                                                                  \
    {                                                                                                        \
        COND_MASKED, a, (m), (v)                                                                             \
    }
#define ARG_BELOW(a, v)                                                                                      \
    {                                                                                                        \
        COND_BELOW, a, 0, (v)                                                                                \
    }
#define ARG_BELOW_STACK(a)                                                                                   \
    {                                                                                                        \
        COND_BELOW_STACK, a, 0, 0                                                                            \
    }
#define NEVER                                                                                                \
    {                                                                                                        \
        COND_NEVER, 0, 0, 0                                                                                  \
    }
#define ARG_OWN_PID(a)                                                                                       \
    {                                                                                                        \
        COND_OWN_PID, a, 0, 0                                                                                \
    }

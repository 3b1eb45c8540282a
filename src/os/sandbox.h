// SPDX-License-Identifier: Apache-2.0
// The confinement of a process that reads what nobody trusts: a model file, or memory that a less trusted
// process wrote. It keeps the descriptors it has and loses the rest of the system: no file by name, no
// network, no program, no other process, no more memory than it was given. docs/security.md says it in full.
//
// Linux only. The parts: limits and capabilities (sandbox.c), file system and network (sandbox_landlock.c),
// system calls (sandbox_seccomp.c, with the rules in sandbox_rules*.c).
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

// What the process may still do and use. Zero-initialised is the strictest, without limits on memory.
struct sandbox {
    // Writable private memory (RLIMIT_DATA): heap, thread stacks of 8 MiB each, weights, also those shared
    // with the process it was forked from. Mapped shared memory and read-only mappings of files do not count;
    // the filter lets it make no shared memory of its own. 0: no limit.
    uint64_t memory_bytes;
    uint64_t mapped_bytes;   // what it will map of its descriptors, beside memory_bytes
    uint64_t file_bytes;     // to this size it may write a file or memfd, also a log; 0: no limit
    unsigned n_files;        // descriptors below this number may be opened by dup or eventfd; 0: no limit
    unsigned cpu_s;          // seconds of processor time, then SIGXCPU and SIGKILL; 0: no limit
    unsigned n_user_tasks;   // RLIMIT_NPROC: of its user in the whole system, no effect on root; 0: no limit
    unsigned n_threads;      // 0 and 1: it cannot make threads; more: it can, but they are not counted
    int parent_death_signal; // sent to it when the thread that made it ends; 0: none, and an older one is
                             // kept
    bool may_fork;           // one process forks the replicas that share its weights; also wait4
    bool siblings;           // with may_fork: also as children of its own parent (CLONE_PARENT)
    bool may_message;        // sendmsg and recvmsg on sockets that it has
};

enum { SANDBOX_REPORT_MAX = 96 };

// What confines it, for the log and the admin API.
struct sandbox_report {
    int landlock_abi;              // 0: the kernel has no Landlock, or refuses it
    char text[SANDBOX_REPORT_MAX]; // "landlock abi 5, seccomp", "seccomp only: the kernel has no Landlock"
};

// Confines the calling process and all that it will fork, for good. To be called with one thread, after
// everything was opened, dlopened and loaded that comes from files, and before anything untrusted is read.
// On failure the process may be confined in part and should end. ERR_UNAVAILABLE: the kernel has no seccomp
// filter; ERR_INTERNAL: there are threads already; ERR_IO. Takes about a millisecond. *ret may be unset on
// failure.
int sandbox_enter(const struct sandbox *s, struct sandbox_report *ret, struct err *e) ERR_CHECKED;
// Takes back n_threads and may_fork from all threads of the process, once those it needs exist: call it after
// making the threads and before the model is read; in a forked replica first thing. Only after sandbox_enter
// with n_threads > 1 or may_fork; once. ERR_IO.
int sandbox_end_tasks(struct err *e) ERR_CHECKED;

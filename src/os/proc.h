// SPDX-License-Identifier: Apache-2.0
// Child processes: fork + exec of this very binary with an explicit list of descriptors and nothing else
// inherited. One process handle per child, so that a recycled process id can never be hit.
#pragma once

#include "base/err.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROC_FIRST_FD = 3, PROC_FDS_MAX = 16 };

// What a child is started with. It sees fds[i] as descriptor PROC_FIRST_FD + i, /dev/null as standard input,
// our standard output and error, default signal handlers, an empty signal mask, a process group of its own,
// and no other descriptor. It is killed when we die, unless `outlives_us`, which also makes it
// ignore SIGHUP.
struct proc_spec {
    char *const *argv; // NULL at the end; argv[0] is only a name
    char *const *envp; // NULL at the end: the whole environment
    const int *fds;    // stay the caller's
    size_t n_fds;      // at most PROC_FDS_MAX
    bool outlives_us;
    const char *path; // of the program; NULL: /proc/self/exe
};

// The status of a process that is no child of ours: only its parent is told how it ended.
enum { PROC_STATUS_UNKNOWN = 1 << 16 };

struct proc {
    pid_t pid; // 0: none
    int pidfd; // readable once the process has ended
};

// Starts the program. Blocks until the exec is done (about 1 ms). On failure *ret is {0, -1}. ERR_IO,
// ERR_NOMEM.
int proc_spawn(const struct proc_spec *s, struct proc *ret, struct err *e) ERR_CHECKED;
// Takes over a child of ours that another process made for us (clone with CLONE_PARENT). ERR_INVALID: `pid`
// is no living or unreaped child of this process; ERR_IO. On failure *ret is {0, -1}.
int proc_adopt(pid_t pid, struct proc *ret, struct err *e) ERR_CHECKED;
// A handle of this very process, for others. ERR_IO.
int proc_open_self(int *ret_fd, struct err *e) ERR_CHECKED;
// From now on this process and those it makes get a third of the processor time that others on the same core
// get (nice 5): for work that may wait a little, but must get done on a busy machine too. There is no way
// back.
void proc_give_way(void);
// A child of ours that has ended and that nobody has reaped: its pid, or 0. It stays to be reaped.
pid_t proc_ended(void);
// Memory of any process in bytes; false when it has ended or may not be looked at. own: anonymous memory,
// shared with nobody but by fork. pss: its fair share of all it has mapped; 0 when we may not know.
struct proc_memory {
    uint64_t resident_bytes, own_bytes, pss_bytes;
};
bool proc_memory(pid_t pid, struct proc_memory *ret);         // microseconds; leaves pss_bytes 0
bool proc_memory_in_full(pid_t pid, struct proc_memory *ret); // up to milliseconds for a large process
// Sends a signal; false when the process has ended or is none.
bool proc_signal(const struct proc *p, int sig);
bool proc_signal_handle(int pidfd, int sig); // the same by a handle alone
// SIGKILL to the process and to all it started that are still in its group. Fine when it is none.
void proc_kill_group(const struct proc *p);
// If the process has ended, forgets it (closes pidfd, *p becomes {0, -1}), stores its exit code, or minus the
// signal that ended it, and returns true; PROC_STATUS_UNKNOWN when it was no child of ours. Does not block.
bool proc_reap(struct proc *p, int *ret_status);
// Whether `p` is a child of this process: it may be one of a predecessor instead, whose handle we were given.
bool proc_is_child(const struct proc *p);
// Ends it with SIGKILL, waits until it has ended if it is a child of ours, and forgets it. Fine when it is
// none.
void proc_end(struct proc *p);

// SPDX-License-Identifier: Apache-2.0
// Attempts to get out of the sandbox, one function each, and what they may reach for. Shared by
// sandbox_test.c, which runs them, and sandbox_escapes_*.c, which hold them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ESCAPE_KILLED = -1, ESCAPE_MEMORY_BYTES = 256 << 20, ESCAPE_FILE_BYTES = 1 << 20, ESCAPE_FILES = 48 };

// What a sandboxed process could reach, or was given. The directory holds a file "secret" and a directory
// "sub".
struct escape_place {
    char dir[512], secret[600], made[600]; // "made": a name that does not exist
    int dir_fd, secret_fd, memfd, program_fd;
    int tcp_fd, udp_fd, unix_fd; // not connected, not connected, connected
    uint16_t port;               // of a TCP listener and a UDP socket on the loopback address
    pid_t parent;                // SIGUSR1 leaves a trace there
    volatile uint64_t *parents;  // the address of memory of the parent that must stay as it is
};
extern struct escape_place place;

struct escape {
    const char *name;
    int (*attempt)(void); // 0 when it succeeded, else the errno
    int refused;          // the errno that it must give, or ESCAPE_KILLED (SIGSYS)
    bool works_without;   // succeeds without the sandbox, whoever runs it
    bool leaves_trace;    // and can then be seen from outside
    bool only_strict;     // a sandbox with threads, forks and messages allows it
    bool is_limit;        // on memory, which the sanitizers' run-time does without
    int landlock_abi;     // from this version on Landlock alone refuses it too; 0: not its business
};
struct escapes {
    const struct escape *p;
    size_t n;
};
extern const struct escapes escapes_files, escapes_processes, escapes_system;

// What an attempt returns for the result of a system call.
int escape_result(long r);

// SPDX-License-Identifier: Apache-2.0
// What a sandboxed process may ask of the kernel, on every architecture. What no rule names is refused with
// EPERM: libraries ask for much that they can do without. Killed is what none of them asks for, and an attack
// does.
#include "os/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

// Newer than the headers of the oldest distribution we build on; the same number everywhere.
enum { CALL_FUTEX_WAKE = 454, CALL_FUTEX_WAIT = 455 };

enum {
    PR_NAME_MEMORY = 0x53564d41, // PR_SET_VMA: the C library names its mappings for /proc
    // Memory that RLIMIT_DATA would not count, or that cannot be swapped.
    MAP_UNCOUNTED = MAP_GROWSDOWN | MAP_LOCKED | MAP_HUGETLB,
    PROT_REFUSED = PROT_EXEC | PROT_GROWSDOWN | PROT_GROWSUP,
    // What the C library makes threads and processes with; flags beside these are refused.
    CLONE_OF_THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
    CLONE_OF_THREAD_MAY = CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED,
    CLONE_OF_FORK_MAY = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
};

#define ALLOW(name)                                                                                          \
    {                                                                                                        \
        .nr = SYS_##name                                                                                     \
    }
#define ALLOW_IF(name, ...)                                                                                  \
    {                                                                                                        \
        .nr = SYS_##name, .conds = { __VA_ARGS__ }                                                           \
    }
#define ALLOW_NEED(name, what)                                                                               \
    {                                                                                                        \
        .nr = SYS_##name, .need = what                                                                       \
    }
#define REFUSE(name, errno_value)                                                                            \
    {                                                                                                        \
        .nr = SYS_##name, .otherwise = errno_value, .conds = { NEVER }                                       \
    }
#define KILL(name)                                                                                           \
    {                                                                                                        \
        .nr = SYS_##name, .otherwise = RULE_KILL                                                             \
    }

static const struct rule rules[] = {
    // Descriptors that it has.
    ALLOW(read),
    ALLOW(write),
    ALLOW(readv),
    ALLOW(writev),
    ALLOW(pread64),
    ALLOW(pwrite64),
    ALLOW(lseek),
    ALLOW(fstat),
    ALLOW(close),
    ALLOW(close_range),
    ALLOW(dup),
    ALLOW(dup3),
    // Not what could signal others, or change a description that others share.
    ALLOW_IF(fcntl, ARG_MASKED(1, INT_MASK & ~3ULL, 0)), // F_DUPFD, F_GETFD, F_SETFD, F_GETFL
    ALLOW_IF(fcntl, ARG_IS(1, F_DUPFD_CLOEXEC)),
    ALLOW_IF(fcntl, ARG_IS(1, F_GET_SEALS)),
    ALLOW(ppoll),
    ALLOW(pselect6),
    ALLOW(epoll_create1),
    ALLOW(epoll_ctl),
    ALLOW(epoll_pwait),
    ALLOW(eventfd2),
    ALLOW(timerfd_create),
    ALLOW(timerfd_settime),
    ALLOW(timerfd_gettime),
    ALLOW(signalfd4),
    ALLOW_NEED(sendmsg, NEED_MESSAGES),
    ALLOW_NEED(recvmsg, NEED_MESSAGES),
    REFUSE(ioctl, ENOTTY), // isatty
    // Memory, within the limits; nothing executable is added. Shared memory only of descriptors that it has.
    ALLOW(brk),
    ALLOW(munmap),
    ALLOW_IF(mmap, ARG_WITHOUT(2, PROT_REFUSED), ARG_WITHOUT(3, MAP_ANONYMOUS | MAP_UNCOUNTED)),
    ALLOW_IF(mmap, ARG_WITHOUT(2, PROT_REFUSED), ARG_WITHOUT(3, MAP_SHARED | MAP_UNCOUNTED)),
    ALLOW_IF(mprotect, ARG_WITHOUT(2, PROT_REFUSED)),
    // Not of the stack, whose pages RLIMIT_DATA does not count.
    ALLOW_IF(mremap, ARG_BELOW_STACK(0), ARG_MASKED(3, INT_MASK & ~(uint64_t)MREMAP_MAYMOVE, 0)),
    // Not MADV_MERGEABLE, which tells others what lies in memory, nor MADV_HWPOISON and above but guard
    // pages.
    ALLOW_IF(madvise, ARG_BELOW(2, MADV_MERGEABLE)),
    ALLOW_IF(madvise, ARG_MASKED(2, ~1ULL, MADV_HUGEPAGE)),
    ALLOW_IF(madvise, ARG_MASKED(2, ~3ULL, MADV_DONTDUMP)),
    ALLOW_IF(madvise, ARG_MASKED(2, ~3ULL, 20)),
    ALLOW_IF(madvise, ARG_MASKED(2, ~1ULL, 24)),
    ALLOW_IF(madvise, ARG_MASKED(2, ~1ULL, 102)),
    // Threads and, where allowed, forks. The flags of clone3 lie in memory; without it the C library takes
    // clone.
    REFUSE(clone3, ENOSYS),
    {.nr = SYS_clone,
     .need = NEED_THREADS,
     .conds = {ARG_MASKED(0, INT_MASK & ~(uint64_t)CLONE_OF_THREAD_MAY, CLONE_OF_THREAD)}},
    {.nr = SYS_clone,
     .need = NEED_FORK,
     .conds = {ARG_MASKED(0, INT_MASK & ~(uint64_t)CLONE_OF_FORK_MAY, SIGCHLD)}},
    {.nr = SYS_clone,
     .need = NEED_FORK | NEED_SIBLINGS,
     .conds = {ARG_MASKED(0, INT_MASK & ~(uint64_t)CLONE_OF_FORK_MAY, CLONE_PARENT | SIGCHLD)}},
    ALLOW_NEED(wait4, NEED_FORK),
    ALLOW_NEED(waitid, NEED_FORK),
    {.nr = SYS_seccomp,
     .need = NEED_TASKS_END,
     .conds = {ARG_IS(0, 1), ARG_IS(1, 1)}}, // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
    ALLOW(futex),
    ALLOW(futex_waitv),
    {.nr = CALL_FUTEX_WAKE},
    {.nr = CALL_FUTEX_WAIT},
    ALLOW(set_robust_list),
    ALLOW(set_tid_address),
    ALLOW(rseq),
    ALLOW(exit),
    ALLOW(exit_group),
    // Signals, to itself only.
    ALLOW(rt_sigaction),
    ALLOW(rt_sigprocmask),
    ALLOW(rt_sigreturn),
    ALLOW(rt_sigtimedwait),
    ALLOW(rt_sigsuspend),
    ALLOW(sigaltstack),
    ALLOW(restart_syscall),
    {.nr = SYS_kill, .conds = {ARG_OWN_PID(0)}},
    {.nr = SYS_tgkill, .conds = {ARG_OWN_PID(0)}},
    ALLOW_NEED(tgkill, NEED_ANY_PID),
    // Time, chance, and what it is.
    ALLOW(clock_gettime),
    ALLOW(clock_getres),
    ALLOW(clock_nanosleep),
    ALLOW(nanosleep),
    ALLOW(gettimeofday),
    ALLOW(getrandom),
    ALLOW(getpid),
    ALLOW(gettid),
    ALLOW(getppid),
    ALLOW(getuid),
    ALLOW(geteuid),
    ALLOW(getgid),
    ALLOW(getegid),
    ALLOW(getcpu),
    ALLOW(sched_yield),
    ALLOW(sched_getaffinity),
    ALLOW(sysinfo),
    ALLOW(getrusage),
    ALLOW_IF(prlimit64, ARG_IS(0, 0), ARG_NULL(2)),
    ALLOW_IF(prctl, ARG_IS(0, PR_SET_NAME)),
    ALLOW_IF(prctl, ARG_IS(0, PR_GET_NAME)),
    ALLOW_IF(prctl, ARG_IS(0, PR_NAME_MEMORY)),
    ALLOW_IF(prctl, ARG_IS(0, PR_GET_DUMPABLE)),
    {.nr = SYS_prctl, .need = NEED_FORK, .conds = {ARG_IS(0, PR_SET_PDEATHSIG), ARG_IS(1, SIGKILL)}},

    // Other programs and other processes.
    KILL(execve),
    KILL(execveat),
    KILL(ptrace),
    KILL(process_vm_readv),
    KILL(process_vm_writev),
    KILL(process_madvise),
    KILL(process_mrelease),
    KILL(kcmp),
    KILL(pidfd_open),
    KILL(pidfd_getfd),
    KILL(pidfd_send_signal),
    KILL(rt_sigqueueinfo),
    KILL(rt_tgsigqueueinfo),
    KILL(tkill),
    // Parts of the kernel that are large or often broken.
    KILL(io_uring_setup),
    KILL(io_uring_enter),
    KILL(io_uring_register),
    KILL(bpf),
    KILL(perf_event_open),
    KILL(userfaultfd),
    KILL(keyctl),
    KILL(add_key),
    KILL(request_key),
    KILL(remap_file_pages),
    // Namespaces and file systems.
    KILL(unshare),
    KILL(setns),
    KILL(mount),
    KILL(umount2),
    KILL(pivot_root),
    KILL(chroot),
    KILL(move_mount),
    KILL(open_tree),
    KILL(mount_setattr),
    KILL(fsopen),
    KILL(fsconfig),
    KILL(fsmount),
    KILL(fspick),
    KILL(name_to_handle_at),
    KILL(open_by_handle_at),
    KILL(fanotify_init),
    KILL(quotactl),
    KILL(quotactl_fd),
    // The machine.
    KILL(kexec_load),
    KILL(kexec_file_load),
    KILL(init_module),
    KILL(finit_module),
    KILL(delete_module),
    KILL(reboot),
    KILL(swapon),
    KILL(swapoff),
    KILL(sethostname),
    KILL(setdomainname),
    KILL(syslog),
    KILL(acct),
    KILL(vhangup),
    KILL(settimeofday),
    KILL(clock_settime),
    KILL(clock_adjtime),
    KILL(adjtimex),
    KILL(personality),
    // Who it is.
    KILL(setuid),
    KILL(setgid),
    KILL(setreuid),
    KILL(setregid),
    KILL(setresuid),
    KILL(setresgid),
    KILL(setfsuid),
    KILL(setfsgid),
    KILL(setgroups),
    KILL(capset),
};
const struct rules sandbox_rules = {rules, sizeof rules / sizeof rules[0]};

static const struct rule end_tasks[] = {
    REFUSE(clone, EPERM),
    REFUSE(seccomp, EPERM),
    {.nr = SYS_tgkill, .conds = {ARG_OWN_PID(0)}},
    {.nr = SYS_kill, .conds = {ARG_OWN_PID(0)}},
};
const struct rules sandbox_rules_end_tasks = {end_tasks, sizeof end_tasks / sizeof end_tasks[0]};

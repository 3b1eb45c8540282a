// SPDX-License-Identifier: Apache-2.0
// Escapes by other programs, other processes and namespaces, and by signals.
#include "sandbox_escapes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPT(name, call)                                                                                  \
    static int name(void)                                                                                    \
    {                                                                                                        \
        return escape_result(call);                                                                          \
    }

// Programs that succeed end with 0, which is what a successful attempt returns.
static char *const program[] = {(char[]){"true"}, NULL};
ATTEMPT(run_program, execve("/bin/true", program, NULL))
ATTEMPT(run_program_by_descriptor, fexecve(place.program_fd, program, (char *const[]){NULL}))
ATTEMPT(run_program_in_directory, syscall(SYS_execveat, place.dir_fd, "secret", program, NULL, 0))
ATTEMPT(leave_namespace, unshare(CLONE_NEWUSER | CLONE_NEWNS))
ATTEMPT(leave_shared_files, unshare(CLONE_FILES))
ATTEMPT(enter_namespace, setns(place.secret_fd, 0))
ATTEMPT(be_traced, ptrace(PTRACE_TRACEME, 0, NULL, NULL))
ATTEMPT(trace_parent, ptrace(PTRACE_SEIZE, place.parent, NULL, NULL))
ATTEMPT(hold_parent, syscall(SYS_pidfd_open, place.parent, 0))
ATTEMPT(take_descriptor, syscall(SYS_pidfd_getfd, place.secret_fd, 0, 0))
ATTEMPT(signal_by_pidfd, syscall(SYS_pidfd_send_signal, place.secret_fd, SIGUSR1, NULL, 0))
ATTEMPT(signal_parent, kill(place.parent, SIGUSR1))
ATTEMPT(signal_group, kill(0, SIGUSR1))
ATTEMPT(signal_parents_thread, syscall(SYS_tgkill, place.parent, place.parent, SIGUSR1))
ATTEMPT(signal_parents_thread_by_tkill, syscall(SYS_tkill, place.parent, SIGUSR1))
ATTEMPT(queue_signal_to_parent, sigqueue(place.parent, SIGUSR1, (union sigval){0}))
ATTEMPT(compare_with_parent, syscall(SYS_kcmp, getpid(), place.parent, 0, 0, 0))
ATTEMPT(see_locks_of_parent, syscall(SYS_get_robust_list, place.parent, &(void *){0}, &(size_t){0}))
ATTEMPT(advise_parent, syscall(SYS_process_madvise, place.secret_fd, NULL, 0, 0, 0))
ATTEMPT(see_limits_of_parent, prlimit(place.parent, RLIMIT_CORE, NULL, &(struct rlimit){0}))
ATTEMPT(limit_parent, prlimit(place.parent, RLIMIT_CORE, &(struct rlimit){0, 0}, NULL))
ATTEMPT(bind_parent_to_processor, sched_setaffinity(place.parent, sizeof(cpu_set_t), &(cpu_set_t){{1}}))
ATTEMPT(slow_parent,
        setpriority(PRIO_PROCESS, (id_t)place.parent, getpriority(PRIO_PROCESS, (id_t)place.parent)))
ATTEMPT(leave_group, setpgid(0, 0))
ATTEMPT(end_session, setsid())
ATTEMPT(outlive_parent, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
ATTEMPT(let_others_trace, prctl(PR_SET_PTRACER, place.parent, 0, 0, 0))
ATTEMPT(be_dumpable, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
ATTEMPT(change_memory_map, prctl(PR_SET_MM, 0, 0, 0, 0))

static int read_memory_of_parent(void)
{
    uint64_t here;
    struct iovec to = {&here, sizeof here}, from = {(void *)(uintptr_t)place.parents, sizeof here};
    return escape_result(process_vm_readv(place.parent, &to, 1, &from, 1, 0));
}

static int write_memory_of_parent(void)
{
    uint64_t here = 0;
    struct iovec from = {&here, sizeof here}, to = {(void *)(uintptr_t)place.parents, sizeof here};
    return escape_result(process_vm_writev(place.parent, &from, 1, &to, 1, 0));
}

static int waited(pid_t pid)
{
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return errno;
    return waitpid(pid, NULL, 0) == pid ? 0 : ECHILD;
}

static int fork_a_child(void)
{
    return waited(fork());
}

static int vfork_a_child(void)
{
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    return waited(pid);
}

static int fork_with_clone3(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    return waited((pid_t)syscall(SYS_clone3, &args, sizeof args));
}

// The first of these flags that is let through, else the errno that all give.
static int clone_with_each(const unsigned long *flags, size_t n)
{
    int why = 0;
    for (size_t i = 0; i < n && (i == 0 || why == EPERM); i++)
        why = waited((pid_t)syscall(SYS_clone, flags[i] | SIGCHLD, NULL, NULL, NULL, 0));
    return why;
}

static int clone_into_namespaces(void)
{
    static const unsigned long flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
                                          CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME};
    return clone_with_each(flags, sizeof flags / sizeof flags[0]);
}

static int clone_with_odd_flags(void)
{
    static const unsigned long flags[] = {CLONE_UNTRACED, CLONE_FILES,   CLONE_FS,    CLONE_IO,
                                          CLONE_PIDFD,    CLONE_SYSVSEM, CLONE_PTRACE};
    return clone_with_each(flags, sizeof flags / sizeof flags[0]);
}

static int clone_a_sibling(void)
{
    return clone_with_each((const unsigned long[]){CLONE_PARENT}, 1);
}

static void *nothing(void *arg)
{
    return arg;
}

static int make_thread(void)
{
    pthread_t t;
    int why = pthread_create(&t, NULL, nothing, NULL);
    return why ? why : pthread_join(t, NULL);
}

#define ALWAYS .works_without = true
#define TRACE  .works_without = true, .leaves_trace = true

static const struct escape list[] = {
    {"execve", run_program, .refused = ESCAPE_KILLED, ALWAYS, .landlock_abi = 1},
    {"execute a descriptor", run_program_by_descriptor, .refused = ESCAPE_KILLED, ALWAYS, .landlock_abi = 1},
    {"execveat", run_program_in_directory, .refused = ESCAPE_KILLED},
    {"unshare namespaces", leave_namespace, .refused = ESCAPE_KILLED},
    {"unshare descriptors", leave_shared_files, .refused = ESCAPE_KILLED, ALWAYS},
    {"setns", enter_namespace, .refused = ESCAPE_KILLED},
    {"have oneself traced", be_traced, .refused = ESCAPE_KILLED},
    {"trace the parent", trace_parent, .refused = ESCAPE_KILLED},
    {"read the parent's memory", read_memory_of_parent, .refused = ESCAPE_KILLED},
    {"write the parent's memory", write_memory_of_parent, .refused = ESCAPE_KILLED},
    {"pidfd_open", hold_parent, .refused = ESCAPE_KILLED, ALWAYS},
    {"pidfd_getfd", take_descriptor, .refused = ESCAPE_KILLED},
    {"pidfd_send_signal", signal_by_pidfd, .refused = ESCAPE_KILLED},
    {"kill the parent", signal_parent, .refused = EPERM, TRACE, .landlock_abi = 6},
    {"kill the process group", signal_group, .refused = EPERM},
    {"tgkill the parent", signal_parents_thread, .refused = EPERM, TRACE, .landlock_abi = 6},
    {"tkill the parent", signal_parents_thread_by_tkill, .refused = ESCAPE_KILLED, TRACE, .landlock_abi = 6},
    {"sigqueue to the parent", queue_signal_to_parent, .refused = ESCAPE_KILLED, TRACE, .landlock_abi = 6},
    {"compare with the parent", compare_with_parent, .refused = ESCAPE_KILLED},
    {"see the parent's locks", see_locks_of_parent, .refused = EPERM},
    {"process_madvise", advise_parent, .refused = ESCAPE_KILLED},
    {"see the parent's limits", see_limits_of_parent, .refused = EPERM, ALWAYS},
    {"limit the parent", limit_parent, .refused = EPERM, ALWAYS},
    {"bind the parent to a processor", bind_parent_to_processor, .refused = EPERM},
    {"slow the parent down", slow_parent, .refused = EPERM, ALWAYS},
    {"leave the process group", leave_group, .refused = EPERM, ALWAYS},
    {"start a session", end_session, .refused = EPERM, ALWAYS},
    {"adopt processes", outlive_parent, .refused = EPERM, ALWAYS},
    {"let others trace", let_others_trace, .refused = EPERM},
    {"be dumpable again", be_dumpable, .refused = EPERM, ALWAYS},
    {"change the map of memory", change_memory_map, .refused = EPERM},
    {"fork", fork_a_child, .refused = EPERM, ALWAYS, .only_strict = true},
    {"vfork", vfork_a_child, .refused = EPERM, ALWAYS},
    {"clone3", fork_with_clone3, .refused = ENOSYS, ALWAYS},
    {"clone with each namespace", clone_into_namespaces, .refused = EPERM},
    {"clone with each odd flag", clone_with_odd_flags, .refused = EPERM, ALWAYS},
    {"clone a sibling", clone_a_sibling, .refused = EPERM},
    {"make a thread", make_thread, .refused = EPERM, ALWAYS, .only_strict = true},
};
const struct escapes escapes_processes = {list, sizeof list / sizeof list[0]};

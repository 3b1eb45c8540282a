// SPDX-License-Identifier: Apache-2.0
// fork, descriptors, exec. Between fork and exec only system calls: the parent may hold anything.
#include "os/proc.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Places the listed descriptors at PROC_FIRST_FD … and keeps `report` (close-on-exec) above them. All are
// first lifted out of the way, because a target number may be the source of another.
static bool place_fds(const struct proc_spec *s, int *report)
{
    int above = PROC_FIRST_FD + (int)s->n_fds, lifted[PROC_FDS_MAX];
    for (size_t i = 0; i < s->n_fds; i++)
        if ((lifted[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, above)) < 0)
            return false;
    int r = fcntl(*report, F_DUPFD_CLOEXEC, above);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (r < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0)
        return false;
    *report = r;
    for (size_t i = 0; i < s->n_fds; i++)
        if (dup2(lifted[i], PROC_FIRST_FD + (int)i) < 0)
            return false;
    // Close-on-exec for all the rest, including what this function opened.
    return close_range((unsigned)above, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

static void default_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &dfl, NULL); // fails for SIGKILL and SIGSTOP
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// The child's side; writes errno to `report` when it cannot become the new program.
static _Noreturn void become(const struct proc_spec *s, pid_t parent, int report)
{
    bool ok = s->outlives_us || prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    if (!s->outlives_us && getppid() != parent) // it died before the line above
        _exit(127);
    // A group of its own: Ctrl-C reaches us alone, and we end the child in order.
    ok = ok && setpgid(0, 0) == 0;
    if (ok && place_fds(s, &report)) {
        default_signals();
        // The kernel sends it to a stopped process whose parent dies.
        if (s->outlives_us)
            signal(SIGHUP, SIG_IGN);
        execve(s->path ? s->path : "/proc/self/exe", s->argv, s->envp);
    }
    int why = errno;
    (void)!write(report, &why, sizeof why);
    _exit(127);
}

// Waits for the exec: the pipe closes with it, or brings the reason of the failure.
static int exec_result(int report)
{
    int why = 0;
    ssize_t n;
    do
        n = read(report, &why, sizeof why);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof why ? why : 0;
}

int proc_spawn(const struct proc_spec *s, struct proc *ret, struct err *e)
{
    ASSERT(s->n_fds <= PROC_FDS_MAX);
    *ret = (struct proc){0, -1};
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_errno(e, errno, "start a process");
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(s, parent, report[1]);
    int why = pid < 0 ? errno : 0;
    close(report[1]);
    int pidfd = -1;
    if (pid > 0) {
        // No race: until we wait for the child, its process id stays its own.
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        why = pidfd < 0 ? errno : exec_result(report[0]);
        if (pidfd >= 0)
            fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    }
    close(report[0]);
    if (why == 0) {
        *ret = (struct proc){pid, pidfd};
        return 0;
    }
    struct proc half = {pid, pidfd};
    proc_end(&half);
    return err_errno(e, why, "start a process");
}

int proc_adopt(pid_t pid, struct proc *ret, struct err *e)
{
    *ret = (struct proc){0, -1};
    if (pid <= 0)
        return err_set(e, ERR_INVALID, "%d is no process", (int)pid);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return errno == ESRCH ? err_set(e, ERR_INVALID, "process %d does not exist", (int)pid)
                              : err_errno(e, errno, "open process %d", (int)pid);
    fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    siginfo_t info;
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0) { // of children only
        close(pidfd);
        return err_set(e, ERR_INVALID, "process %d is no child of this one", (int)pid);
    }
    *ret = (struct proc){pid, pidfd};
    return 0;
}

int proc_open_self(int *ret_fd, struct err *e)
{
    *ret_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (*ret_fd < 0)
        return err_errno(e, errno, "open a handle of this process");
    fcntl(*ret_fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

void proc_give_way(void)
{
    (void)setpriority(PRIO_PROCESS, 0, 5); // lowering is always allowed
}

pid_t proc_ended(void)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ? 0 : info.si_pid;
}

// The first bytes of /proc/PID/name, NUL at the end; false when it cannot be read.
static bool read_proc_file(pid_t pid, const char *name, char *ret, size_t size)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (fd >= 0)
        close(fd);
    ret[n > 0 ? n : 0] = '\0';
    return n > 0;
}

bool proc_memory(pid_t pid, struct proc_memory *ret)
{
    char text[128];
    unsigned long long size, resident, shared;
    *ret = (struct proc_memory){0};
    if (!read_proc_file(pid, "statm", text, sizeof text) ||
        sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3)
        return false;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    ret->resident_bytes = resident * page;
    ret->own_bytes = resident > shared ? (resident - shared) * page : 0;
    return true;
}

bool proc_memory_in_full(pid_t pid, struct proc_memory *ret)
{
    char text[1024];
    unsigned long long kib;
    if (!proc_memory(pid, ret))
        return false;
    const char *at = read_proc_file(pid, "smaps_rollup", text, sizeof text) ? strstr(text, "\nPss:") : NULL;
    if (at && sscanf(at, "\nPss: %llu kB", &kib) == 1)
        ret->pss_bytes = kib << 10;
    return true;
}

bool proc_signal(const struct proc *p, int sig)
{
    return p->pid > 0 && proc_signal_handle(p->pidfd, sig);
}

bool proc_signal_handle(int pidfd, int sig)
{
    return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0;
}

void proc_kill_group(const struct proc *p)
{
    // Until we wait for it, its id, and with it the group's, is nobody else's.
    if (p->pid > 0)
        kill(-p->pid, SIGKILL);
}

// What waiting for the process says: 1 it has ended, 0 it runs, -1 it is no child of ours. By its handle, not
// by its id, which is another's once it was reaped.
static int look_at(const struct proc *p, int flags, int *ret_status)
{
    siginfo_t info = {.si_pid = 0};
    int rc;
    do
        rc = waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | flags);
    while (rc < 0 && errno == EINTR);
    *ret_status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return rc < 0 ? -1 : info.si_pid != 0;
}

bool proc_is_child(const struct proc *p)
{
    int status;
    return p->pid > 0 && look_at(p, WNOHANG | WNOWAIT, &status) >= 0;
}

bool proc_reap(struct proc *p, int *ret_status)
{
    if (p->pid <= 0)
        return false;
    int ended = look_at(p, WNOHANG, ret_status);
    if (ended < 0) {
        ended = poll(&(struct pollfd){.fd = p->pidfd, .events = POLLIN}, 1, 0) == 1;
        *ret_status = PROC_STATUS_UNKNOWN;
    }
    if (!ended)
        return false;
    close(p->pidfd);
    *p = (struct proc){0, -1};
    return true;
}

void proc_end(struct proc *p)
{
    int status;
    if (p->pid <= 0)
        return;
    if (p->pidfd < 0) { // just forked
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    } else {
        (void)proc_signal(p, SIGKILL);
        (void)look_at(p, 0, &status);
        close(p->pidfd);
    }
    *p = (struct proc){0, -1};
}

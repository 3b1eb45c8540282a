// SPDX-License-Identifier: Apache-2.0
// The program starts itself: with an argument it is the child.
#include "os/proc.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORD(literal) ((char[]){literal}) // argv is not const

static void put(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
}

// Writes what it was born with to descriptor 4.
static int child_reports(char **argv)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "args %s %s; env %s; fds", argv[0], argv[2],
                     environ[0] ? environ[0] : "-");
    DIR *d = opendir("/proc/self/fd");
    for (int fd = 0; fd < 64; fd++)
        if (fd != dirfd(d) && fcntl(fd, F_GETFD) >= 0)
            n += snprintf(text + n, sizeof text - (size_t)n, " %d", fd);
    closedir(d);
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    struct sigaction pipe_action;
    sigaction(SIGPIPE, NULL, &pipe_action);
    char byte = 0;
    ssize_t got = read(3, &byte, 1);
    n += snprintf(text + n, sizeof text - (size_t)n,
                  "; masked %d; pipe %s; in %zd; third %c; leads its group %d", sigismember(&mask, SIGTERM),
                  pipe_action.sa_handler == SIG_DFL ? "default" : "other", read(0, text + 4000, 1),
                  got == 1 ? byte : '-', getpgrp() == getpid());
    return write(4, text, (size_t)n) == n ? 0 : 1;
}

// Starts a grandchild that waits, tells its pid on descriptor 3 and dies.
static int child_leaves_an_orphan(bool outlives_us)
{
    struct err e;
    struct proc p;
    char *argv[] = {WORD("t"), WORD("wait"), NULL}, *envp[] = {NULL};
    if (proc_spawn(&(struct proc_spec){.argv = argv, .envp = envp, .outlives_us = outlives_us}, &p, &e))
        return 1;
    return write(3, &p.pid, sizeof p.pid) == sizeof p.pid ? 0 : 1;
}

// Makes a child of its own parent that exits with 7, tells its pid on descriptor 3 and goes.
static int child_makes_a_sibling(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(7);
    return write(3, &pid, sizeof pid) == sizeof pid ? 0 : 1;
}

static int try_spawn(const char *what, const int *fds, size_t n_fds, struct proc *ret)
{
    struct err e;
    char verb[16];
    snprintf(verb, sizeof verb, "%s", what);
    char *argv[] = {WORD("name"), verb, WORD("two words"), NULL}, *envp[] = {WORD("A=b"), NULL};
    struct proc_spec s = {.argv = argv, .envp = envp, .fds = fds, .n_fds = n_fds};
    return proc_spawn(&s, ret, &e);
}

static struct proc spawn(const char *what, const int *fds, size_t n_fds)
{
    struct proc p;
    ck_assert_int_eq(try_spawn(what, fds, n_fds, &p), 0);
    ck_assert_int_gt(p.pid, 0);
    return p;
}

static int reaped(struct proc *p)
{
    int status = 0;
    struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
    ck_assert_int_eq(poll(&pfd, 1, 20000), 1);
    ck_assert(proc_reap(p, &status));
    ck_assert_int_eq(p->pid, 0);
    ck_assert_int_eq(p->pidfd, -1);
    return status;
}

// Has the output as 3 and the input as 4, and starts the reporting child with the two crossed and with much
// that it must not inherit.
static int child_crosses(void)
{
    int fds[] = {4, 3}, status;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (dup(3) < 0 || dup2(4, 40) < 0)
        return 1;
    struct proc p;
    if (try_spawn("report", fds, 2, &p))
        return 1;
    return waitid(P_PIDFD, (id_t)p.pidfd, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0 && proc_reap(&p, &status)
               ? status
               : 1;
}

static int child_main(char **argv)
{
    if (strcmp(argv[1], "report") == 0)
        return child_reports(argv);
    if (strcmp(argv[1], "cross") == 0)
        return child_crosses();
    if (strcmp(argv[1], "orphan") == 0)
        return child_leaves_an_orphan(false);
    if (strcmp(argv[1], "survivor") == 0)
        return child_leaves_an_orphan(true);
    if (strcmp(argv[1], "sibling") == 0)
        return child_makes_a_sibling();
    if (strcmp(argv[1], "exit") == 0)
        return 42;
    for (;;)
        pause();
}

START_TEST(a_child_has_exactly_what_it_was_given)
{
    int data[2], out[2];
    ck_assert_int_eq(pipe2(data, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    put(data[1], "x");
    int fds[] = {out[1], data[0]};
    struct proc p = spawn("cross", fds, 2);
    ck_assert_int_eq(reaped(&p), 0);
    char text[4096] = "";
    ck_assert_int_gt(read(out[0], text, sizeof text - 1), 0);
    ck_assert_str_eq(text,
                     "args name two words; env A=b; fds 0 1 2 3 4; masked 0; pipe default; in 0; third x; "
                     "leads its group 1");
}
END_TEST

START_TEST(the_end_is_told_as_code_or_signal)
{
    struct proc p = spawn("exit", NULL, 0);
    ck_assert_int_eq(reaped(&p), 42);
    p = spawn("wait", NULL, 0);
    int status;
    ck_assert(!proc_reap(&p, &status));
    ck_assert(proc_signal(&p, SIGTERM));
    ck_assert_int_eq(reaped(&p), -SIGTERM);
    ck_assert(!proc_signal(&p, SIGTERM));
    ck_assert(!proc_reap(&p, &status));
    p = spawn("wait", NULL, 0);
    proc_end(&p);
    ck_assert_int_eq(p.pid, 0);
    proc_end(&p);
}
END_TEST

START_TEST(a_child_dies_with_its_parent)
{
    int tell[2];
    ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); // the orphan becomes ours to wait for
    struct proc p = spawn("orphan", &tell[1], 1);
    pid_t orphan = 0;
    ck_assert_int_eq(read(tell[0], &orphan, sizeof orphan), sizeof orphan);
    ck_assert_int_eq(reaped(&p), 0);
    int status;
    ck_assert_int_eq(waitpid(orphan, &status, 0), orphan);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

START_TEST(a_process_of_a_predecessor_can_be_watched_and_ended)
{
    int tell[2], status = 0;
    ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
    struct proc parent = spawn("survivor", &tell[1], 1), p = {0, -1};
    ck_assert_int_eq(read(tell[0], &p.pid, sizeof p.pid), sizeof p.pid);
    ck_assert(proc_is_child(&parent));
    ck_assert_int_eq(reaped(&parent), 0);
    p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
    ck_assert_int_ge(p.pidfd, 0); // it lives
    ck_assert(!proc_is_child(&p));
    ck_assert(!proc_reap(&p, &status));
    struct proc same = {p.pid, dup(p.pidfd)};
    proc_end(&same);
    ck_assert_int_eq(reaped(&p), PROC_STATUS_UNKNOWN);
}
END_TEST

START_TEST(a_descriptor_that_is_not_open_is_an_error)
{
    struct err e;
    struct proc p;
    char *argv[] = {WORD("t"), WORD("wait"), NULL}, *envp[] = {NULL};
    int bad = 999;
    struct proc_spec s = {.argv = argv, .envp = envp, .fds = &bad, .n_fds = 1};
    ck_assert_int_eq(proc_spawn(&s, &p, &e), ERR_IO);
    ck_assert_int_eq(p.pid, 0);
    ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0); // nothing is left behind
}
END_TEST

START_TEST(a_child_that_another_made_for_us_is_taken_over_and_others_are_not)
{
    int out[2];
    pid_t pid;
    struct err e;
    struct proc sibling, p;
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    p = spawn("sibling", &out[1], 1);
    ck_assert_int_eq(read(out[0], &pid, sizeof pid), sizeof pid);
    ck_assert_int_eq(reaped(&p), 0);
    ck_assert_int_eq(proc_adopt(pid, &sibling, &e), 0);
    struct pollfd pfd = {.fd = sibling.pidfd, .events = POLLIN};
    ck_assert_int_eq(poll(&pfd, 1, 20000), 1);
    ck_assert_int_eq(proc_ended(), pid); // and is still to be reaped
    ck_assert_int_eq(reaped(&sibling), 7);
    ck_assert_int_eq(proc_ended(), 0);
    ck_assert_int_eq(proc_adopt(pid, &sibling, &e), ERR_INVALID);
    ck_assert_int_eq(proc_adopt(getppid(), &sibling, &e), ERR_INVALID);
    ck_assert_int_eq(proc_adopt(-1, &sibling, &e), ERR_INVALID);
    ck_assert(sibling.pid == 0 && sibling.pidfd == -1);
}
END_TEST

START_TEST(memory_is_told_as_it_is)
{
    // SLACK: the cheap figure may be off by what each core has not yet handed in (Linux 6.2 and later).
    enum { MORE = 64 << 20, SLACK = 8 << 20 };
    struct proc_memory before, after;
    ck_assert(proc_memory(getpid(), &before));
    char *volatile p = malloc(MORE); // volatile, lest the compiler saves it
    ck_assert_ptr_nonnull(p);
    memset(p, 1, MORE);
    ck_assert(proc_memory_in_full(getpid(), &after));
    ck_assert_uint_ge(after.own_bytes + SLACK, before.own_bytes + MORE);
    ck_assert_uint_ge(after.resident_bytes, after.own_bytes);
    ck_assert_uint_ge(after.pss_bytes, MORE);
    ck_assert_uint_le(after.pss_bytes, after.resident_bytes);
    ck_assert_int_eq(p[MORE - 1], 1);
    free(p);
    ck_assert(!proc_memory(1 << 30, &after));
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        return child_main(argv);
    Suite *s = suite_create("os/proc");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    tcase_add_test(c, a_child_has_exactly_what_it_was_given);
    tcase_add_test(c, the_end_is_told_as_code_or_signal);
    tcase_add_test(c, a_child_dies_with_its_parent);
    tcase_add_test(c, a_process_of_a_predecessor_can_be_watched_and_ended);
    tcase_add_test(c, a_descriptor_that_is_not_open_is_an_error);
    tcase_add_test(c, a_child_that_another_made_for_us_is_taken_over_and_others_are_not);
    tcase_add_test(c, memory_is_told_as_it_is);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

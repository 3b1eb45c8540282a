// SPDX-License-Identifier: Apache-2.0
// Every escape is attempted in a child of its own, in each kind of sandbox, and looked at from outside; then
// what a sandboxed process must be able to do. Whoever runs it, root or not, with Landlock or without.
#include "os/sandbox.h"

#include "os/sandbox_parts.h"
#include "sandbox_escapes.h"
#include "tempdir.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

struct escape_place place;
static volatile uint64_t canary = 7;
static volatile sig_atomic_t n_signals;

static const struct sandbox strict = {
    .memory_bytes = ESCAPE_MEMORY_BYTES, .file_bytes = ESCAPE_FILE_BYTES, .n_files = ESCAPE_FILES};
static const struct sandbox loose = {.memory_bytes = ESCAPE_MEMORY_BYTES,
                                     .file_bytes = ESCAPE_FILE_BYTES,
                                     .n_files = ESCAPE_FILES,
                                     .n_threads = 4,
                                     .may_fork = true,
                                     .may_message = true};

// What a child enters before its attempt.
enum kind { OUTSIDE, STRICT, LOOSE, STRICT_OLD_KERNEL, LOOSE_OLD_KERNEL, TASKS_ENDED, LANDLOCK_ONLY };

static void on_signal(int sig)
{
    (void)sig;
    n_signals++;
}

static void in_dir(char *ret, size_t size, const char *name)
{
    snprintf(ret, size, "%s/%s", place.dir, name);
}

static void place_sockets(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int pair[2], tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(tcp, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(tcp, 128), 0);
    ck_assert_int_eq(getsockname(tcp, (struct sockaddr *)&a, &n), 0);
    place.port = ntohs(a.sin_port);
    ck_assert_int_eq(bind(udp, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    place.unix_fd = pair[0];
    place.tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
    place.udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
}

static void place_files(void)
{
    char sub[600];
    in_dir(sub, sizeof sub, "sub");
    in_dir(place.secret, sizeof place.secret, "secret");
    in_dir(place.made, sizeof place.made, "made");
    ck_assert_int_eq(mkdir(sub, 0700), 0);
    int fd = open(place.secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "secret\n", 7), 7);
    close(fd);
    place.dir_fd = open(place.dir, O_RDONLY | O_DIRECTORY);
    place.secret_fd = open(place.secret, O_RDONLY);
}

static void place_new(void)
{
    tempdir_new(place.dir);
    place_files();
    place_sockets();
    place.memfd = memfd_create("given", 0);
    place.program_fd = open("/bin/true", O_RDONLY);
    place.parent = getpid();
    place.parents = &canary;
    signal(SIGUSR1, on_signal);
    signal(SIGPIPE, SIG_IGN);
}

static void place_free(void)
{
    int fds[] = {place.dir_fd, place.secret_fd, place.memfd,  place.program_fd,
                 place.tcp_fd, place.udp_fd,    place.unix_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        close(fds[i]);
    tempdir_remove(place.dir);
}

// What can be seen from outside: names, modes and sizes, signals that came, memory of ours.
static void look(char *ret, size_t size)
{
    char path[900];
    struct dirent **names;
    int n = scandir(place.dir, &names, NULL, alphasort);
    size_t used = (size_t)snprintf(ret, size, "canary %d, signals %d:", (int)canary, (int)n_signals);
    for (int i = 0; i < n; i++) {
        struct stat st = {0};
        in_dir(path, sizeof path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && lstat(path, &st) == 0)
            used += (size_t)snprintf(ret + used, size - used, " %s %o %d %d", names[i]->d_name, st.st_mode,
                                     S_ISREG(st.st_mode) ? (int)st.st_size : 0,
                                     S_ISREG(st.st_mode) ? (int)st.st_nlink : 0);
        free(names[i]);
    }
    free(names);
}

// Landlock's first call fails as it does on a kernel without it, or in a container that refuses it.
static void lose_landlock(int errno_value)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)errno_value),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof code / sizeof code[0], code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
        _exit(201);
}

static int enter(enum kind kind, struct sandbox_report *ret)
{
    struct err e;
    const char *why;
    int abi;
    bool is_strict = kind == STRICT || kind == STRICT_OLD_KERNEL;
    if (kind == OUTSIDE)
        return 0;
    if (kind == LANDLOCK_ONLY)
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || sandbox_landlock(&abi, &why, &e);
    if (kind == STRICT_OLD_KERNEL || kind == LOOSE_OLD_KERNEL)
        lose_landlock(ENOSYS);
    int rc = sandbox_enter(is_strict ? &strict : &loose, ret, &e);
    return !rc && kind == TASKS_ENDED ? sandbox_end_tasks(&e) : rc;
}

// The attempt's errno, 0 when it succeeded, ESCAPE_KILLED when it was killed for it.
static int attempted(const struct escape *x, enum kind kind)
{
    struct sandbox_report ignored;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        signal(SIGUSR1, SIG_IGN);
        _exit(enter(kind, &ignored) ? 200 : x->attempt());
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? ESCAPE_KILLED : 1000 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

static const struct escapes *const tables[] = {&escapes_files, &escapes_processes, &escapes_system};
#define FOR_EACH_ESCAPE(x)                                                                                   \
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)                                            \
        for (const struct escape *x = tables[t]->p; x < tables[t]->p + tables[t]->n; x++)

static bool is_allowed(const struct escape *x, enum kind kind)
{
    return (x->only_strict && (kind == LOOSE || kind == LOOSE_OLD_KERNEL)) ||
           (x->is_limit && SANDBOX_SANITIZED);
}

static void all_are_refused(enum kind kind)
{
    char before[4096], after[4096];
    place_new();
    look(before, sizeof before);
    FOR_EACH_ESCAPE(x)
    {
        if (is_allowed(x, kind))
            continue;
        int got = attempted(x, kind);
        ck_assert_msg(got == x->refused, "%s: got %d, not %d", x->name, got, x->refused);
        look(after, sizeof after);
        ck_assert_msg(strcmp(before, after) == 0, "%s left a trace: '%s', then '%s'", x->name, before, after);
    }
    place_free();
}

START_TEST(every_escape_is_refused)
{
    all_are_refused(STRICT);
}
END_TEST

START_TEST(threads_forks_and_messages_open_no_other_way)
{
    all_are_refused(LOOSE);
}
END_TEST

START_TEST(without_landlock_every_escape_is_refused)
{
    all_are_refused(STRICT_OLD_KERNEL);
    all_are_refused(LOOSE_OLD_KERNEL);
}
END_TEST

// The table's own test: an escape that nothing would refuse shows that the sandbox refused it, and that the
// trace is one that would be seen.
START_TEST(escapes_succeed_outside_the_sandbox)
{
    char before[4096], after[4096];
    int n = 0;
    FOR_EACH_ESCAPE(x)
    {
        if (!x->works_without)
            continue;
        place_new();
        look(before, sizeof before);
        int got = attempted(x, OUTSIDE);
        look(after, sizeof after);
        ck_assert_msg(got == 0, "%s: got %d without a sandbox", x->name, got);
        ck_assert_msg((strcmp(before, after) != 0) == x->leaves_trace, "%s: '%s', then '%s'", x->name, before,
                      after);
        place_free();
        n++;
    }
    ck_assert_int_gt(n, 60);
}
END_TEST

START_TEST(what_only_a_loose_sandbox_allows_works_in_it_until_tasks_end)
{
    place_new();
    FOR_EACH_ESCAPE(x)
    {
        if (!x->only_strict)
            continue;
        ck_assert_msg(attempted(x, LOOSE) == 0, "%s is refused", x->name);
        bool is_message = strstr(x->name, "send") != NULL;
        int got = attempted(x, TASKS_ENDED);
        ck_assert_msg(got == (is_message ? 0 : x->refused), "%s: got %d after tasks have ended", x->name,
                      got);
    }
    place_free();
}
END_TEST

START_TEST(landlock_alone_refuses_files_and_network)
{
    long abi = syscall(444, NULL, 0, 1);
    place_new();
    FOR_EACH_ESCAPE(x)
    {
        if (!x->landlock_abi || !x->works_without || x->landlock_abi > abi)
            continue;
        int got = attempted(x, LANDLOCK_ONLY);
        ck_assert_msg(got == EACCES || got == EPERM || got == EXDEV, "%s: got %d from Landlock", x->name,
                      got);
    }
    place_free();
}
END_TEST

static void *add_one(void *counter)
{
    __atomic_add_fetch((int *)counter, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

#define NEED(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            _exit(__LINE__ % 250 + 1);                                                                       \
    } while (0)

static void need_memory(void)
{
    NEED(ftruncate(place.memfd, 1 << 20) < 0 && errno == EPERM); // its size was given
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, place.memfd, 0);
    NEED(shared != MAP_FAILED && strcmp(shared, "hello") == 0);
    shared[0] = 'j';
    NEED(munmap(shared, 4096) == 0);
    size_t sum = 0;
    for (int round = 0; round < 20; round++) {
        char *blocks[50];
        for (size_t i = 0; i < 50; i++) {
            NEED((blocks[i] = malloc(1000 << (i % 8))));
            memset(blocks[i], 1, 1000 << (i % 8));
        }
        for (size_t i = 0; i < 50; i++) {
            NEED((blocks[i] = realloc(blocks[i], 300000)));
            sum += (size_t)blocks[i][999];
            free(blocks[i]);
        }
    }
    NEED(sum == 1000);
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED && madvise(p, 1 << 20, MADV_DONTNEED) == 0);
    NEED((p = mremap(p, 1 << 20, 2 << 20, MREMAP_MAYMOVE)) != MAP_FAILED);
    NEED(mprotect(p, 4096, PROT_READ) == 0 && munmap(p, 2 << 20) == 0);
}

static void need_descriptors(void)
{
    char text[16];
    uint64_t one = 1;
    struct stat st;
    NEED(read(place.secret_fd, text, sizeof text) == 7 && pread(place.secret_fd, text, 3, 1) == 3);
    NEED(lseek(place.secret_fd, 0, SEEK_SET) == 0 && syscall(SYS_fstat, place.secret_fd, &st) == 0 &&
         st.st_size == 7);
    int event = eventfd(0, EFD_CLOEXEC), poller = epoll_create1(EPOLL_CLOEXEC), copy = dup(place.secret_fd);
    NEED(event >= 0 && poller >= 0 && copy >= 0 && close(copy) == 0);
    struct epoll_event ev = {.events = EPOLLIN};
    NEED(epoll_ctl(poller, EPOLL_CTL_ADD, event, &ev) == 0 && write(event, &one, sizeof one) == sizeof one);
    NEED(epoll_wait(poller, &ev, 1, 10000) == 1 && read(event, &one, sizeof one) == sizeof one);
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    NEED(timerfd_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000}, NULL) == 0);
    NEED(read(timer, &one, sizeof one) == sizeof one);
    NEED(write(place.unix_fd, "x", 1) == 1 && !isatty(place.unix_fd));
}

static void need_time_and_chance(void)
{
    struct timespec now;
    char random[16];
    NEED(clock_gettime(CLOCK_MONOTONIC, &now) == 0 && syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) == 0);
    NEED(nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL) == 0 && sched_yield() == 0);
    NEED(syscall(SYS_getrandom, random, sizeof random, 0) == sizeof random);
    NEED(prctl(PR_SET_NAME, "replica") == 0 && getppid() == place.parent && prctl(PR_GET_DUMPABLE) == 0);
    NEED(signal(SIGUSR1, on_signal) != SIG_ERR && raise(SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0);
}

static void need_threads_and_forks(int landlock_abi)
{
    pthread_t threads[3];
    int counter = 0, status = 0;
    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, add_one, &counter) == 0);
    for (int i = 0; i < 3; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    NEED(counter == 3);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e;
        NEED(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && sandbox_end_tasks(&e) == 0);
        // Its process id is not the one in the filter, so it needs a Landlock that confines signals.
        NEED((raise(SIGUSR1) == 0) == sandbox_landlock_scopes_signals(landlock_abi));
        NEED(fork() < 0 && kill(getppid(), SIGUSR1) < 0);
        _exit(0);
    }
    NEED(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

START_TEST(what_a_replica_needs_works)
{
    place_new();
    ck_assert_int_eq(write(place.memfd, "hello", 6), 6);
    for (enum kind kind = STRICT; kind <= LOOSE_OLD_KERNEL; kind++) {
        struct sandbox_report r;
        pid_t pid = fork();
        if (pid == 0) {
            NEED(pwrite(place.memfd, "h", 1, 0) == 1 && enter(kind, &r) == 0);
            need_memory();
            need_descriptors();
            need_time_and_chance();
            if (kind == LOOSE || kind == LOOSE_OLD_KERNEL)
                need_threads_and_forks(r.landlock_abi);
            exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(status == 0, "kind %d: status %#x, line %d modulo 250", kind, status,
                      WEXITSTATUS(status) - 1);
        lseek(place.secret_fd, 0, SEEK_SET);
    }
    ck_assert_int_eq(n_signals, 0);
    place_free();
}
END_TEST

static void reports(int errno_value, const char *text)
{
    struct sandbox_report r = {.landlock_abi = -1};
    struct err e;
    pid_t pid = fork();
    if (pid == 0) {
        if (errno_value)
            lose_landlock(errno_value);
        _exit(sandbox_enter(&strict, &r, &e) || strcmp(r.text, text) != 0 ||
              (r.landlock_abi == 0) != (errno_value != 0));
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "no report '%s'", text);
}

START_TEST(the_report_says_what_confines)
{
    char text[64];
    long abi = syscall(444, NULL, 0, 1);
    snprintf(text, sizeof text, "landlock abi %ld, seccomp", abi);
    if (abi > 0)
        reports(0, text);
    reports(ENOSYS, "seccomp only: the kernel has no Landlock");
    reports(EOPNOTSUPP, "seccomp only: Landlock is off in this kernel");
    reports(EPERM, "seccomp only: Landlock is refused here");
}
END_TEST

static void *wait_for_end(void *fd)
{
    char byte;
    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

START_TEST(a_process_with_threads_is_refused)
{
    if (SANDBOX_SANITIZED) // ThreadSanitizer has a thread of its own, so that is not looked at
        return;
    int pipe_fds[2];
    struct sandbox_report r;
    struct err e;
    pthread_t t;
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, wait_for_end, &pipe_fds[0]), 0);
    ck_assert_int_eq(sandbox_enter(&strict, &r, &e), ERR_INTERNAL);
    ck_assert_str_eq(e.msg, "a process of 2 threads cannot enter the sandbox");
    close(pipe_fds[1]);
    pthread_join(t, NULL);
}
END_TEST

START_TEST(a_sandboxed_child_ends_with_its_parent)
{
    int alive[2];
    char byte;
    ck_assert_int_eq(pipe(alive), 0);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t child = fork();
        if (child == 0) {
            const struct sandbox box = {.parent_death_signal = SIGKILL};
            struct sandbox_report r;
            struct err e;
            if (sandbox_enter(&box, &r, &e) == 0 && write(alive[1], "x", 1) == 1)
                for (;;)
                    sigsuspend(&(sigset_t){0});
            _exit(1);
        }
        (void)!read(alive[0], &byte, 1); // it is inside
        _exit(0);
    }
    close(alive[1]);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    ck_assert_int_eq(read(alive[0], &byte, 1), 0); // nobody is left who could write
}
END_TEST

UNIT_MAIN("os/sandbox", every_escape_is_refused, threads_forks_and_messages_open_no_other_way,
          without_landlock_every_escape_is_refused, escapes_succeed_outside_the_sandbox,
          what_only_a_loose_sandbox_allows_works_in_it_until_tasks_end,
          landlock_alone_refuses_files_and_network, what_a_replica_needs_works, the_report_says_what_confines,
          a_process_with_threads_is_refused, a_sandboxed_child_ends_with_its_parent)

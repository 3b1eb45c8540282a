// SPDX-License-Identifier: Apache-2.0
// The wrapped calls of io_shim.h. Each asks before(), makes the system call itself, and records what was
// done.
#include "io_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct io_plan *plan;
    int log_fd;
    size_t root_n;
    char root[PATH_MAX];
} shim = {.log_fd = -1};

enum { PAGE_BYTES = 4096 };
enum verdict { GO_ON, FAIL };

static bool is_on(void)
{
    return shim.plan && atomic_load(&shim.plan->is_armed);
}

// 0 when it is outside of the data directory.
static uint32_t file_of_path(const char *path)
{
    if (strncmp(path, shim.root, shim.root_n) != 0 || (path[shim.root_n] && path[shim.root_n] != '/'))
        return 0;
    const char *at = path[shim.root_n] ? path + shim.root_n + 1 : "";
    size_t n = strlen(at);
    static const char SHA256[] = "blobs/sha256", TMP[] = "blobs/tmp/";
    if (n == 0)
        return IO_FILE_ROOT;
    if (strcmp(at, "registry.db") == 0)
        return IO_FILE_DB;
    if (strcmp(at, "registry.db-wal") == 0)
        return IO_FILE_WAL;
    if (strcmp(at, "blobs") == 0)
        return IO_FILE_BLOBS;
    if (strcmp(at, SHA256) == 0)
        return IO_FILE_SHA256;
    if (strncmp(at, SHA256, sizeof SHA256 - 1) == 0)
        return n == sizeof SHA256 + 2 ? IO_FILE_SHARD : IO_FILE_BLOB;
    return strncmp(at, TMP, sizeof TMP - 1) == 0 ? IO_FILE_BLOB : IO_FILE_OTHER;
}

static uint32_t file_of_fd(int fd)
{
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    if (strncmp(path, "socket:", 7) == 0)
        return IO_FILE_SOCKET;
    char *deleted = strstr(path, " (deleted)");
    if (deleted)
        *deleted = '\0';
    return file_of_path(path);
}

// Of dir_fd/name; the name may be absolute. *ret_path: the whole.
static uint32_t file_of_name(int dir_fd, const char *name, char ret_path[2 * PATH_MAX])
{
    if (name[0] == '/') {
        snprintf(ret_path, 2 * PATH_MAX, "%s", name);
    } else {
        char link[40], dir[PATH_MAX];
        snprintf(link, sizeof link, dir_fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir_fd);
        ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, dir, sizeof dir - 1);
        dir[n > 0 ? n : 0] = '\0';
        snprintf(ret_path, 2 * PATH_MAX, "%s/%s", dir, name);
    }
    return file_of_path(ret_path);
}

static uint64_t node_of_fd(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static uint64_t node_of_path(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

// Of the folder of a path, whose last part *ret_name is.
static uint64_t dir_of(const char *path, const char **ret_name)
{
    char dir[2 * PATH_MAX];
    const char *slash = strrchr(path, '/');
    *ret_name = slash + 1;
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    return node_of_path(dir);
}

size_t io_record_size(const struct io_record *r)
{
    return (sizeof *r + r->n_bytes + IO_RECORD_ALIGN - 1) & ~(size_t)(IO_RECORD_ALIGN - 1);
}

static void record(struct io_record r, const void *bytes, size_t n, const char *second)
{
    if (!shim.plan->is_recording || shim.log_fd < 0)
        return;
    size_t n_second = second ? strlen(second) + 1 : 0;
    static char padding[IO_RECORD_ALIGN];
    r.n_bytes = (uint32_t)(n + n_second);
    struct iovec parts[] = {{&r, sizeof r},
                            {(void *)(uintptr_t)bytes, n},
                            {(void *)(uintptr_t)second, n_second},
                            {padding, io_record_size(&r) - sizeof r - r.n_bytes}};
    // One call, so that records of several processes do not mix.
    if (syscall(SYS_writev, shim.log_fd, parts, sizeof parts / sizeof parts[0]) < 0)
        abort();
}

static void record_name(enum io_op op, uint64_t node, const char *path)
{
    const char *name;
    uint64_t dir = dir_of(path, &name);
    record((struct io_record){.op = op, .node = node, .dir = dir}, name, strlen(name) + 1, NULL);
}

static _Noreturn void end_process(void)
{
    syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
    for (;;)
        pause();
}

// Whether this is the call that all wait for, or a later one of a sticky plan.
static bool is_due(enum io_kind kind, uint32_t file)
{
    struct io_plan *p = shim.plan;
    if (p->action == IO_ACTION_NONE || !(p->kinds & kind) || !(p->files & file))
        return false;
    uint32_t n = atomic_fetch_add(&p->count, 1) + 1;
    if (n != p->at && !(p->is_sticky && n > p->at))
        return false;
    p->fired_kind = kind;
    p->fired_file = file;
    atomic_fetch_add(&p->n_fired, 1);
    return true;
}

// A disk that does not answer.
static void stall(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (*(volatile uint32_t *)&shim.plan->action == IO_ACTION_STALL)
        (void)nanosleep(&pause, NULL);
}

static enum verdict before(enum io_kind kind, uint32_t file)
{
    if (!file || !is_on() || !is_due(kind, file))
        return GO_ON;
    if (shim.plan->action == IO_ACTION_STALL) {
        stall();
        return GO_ON;
    }
    if (shim.plan->action != IO_ACTION_FAIL)
        end_process();
    errno = (int)shim.plan->error;
    return FAIL;
}

// Takes what a file grows by from what the disk has left.
static enum verdict take_room(int64_t bytes)
{
    if (!shim.plan->has_room || bytes <= 0)
        return GO_ON;
    if (atomic_fetch_sub(&shim.plan->room_bytes, bytes) >= bytes)
        return GO_ON;
    atomic_fetch_add(&shim.plan->room_bytes, bytes);
    errno = ENOSPC;
    return FAIL;
}

static void give_room(int64_t bytes)
{
    if (shim.plan->has_room && bytes > 0)
        atomic_fetch_add(&shim.plan->room_bytes, bytes);
}

static int64_t size_of_fd(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : 0;
}

static int64_t size_of_path(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 ? st.st_size : 0;
}

// `at` < 0: at the descriptor's position.
static ssize_t write_at(int fd, const void *p, size_t n, off_t at)
{
    return at < 0 ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at);
}

// The kernel looks for a deadly signal between two pages of a file, not within one.
static size_t torn(int fd, size_t n, off_t at)
{
    uint64_t begin = (uint64_t)(at < 0 ? (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) : at);
    uint64_t end = (begin + n / 2) & ~(uint64_t)(PAGE_BYTES - 1);
    return end > begin ? end - begin : 0;
}

static ssize_t wrapped_write(int fd, const void *p, size_t n, off_t at)
{
    uint32_t file = is_on() ? file_of_fd(fd) : 0;
    if (!file)
        return write_at(fd, p, n, at);
    bool is_socket = file == IO_FILE_SOCKET;
    bool due = is_due(is_socket ? IO_KIND_SEND : IO_KIND_WRITE, file);
    if (due && shim.plan->action == IO_ACTION_STALL) {
        stall();
    } else if (due) {
        if (shim.plan->action == IO_ACTION_TEAR && !is_socket)
            (void)!write_at(fd, p, torn(fd, n, at), at);
        if (shim.plan->action != IO_ACTION_FAIL)
            end_process();
        errno = (int)shim.plan->error;
        return -1;
    }
    if (is_socket)
        return write_at(fd, p, n, at);
    off_t offset = at < 0 ? (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) : at;
    if (take_room(offset + (int64_t)n - size_of_fd(fd)) == FAIL)
        return -1;
    ssize_t done = write_at(fd, p, n, at);
    if (done > 0)
        record((struct io_record){.op = IO_OP_WRITE, .node = node_of_fd(fd), .offset = (uint64_t)offset}, p,
               (size_t)done, NULL);
    return done;
}

ssize_t write(int fd, const void *p, size_t n)
{
    return wrapped_write(fd, p, n, -1);
}

ssize_t shim_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite64");
ssize_t shim_pwrite(int fd, const void *p, size_t n, off_t at)
{
    return wrapped_write(fd, p, n, at);
}

// A short write is one that callers must know how to go on from.
ssize_t writev(int fd, const struct iovec *parts, int n)
{
    uint32_t file = is_on() ? file_of_fd(fd) : 0;
    if (!file || file == IO_FILE_SOCKET)
        return before(IO_KIND_SEND, file) == FAIL ? -1 : syscall(SYS_writev, fd, parts, n);
    return n > 0 ? wrapped_write(fd, parts[0].iov_base, parts[0].iov_len, -1) : 0;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    return is_on() && before(IO_KIND_SEND, file_of_fd(fd)) == FAIL
               ? -1
               : syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return is_on() && before(IO_KIND_SEND, file_of_fd(fd)) == FAIL ? -1 : syscall(SYS_sendmsg, fd, m, flags);
}

static int wrapped_sync(int fd, long call)
{
    uint32_t file = is_on() ? file_of_fd(fd) : 0;
    if (before(IO_KIND_SYNC, file) == FAIL)
        return -1;
    if (file && shim.plan->ignored_syncs & file)
        return 0;
    if (file && shim.plan->is_recording) { // the power cut will be made from the records
        record((struct io_record){.op = IO_OP_SYNC, .node = node_of_fd(fd)}, NULL, 0, NULL);
        return 0;
    }
    return (int)syscall(call, fd);
}

int fsync(int fd)
{
    return wrapped_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return wrapped_sync(fd, SYS_fdatasync);
}

static int wrapped_open(int dir_fd, const char *name, int flags, mode_t mode)
{
    char path[2 * PATH_MAX];
    bool may_write = flags & O_CREAT || (flags & O_ACCMODE) != O_RDONLY;
    uint32_t file = is_on() && may_write ? file_of_name(dir_fd, name, path) : 0;
    if (before(IO_KIND_NAME, file) == FAIL)
        return -1;
    uint64_t was = file ? node_of_path(path) : 0;
    int64_t size = file && flags & O_TRUNC ? size_of_path(path) : 0;
    int fd = (int)syscall(SYS_openat, dir_fd, name, flags | O_LARGEFILE, mode);
    if (!file || fd < 0)
        return fd;
    give_room(size);
    if (!was)
        record_name(IO_OP_CREATE, node_of_fd(fd), path);
    else if (flags & O_TRUNC)
        record((struct io_record){.op = IO_OP_RESIZE, .node = was}, NULL, 0, NULL);
    return fd;
}

static mode_t mode_of(int flags, va_list *more)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(*more, unsigned) : 0;
}

#define DEFINE_OPEN(c_name, symbol)                                                                          \
    int c_name(const char *path, int flags, ...) __asm__(symbol);                                            \
    int c_name(const char *path, int flags, ...)                                                             \
    {                                                                                                        \
        va_list more;                                                                                        \
        va_start(more, flags);                                                                               \
        mode_t mode = mode_of(flags, &more);                                                                 \
        va_end(more);                                                                                        \
        return wrapped_open(AT_FDCWD, path, flags, mode);                                                    \
    }
#define DEFINE_OPENAT(c_name, symbol)                                                                        \
    int c_name(int dir_fd, const char *path, int flags, ...) __asm__(symbol);                                \
    int c_name(int dir_fd, const char *path, int flags, ...)                                                 \
    {                                                                                                        \
        va_list more;                                                                                        \
        va_start(more, flags);                                                                               \
        mode_t mode = mode_of(flags, &more);                                                                 \
        va_end(more);                                                                                        \
        return wrapped_open(dir_fd, path, flags, mode);                                                      \
    }
DEFINE_OPEN(shim_open, "open")
DEFINE_OPEN(shim_open64, "open64")
DEFINE_OPENAT(shim_openat, "openat")
DEFINE_OPENAT(shim_openat64, "openat64")

int mkdirat(int dir_fd, const char *name, mode_t mode)
{
    char path[2 * PATH_MAX];
    uint32_t file = is_on() ? file_of_name(dir_fd, name, path) : 0;
    if (before(IO_KIND_NAME, file) == FAIL)
        return -1;
    int rc = (int)syscall(SYS_mkdirat, dir_fd, name, mode);
    if (file && rc == 0)
        record_name(IO_OP_MKDIR, node_of_path(path), path);
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

// Renames or links, as `op` says.
static int wrapped_move(enum io_op op, int from_dir, const char *from, int to_dir, const char *to,
                        unsigned flags)
{
    char path[2 * PATH_MAX], to_path[2 * PATH_MAX];
    uint32_t file = is_on() ? file_of_name(to_dir, to, to_path) : 0;
    if (before(IO_KIND_NAME, file) == FAIL)
        return -1;
    int64_t size = file ? size_of_path(to_path) : 0;
    struct io_record r = {.op = op};
    const char *name, *to_name;
    if (file) {
        file_of_name(from_dir, from, path);
        r.dir = dir_of(path, &name);
        r.to_dir = dir_of(to_path, &to_name);
    }
    int rc = (int)syscall(op == IO_OP_LINK ? SYS_linkat : SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (!file || rc < 0)
        return rc;
    give_room(op == IO_OP_RENAME ? size : 0);
    record(r, name, strlen(name) + 1, to_name);
    return rc;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return wrapped_move(IO_OP_RENAME, from_dir, from, to_dir, to, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return wrapped_move(IO_OP_RENAME, from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
    return wrapped_move(IO_OP_RENAME, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return wrapped_move(IO_OP_LINK, from_dir, from, to_dir, to, (unsigned)flags);
}

int unlinkat(int dir_fd, const char *name, int flags)
{
    char path[2 * PATH_MAX];
    uint32_t file = is_on() ? file_of_name(dir_fd, name, path) : 0;
    if (before(IO_KIND_NAME, file) == FAIL)
        return -1;
    int64_t size = file ? size_of_path(path) : 0;
    int rc = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    if (file && rc == 0) {
        give_room(size);
        record_name(IO_OP_UNLINK, 0, path);
    }
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int shim_ftruncate(int fd, off_t size) __asm__("ftruncate64");
int shim_ftruncate(int fd, off_t size)
{
    uint32_t file = is_on() ? file_of_fd(fd) : 0;
    if (before(IO_KIND_SIZE, file) == FAIL)
        return -1;
    int64_t was = file ? size_of_fd(fd) : 0;
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (file && rc == 0) {
        give_room(was - size); // a hole takes none
        record((struct io_record){.op = IO_OP_RESIZE, .node = node_of_fd(fd), .offset = (uint64_t)size}, NULL,
               0, NULL);
    }
    return rc;
}

static int wrapped_allocate(int fd, int mode, off_t at, off_t n)
{
    uint32_t file = is_on() ? file_of_fd(fd) : 0;
    if (before(IO_KIND_SIZE, file) == FAIL)
        return -1;
    int64_t was = file ? size_of_fd(fd) : 0;
    if (file && take_room(at + n - was) == FAIL)
        return -1;
    int rc = (int)syscall(SYS_fallocate, fd, mode, at, n);
    if (file && rc == 0 && at + n > was)
        record((struct io_record){.op = IO_OP_RESIZE, .node = node_of_fd(fd), .offset = (uint64_t)(at + n)},
               NULL, 0, NULL);
    return rc;
}

int shim_fallocate(int fd, int mode, off_t at, off_t n) __asm__("fallocate64");
int shim_fallocate(int fd, int mode, off_t at, off_t n)
{
    return wrapped_allocate(fd, mode, at, n);
}

int shim_posix_fallocate(int fd, off_t at, off_t n) __asm__("posix_fallocate64");
int shim_posix_fallocate(int fd, off_t at, off_t n)
{
    return wrapped_allocate(fd, 0, at, n) == 0 ? 0 : errno;
}

void io_shim_attach(struct io_plan *plan, const char *root, int log_fd)
{
    snprintf(shim.root, sizeof shim.root, "%s", root);
    shim.root_n = strlen(shim.root);
    shim.log_fd = log_fd;
    shim.plan = plan;
}

void io_shim_detach(void)
{
    shim.plan = NULL;
}

// SPDX-License-Identifier: Apache-2.0
// System calls and allocations that fail when a plan says so: a program that includes this defines their
// wrappers itself, so that SQLite and OpenSSL call them too. What is done meanwhile is faults_test.c.
#pragma once

#include "tempdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __has_feature
#define HAS_ASAN __has_feature(address_sanitizer)
#elif defined __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif

enum kind {
    FAULT_NONE,
    FAULT_FULL,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_LOG, // a write of pages, or of the write-ahead log: opening writes only single bytes
    FAULT_SYNC,
    FAULT_SYNC_DIR, // of names
    FAULT_NAME,
    FAULT_ALLOC,
    FAULT_OPEN,
};
enum op { OP_OPEN, OP_BLOB, OP_VERSION, OP_ALIAS, OP_TEMP_ADD, OP_TEMP_REMOVE, OPS };

// Shared with the process that dies.
static struct plan {
    enum kind kind;
    int error;
    bool sticky;
    enum op from;   // calls before it do not count
    long countdown; // calls until it fails
    bool fired;
    enum op now, fired_in;
    int result[OPS];   // 0 acknowledged, else the error's code
    bool unknown[OPS]; // the error said that the outcome is open
} * plan;

static bool fails(enum kind kind)
{
    if (!plan || plan->kind != kind || plan->now < plan->from || (plan->fired && !plan->sticky))
        return false;
    if (!plan->fired && --plan->countdown > 0)
        return false;
    if (!plan->fired)
        plan->fired_in = plan->now;
    plan->fired = true;
    errno = plan->error;
    return true;
}

static const char *full_disk; // the data directory on it

// FAULT_FULL: the disk is full while the reserve takes its space, and cannot be filled with it again.
static bool is_full(void)
{
    char path[TEMPDIR_SIZE + 32];
    struct stat st;
    if (!plan || plan->kind != FAULT_FULL)
        return false;
    snprintf(path, sizeof path, "%s/registry.reserve", full_disk);
    bool full = stat(path, &st) == 0 && st.st_size > 0;
    errno = full ? ENOSPC : errno;
    return full;
}

int fault_fallocate(int fd, off_t at, off_t n) __asm__("posix_fallocate64");
int fault_fallocate(int fd, off_t at, off_t n)
{
    if (plan && plan->kind == FAULT_FULL)
        return ENOSPC;
    return syscall(SYS_ftruncate, fd, at + n) < 0 ? errno : 0; // thousands of times: without the space
}

ssize_t write(int fd, const void *p, size_t n)
{
    return fails(FAULT_WRITE) || is_full() ? -1 : syscall(SYS_write, fd, p, n);
}

ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite64");
ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t at)
{
    bool failed = fails(FAULT_WRITE) || (n > 1 && fails(FAULT_LOG)) || is_full();
    return failed ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t fault_pread(int fd, void *p, size_t n, off_t at) __asm__("pread64");
ssize_t fault_pread(int fd, void *p, size_t n, off_t at)
{
    return fails(FAULT_READ) ? -1 : syscall(SYS_pread64, fd, p, n, at);
}

static bool is_dir(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

int fsync(int fd)
{
    return fails(FAULT_SYNC) || (is_dir(fd) && fails(FAULT_SYNC_DIR)) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(FAULT_NAME) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    return fails(FAULT_NAME) ? -1 : (int)syscall(SYS_mkdirat, dir, name, mode);
}

// SQLite's.
int fault_open(const char *path, int flags, ...) __asm__("open64");
int fault_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(more, unsigned) : 0;
    va_end(more);
    bool to_write = (flags & O_ACCMODE) != O_RDONLY;
    return to_write && fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fault_ftruncate(int fd, off_t size) __asm__("ftruncate64");
int fault_ftruncate(int fd, off_t size)
{
    return fails(FAULT_NAME) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

#if !HAS_ASAN // which has an allocator of its own
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    return fails(FAULT_ALLOC) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(FAULT_ALLOC) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(FAULT_ALLOC) ? NULL : __libc_realloc(p, n);
}
#endif

// SPDX-License-Identifier: Apache-2.0
// Durable file operations over the plain system calls. Fault tests wrap write, fsync, renameat and openat at
// link time, so every call that changes the disk is made from here.
#include "os/file.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int file_open_dir(int parent_fd, const char *path, int *ret_fd, struct err *e)
{
    int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "directory '%s' does not exist", path);
    if (fd < 0)
        return err_errno(e, errno, "open directory '%s'", path);
    *ret_fd = fd;
    return 0;
}

int file_make_dir(int parent_fd, const char *name, int *ret_fd, struct err *e)
{
    if (mkdirat(parent_fd, name, 0750) < 0 && errno != EEXIST)
        return err_errno(e, errno, "make directory '%s'", name);
    int rc = file_sync(parent_fd, e);
    return rc ? rc : file_open_dir(parent_fd, name, ret_fd, e);
}

int file_make_dir_path(const char *path, int *ret_fd, struct err *e)
{
    char parent[PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof parent)
        return err_set(e, ERR_INVALID, "'%.60s' cannot be a directory's path", path);
    memcpy(parent, path, n);
    parent[n] = '\0';
    char *slash = strrchr(parent, '/');
    char name[NAME_MAX + 1];
    const char *last = slash ? slash + 1 : parent;
    if (strlen(last) >= sizeof name)
        return err_set(e, ERR_INVALID, "'%.60s…' is too long for a directory's name", last);
    memcpy(name, last[0] ? last : ".", last[0] ? strlen(last) + 1 : 2);
    if (slash)
        slash[slash == parent] = '\0'; // "/x" lies in "/"
    int parent_fd = -1;
    int rc = file_open_dir(AT_FDCWD, slash ? parent : ".", &parent_fd, e);
    if (rc)
        return rc;
    rc = file_make_dir(parent_fd, name, ret_fd, e);
    close(parent_fd);
    return rc;
}

int file_write_all(int fd, const void *p, size_t n, struct err *e)
{
    const char *at = p;
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_errno(e, errno, "write");
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

int file_read_at(int fd, void *p, size_t n, uint64_t offset, size_t *ret_n, struct err *e)
{
    *ret_n = 0;
    while (*ret_n < n) {
        ssize_t done = pread(fd, (char *)p + *ret_n, n - *ret_n, (off_t)(offset + *ret_n));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_errno(e, errno, "read");
        if (done == 0)
            break;
        *ret_n += (size_t)done;
    }
    return 0;
}

int file_size(int fd, uint64_t *ret_bytes, struct err *e)
{
    struct stat st;
    // The C library's fstat is a call that takes a path as well, which the sandbox refuses.
    if (syscall(SYS_fstat, fd, &st) < 0)
        return err_errno(e, errno, "read the size of a file");
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

int file_sync(int fd, struct err *e)
{
    int rc;
    do
        rc = fsync(fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? err_errno(e, errno, "fsync") : 0;
}

int file_replace(int from_dir, const char *from, int to_dir, const char *to, struct err *e)
{
    if (renameat(from_dir, from, to_dir, to) < 0)
        return err_errno(e, errno, "rename to '%s'", to);
    return file_sync(to_dir, e);
}

int file_publish(int from_dir, const char *from, int to_dir, const char *to, struct err *e)
{
    if (renameat(from_dir, from, to_dir, to) < 0)
        return err_errno(e, errno, "rename to '%s'", to);
    int rc = file_sync(to_dir, e);
    if (rc)
        unlinkat(to_dir, to, 0);
    return rc;
}

// The number is for people; the lock itself is the kernel's. A full disk must not keep the registry shut.
void file_lock_sign(int fd)
{
    char pid[24];
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    ASSERT(n > 0 && (size_t)n < sizeof pid);
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n)
        (void)!ftruncate(fd, 0);
}

int file_lock(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(e, errno, "open lock file '%s'", name);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int why = errno;
        char holder[24] = "";
        ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
        holder[n > 0 ? strcspn(holder, "\n") : 0] = '\0';
        close(fd);
        if (why != EWOULDBLOCK)
            return err_errno(e, why, "lock '%s'", name);
        return err_set(e, ERR_CONFLICT, "'%s' is held by process %s", name, holder[0] ? holder : "(unknown)");
    }
    file_lock_sign(fd);
    *ret_fd = fd;
    return 0;
}

int file_lock_shared(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
    int rc, fd = openat(dir_fd, name, O_RDONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0 && (errno == EROFS || errno == EACCES))
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open lock file '%s'", name);
    do
        rc = flock(fd, LOCK_SH);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        int why = errno;
        close(fd);
        return err_errno(e, why, "lock '%s'", name);
    }
    *ret_fd = fd;
    return 0;
}

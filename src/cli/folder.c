// SPDX-License-Identifier: Apache-2.0
// Directories of this machine. The kernel sees to it that no path and no symbolic link leads out of one:
// who wrote the directory may be a stranger, and what is found in it is sent to a server.
#include "cli/folder.h"

#include "base/limits.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool folder_path_is_below(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f)
            return false;
    if (path.n == 0 || path.p[path.n - 1] == '/')
        return false;
    while (path.n) {
        struct str part = str_split(&path, '/');
        if (part.n == 0 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
            return false;
    }
    return true;
}

static int open_below(struct folder_local *f, const char *path, uint64_t flags, int *ret_fd, struct err *e)
{
    struct open_how how = {.flags = flags | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH};
    *ret_fd = (int)syscall(SYS_openat2, f->fd, path, &how, sizeof how);
    if (*ret_fd >= 0)
        return 0;
    if (errno == ENOENT || errno == ENOTDIR)
        return err_set(e, ERR_NOT_FOUND, "there is no '%.120s' in '%.120s'", path, f->folder.shown);
    if (errno == EXDEV)
        return err_set(e, ERR_REFUSED, "'%.120s' in '%.120s' leads out of that directory", path,
                       f->folder.shown);
    return err_errno(e, errno, "open '%.120s' in '%.120s'", path, f->folder.shown);
}

static int local_open(struct folder *folder, const char *path, int *ret_fd, struct err *e)
{
    struct folder_local *f = (struct folder_local *)folder;
    if (!folder_path_is_below(str_of(path)))
        return err_set(e, ERR_REFUSED, "'%.120s' in '%.120s' leads out of that directory", path,
                       folder->shown);
    return open_below(f, path, O_RDONLY, ret_fd, e);
}

static int list_entries(DIR *d, void (*each)(void *ctx, const char *name), void *ctx, struct err *e)
{
    struct dirent *entry;
    struct stat st;
    size_t n = 0;
    while ((entry = readdir(d)) != NULL) {
        if (fstatat(dirfd(d), entry->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (++n > LIMIT_IMPORT_FILES)
            return err_set(e, ERR_TOO_LARGE, "there are more than %d files", LIMIT_IMPORT_FILES);
        each(ctx, entry->d_name);
    }
    return 0;
}

static int local_list(struct folder *folder, const char *path, void (*each)(void *ctx, const char *name),
                      void *ctx, struct err *e)
{
    int fd;
    int rc = open_below((struct folder_local *)folder, *path ? path : ".", O_RDONLY | O_DIRECTORY, &fd, e);
    if (rc)
        return rc;
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    rc = list_entries(d, each, ctx, e);
    closedir(d);
    return rc;
}

static const struct folder_ops LOCAL = {.open = local_open, .list = local_list};

int folder_local_open(struct folder_local *f, const char *path, struct err *e)
{
    *f = (struct folder_local){.folder = {&LOCAL, path}, .fd = -1};
    f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd >= 0)
        return 0;
    if (errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "there is no directory '%.200s'", path);
    return err_errno(e, errno, "open '%.200s'", path);
}

void folder_local_close(struct folder_local *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

int folder_read(struct folder *f, const char *path, size_t max, struct buf *out, struct err *e)
{
    int fd;
    uint64_t size;
    size_t n = 0;
    int rc = f->ops->open(f, path, &fd, e);
    if (rc)
        return rc;
    rc = file_size(fd, &size, e);
    if (rc == 0 && size > max)
        rc = err_set(e, ERR_TOO_LARGE, "'%.120s' in '%.120s' is larger than %zu bytes", path, f->shown, max);
    char *to = rc ? NULL : buf_reserve(out, (size_t)size + 1);
    if (rc == 0 && !to)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0 && (rc = file_read_at(fd, to, (size_t)size, 0, &n, e)) == 0)
        buf_advance(out, n);
    close(fd);
    return rc;
}

// SPDX-License-Identifier: Apache-2.0
// A directory that is being written by an export.
#include "cli/outdir.h"

#include "cli/folder.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTIAL ".partial"

static int check_empty(const struct outdir *o, struct err *e)
{
    int fd = openat(o->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return err_errno(e, errno, "read the directory '%.200s'", o->path);
    }
    struct dirent *entry;
    int n = 0;
    while ((entry = readdir(d)) != NULL)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    if (n == 0)
        return 0;
    err_set(e, ERR_CONFLICT, "the directory '%.200s' is not empty", o->path);
    err_hint(e, "Choose another one, or replace files in it with --force.");
    return ERR_CONFLICT;
}

int outdir_open(struct outdir *o, const char *path, bool force, struct err *e)
{
    *o = (struct outdir){.path = path, .fd = -1, .force = force};
    o->is_new = mkdir(path, 0755) == 0;
    if (!o->is_new && errno != EEXIST)
        return err_errno(e, errno, "make the directory '%.200s'", path);
    o->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o->fd < 0)
        return err_errno(e, errno, "open the directory '%.200s'", path);
    return o->is_new || force ? 0 : check_empty(o, e);
}

static int remember(struct outdir *o, struct str path, struct err *e)
{
    char **more = realloc(o->made, (o->n_made + 1) * sizeof *more);
    o->made = more ? more : o->made;
    char *copy = more ? str_dup(path) : NULL;
    if (!copy)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->made[o->n_made++] = copy;
    return 0;
}

// The folder that a file lies in, made part by part. No link is followed: what is below the directory stays
// below it.
static int open_parent(struct outdir *o, const char *name, int *ret_fd, struct err *e)
{
    char part[NAME_MAX + 1];
    *ret_fd = dup(o->fd);
    int rc = *ret_fd < 0 ? err_errno(e, errno, "write to '%.200s'", o->path) : 0;
    const char *at = name, *slash;
    for (; rc == 0 && (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        if ((size_t)(slash - at) >= sizeof part) {
            rc = err_set(e, ERR_INVALID, "'%.80s' is too long a name", name);
            break;
        }
        snprintf(part, sizeof part, "%.*s", (int)(slash - at), at);
        if (mkdirat(*ret_fd, part, 0755) == 0)
            rc = remember(o, (struct str){name, (size_t)(slash - name)}, e);
        int fd = rc ? -1 : openat(*ret_fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (rc == 0 && fd < 0)
            rc = err_errno(e, errno, "make the folder of '%.120s'", name);
        close(*ret_fd);
        *ret_fd = fd;
    }
    if (rc && *ret_fd >= 0)
        close(*ret_fd);
    return rc;
}

static int partial_name(const char *name, char ret[NAME_MAX + 1], struct err *e)
{
    const char *slash = strrchr(name, '/');
    if (snprintf(ret, NAME_MAX + 1, "%s" PARTIAL, slash ? slash + 1 : name) > NAME_MAX)
        return err_set(e, ERR_INVALID, "'%.80s' is too long a name", name);
    return 0;
}

int outdir_create(struct outdir *o, const char *name, int *ret_fd, struct err *e)
{
    int parent;
    char partial[NAME_MAX + 1];
    if (!folder_path_is_below(str_of(name)))
        return err_set(e, ERR_REFUSED, "'%.120s' leads out of the directory", name);
    int rc = partial_name(name, partial, e);
    if (rc == 0)
        rc = open_parent(o, name, &parent, e);
    if (rc)
        return rc;
    *ret_fd = openat(parent, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (*ret_fd < 0)
        rc = err_errno(e, errno, "write '%.120s' in '%.120s'", name, o->path);
    close(parent);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s" PARTIAL, name);
    return rc ? rc : remember(o, str_of(path), e);
}

int outdir_keep(struct outdir *o, const char *name, int fd, struct err *e)
{
    int parent = -1;
    char partial[NAME_MAX + 1];
    const char *slash = strrchr(name, '/');
    int rc = file_sync(fd, e);
    close(fd);
    if (rc == 0)
        rc = partial_name(name, partial, e);
    if (rc == 0)
        rc = open_parent(o, name, &parent, e);
    if (rc)
        return rc;
    const char *last = slash ? slash + 1 : name;
    struct stat st;
    bool was_there = fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (was_there && !o->force)
        rc = err_set(e, ERR_CONFLICT, "'%.120s' is there already", name);
    if (rc == 0)
        rc = file_publish(parent, partial, parent, last, e);
    close(parent);
    return rc || was_there ? rc : remember(o, str_of(name), e);
}

int outdir_write(struct outdir *o, const char *name, struct str bytes, struct err *e)
{
    int fd;
    int rc = outdir_create(o, name, &fd, e);
    if (rc)
        return rc;
    rc = file_write_all(fd, bytes.p, bytes.n, e);
    if (rc == 0)
        return outdir_keep(o, name, fd, e);
    close(fd);
    return rc;
}

void outdir_close(struct outdir *o, bool good)
{
    for (size_t i = o->n_made; i-- > 0;) {
        if (!good && unlinkat(o->fd, o->made[i], 0) != 0)
            (void)unlinkat(o->fd, o->made[i], AT_REMOVEDIR);
        free(o->made[i]);
    }
    free(o->made);
    if (o->fd >= 0)
        close(o->fd);
    if (!good && o->is_new)
        (void)rmdir(o->path);
    *o = (struct outdir){.fd = -1};
}

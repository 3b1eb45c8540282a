// SPDX-License-Identifier: Apache-2.0
#include "predlog/view.h"

#include "os/file.h"
#include "predlog/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define HOUR_NS (UINT64_C(3600) * 1000000000)

static int open_wal(struct view *v, struct err *e)
{
    uint64_t *files = NULL;
    size_t n = 0;
    int rc = wal_list(v->wal_fd, &files, &n, e);
    v->wal = rc ? NULL : calloc(n + 1, sizeof *v->wal);
    if (!rc && !v->wal)
        rc = err_set(e, ERR_NOMEM, "out of memory for a list of files");
    for (size_t i = 0; !rc && i < n; i++) {
        char name[WAL_NAME_SIZE];
        wal_name(files[i], name);
        int fd = openat(v->wal_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue; // sealed since: the manifest has it
        if (fd < 0)
            rc = err_errno(e, errno, "open '%s'", name);
        else
            v->wal[v->n_wal++] = (struct view_wal){files[i], fd};
    }
    free(files);
    return rc;
}

static int open_below(int dir_fd, const char *path, int *ret_fd, struct err *e)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_errno(e, errno, "open '%s'", path);
    *ret_fd = fd;
    return 0;
}

int view_open(const char *data_dir, struct view *ret, struct err *e)
{
    int dir;
    *ret = (struct view){.log_fd = -1, .wal_fd = -1};
    int rc = file_open_dir(AT_FDCWD, data_dir, &dir, e);
    if (rc)
        return rc;
    rc = open_below(dir, "state/wal", &ret->wal_fd, e);
    if (!rc && ret->wal_fd >= 0)
        rc = open_wal(ret, e);
    if (!rc)
        rc = open_below(dir, "log", &ret->log_fd, e);
    if (!rc && ret->log_fd >= 0)
        rc = predlog_manifest_read(ret->log_fd, &ret->manifest, e);
    close(dir);
    return rc;
}

void view_close(struct view *v)
{
    for (size_t i = 0; i < v->n_wal; i++)
        close(v->wal[i].fd);
    free(v->wal);
    if (v->log_fd >= 0)
        close(v->log_fd);
    if (v->wal_fd >= 0)
        close(v->wal_fd);
    predlog_manifest_done(&v->manifest);
    *v = (struct view){.log_fd = -1, .wal_fd = -1};
}

bool view_is_sealed(const struct view *v, uint64_t wal, struct str model, const struct record *r)
{
    // Those of one file were appended together, and only the newest files are not sealed.
    for (size_t i = v->manifest.n; i-- > 0 && v->manifest.entries[i].wal >= wal;) {
        const struct predlog_entry *one = &v->manifest.entries[i];
        if (one->wal == wal && str_eq(one->model, model) &&
            one->first_ns / HOUR_NS == r->head.wall_ns / HOUR_NS)
            return true;
    }
    return false;
}

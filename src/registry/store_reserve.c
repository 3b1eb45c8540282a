// SPDX-License-Identifier: Apache-2.0
// The reserve: a file of LIMIT_RESERVE_BYTES that holds nothing but space on the disk. When the disk is full,
// it is emptied so that names can still be moved back and things be deleted; it is filled anew before
// anything is added again.
#include "registry/store_sqlite.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define RESERVE_FILE "registry.reserve"

void store_reserve_make(struct store *s)
{
    if (s->has_reserve)
        return;
    int fd = openat(s->dir_fd, RESERVE_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return;
    s->has_reserve = posix_fallocate(fd, 0, LIMIT_RESERVE_BYTES) == 0;
    if (!s->has_reserve && ftruncate(fd, 0) < 0)
        unlinkat(s->dir_fd, RESERVE_FILE, 0); // what was allocated of it must not stay
    close(fd);
}

bool store_reserve_release(struct store *s)
{
    if (!s->has_reserve)
        return false;
    s->has_reserve = false;
    int fd = openat(s->dir_fd, RESERVE_FILE, O_RDWR | O_CLOEXEC);
    bool freed = fd >= 0 && ftruncate(fd, 0) == 0;
    if (fd >= 0)
        close(fd);
    return freed;
}

int store_room(struct registry *r, struct err *e)
{
    struct store *s = (struct store *)r;
    store_reserve_make(s);
    if (s->has_reserve)
        return 0;
    err_set(e, ERR_NO_SPACE, "the disk of the data directory is full: nothing is added");
    err_hint(e, "Make room, or delete versions. Aliases can still be moved and rolled back.");
    return ERR_NO_SPACE;
}

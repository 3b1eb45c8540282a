// SPDX-License-Identifier: Apache-2.0
// Shards of the blob directory and their locks. The lock is one on the folder itself: it needs no file, and
// the kernel gives it back when its holder dies.
#include "registry/blob_shard.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

int blob_none(const char *hex, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "there is no blob sha256:%s", hex);
}

int blob_shard_open(int sha256_fd, const char *hex, bool make, int *ret_fd, struct err *e)
{
    char name[3] = {hex[0], hex[1], '\0'};
    return make ? file_make_dir(sha256_fd, name, ret_fd, e) : file_open_dir(sha256_fd, name, ret_fd, e);
}

int blob_shard_lock(int shard_fd, bool waits, struct err *e)
{
    int rc;
    do
        rc = flock(shard_fd, waits ? LOCK_EX : LOCK_EX | LOCK_NB);
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && errno == EWOULDBLOCK)
        return err_set(e, ERR_BUSY, "a blob of the same shard is being stored");
    return 0; // also on a file system that knows no such locks, where there is nobody to wait for
}

void blob_shard_unlock(int shard_fd)
{
    (void)flock(shard_fd, LOCK_UN);
}

int blob_shard_keep(int shard_fd, const char *hex)
{
    return utimensat(shard_fd, hex, NULL, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT ? ERR_NOT_FOUND : 0;
}

bool blob_shard_names(int shard_fd, const char *name, int fd)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(shard_fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// SPDX-License-Identifier: Apache-2.0
// Making one blob durable under its digest, in whatever process has the time (role/store.h).
//
//   look at what has the name → whole: keep it │ none or damaged: sync and hash the new file
//   → lock the shard → still as it was seen? else look again → rename over it → fsync the folder
//
// What is there is read, not believed: a disk may have changed it since. A damaged file gets a second name in
// blobs/damaged before the good one takes its place, so there is no moment without a file.
#include "registry/blob_shard.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// What has the name of the blob now.
struct there {
    int fd; // -1: nothing
    bool is_whole;
};

struct store {
    const struct blob_parts *parts;
    const struct registry_digest *want;
    char hex[REGISTRY_DIGEST_HEX];
    bool is_checked; // the new file is on disk, and what it should be
    bool stored;
};

// On disk, and what it should be?
static int check_file(int fd, const struct registry_digest *want, struct err *e)
{
    struct registry_digest is;
    uint64_t size;
    int rc = file_sync(fd, e);
    if (!rc)
        rc = registry_digest_file(fd, &is, e);
    if (!rc)
        rc = file_size(fd, &size, e);
    if (rc || registry_digest_eq(&is, want))
        return rc;
    char have[REGISTRY_DIGEST_TEXT], should[REGISTRY_DIGEST_TEXT];
    registry_digest_text(&is, have);
    registry_digest_text(want, should);
    return err_set(e, ERR_DIGEST, "the %llu bytes received have digest %s, not %s", (unsigned long long)size,
                   have, should);
}

// Without a new file there is nothing to put in its place, so it is left to its readers to look at it.
static int look(const struct store *s, int shard_fd, struct there *ret, struct err *e)
{
    struct registry_digest is;
    *ret = (struct there){.fd = openat(shard_fd, s->hex, O_RDONLY | O_CLOEXEC)};
    if (ret->fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open blob sha256:%s", s->hex);
    ret->is_whole = s->parts->tmp_fd < 0;
    int rc = ret->is_whole ? 0 : registry_digest_file(ret->fd, &is, e);
    if (!rc && !ret->is_whole)
        ret->is_whole = registry_digest_eq(&is, s->want);
    return rc == ERR_IO ? 0 : rc; // what cannot be read is damaged
}

static bool is_still(const struct store *s, int shard_fd, const struct there *t)
{
    struct stat st;
    if (t->fd >= 0)
        return blob_shard_names(shard_fd, s->hex, t->fd);
    return fstatat(shard_fd, s->hex, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

// For people to see what happened; that it cannot be kept is no reason to refuse the good one.
static void set_damaged_aside(const struct store *s, int shard_fd)
{
    int root_fd = -1, bad_fd = -1;
    struct err ignored;
    if (!file_open_dir(s->parts->sha256_fd, "..", &root_fd, &ignored) &&
        !file_make_dir(root_fd, "damaged", &bad_fd, &ignored)) {
        unlinkat(bad_fd, s->hex, 0); // of an earlier time
        if (linkat(shard_fd, s->hex, bad_fd, s->hex, 0) < 0)
            (void)!renameat(shard_fd, s->hex, bad_fd, s->hex);
    }
    if (root_fd >= 0)
        close(root_fd);
    if (bad_fd >= 0)
        close(bad_fd);
}

// The shard is locked, and `t` holds.
static int place(struct store *s, int shard_fd, const struct there *t, struct err *e)
{
    const struct blob_parts *p = s->parts;
    // Its age counts from now on, so that nobody collects it before it is used.
    if (t->is_whole)
        return blob_shard_keep(shard_fd, s->hex) ? ERR_NOT_FOUND : file_sync(shard_fd, e);
    if (p->tmp_fd < 0)
        return ERR_NOT_FOUND;
    (void)!futimens(p->file_fd, NULL); // the upload, and hashing it, may have taken long
    if (t->fd >= 0)
        set_damaged_aside(s, shard_fd);
    int rc = file_publish(p->tmp_fd, p->tmp_name, shard_fd, s->hex, e);
    s->stored = !rc;
    if (!rc && p->ret_replaced)
        *p->ret_replaced = t->fd >= 0;
    return rc;
}

// The new file, and the folder it goes to, are on disk.
static int get_ready(struct store *s, int *shard_fd, struct err *e)
{
    int rc = s->is_checked ? 0 : check_file(s->parts->file_fd, s->want, e);
    s->is_checked = !rc;
    if (*shard_fd >= 0)
        close(*shard_fd);
    *shard_fd = -1;
    return rc ? rc : blob_shard_open(s->parts->sha256_fd, s->hex, true, shard_fd, e);
}

// 1 when it is done, 0 when what was seen had changed before the shard was locked.
static int attempt(struct store *s, struct err *e)
{
    struct there t = {.fd = -1};
    int shard_fd = -1;
    int rc = blob_shard_open(s->parts->sha256_fd, s->hex, false, &shard_fd, e);
    if (rc == ERR_NOT_FOUND && s->parts->tmp_fd >= 0)
        rc = 0;
    else if (!rc)
        rc = look(s, shard_fd, &t, e);
    if (!rc && !t.is_whole && s->parts->tmp_fd >= 0)
        rc = get_ready(s, &shard_fd, e);
    if (!rc)
        rc = blob_shard_lock(shard_fd, true, e);
    if (!rc && is_still(s, shard_fd, &t)) {
        rc = place(s, shard_fd, &t, e);
        rc = rc ? rc : 1;
    }
    if (t.fd >= 0)
        close(t.fd);
    if (shard_fd >= 0)
        close(shard_fd); // and with it the lock
    return rc;
}

int blob_store(const struct blob_parts *p, const struct registry_digest *want, bool *ret_stored,
               struct err *e)
{
    struct store s = {.parts = p, .want = want};
    int rc = 0;
    registry_digest_hex(want, s.hex);
    if (p->ret_replaced)
        *p->ret_replaced = false;
    while (rc == 0)
        rc = attempt(&s, e);
    *ret_stored = s.stored;
    if (rc == 1)
        return 0;
    if (rc == ERR_NOT_FOUND)
        return blob_none(s.hex, e);
    return rc == ERR_DIGEST ? rc : err_wrap(e, "store a blob");
}

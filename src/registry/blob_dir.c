// SPDX-License-Identifier: Apache-2.0
// Blobs in a directory: blobs/sha256/ab/<64 hex digits>, written once, read-only, named by content.
//
//   write → blobs/tmp/<n> → fsync file → digest as wanted? → rename into place → fsync directory
//   discard: rename into blobs/trash, which another process empties
//
// A crash at any point leaves either nothing or a file in tmp/, which the next open removes. A file under its
// final name was whole, because it was synced and hashed before it was renamed. From the fsync on it is
// blob_store's work (blob_store.c), which may be another process; the lock of a shard is between the two
// (blob_shard.h). Digests of files are digest.c.
#include "registry/blob_shard.h"

#include "base/assert.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITEBACK_BYTES = 8 << 20 };

struct blobs_dir {
    struct blobs base;
    int root_fd, tmp_fd, sha256_fd; // tmp_fd: -1 when read-only
    int trash_fd;                   // -1 until it is needed
    uint64_t next_tmp;
};

struct blob_writer {
    struct blobs_dir *dir;
    int fd;
    uint64_t size, max_bytes, started; // started: bytes whose writeback the kernel was asked to begin
    char tmp_name[24];
};

static void writer_abort(struct blob_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        close(w->fd);
        unlinkat(w->dir->tmp_fd, w->tmp_name, 0); // no longer there once it was stored
    }
    free(w);
}

static int writer_open(struct blobs *b, uint64_t max_bytes, struct blob_writer **ret, struct err *e)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    if (d->tmp_fd < 0)
        return err_set(e, ERR_REFUSED, "the blob directory is open read-only");
    struct blob_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory to store a blob");
    *w = (struct blob_writer){.dir = d, .fd = -1, .max_bytes = max_bytes};
    int n = snprintf(w->tmp_name, sizeof w->tmp_name, "%llu", (unsigned long long)d->next_tmp++);
    ASSERT(n > 0 && (size_t)n < sizeof w->tmp_name);
    w->fd = openat(d->tmp_fd, w->tmp_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
    if (w->fd < 0) {
        int why = errno;
        writer_abort(w);
        return err_errno(e, why, "create a file in blobs/tmp");
    }
    *ret = w;
    return 0;
}

static int writer_write(struct blob_writer *w, const void *p, size_t n, struct err *e)
{
    if (n > w->max_bytes - w->size)
        return err_set(e, ERR_TOO_LARGE, "the file is larger than the limit of %llu bytes",
                       (unsigned long long)w->max_bytes);
    int rc = file_write_all(w->fd, p, n, e);
    if (rc)
        return err_wrap(e, "store a blob");
    w->size += n;
    // Spreads the cost of the final fsync over the upload.
    if (w->size - w->started >= WRITEBACK_BYTES) {
        sync_file_range(w->fd, (off_t)w->started, (off_t)(w->size - w->started), SYNC_FILE_RANGE_WRITE);
        w->started = w->size;
    }
    return 0;
}

static int blob_open(struct blobs_dir *d, const struct registry_digest *digest, int *ret_fd, struct err *e)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(digest, hex);
    int shard_fd = -1, fd = -1;
    int rc = blob_shard_open(d->sha256_fd, hex, false, &shard_fd, e);
    if (!rc && (fd = openat(shard_fd, hex, O_RDONLY | O_CLOEXEC)) < 0)
        rc = errno == ENOENT ? ERR_NOT_FOUND : err_errno(e, errno, "open blob sha256:%s", hex);
    if (rc == ERR_NOT_FOUND)
        (void)blob_none(hex, e);
    if (shard_fd >= 0)
        close(shard_fd);
    *ret_fd = fd;
    return rc;
}

static int find(struct blobs *b, const struct registry_digest *digest, uint64_t *ret_size, struct err *e)
{
    int fd = -1;
    int rc = blob_open((struct blobs_dir *)b, digest, &fd, e);
    if (rc)
        return rc;
    rc = file_size(fd, ret_size, e);
    close(fd);
    return rc;
}

static uint64_t writer_size(const struct blob_writer *w)
{
    return w->size;
}

static void parts(struct blobs *b, struct blob_writer *w, struct blob_parts *ret)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    *ret = (struct blob_parts){.sha256_fd = d->sha256_fd,
                               .tmp_fd = w ? d->tmp_fd : -1,
                               .file_fd = w ? w->fd : -1,
                               .tmp_name = w ? w->tmp_name : ""};
}

static int set_aside(struct blobs *b, const struct registry_digest *digest, int fd, struct err *e)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(digest, hex);
    struct err ignored;
    int shard_fd = -1, bad_fd = -1;
    // Kept, because it may help to see what happened. Not synced: should a power cut undo it, the next check
    // finds the damage again.
    // Who holds the shard is storing: should it be this blob, the damage is found by him.
    if (d->tmp_fd >= 0 && !blob_shard_open(d->sha256_fd, hex, false, &shard_fd, &ignored) &&
        !blob_shard_lock(shard_fd, false, &ignored) && blob_shard_names(shard_fd, hex, fd) &&
        !file_make_dir(d->root_fd, "damaged", &bad_fd, &ignored))
        (void)!renameat(shard_fd, hex, bad_fd, hex);
    if (shard_fd >= 0)
        close(shard_fd);
    if (bad_fd >= 0)
        close(bad_fd);
    err_set(e, ERR_DIGEST, "blob sha256:%s is damaged on disk", hex);
    err_hint(e, "Push the file again to replace it.");
    return ERR_DIGEST;
}

static int keep(struct blobs *b, const struct registry_digest *digest, struct err *e)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(digest, hex);
    int shard_fd = -1;
    int rc = blob_shard_open(d->sha256_fd, hex, false, &shard_fd, e);
    if (!rc)
        rc = blob_shard_keep(shard_fd, hex);
    if (shard_fd >= 0)
        close(shard_fd);
    return rc == ERR_NOT_FOUND ? blob_none(hex, e) : rc;
}

static uint64_t kept_wall_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st->st_mtim.tv_nsec;
}

static int discard(struct blobs *b, const struct registry_digest *digest, uint64_t kept_before_wall_ns,
                   struct err *e)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(digest, hex);
    if (d->tmp_fd < 0)
        return err_set(e, ERR_REFUSED, "the blob directory is open read-only");
    int shard_fd = -1;
    int rc = d->trash_fd < 0 ? file_make_dir(d->root_fd, "trash", &d->trash_fd, e) : 0;
    if (!rc)
        rc = blob_shard_open(d->sha256_fd, hex, false, &shard_fd, e);
    struct stat st;
    if (!rc) // so that nobody finds it between the look at its age and its end
        rc = blob_shard_lock(shard_fd, false, e);
    if (!rc && fstatat(shard_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = errno == ENOENT ? ERR_NOT_FOUND : err_errno(e, errno, "discard blob sha256:%s", hex);
    if (!rc && kept_wall_ns(&st) > kept_before_wall_ns)
        rc = err_set(e, ERR_BUSY, "blob sha256:%s was asked for a moment ago", hex);
    if (!rc && renameat(shard_fd, hex, d->trash_fd, hex) < 0)
        rc = err_errno(e, errno, "discard blob sha256:%s", hex);
    if (shard_fd >= 0)
        close(shard_fd);
    return rc == ERR_NOT_FOUND ? blob_none(hex, e) : rc;
}

static int trash(struct blobs *b)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    struct err ignored;
    if (d->trash_fd < 0 && d->tmp_fd >= 0 && file_open_dir(d->root_fd, "trash", &d->trash_fd, &ignored))
        d->trash_fd = -1;
    return d->trash_fd;
}

// False for what is no blob of this shard: such a file is none of ours.
static bool entry_of(int shard_fd, const char *name, struct blob_entry *ret)
{
    char text[REGISTRY_DIGEST_TEXT];
    struct stat st;
    int n = snprintf(text, sizeof text, "sha256:%s", name);
    if (n + 1 != sizeof text || !registry_digest_parse(str_of(text), &ret->digest) ||
        fstatat(shard_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return false;
    ret->size_bytes = (uint64_t)st.st_size;
    ret->kept_wall_ns = kept_wall_ns(&st);
    return true;
}

// The shard is read twice, the first time for its number of files; those that come meanwhile are young.
static int list_shard(int shard_fd, uint8_t first, DIR *dir, struct arena *a, struct blob_entry **ret,
                      size_t *ret_n, struct err *e)
{
    size_t most = 0, n = 0;
    while (readdir(dir))
        most++;
    struct blob_entry *list = arena_calloc(a, most, sizeof *list);
    if (!list)
        return err_set(e, ERR_NOMEM, "no memory to list blobs");
    rewinddir(dir);
    for (struct dirent *entry; n < most && (entry = readdir(dir));)
        if (entry_of(shard_fd, entry->d_name, &list[n]) && list[n].digest.bytes[0] == first)
            n++;
    *ret = list;
    *ret_n = n;
    return 0;
}

static int list(struct blobs *b, uint8_t first, struct arena *a, struct blob_entry **ret, size_t *ret_n,
                struct err *e)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    char hex[3];
    int shard_fd;
    snprintf(hex, sizeof hex, "%02x", first);
    *ret = NULL;
    *ret_n = 0;
    int rc = blob_shard_open(d->sha256_fd, hex, false, &shard_fd, e);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    DIR *dir = fdopendir(shard_fd);
    if (!dir) {
        rc = err_errno(e, errno, "read blobs/sha256/%s", hex);
        close(shard_fd);
        return rc;
    }
    rc = list_shard(shard_fd, first, dir, a, ret, ret_n, e);
    closedir(dir);
    return rc;
}

static int open_blob(struct blobs *b, const struct registry_digest *digest, int *ret_fd, struct err *e)
{
    return blob_open((struct blobs_dir *)b, digest, ret_fd, e);
}

static int clear(int dir_fd, const char *what, struct err *e)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return err_errno(e, why, "read blobs/%s", what);
    }
    int rc = 0;
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        if (unlinkat(dir_fd, entry->d_name, 0) < 0)
            rc = err_errno(e, errno, "remove blobs/%s/%s", what, entry->d_name);
    }
    closedir(dir);
    return rc;
}

int blob_trash_empty(int trash_fd, struct err *e)
{
    return clear(trash_fd, "trash", e);
}

static void blobs_close(struct blobs *b)
{
    struct blobs_dir *d = (struct blobs_dir *)b;
    if (!d)
        return;
    int fds[] = {d->root_fd, d->tmp_fd, d->sha256_fd, d->trash_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(d);
}

static const struct blobs_ops OPS = {
    .close = blobs_close,
    .writer_open = writer_open,
    .write = writer_write,
    .size = writer_size,
    .abort = writer_abort,
    .find = find,
    .parts = parts,
    .open = open_blob,
    .set_aside = set_aside,
    .list = list,
    .keep = keep,
    .discard = discard,
    .trash = trash,
};

static int open_read_only(struct blobs_dir *d, int data_fd, struct err *e)
{
    int rc = file_open_dir(data_fd, "blobs", &d->root_fd, e);
    return rc ? rc : file_open_dir(d->root_fd, "sha256", &d->sha256_fd, e);
}

static int open_for_writing(struct blobs_dir *d, int data_fd, struct err *e)
{
    int rc = file_make_dir(data_fd, "blobs", &d->root_fd, e);
    if (!rc)
        rc = file_make_dir(d->root_fd, "sha256", &d->sha256_fd, e);
    if (!rc)
        rc = file_make_dir(d->root_fd, "tmp", &d->tmp_fd, e);
    return rc ? rc : clear(d->tmp_fd, "tmp", e); // what a writer that died left behind
}

int blobs_dir_open(const char *data_dir, bool read_only, struct blobs **ret, struct err *e)
{
    struct blobs_dir *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory to open the blob directory");
    *d = (struct blobs_dir){.base.ops = &OPS, .root_fd = -1, .tmp_fd = -1, .sha256_fd = -1, .trash_fd = -1};
    int data_fd = -1;
    int rc = file_open_dir(AT_FDCWD, data_dir, &data_fd, e);
    if (!rc)
        rc = read_only ? open_read_only(d, data_fd, e) : open_for_writing(d, data_fd, e);
    if (data_fd >= 0)
        close(data_fd);
    if (rc) {
        blobs_close(&d->base);
        return err_wrap(e, "open the blobs of '%s'", data_dir);
    }
    *ret = &d->base;
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// A file is written at an offset that only moves when what was written is durable, so that a write that
// failed is written over by the next try; after a sync that failed another file is begun.
#include "role/monitor/labels.h"

#include "base/buf.h"
#include "base/crc32c.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = 32, READ_ENTRIES = 4096 };

struct labels {
    int dir_fd, lock_fd, fd; // fd: of the newest file, -1 before the first entry
    uint64_t next_seq, offset, flushed_seq;
    struct buf pending;
};

static void name_of(uint64_t first_seq, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%020" PRIu64 ".labels", first_seq);
}

static int is_labels(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n == 27 && strcmp(d->d_name + 20, ".labels") == 0;
}

int labels_open(const char *data_dir, struct labels **ret, struct err *e)
{
    int data_fd = -1, state_fd = -1;
    struct labels *l = calloc(1, sizeof *l);
    *ret = NULL;
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for the log of feedback");
    *l = (struct labels){.dir_fd = -1, .lock_fd = -1, .fd = -1, .next_seq = 1};
    buf_init(&l->pending, LABELS_PENDING_BYTES);
    int rc = file_make_dir_path(data_dir, &data_fd, e);
    if (!rc)
        rc = file_make_dir(data_fd, "state", &state_fd, e);
    if (!rc)
        rc = file_make_dir(state_fd, "feedback", &l->dir_fd, e);
    if (!rc)
        rc = file_lock(l->dir_fd, "lock", &l->lock_fd, e);
    if (state_fd >= 0)
        close(state_fd);
    if (data_fd >= 0)
        close(data_fd);
    if (rc)
        labels_close(l);
    else
        *ret = l;
    return rc;
}

void labels_close(struct labels *l)
{
    if (!l)
        return;
    if (l->fd >= 0)
        close(l->fd);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    if (l->dir_fd >= 0)
        close(l->dir_fd);
    buf_done(&l->pending);
    free(l);
}

int labels_dir(const struct labels *l)
{
    return l->dir_fd;
}

static uint32_t crc_of(const struct labels_entry *x)
{
    return crc32c(0, (const char *)x + sizeof x->crc, sizeof *x - sizeof x->crc);
}

static int replay_file(struct labels *l, const char *name, struct labels_entry *part,
                       void (*visit)(void *, const struct labels_entry *), void *ctx, uint64_t *bad,
                       struct err *e)
{
    int fd = openat(l->dir_fd, name, O_RDONLY | O_CLOEXEC), rc = 0;
    uint64_t at = 0;
    size_t n = 1;
    if (fd < 0)
        return err_errno(e, errno, "opening state/feedback/%s", name);
    while (n && !(rc = file_read_at(fd, part, READ_ENTRIES * sizeof *part, at, &n, e))) {
        for (size_t i = 0; i < n / sizeof *part; i++) {
            bool good = part[i].crc == crc_of(&part[i]) && part[i].seq >= l->next_seq;
            *bad += !good;
            if (!good)
                continue;
            l->next_seq = part[i].seq + 1;
            visit(ctx, &part[i]);
        }
        *bad += n % sizeof *part != 0;
        at += n;
    }
    close(fd);
    return rc;
}

int labels_replay(struct labels *l, void (*visit)(void *ctx, const struct labels_entry *entry), void *ctx,
                  uint64_t *ret_bad, struct err *e)
{
    struct dirent **list;
    struct labels_entry *part = calloc(READ_ENTRIES, sizeof *part);
    char path[64];
    *ret_bad = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", l->dir_fd);
    int n = part ? scandir(path, &list, is_labels, alphasort) : -1, rc = 0;
    if (n < 0) {
        free(part);
        return err_errno(e, part ? errno : ENOMEM, "listing state/feedback");
    }
    for (int i = 0; i < n; i++) {
        uint64_t first = strtoull(list[i]->d_name, NULL, 10);
        if (first > l->next_seq)
            l->next_seq = first;
        if (!rc)
            rc = replay_file(l, list[i]->d_name, part, visit, ctx, ret_bad, e);
        free(list[i]);
    }
    free(list);
    free(part);
    l->flushed_seq = l->next_seq - 1;
    return rc;
}

int labels_append(struct labels *l, struct labels_entry *x, struct err *e)
{
    if (l->pending.n + sizeof *x > LABELS_PENDING_BYTES)
        return err_set(e, ERR_BUSY, "too much feedback waits for the disk");
    x->seq = l->next_seq;
    x->crc = crc_of(x);
    buf_put(&l->pending, x, sizeof *x);
    if (l->pending.failed) {
        l->pending.failed = false;
        return err_set(e, ERR_NOMEM, "no memory for feedback");
    }
    l->next_seq++;
    return 0;
}

// The next try begins another file, named by the first entry that is pending.
static void forget_file(struct labels *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->offset = 0;
}

static int need_file(struct labels *l, struct err *e)
{
    char name[NAME_SIZE];
    if (l->fd >= 0)
        return 0;
    name_of(l->flushed_seq + 1, name);
    l->fd = openat(l->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (l->fd < 0)
        return err_errno(e, errno, "making state/feedback/%s", name);
    int rc = file_sync(l->dir_fd, e);
    if (rc)
        forget_file(l);
    return rc;
}

int labels_flush(struct labels *l, struct err *e)
{
    if (l->pending.n == 0)
        return 0;
    int rc = need_file(l, e);
    if (rc)
        return rc;
    if (lseek(l->fd, (off_t)l->offset, SEEK_SET) < 0)
        return err_errno(e, errno, "seeking in the log of feedback");
    rc = file_write_all(l->fd, l->pending.p, l->pending.n, e);
    if (rc)
        return err_wrap(e, "the log of feedback");
    if (fdatasync(l->fd)) {
        err_errno(e, errno, "syncing the log of feedback");
        forget_file(l);
        return e->code;
    }
    l->offset += l->pending.n;
    l->flushed_seq = l->next_seq - 1;
    buf_clear(&l->pending);
    return 0;
}

void labels_skip_to(struct labels *l, uint64_t seq)
{
    if (l->next_seq <= seq)
        l->next_seq = seq + 1;
    l->flushed_seq = l->next_seq - 1;
}

uint64_t labels_last_seq(const struct labels *l)
{
    return l->flushed_seq;
}

bool labels_is_full(const struct labels *l)
{
    return l->offset >= LABELS_FILE_BYTES;
}

void labels_next_file(struct labels *l)
{
    struct dirent **list;
    char path[64];
    forget_file(l);
    snprintf(path, sizeof path, "/proc/self/fd/%d", l->dir_fd);
    int n = scandir(path, &list, is_labels, alphasort);
    for (int i = 0; i < n; i++) {
        if (i + LABELS_FILES_KEPT <= n)
            unlinkat(l->dir_fd, list[i]->d_name, 0); // one that stays is replayed to no effect
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

void labels_put_scores(struct labels_entry *x, double squares, float confidence)
{
    uint32_t bits;
    memcpy(&bits, &confidence, sizeof bits);
    x->kind = LABELS_SCORED;
    x->label_bits = (uint64_t)x->truth << 32 | bits;
    x->truth = squares;
}

void labels_take_scores(struct labels_entry *x, double *ret_squares, float *ret_confidence)
{
    uint32_t bits = (uint32_t)x->label_bits;
    memcpy(ret_confidence, &bits, sizeof bits);
    *ret_squares = x->truth;
    x->kind = LABELS_JUDGED;
    x->truth = (double)(x->label_bits >> 32);
}

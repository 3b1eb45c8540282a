// SPDX-License-Identifier: Apache-2.0
// A batch is one write and one sync. The file is made with the first batch that goes into it, so that its
// name is the number of a record it holds.
#include "predlog/wal.h"

#include "base/crc32c.h"
#include "os/file.h"
#include "predlog/wal_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = "SLIPWAL1";

// As much may have been written into a file that cannot be opened, whatever its size is said to be.
enum { WAL_UNKNOWN_BYTES = 4 * WAL_FILE_BYTES };

struct known { // a schema, as the record that is written
    uint64_t key;
    char *record;
    size_t bytes;
};

struct wal {
    int dir_fd, fd; // fd -1: the next commit makes a file
    uint64_t next_seq, committed_seq;
    uint64_t file_seq, file_bytes, file_mono_ns; // of fd: its name, its good bytes, its making
    struct buf pending;                          // records of the batch
    uint64_t pending_seq, pending_mono_ns;       // first of them; when it came
    struct known *known;
    size_t n_known, cap_known;
};

void wal_name(uint64_t first_seq, char ret[WAL_NAME_SIZE])
{
    snprintf(ret, WAL_NAME_SIZE, "%020" PRIu64 ".wal", first_seq);
}

bool wal_name_read(const char *name, uint64_t *ret_first_seq)
{
    return strlen(name) == WAL_NAME_SIZE - 1 && strcmp(name + 20, ".wal") == 0 &&
           str_to_u64((struct str){name, 20}, UINT64_MAX - 2, ret_first_seq);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Hands each name in the folder to `visit`.
static int for_each_name(int dir_fd, void (*visit)(void *ctx, const char *name), void *ctx, struct err *e)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return err_errno(e, errno, "read the folder of the write-ahead log");
    for (struct dirent *one; (one = readdir(dir));)
        visit(ctx, one->d_name);
    closedir(dir);
    return 0;
}

static void list_name(void *ctx, const char *name)
{
    uint64_t first;
    if (wal_name_read(name, &first))
        buf_put(ctx, &first, sizeof first);
}

int wal_list(int dir_fd, uint64_t **ret, size_t *ret_n, struct err *e)
{
    struct buf list;
    buf_init(&list, 64 << 20);
    int rc = for_each_name(dir_fd, list_name, &list, e);
    if (!rc && list.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory for a list of files");
    if (rc) {
        buf_done(&list);
        return rc;
    }
    *ret_n = list.n / sizeof **ret;
    *ret = (uint64_t *)(void *)list.p;
    if (*ret_n)
        qsort(*ret, *ret_n, sizeof **ret, by_number);
    return 0;
}

// ---- files that cannot be opened

int wal_open_file(int dir_fd, uint64_t first_seq, int *ret_fd, struct err *e)
{
    char name[WAL_NAME_SIZE];
    struct stat st;
    wal_name(first_seq, name);
    int fd = *ret_fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC); // a pipe is not waited for
    if (fd < 0) {
        bool is_any = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EINTR;
        int rc = err_errno(e, errno, "open '%s'", name);
        return is_any ? rc : 0;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    close(fd);
    *ret_fd = -1;
    err_set(e, ERR_IO, "'%s' is no regular file", name);
    return 0;
}

int wal_set_aside(int dir_fd, uint64_t first_seq, struct err *e)
{
    char name[WAL_NAME_SIZE], aside[WAL_NAME_SIZE + sizeof WAL_ASIDE];
    wal_name(first_seq, name);
    snprintf(aside, sizeof aside, "%s%s", name, WAL_ASIDE);
    if (renameat(dir_fd, name, dir_fd, aside) < 0 && errno != ENOENT)
        return err_errno(e, errno, "set '%s' aside", name);
    return file_sync(dir_fd, e);
}

static void count_aside(void *ctx, const char *name)
{
    char first[WAL_NAME_SIZE];
    uint64_t number;
    snprintf(first, sizeof first, "%.*s", WAL_NAME_SIZE - 1, name);
    *(uint32_t *)ctx += wal_name_read(first, &number) && strcmp(name + WAL_NAME_SIZE - 1, WAL_ASIDE) == 0;
}

int wal_count_aside(int dir_fd, uint32_t *ret, struct err *e)
{
    *ret = 0;
    return for_each_name(dir_fd, count_aside, ret, e);
}

// ---- what an earlier life left

static void note_gap(struct wal_found *f, const struct record_gap *gap)
{
    bool torn = gap->reason == RECORD_GAP_TORN;
    f->n_torn += torn;
    f->n_damaged += !torn;
    f->lost_records += gap->n_records;
    f->lost_bytes += gap->bytes;
}

// *ret_skip: as many numbers may stand in what could not be read at its end.
static int look_at(int fd, uint64_t first, struct wal_found *f, uint64_t *ret_skip, struct err *e)
{
    struct wal_reader *r = NULL;
    struct record record;
    enum wal_item item;
    int rc = wal_read_open(fd, first, WAL_END_UNKNOWN, &r, e);
    while (!rc && !(rc = wal_read_next(r, &item, &record, e)) && item != WAL_END) {
        bool torn = item == WAL_GAP && record.gap.reason == RECORD_GAP_TORN;
        *ret_skip = torn ? 1 : item == WAL_GAP ? 1 + record.gap.bytes / RECORD_HEAD_BYTES : 0;
        if (item == WAL_GAP) {
            note_gap(f, &record.gap);
        } else if (record.head.kind != RECORD_SCHEMA) {
            f->n_records++;
            f->last_seq = record.head.log_seq;
        }
    }
    wal_read_close(r);
    return rc;
}

// Of a file that cannot be opened no more is known than its size, and that may be of something else.
static uint64_t look_from_outside(int dir_fd, uint64_t first, struct wal_found *f)
{
    char name[WAL_NAME_SIZE];
    struct stat st;
    wal_name(first, name);
    bool is_known = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    uint64_t bytes = is_known ? (uint64_t)st.st_size : 0;
    note_gap(f, &(struct record_gap){.reason = RECORD_GAP_DAMAGED, .bytes = bytes});
    return 1 + (bytes > WAL_UNKNOWN_BYTES ? bytes : WAL_UNKNOWN_BYTES) / RECORD_HEAD_BYTES;
}

static int look_at_newest(struct wal *w, uint64_t first, struct wal_found *f, struct err *e)
{
    int fd;
    uint64_t skip = 0;
    int rc = wal_open_file(w->dir_fd, first, &fd, e);
    if (!rc && fd >= 0) {
        rc = look_at(fd, first, f, &skip, e);
        close(fd);
    } else if (!rc) {
        skip = look_from_outside(w->dir_fd, first, f);
    }
    // A number is left out where the end was torn: that is how readers know. Where the disk did not give the
    // end, those that were given there must not come again.
    uint64_t next = (f->last_seq ? f->last_seq + 1 : first) + skip;
    if (next <= first)
        next = first + 1;
    if (next > w->next_seq)
        w->next_seq = next;
    return rc;
}

static int look_around(struct wal *w, struct wal_found *f, struct err *e)
{
    uint64_t *files;
    size_t n;
    int rc = wal_list(w->dir_fd, &files, &n, e);
    if (rc)
        return rc;
    f->n_files = (uint32_t)n;
    if (n)
        rc = look_at_newest(w, files[n - 1], f, e);
    free(files);
    return rc;
}

int wal_open(int dir_fd, uint64_t next_seq, struct wal **ret, struct wal_found *ret_found, struct err *e)
{
    struct wal *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "out of memory");
    *w = (struct wal){.dir_fd = dir_fd, .fd = -1, .next_seq = next_seq ? next_seq : 1};
    buf_init(&w->pending, WAL_PENDING_BYTES + RECORD_BYTES_MAX);
    *ret_found = (struct wal_found){0};
    int rc = look_around(w, ret_found, e);
    if (rc) {
        wal_free(w);
        return rc;
    }
    w->committed_seq = w->next_seq - 1;
    *ret = w;
    return 0;
}

void wal_free(struct wal *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_known; i++)
        free(w->known[i].record);
    free(w->known);
    buf_done(&w->pending);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

// ---- schemas

static struct known *known_find(struct wal *w, uint64_t key)
{
    for (size_t i = 0; i < w->n_known; i++)
        if (w->known[i].key == key)
            return &w->known[i];
    return NULL;
}

int wal_schema_set(struct wal *w, uint64_t key, struct str json, uint64_t wall_ns, struct err *e)
{
    struct record_head head = {.schema = key, .wall_ns = wall_ns, .sample_weight = 1};
    size_t room = RECORD_HEAD_BYTES + json.n + 8;
    if (known_find(w, key))
        return 0;
    if (w->n_known == w->cap_known) {
        size_t cap = w->cap_known ? 2 * w->cap_known : 16;
        struct known *grown = realloc(w->known, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory for the schemas of the log");
        w->known = grown;
        w->cap_known = cap;
    }
    char *record = malloc(room);
    size_t n = record ? record_write_schema(&head, json, record, room) : 0;
    if (n)
        buf_put(&w->pending, record, w->fd >= 0 ? n : 0); // a new file begins with all of them
    if (n == 0 || w->pending.failed) {
        free(record);
        w->pending.failed = false;
        return err_set(e, record ? ERR_TOO_LARGE : ERR_NOMEM, "a schema of %zu bytes does not fit the log",
                       json.n);
    }
    w->known[w->n_known++] = (struct known){key, record, n};
    return 0;
}

void wal_schema_drop(struct wal *w, uint64_t key)
{
    struct known *k = known_find(w, key);
    if (!k)
        return;
    free(k->record);
    *k = w->known[--w->n_known];
}

bool wal_schema_at(const struct wal *w, size_t i, uint64_t *ret_key)
{
    if (i >= w->n_known)
        return false;
    *ret_key = w->known[i].key;
    return true;
}

// ---- batches

static void begin_batch(struct wal *w, uint64_t mono_ns)
{
    if (w->pending_seq)
        return;
    w->pending_seq = w->next_seq;
    w->pending_mono_ns = mono_ns;
}

int wal_room(struct wal *w, size_t max_bytes, void **ret, struct err *e)
{
    if (w->pending.n && w->pending.n + max_bytes > WAL_PENDING_BYTES)
        return err_set(e, ERR_BUSY, "%zu bytes of the log wait for the disk", w->pending.n);
    *ret = buf_reserve(&w->pending, max_bytes);
    if (*ret)
        return 0;
    w->pending.failed = false;
    return err_set(e, ERR_NOMEM, "out of memory for the log");
}

uint64_t wal_take(struct wal *w, size_t bytes, uint64_t mono_ns)
{
    begin_batch(w, mono_ns);
    record_set_log_seq(w->pending.p + w->pending.n, w->next_seq);
    buf_advance(&w->pending, bytes);
    return w->next_seq++;
}

int wal_append(struct wal *w, struct str record, uint64_t mono_ns, uint64_t *ret_seq, struct err *e)
{
    void *to;
    int rc = wal_room(w, record.n, &to, e);
    if (rc)
        return rc;
    memcpy(to, record.p, record.n);
    *ret_seq = wal_take(w, record.n, mono_ns);
    return 0;
}

int wal_append_gap(struct wal *w, const struct record_gap *gap, uint64_t schema, uint64_t wall_ns,
                   uint64_t mono_ns, struct err *e)
{
    char record[RECORD_GAP_BYTES];
    uint64_t seq;
    struct record_head head = {.schema = schema, .wall_ns = wall_ns, .sample_weight = 1};
    size_t n = record_write_gap(&head, gap, record, sizeof record);
    return wal_append(w, (struct str){record, n}, mono_ns, &seq, e);
}

uint64_t wal_due_ns(const struct wal *w)
{
    if (w->pending.n == 0)
        return UINT64_MAX;
    return w->pending.n >= WAL_COMMIT_BYTES ? w->pending_mono_ns
                                            : w->pending_mono_ns + WAL_COMMIT_MS * UINT64_C(1000000);
}

bool wal_is_due(const struct wal *w, uint64_t mono_ns)
{
    return wal_due_ns(w) <= mono_ns;
}

// The head and the schemas, in front of the batch: one write makes them all.
static int make_file(struct wal *w, uint64_t wall_ns, uint64_t mono_ns, struct err *e)
{
    char name[WAL_NAME_SIZE];
    struct buf head;
    uint32_t crc;
    w->file_seq = w->pending_seq ? w->pending_seq : w->next_seq;
    wal_name(w->file_seq, name);
    // One of this name holds nothing that was ever committed: a batch whose sync failed.
    if (unlinkat(w->dir_fd, name, 0) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove '%s'", name);
    int rc = 0, fd = openat(w->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(e, errno, "make '%s'", name);
    buf_init(&head, UINT32_MAX);
    buf_put(&head, MAGIC, sizeof MAGIC);
    buf_put(&head, &w->file_seq, sizeof w->file_seq);
    buf_put(&head, &wall_ns, sizeof wall_ns);
    crc = crc32c(0, head.p, head.n);
    buf_put(&head, &crc, sizeof crc);
    buf_put(&head, "\0\0\0", 4);
    for (size_t i = 0; i < w->n_known; i++)
        buf_put(&head, w->known[i].record, w->known[i].bytes);
    if (head.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory for the head of '%s'", name);
    if (!rc)
        rc = file_write_all(fd, head.p, head.n, e);
    if (!rc)
        rc = file_sync(w->dir_fd, e);
    w->file_bytes = head.n;
    w->file_mono_ns = mono_ns;
    buf_done(&head);
    if (rc) {
        close(fd);
        unlinkat(w->dir_fd, name, 0);
        return err_wrap(e, "'%s'", name);
    }
    w->fd = fd;
    return 0;
}

static void close_file(struct wal *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static int sync_data(int fd, struct err *e)
{
    int rc;
    do
        rc = fdatasync(fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? err_errno(e, errno, "fdatasync") : 0;
}

int wal_commit(struct wal *w, uint64_t wall_ns, uint64_t mono_ns, struct err *e)
{
    int rc = 0;
    if (w->pending.n == 0)
        return 0;
    if (w->fd < 0)
        rc = make_file(w, wall_ns, mono_ns, e);
    if (rc)
        return rc;
    rc = file_write_all(w->fd, w->pending.p, w->pending.n, e);
    if (rc) {
        // A part of it may stand there: the next try begins where this one did.
        if (ftruncate(w->fd, (off_t)w->file_bytes) < 0)
            close_file(w);
        return err_wrap(e, "write-ahead log");
    }
    rc = sync_data(w->fd, e);
    if (rc) {
        (void)!ftruncate(w->fd, (off_t)w->file_bytes);
        close_file(w);
        return err_wrap(e, "write-ahead log");
    }
    w->file_bytes += w->pending.n;
    w->committed_seq = w->next_seq - 1;
    w->pending_seq = 0;
    buf_clear(&w->pending);
    return 0;
}

uint64_t wal_drop_pending(struct wal *w)
{
    uint64_t n = w->pending_seq ? w->next_seq - w->pending_seq : 0;
    // Their numbers are given again: a file that may hold them is closed, and the next one says where they
    // end.
    close_file(w);
    w->next_seq -= n;
    w->pending_seq = 0;
    buf_clear(&w->pending);
    return n;
}

uint64_t wal_rotate(struct wal *w, bool now, uint64_t mono_ns)
{
    bool old = mono_ns - w->file_mono_ns >= WAL_FILE_SECONDS * UINT64_C(1000000000);
    if (w->fd >= 0 && (now || old || w->file_bytes >= WAL_FILE_BYTES))
        close_file(w);
    return w->fd >= 0 ? w->file_seq : w->pending_seq ? w->pending_seq : w->next_seq;
}

uint64_t wal_next_seq(const struct wal *w)
{
    return w->next_seq;
}

uint64_t wal_committed_seq(const struct wal *w)
{
    return w->committed_seq;
}

size_t wal_pending_bytes(const struct wal *w)
{
    return w->pending.n;
}

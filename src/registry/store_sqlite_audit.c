// SPDX-License-Identifier: Apache-2.0
// The audit table on SQLite: each row's hash covers the row before it. The last row's number and hash stand
// in audit_head, too, and after each commit in the file audit.head: who takes rows away at the end must know
// of both. Checking is audit_verify.c.
#include "registry/audit_chain.h"
#include "registry/store_sqlite.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// "<number> <hash> <CRC-32C of what stands before it, 8 hexadecimal digits>\n"; once without the last part,
// whose file may still have the end of a longer one behind it.
enum {
    HEAD_SAYS_BYTES = 20 + 1 + REGISTRY_DIGEST_HEX - 1,
    HEAD_OLD_BYTES = HEAD_SAYS_BYTES + 1,
    HEAD_FILE_BYTES = HEAD_SAYS_BYTES + 1 + 8 + 1,
};

static struct str text_at(sqlite3_stmt *st, int at)
{
    const char *p = (const char *)sqlite3_column_text(st, at);
    return (struct str){p ? p : "", p ? (size_t)sqlite3_column_bytes(st, at) : 0};
}

struct registry_audit store_audit_row(sqlite3_stmt *st)
{
    struct registry_audit row = {.id = (uint64_t)sqlite3_column_int64(st, 0),
                                 .wall_ns = (uint64_t)sqlite3_column_int64(st, 1),
                                 .actor = text_at(st, 2),
                                 .request_id = text_at(st, 3),
                                 .action = text_at(st, 4),
                                 .model = text_at(st, 5),
                                 .version = (uint32_t)sqlite3_column_int64(st, 6),
                                 .before = text_at(st, 7),
                                 .after = text_at(st, 8),
                                 .reason = text_at(st, 9)};
    const void *hash = sqlite3_column_blob(st, 10);
    if (hash && sqlite3_column_bytes(st, 10) == (int)sizeof row.hash.bytes)
        memcpy(row.hash.bytes, hash, sizeof row.hash.bytes);
    return row;
}

static int hash_set(sqlite3_stmt *update, const struct registry_audit *row)
{
    sqlite3_bind_blob(update, 1, row->hash.bytes, sizeof row->hash.bytes, SQLITE_STATIC);
    sqlite3_bind_int64(update, 2, (int64_t)row->id);
    int rc = sqlite3_step(update);
    sqlite3_reset(update);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// For the migration: no statement of the store is prepared yet.
int store_audit_chain(sqlite3 *db, struct err *e)
{
    struct registry_audit row = {0};
    sqlite3_stmt *rows = NULL, *update = NULL, *head = NULL;
    int code = 0;
    int rc = sqlite3_prepare_v2(db, STORE_AUDIT_ALL, -1, &rows, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "UPDATE audit SET hash = ? WHERE id = ?", -1, &update, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "INSERT INTO audit_head (only, id, hash) VALUES (1, ?2, ?1)", -1, &head,
                                NULL);
    struct registry_digest before = {{0}};
    while (rc == SQLITE_OK && !code && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        row = store_audit_row(rows);
        code = audit_hash(&before, &row, &row.hash, e);
        rc = code ? SQLITE_OK : hash_set(update, &row);
        before = row.hash;
    }
    if (rc == SQLITE_DONE)
        rc = hash_set(head, &row);
    if (!code && rc != SQLITE_OK)
        code = store_error_from(rc, sqlite3_errmsg(db), e);
    sqlite3_finalize(rows);
    sqlite3_finalize(update);
    sqlite3_finalize(head);
    return code;
}

int store_audit_head(struct registry *r, struct registry_audit *ret, struct err *e)
{
    struct store *s = (struct store *)r;
    *ret = (struct registry_audit){0};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_HEAD, &st, e);
    if (!rc)
        rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    const void *hash = rc == 1 ? sqlite3_column_blob(st, 1) : NULL;
    if (!hash || sqlite3_column_bytes(st, 1) != (int)sizeof ret->hash.bytes) {
        sqlite3_reset(st);
        return err_set(e, ERR_IO, "registry.db has no head of its audit");
    }
    ret->id = (uint64_t)sqlite3_column_int64(st, 0);
    memcpy(ret->hash.bytes, hash, sizeof ret->hash.bytes);
    sqlite3_reset(st);
    return 0;
}

static int head_set(struct store *s, const struct registry_audit *row, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_HEAD_SET, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)row->id);
    sqlite3_bind_blob(st, 2, row->hash.bytes, sizeof row->hash.bytes, SQLITE_STATIC);
    return store_run(s, st, e);
}

static int row_add(struct store *s, const struct registry_audit *row, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_ADD, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)row->id);
    sqlite3_bind_int64(st, 2, (int64_t)row->wall_ns);
    store_bind_str(st, 3, row->actor);
    store_bind_str(st, 4, row->request_id);
    store_bind_str(st, 5, row->action);
    store_bind_str(st, 6, row->model);
    sqlite3_bind_int64(st, 7, row->version);
    store_bind_str(st, 8, row->before);
    store_bind_str(st, 9, row->after);
    store_bind_str(st, 10, row->reason);
    sqlite3_bind_blob(st, 11, row->hash.bytes, sizeof row->hash.bytes, SQLITE_STATIC);
    return store_run(s, st, e);
}

int store_audit(struct store *s, const struct registry_cause *cause, const char *action, struct str model,
                uint32_t version, struct str before, struct str after, struct err *e)
{
    struct registry_audit head, row = {.wall_ns = cause->wall_ns,
                                       .actor = cause->actor,
                                       .request_id = cause->request_id,
                                       .action = str_of(action),
                                       .model = model,
                                       .version = version,
                                       .before = before,
                                       .after = after,
                                       .reason = cause->reason};
    ASSERT(s->audit_id == 0); // one row for each transaction
    int rc = store_audit_head(&s->base, &head, e);
    row.id = rc ? 0 : head.id + 1;
    if (!rc)
        rc = audit_hash(&head.hash, &row, &row.hash, e);
    if (!rc)
        rc = row_add(s, &row, e);
    if (!rc)
        rc = head_set(s, &row, e);
    if (!rc)
        s->audit_id = (int64_t)row.id;
    if (!rc)
        s->audit_hash = row.hash;
    if (!rc && cause->once)
        rc = store_once_add(s, cause->once, cause->wall_ns, e);
    return rc;
}

static int row_copy(sqlite3_stmt *st, struct arena *a, struct registry_audit *ret, struct err *e)
{
    *ret = store_audit_row(st);
    struct str *texts[] = {&ret->actor,  &ret->request_id, &ret->action, &ret->model,
                           &ret->before, &ret->after,      &ret->reason};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *copy = arena_alloc(a, texts[i]->n + 1);
        if (!copy)
            return store_no_memory(e);
        memcpy(copy, texts[i]->p, texts[i]->n);
        copy[texts[i]->n] = '\0';
        texts[i]->p = copy;
    }
    return 0;
}

void store_audit_bind(sqlite3_stmt *st, const struct registry_history_query *which)
{
    store_bind_str(st, 1, which->model);
    sqlite3_bind_int64(st, 2, store_before(which->before));
    sqlite3_bind_int64(st, 3, which->limit ? (int64_t)which->limit : -1);
}

int store_audit_take(struct store_list *l, sqlite3_stmt *st, struct arena *a, struct err *e)
{
    struct registry_audit *row = store_list_add(l, a);
    return row ? row_copy(st, a, row, e) : store_no_memory(e);
}

int store_audit_list(struct registry *r, const struct registry_history_query *which, struct arena *a,
                     struct registry_audit **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, which->model.n ? ST_AUDIT_OF : ST_AUDIT, &st, e);
    if (rc)
        return rc;
    store_audit_bind(st, which);
    while ((rc = store_step(s, st, e)) == 1) {
        rc = store_audit_take(&l, st, a, e);
        if (rc) {
            sqlite3_reset(st);
            return rc;
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

static bool head_parse(struct str says, struct registry_audit *ret)
{
    struct str number = str_split(&says, ' ');
    char digest[REGISTRY_DIGEST_TEXT];
    snprintf(digest, sizeof digest, "sha256:" STR_FMT, STR_ARG(says));
    return number.n == 20 && str_to_u64(number, INT64_MAX, &ret->id) &&
           registry_digest_parse(str_of(digest), &ret->hash);
}

static void head_sum(const char *says, char ret[10])
{
    snprintf(ret, 10, "%08x\n", (unsigned)crc32c(0, says, HEAD_SAYS_BYTES));
}

// A power cut may take the first write of the file, and leave its size with anything in it. That accuses
// nobody, and is no damage: damage leaves most of the number's digits.
static bool was_written(const char *text)
{
    int n_digits = 0;
    for (int i = 0; i < 20; i++)
        n_digits += text[i] >= '0' && text[i] <= '9';
    return n_digits >= 10;
}

static enum store_head head_read_once(int dir_fd, struct registry_audit *ret)
{
    char text[HEAD_FILE_BYTES + 2] = "", sum[10];
    *ret = (struct registry_audit){0};
    int fd = openat(dir_fd, STORE_HEAD_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? STORE_HEAD_NONE : STORE_HEAD_DAMAGED;
    ssize_t n = pread(fd, text, HEAD_FILE_BYTES + 1, 0);
    close(fd);
    if (n >= 0 && (n < HEAD_OLD_BYTES || !was_written(text)))
        return STORE_HEAD_NONE;
    head_sum(text, sum);
    bool is_old = n >= HEAD_OLD_BYTES && text[HEAD_SAYS_BYTES] == '\n';
    bool is_whole = n == HEAD_FILE_BYTES && text[HEAD_SAYS_BYTES] == ' ' &&
                    memcmp(text + HEAD_SAYS_BYTES + 1, sum, 9) == 0;
    if ((is_old || is_whole) && head_parse((struct str){text, HEAD_SAYS_BYTES}, ret))
        return STORE_HEAD_READ;
    *ret = (struct registry_audit){0};
    return STORE_HEAD_DAMAGED;
}

enum store_head store_head_file_read(int dir_fd, struct registry_audit *ret)
{
    enum { TRIES = 3 }; // a server may be writing it
    enum store_head is = STORE_HEAD_DAMAGED;
    for (int i = 0; i < TRIES && is == STORE_HEAD_DAMAGED; i++)
        is = head_read_once(dir_fd, ret);
    return is;
}

// Whether the database has the row that the file names.
static bool head_agrees(struct store *s, const struct registry_audit *file, const struct registry_audit *head)
{
    const struct registry_history_query which = {.before = file->id + 1, .limit = 1};
    struct registry_audit *rows;
    struct arena a;
    struct err ignored;
    size_t n;
    if (file->id == 0 || file->id > head->id || arena_init(&a, 1 << 20, &ignored))
        return file->id == 0;
    bool agrees = !store_audit_list(&s->base, &which, &a, &rows, &n, &ignored) && n == 1 &&
                  rows[0].id == file->id && registry_digest_eq(&rows[0].hash, &file->hash);
    arena_done(&a);
    return agrees;
}

void store_head_file_open(struct store *s)
{
    struct registry_audit file, head;
    struct err ignored;
    if (store_audit_head(&s->base, &head, &ignored))
        return;
    enum store_head is = store_head_file_read(s->dir_fd, &file);
    if (is == STORE_HEAD_DAMAGED || (is == STORE_HEAD_READ && !head_agrees(s, &file, &head)))
        return; // it stays as it is: the only trace of what is missing
    s->head_fd = openat(s->dir_fd, STORE_HEAD_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    s->audit_id = (int64_t)head.id;
    s->audit_hash = head.hash;
    store_head_file_write(s);
}

void store_head_file_write(struct store *s)
{
    char text[HEAD_FILE_BYTES + 1], hex[REGISTRY_DIGEST_HEX], sum[10];
    registry_digest_hex(&s->audit_hash, hex);
    snprintf(text, sizeof text, "%020llu %s ", (unsigned long long)s->audit_id, hex);
    head_sum(text, sum);
    memcpy(text + HEAD_SAYS_BYTES + 1, sum, sizeof sum);
    // One write of less than a sector, not synced: at worst the file is behind, never ahead of what is
    // durable.
    if (s->head_fd >= 0 && pwrite(s->head_fd, text, HEAD_FILE_BYTES, 0) != HEAD_FILE_BYTES) {
        close(s->head_fd);
        s->head_fd = -1; // half a number would accuse somebody
        unlinkat(s->dir_fd, STORE_HEAD_FILE, 0);
    }
}

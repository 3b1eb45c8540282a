// SPDX-License-Identifier: Apache-2.0
// Backup and restore. The order makes an interrupted backup harmless: blobs first, then the database that
// names them, by one rename, then away with blobs that only the old one named. A shared lock keeps garbage
// collection from removing what the snapshot names.
#include "registry/backup.h"

#include "base/clock.h"
#include "os/file.h"
#include "registry/check.h"
#include "registry/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, CHUNK_BYTES = 1 << 20, BUSY_TIMEOUT_MS = 10000, N_SHARDS = 256 };
enum { LIST_ARENA_BYTES = 1 << 30 };

#define MARK     "slipway-backup.json" // says that a folder is a backup
#define LOCK     "lock"                // who makes one holds it
#define NEW_DB   "registry.db.new"
#define DATABASE "registry.db"

struct copy {
    const struct registry_copy_spec *spec;
    struct registry_copy_sum *sum;
    const char *to; // where it is made: spec->to, or a folder beside it
    int to_fd;
    struct blobs *from_blobs, *to_blobs;
    sqlite3 *db; // the snapshot
    uint64_t done_bytes;
};

static int sql_error(sqlite3 *db, int rc, const char *what, struct err *e)
{
    int primary = rc & 0xff, code = primary == SQLITE_FULL    ? ERR_NO_SPACE
                                    : primary == SQLITE_NOMEM ? ERR_NOMEM
                                                              : ERR_IO;
    return err_set(e, code, "%s: %s", what, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

static int path_of(char ret[PATH_SIZE], const char *dir, const char *name, struct err *e)
{
    int n = snprintf(ret, PATH_SIZE, "%s/%s", dir, name);
    return n > 0 && n < PATH_SIZE ? 0 : err_set(e, ERR_INVALID, "'%.80s…' is too long for a path", dir);
}

// ---- the snapshot ----

static int copy_pages(sqlite3 *from, sqlite3 *to, struct err *e)
{
    // All pages in one step are one state: the read lock is held from the first to the last.
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    int rc = b ? sqlite3_backup_step(b, -1) : sqlite3_errcode(to);
    int done = b ? sqlite3_backup_finish(b) : rc;
    if (rc == SQLITE_DONE && done == SQLITE_OK)
        return 0;
    return err_set(e, (rc & 0xff) == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO, "copy the registry: %s",
                   sqlite3_errstr(rc));
}

static int check_snapshot(sqlite3 *db, struct err *e)
{
    // The journal of a file that is never written to is none: one file is the whole of it.
    int rc = sqlite3_exec(db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    sqlite3_stmt *st = NULL;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    int code = rc == SQLITE_ROW ? 0 : sql_error(db, rc, "check the copy of the registry", e);
    if (!code && (!said || strcmp(said, "ok") != 0)) {
        code = err_set(e, ERR_DIGEST, "registry.db is damaged: %.200s", said ? said : "");
        err_hint(e, "Say 'slipway fsck' to see all; restore an earlier backup.");
    }
    sqlite3_finalize(st);
    return code;
}

static int64_t integer(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t v = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static void measure(struct copy *c)
{
    struct registry_copy_sum *s = c->sum;
    s->schema = (int)integer(c->db, "PRAGMA user_version");
    s->n_models = (uint64_t)integer(c->db, "SELECT count(DISTINCT model_id) FROM versions");
    s->n_versions = (uint64_t)integer(c->db, "SELECT count(*) FROM versions");
    s->n_blobs = (uint64_t)integer(c->db, "SELECT count(DISTINCT digest) FROM artifacts");
    s->n_bytes = (uint64_t)integer(c->db, "SELECT coalesce(sum(size), 0) FROM"
                                          " (SELECT max(size) AS size FROM artifacts GROUP BY digest)");
}

// Into NEW_DB, which is then open as c->db.
static int snapshot(struct copy *c, struct err *e)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    struct stat st;
    sqlite3 *db = NULL;
    int rc = path_of(from, c->spec->from, DATABASE, e);
    if (!rc)
        rc = path_of(to, c->to, NEW_DB, e);
    if (!rc && stat(from, &st) < 0)
        rc = err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "there is no registry in '%s'",
                     c->spec->from);
    if (rc)
        return rc;
    unlinkat(c->to_fd, NEW_DB, 0);
    int sql = sqlite3_open_v2(from, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (sql != SQLITE_OK)
        rc = sql_error(db, sql, "open the registry", e);
    if (!rc) {
        sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
        sql = sqlite3_open_v2(to, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                              NULL);
        if (sql != SQLITE_OK)
            rc = sql_error(c->db, sql, "make the copy of the registry", e);
    }
    if (!rc)
        rc = copy_pages(db, c->db, e);
    sqlite3_close_v2(db);
    if (!rc)
        rc = check_snapshot(c->db, e);
    if (!rc)
        measure(c);
    return rc;
}

// ---- the blobs ----

static void progress(struct copy *c, uint64_t bytes)
{
    c->done_bytes += bytes;
    if (c->spec->on_progress)
        c->spec->on_progress(c->spec->ctx, c->done_bytes, c->sum->n_bytes);
}

static int pump(struct copy *c, int fd, struct blob_writer *w, struct err *e)
{
    char *chunk = malloc(CHUNK_BYTES);
    if (!chunk)
        return err_set(e, ERR_NOMEM, "no memory to copy files");
    int rc = 0;
    size_t n = 1;
    for (uint64_t at = 0; !rc && n; at += n) {
        rc = file_read_at(fd, chunk, CHUNK_BYTES, at, &n, e);
        if (!rc && n)
            rc = c->to_blobs->ops->write(w, chunk, n, e);
        progress(c, rc ? 0 : n);
    }
    free(chunk);
    return rc;
}

// ERR_NOT_FOUND, ERR_DIGEST: the source has no such blob, or not any more.
static int copy_blob(struct copy *c, const struct registry_digest *d, uint64_t size, struct err *e)
{
    struct blob_writer *w = NULL;
    struct blob_parts parts;
    uint64_t is;
    int fd = -1;
    bool stored;
    int rc = c->from_blobs ? c->from_blobs->ops->open(c->from_blobs, d, &fd, e)
                           : err_set(e, ERR_NOT_FOUND, "there are no blobs");
    if (!rc)
        rc = file_size(fd, &is, e);
    if (!rc && is != size)
        rc = err_set(e, ERR_DIGEST, "it has %llu bytes instead of %llu", (unsigned long long)is,
                     (unsigned long long)size);
    if (!rc)
        rc = c->to_blobs->ops->writer_open(c->to_blobs, size, &w, e);
    if (!rc)
        rc = pump(c, fd, w, e);
    if (!rc) {
        c->to_blobs->ops->parts(c->to_blobs, w, &parts);
        rc = blob_store(&parts, d, &stored, e); // hashes what lies on the target
    }
    c->to_blobs->ops->abort(w);
    if (fd >= 0)
        close(fd);
    return rc;
}

// Whether the target has the blob, as far as it is looked at.
static bool has_blob(struct copy *c, const struct registry_digest *d, uint64_t size)
{
    uint64_t is;
    int fd;
    struct err ignored;
    if (c->to_blobs->ops->find(c->to_blobs, d, &is, &ignored))
        return false;
    if (is == size && !c->spec->verify)
        return true;
    if (c->to_blobs->ops->open(c->to_blobs, d, &fd, &ignored))
        return false;
    struct registry_digest found;
    bool whole = registry_digest_file(fd, &found, &ignored) == 0 && registry_digest_eq(&found, d);
    if (!whole)
        (void)!c->to_blobs->ops->set_aside(c->to_blobs, d, fd, &ignored);
    close(fd);
    return whole;
}

static void report(struct copy *c, const struct registry_digest *d, const char *needs, const struct err *why)
{
    char text[REGISTRY_DIGEST_TEXT];
    struct registry_finding f = {.is_error = true,
                                 .code = why->code == ERR_NOT_FOUND ? "blob_missing" : "blob_damaged"};
    registry_digest_text(d, text);
    snprintf(f.what, sizeof f.what, "%s: %s, which %.300s needs", text,
             why->code == ERR_NOT_FOUND ? "missing" : "damaged", needs);
    snprintf(f.remedy, sizeof f.remedy, "push the file again, or copy it from an earlier backup");
    c->sum->n_missing++;
    if (c->spec->on_finding)
        c->spec->on_finding(c->spec->ctx, &f);
}

static int one_blob(struct copy *c, sqlite3_stmt *st, struct err *e)
{
    struct registry_digest d;
    char text[REGISTRY_DIGEST_TEXT];
    const char *hex = (const char *)sqlite3_column_text(st, 0),
               *needs = (const char *)sqlite3_column_text(st, 2);
    uint64_t size = (uint64_t)sqlite3_column_int64(st, 1), before = c->done_bytes;
    snprintf(text, sizeof text, "sha256:%.64s", hex ? hex : "");
    if (!registry_digest_parse(str_of(text), &d))
        return err_set(e, ERR_DIGEST, "registry.db has a digest that is none");
    int rc = 0;
    if (!has_blob(c, &d, size)) {
        rc = copy_blob(c, &d, size, e);
        if (rc == ERR_NOT_FOUND || rc == ERR_DIGEST) {
            report(c, &d, needs ? needs : "a version", e);
            rc = 0;
        } else if (!rc) {
            c->sum->n_copied++;
            c->sum->copied_bytes += size;
        }
    }
    progress(c, size - (c->done_bytes - before));
    return rc;
}

static int copy_blobs(struct copy *c, struct err *e)
{
    static const char *const SQL =
        "SELECT a.digest, max(a.size), m.name || ' version ' || v.number || ' (' || a.name || ')'"
        " FROM artifacts a JOIN versions v ON v.id = a.version_id JOIN models m ON m.id = v.model_id"
        " GROUP BY a.digest ORDER BY a.digest";
    sqlite3_stmt *st = NULL;
    struct err ignored;
    if (blobs_dir_open(c->spec->from, true, &c->from_blobs, &ignored))
        c->from_blobs = NULL; // nothing was ever stored
    int rc = blobs_dir_open(c->to, false, &c->to_blobs, e);
    int sql = sqlite3_prepare_v2(c->db, SQL, -1, &st, NULL);
    while (!rc && (sql == SQLITE_OK || sql == SQLITE_ROW)) {
        sql = sqlite3_step(st);
        if (sql != SQLITE_ROW)
            break;
        rc = one_blob(c, st, e);
    }
    if (!rc && sql != SQLITE_DONE)
        rc = sql_error(c->db, sql, "read the copy of the registry", e);
    sqlite3_finalize(st);
    return rc;
}

// Of an earlier backup: what the new one does not name.
static int remove_others(struct copy *c, struct err *e)
{
    struct arena a = {0};
    sqlite3_stmt *st = NULL;
    int sql = sqlite3_prepare_v2(c->db, "SELECT 1 FROM artifacts WHERE digest = ?", -1, &st, NULL);
    int rc =
        sql == SQLITE_OK ? arena_init(&a, LIST_ARENA_BYTES, e) : sql_error(c->db, sql, "read the copy", e);
    for (unsigned shard = 0; !rc && shard < N_SHARDS; shard++) {
        struct blob_entry *list;
        size_t n;
        rc = c->to_blobs->ops->list(c->to_blobs, (uint8_t)shard, &a, &list, &n, e);
        for (size_t i = 0; !rc && i < n; i++) {
            char hex[REGISTRY_DIGEST_HEX];
            registry_digest_hex(&list[i].digest, hex);
            sqlite3_bind_text(st, 1, hex, -1, SQLITE_STATIC);
            bool unneeded = sqlite3_step(st) == SQLITE_DONE; // in doubt it stays
            sqlite3_reset(st);
            if (unneeded)
                rc = c->to_blobs->ops->discard(c->to_blobs, &list[i].digest, UINT64_MAX, e);
            c->sum->n_removed += unneeded;
        }
        arena_reset(&a, 0);
    }
    int trash = c->to_blobs->ops->trash(c->to_blobs);
    if (!rc && trash >= 0)
        rc = blob_trash_empty(trash, e);
    sqlite3_finalize(st);
    arena_done(&a);
    return rc;
}

// ---- into place ----

// Writes a whole file and makes it durable under its name, in place of an earlier one.
static int put_file(int dir_fd, const char *name, struct str text, struct err *e)
{
    static const char NEW[] = "slipway-backup.new";
    int fd = openat(dir_fd, NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(e, errno, "make '%s'", name);
    int rc = file_write_all(fd, text.p, text.n, e);
    if (!rc)
        rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_publish(dir_fd, NEW, dir_fd, name, e);
}

static int put_mark(struct copy *c, struct err *e)
{
    char text[512], at[CLOCK_RFC3339_SIZE];
    clock_rfc3339(clock_wall_ns(), at);
    int n = snprintf(text, sizeof text,
                     "{\"format\":1,\"made\":\"%s\",\"schema\":%d,\"versions\":%llu,\"blobs\":%llu,"
                     "\"bytes\":%llu,\"missing\":%llu}\n",
                     at, c->sum->schema, (unsigned long long)c->sum->n_versions,
                     (unsigned long long)c->sum->n_blobs, (unsigned long long)c->sum->n_bytes,
                     (unsigned long long)c->sum->n_missing);
    return put_file(c->to_fd, MARK, (struct str){text, (size_t)n}, e);
}

// From here on the copy is what the snapshot says. Closed first: SQLite must not hold the file.
static int publish_database(struct copy *c, struct err *e)
{
    int fd = openat(c->to_fd, NEW_DB, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open the copy of the registry");
    int rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_publish(c->to_fd, NEW_DB, c->to_fd, DATABASE, e);
}

static void copy_done(struct copy *c)
{
    if (c->from_blobs)
        c->from_blobs->ops->close(c->from_blobs);
    if (c->to_blobs)
        c->to_blobs->ops->close(c->to_blobs);
    sqlite3_close_v2(c->db);
    if (c->to_fd >= 0) {
        unlinkat(c->to_fd, NEW_DB, 0);
        close(c->to_fd);
    }
}

// 0, or ERR_CONFLICT: the folder has entries other than `but`. One that is not there is empty.
static int check_empty(const char *path, const char *but, struct err *e)
{
    DIR *dir = opendir(path);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return err_errno(e, errno, "read '%s'", path);
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(dir));)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                          strcmp(entry->d_name, but) == 0);
    closedir(dir);
    return empty ? 0 : err_set(e, ERR_CONFLICT, "'%s' is not empty", path);
}

static bool has(const struct copy *c, const char *name)
{
    return faccessat(c->to_fd, name, F_OK, 0) == 0;
}

// Marks a folder that is no backup yet.
static int begin_backup(struct copy *c, struct err *e)
{
    int rc = check_empty(c->to, LOCK, e);
    err_hint(e, "Give a new folder, or that of an earlier backup.");
    return rc ? rc : put_mark(c, e);
}

// New, empty or a backup; and nobody else's at the moment. Where others' files are no lock is made.
static int open_target(struct copy *c, int *ret_lock, struct err *e)
{
    int rc = file_make_dir_path(c->to, &c->to_fd, e);
    if (rc)
        return rc;
    if (!has(c, MARK) && !has(c, LOCK)) {
        rc = check_empty(c->to, LOCK, e);
        err_hint(e, "Give a new folder, or that of an earlier backup.");
    } else if (has(c, MARK) && has(c, "run")) {
        rc = err_set(e, ERR_CONFLICT, "'%s' was a backup, but a server was started on it", c->to);
        err_hint(e, "Give a new folder; restore backups with slipway restore.");
    }
    if (!rc)
        rc = file_lock(c->to_fd, LOCK, ret_lock, e);
    if (!rc && !has(c, MARK))
        rc = begin_backup(c, e);
    return rc == ERR_CONFLICT ? err_wrap(e, "back up to '%s'", c->to) : rc;
}

// Garbage collection waits while this is held. Where no server ever ran there is none.
static int hold_blobs(const char *data_dir, int *ret_fd, struct err *e)
{
    int dir_fd = -1, run_fd = -1;
    int rc = file_open_dir(AT_FDCWD, data_dir, &dir_fd, e);
    if (rc)
        return rc;
    rc = file_open_dir(dir_fd, "run", &run_fd, e);
    close(dir_fd);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    rc = file_lock_shared(run_fd, REGISTRY_BLOBS_LOCK, ret_fd, e);
    close(run_fd);
    return rc;
}

int registry_backup(const struct registry_copy_spec *s, struct registry_copy_sum *ret, struct err *e)
{
    *ret = (struct registry_copy_sum){0};
    struct copy c = {.spec = s, .sum = ret, .to = s->to, .to_fd = -1};
    int lock_fd = -1, held_fd = -1;
    int rc = hold_blobs(s->from, &held_fd, e);
    if (!rc)
        rc = open_target(&c, &lock_fd, e);
    if (!rc)
        rc = snapshot(&c, e);
    if (!rc)
        rc = copy_blobs(&c, e);
    if (!rc)
        rc = publish_database(&c, e);
    if (!rc)
        rc = remove_others(&c, e);
    if (!rc)
        rc = put_mark(&c, e);
    copy_done(&c);
    if (lock_fd >= 0)
        close(lock_fd);
    if (held_fd >= 0)
        close(held_fd);
    return rc;
}

// ---- restore ----

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)st, (void)what, (void)at;
    (void)!remove(path); // what stays is seen by name, beside the target
    return 0;
}

// A new folder beside `to`, on the same file system.
static int make_beside(const char *to, char ret[PATH_SIZE], int *ret_fd, struct err *e)
{
    size_t n = strlen(to);
    while (n > 1 && to[n - 1] == '/')
        n--;
    int length = snprintf(ret, PATH_SIZE, "%.*s.restoring-XXXXXX", (int)n, to);
    if (n == 0 || n >= PATH_SIZE / 2 || length >= PATH_SIZE)
        return err_set(e, ERR_INVALID, "'%.60s' cannot be a directory's path", to);
    if (!mkdtemp(ret))
        return err_errno(e, errno, "make a folder beside '%s'", to);
    int rc = chmod(ret, 0750) < 0 ? err_errno(e, errno, "chmod '%s'", ret) : 0;
    if (!rc)
        rc = file_open_dir(AT_FDCWD, ret, ret_fd, e);
    if (rc)
        rmdir(ret);
    return rc;
}

static int refuse_damaged(struct copy *c, struct err *e)
{
    if (c->sum->n_missing == 0 || c->spec->partial)
        return 0;
    err_set(e, ERR_DIGEST, "the backup lacks %llu of its %llu files; nothing was restored",
            (unsigned long long)c->sum->n_missing, (unsigned long long)c->sum->n_blobs);
    err_hint(e, "Take another backup, or --partial: versions without their files do not serve then.");
    return ERR_DIGEST;
}

static void pass_on(void *ctx, const struct registry_finding *f)
{
    const struct copy *c = ctx;
    if (f->is_error && c->spec->on_finding)
        c->spec->on_finding(c->spec->ctx, f);
}

// What the database says must hold together, too.
static int check_rules(struct copy *c, struct err *e)
{
    struct registry_check_sum sum;
    int rc = registry_check(
        &(struct registry_check_spec){.dir = c->to, .skip_blobs = true, .on_finding = pass_on, .ctx = c},
        &sum, e);
    if (rc || sum.n_errors == 0 || c->spec->partial)
        return rc;
    return err_set(e, ERR_DIGEST, "the registry of the backup is not sound; nothing was restored");
}

// The empty folder that may be there is replaced.
static int move_into_place(const struct copy *c, struct err *e)
{
    char parent[PATH_SIZE];
    int parent_fd = -1;
    if (rename(c->to, c->spec->to) < 0) {
        int why = errno;
        err_errno(e, why, "move the restored registry to '%s'", c->spec->to);
        err_hint(e, "Where '%.80s' is a mount point, give a folder below it.", c->spec->to);
        return e->code;
    }
    snprintf(parent, sizeof parent, "%s", c->to);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int rc = file_open_dir(AT_FDCWD, slash ? parent : ".", &parent_fd, e);
    if (!rc)
        rc = file_sync(parent_fd, e);
    if (parent_fd >= 0)
        close(parent_fd);
    return rc;
}

int registry_restore(const struct registry_copy_spec *s, struct registry_copy_sum *ret, struct err *e)
{
    char beside[PATH_SIZE] = "";
    *ret = (struct registry_copy_sum){0};
    struct copy c = {.spec = s, .sum = ret, .to = beside, .to_fd = -1};
    int rc = check_empty(s->to, "", e);
    if (rc) {
        err_hint(e, "A backup is restored to a new folder: nothing is ever overwritten.");
        return rc;
    }
    rc = make_beside(s->to, beside, &c.to_fd, e);
    if (rc)
        return rc;
    rc = snapshot(&c, e);
    if (!rc)
        rc = copy_blobs(&c, e);
    if (!rc)
        rc = refuse_damaged(&c, e);
    if (!rc)
        rc = publish_database(&c, e);
    copy_done(&c);
    if (!rc)
        rc = check_rules(&c, e);
    if (!rc)
        rc = move_into_place(&c, e);
    if (rc)
        nftw(beside, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc;
}

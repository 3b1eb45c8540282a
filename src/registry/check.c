// SPDX-License-Identifier: Apache-2.0
// The check of a data directory: keeps servers out, opens the database for reading, follows each reference to
// its blob, and then looks for what nothing refers to. The rules of the database are in check_rules.c.
#include "registry/check_parts.h"

#include "os/file.h"
#include "registry/store_sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 4 << 20, LIST_ARENA_BYTES = 1 << 30, BUSY_TIMEOUT_MS = 2000, N_SHARDS = 256 };

static const char PUSH_AGAIN[] = "push the file again, or copy it from a backup";

// A blob that versions need.
struct use {
    struct registry_digest digest;
    uint64_t size, n_versions;
    char first[400]; // "churn version 3 (model.json)"
};

static void use_report(struct check *k, const struct use *u, const char *code, bool is_repaired,
                       const char *what)
{
    char text[REGISTRY_DIGEST_TEXT], more[40] = "";
    struct registry_finding f = {.is_error = true, .code = code, .is_repaired = is_repaired};
    registry_digest_text(&u->digest, text);
    if (u->n_versions > 1)
        snprintf(more, sizeof more, " and %llu more", (unsigned long long)u->n_versions - 1);
    snprintf(f.what, sizeof f.what, "%s: %s, which %.300s%s needs", text, what, u->first, more);
    snprintf(f.remedy, sizeof f.remedy, "%s", PUSH_AGAIN);
    check_report(k, &f);
}

static void progress(struct check *k, uint64_t bytes)
{
    k->done_bytes += bytes;
    if (k->spec->on_progress)
        k->spec->on_progress(k->spec->ctx, k->done_bytes, k->total_bytes);
}

// ERR_IO: it cannot be read, e says why; only ERR_NOMEM ends the check.
static int hash(struct check *k, int fd, uint64_t size, struct registry_digest *ret, struct err *e)
{
    struct digest_check *c;
    bool done = false;
    uint64_t at = 0;
    int rc = digest_check_new(&c, e);
    if (rc)
        return rc;
    while (!rc && !done) {
        rc = digest_check_step(c, fd, STEP_BYTES, &done, ret, e);
        uint64_t n = size - at < STEP_BYTES ? size - at : STEP_BYTES;
        progress(k, n);
        at += n;
    }
    digest_check_free(c);
    return rc;
}

static int verify(struct check *k, const struct use *u, int fd, struct err *e)
{
    struct registry_digest is;
    struct err why;
    uint64_t size = 0;
    char what[200];
    int rc = file_size(fd, &size, &why);
    if (!rc && size == u->size)
        rc = hash(k, fd, size, &is, &why);
    if (rc == ERR_NOMEM)
        return err_set(e, ERR_NOMEM, "%s", why.msg);
    if (rc) {
        snprintf(what, sizeof what, "cannot be read (%.150s)", why.msg);
        use_report(k, u, "blob_unreadable", false, what);
        return 0;
    }
    if (size == u->size && registry_digest_eq(&is, &u->digest))
        return 0;
    if (size == u->size)
        snprintf(what, sizeof what, "damaged: its bytes have another digest");
    else
        snprintf(what, sizeof what, "damaged: %llu bytes instead of %llu", (unsigned long long)size,
                 (unsigned long long)u->size);
    if (k->spec->repair)
        (void)!k->blobs->ops->set_aside(k->blobs, &u->digest, fd, &why); // always an error: that of the blob
    use_report(k, u, "blob_damaged", k->spec->repair, what);
    return 0;
}

static int check_use(struct check *k, const struct use *u, struct err *e)
{
    struct err why;
    int fd = -1;
    uint64_t before = k->done_bytes;
    int rc = k->blobs->ops->open(k->blobs, &u->digest, &fd, &why);
    if (rc == ERR_NOT_FOUND)
        use_report(k, u, "blob_missing", false, "missing");
    else if (rc)
        use_report(k, u, "blob_unreadable", false, "cannot be opened");
    rc = rc ? 0 : verify(k, u, fd, e);
    if (fd >= 0)
        close(fd);
    progress(k, u->size - (k->done_bytes - before)); // of what was not read
    return rc;
}

static bool use_take(sqlite3_stmt *st, struct use *u)
{
    char text[REGISTRY_DIGEST_TEXT];
    const char *hex = (const char *)sqlite3_column_text(st, 0),
               *first = (const char *)sqlite3_column_text(st, 3);
    snprintf(text, sizeof text, "sha256:%.64s", hex ? hex : "");
    *u = (struct use){.size = (uint64_t)sqlite3_column_int64(st, 1),
                      .n_versions = (uint64_t)sqlite3_column_int64(st, 2)};
    snprintf(u->first, sizeof u->first, "%.390s", first ? first : "a version");
    return registry_digest_parse(str_of(text), &u->digest);
}

static int check_uses(struct check *k, struct err *e)
{
    static const char *const SUM = "SELECT coalesce(sum(size), 0), count(*) FROM"
                                   " (SELECT max(size) AS size FROM artifacts GROUP BY digest)";
    static const char *const USES =
        "SELECT a.digest, max(a.size), count(DISTINCT a.version_id),"
        " m.name || ' version ' || v.number || ' (' || a.name || ')' FROM artifacts a"
        " JOIN versions v ON v.id = a.version_id JOIN models m ON m.id = v.model_id"
        " GROUP BY a.digest ORDER BY a.digest";
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(k->db, SUM, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
        k->total_bytes = (uint64_t)sqlite3_column_int64(st, 0);
        k->sum->n_blobs = (uint64_t)sqlite3_column_int64(st, 1);
        k->sum->n_bytes = k->total_bytes;
    }
    sqlite3_finalize(st);
    int code = 0, rc = sqlite3_prepare_v2(k->db, USES, -1, &st, NULL);
    while (!code && (rc == SQLITE_OK || rc == SQLITE_ROW)) {
        struct use u;
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        if (use_take(st, &u))
            code = check_use(k, &u, e);
        else
            use_report(k, &u, "artifact_digest", false, "is no digest");
    }
    if (!code && rc != SQLITE_DONE)
        code = check_sql_failed(k, e);
    sqlite3_finalize(st);
    return code;
}

// ---- what belongs to nothing ----

static void note(struct check *k, const char *code, bool is_repaired, const char *remedy, const char *what)
{
    struct registry_finding f = {.code = code, .is_repaired = is_repaired};
    snprintf(f.what, sizeof f.what, "%s", what);
    snprintf(f.remedy, sizeof f.remedy, "%s", remedy);
    check_report(k, &f);
}

static bool is_needed(sqlite3_stmt *st, const struct registry_digest *d)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(d, hex);
    sqlite3_bind_text(st, 1, hex, -1, SQLITE_STATIC);
    bool needed = sqlite3_step(st) != SQLITE_DONE; // in doubt it is
    sqlite3_reset(st);
    return needed;
}

static int check_shard(struct check *k, sqlite3_stmt *st, uint8_t first, struct arena *a, uint64_t *n,
                       uint64_t *bytes, struct err *e)
{
    struct blob_entry *list;
    size_t n_list;
    int rc = k->blobs->ops->list(k->blobs, first, a, &list, &n_list, e);
    for (size_t i = 0; !rc && i < n_list; i++) {
        if (is_needed(st, &list[i].digest))
            continue;
        *n += 1;
        *bytes += list[i].size_bytes;
        if (k->spec->repair)
            rc = k->blobs->ops->discard(k->blobs, &list[i].digest, UINT64_MAX, e);
    }
    arena_reset(a, 0);
    return rc;
}

static int check_orphans(struct check *k, struct err *e)
{
    uint64_t n = 0, bytes = 0;
    struct arena a = {0};
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(k->db, "SELECT 1 FROM artifacts WHERE digest = ? LIMIT 1", -1, &st, NULL) !=
        SQLITE_OK)
        return check_sql_failed(k, e);
    int rc = arena_init(&a, LIST_ARENA_BYTES, e);
    for (unsigned i = 0; !rc && i < N_SHARDS; i++)
        rc = check_shard(k, st, (uint8_t)i, &a, &n, &bytes, e);
    sqlite3_finalize(st);
    arena_done(&a);
    if (rc || n == 0)
        return rc;
    char what[160];
    snprintf(what, sizeof what, "%llu stored file%s with %llu bytes belong to no version",
             (unsigned long long)n, n == 1 ? "" : "s", (unsigned long long)bytes);
    note(k, "blob_orphan", k->spec->repair, "none is needed: garbage collection removes them", what);
    return 0;
}

// Calls back for each entry but "." and ".."; a folder that is not there has none.
static int each_entry(const char *path, void (*each)(void *ctx, const char *name), void *ctx, struct err *e)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : err_errno(e, errno, "read '%s'", path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(ctx, entry->d_name);
    closedir(dir);
    return 0;
}

static void count_entry(void *ctx, const char *name)
{
    (void)name;
    *(uint64_t *)ctx += 1;
}

struct shard {
    struct check *k;
    char name[3];
    bool is_shard;
};

static void stray(struct check *k, const char *folder, const char *name)
{
    char what[400];
    snprintf(what, sizeof what, "blobs/sha256/%s%.255s is no blob", folder, name);
    note(k, "stray_file", false, "look at it, then remove it", what);
}

static bool is_hex(const char *name, size_t n)
{
    return strspn(name, "0123456789abcdef") == n && name[n] == '\0';
}

static void blob_entry(void *ctx, const char *name)
{
    struct shard *s = ctx;
    char folder[4];
    snprintf(folder, sizeof folder, "%s/", s->name);
    if (!is_hex(name, REGISTRY_DIGEST_HEX - 1) || memcmp(name, s->name, 2) != 0)
        stray(s->k, folder, name);
}

static void shard_entry(void *ctx, const char *name)
{
    struct check *k = ctx;
    if (!is_hex(name, 2))
        stray(k, "", name);
}

// Files in the blobs' folders that are none, and what was left over.
static int check_folders(struct check *k, struct err *e)
{
    static const struct {
        const char *folder, *code, *remedy;
        const char *what;
        bool repairs;
    } LEFT[] = {
        {"tmp", "upload_left", "the next start of the server removes them", "uploads that were never ended",
         true},
        {"trash", "trash_left", "garbage collection removes them", "files that were collected", true},
        {"damaged", "damaged_left", "look at them, then remove them", "damaged files that were set aside",
         false},
    };
    char path[4096], what[200];
    snprintf(path, sizeof path, "%s/blobs/sha256", k->spec->dir);
    int rc = each_entry(path, shard_entry, k, e);
    for (unsigned i = 0; !rc && i < N_SHARDS; i++) {
        struct shard s = {.k = k};
        snprintf(s.name, sizeof s.name, "%02x", i);
        snprintf(path, sizeof path, "%s/blobs/sha256/%s", k->spec->dir, s.name);
        rc = each_entry(path, blob_entry, &s, e);
    }
    for (size_t i = 0; !rc && i < sizeof LEFT / sizeof LEFT[0]; i++) {
        uint64_t n = 0;
        snprintf(path, sizeof path, "%s/blobs/%s", k->spec->dir, LEFT[i].folder);
        rc = each_entry(path, count_entry, &n, e);
        snprintf(what, sizeof what, "%llu %s lie in blobs/%s", (unsigned long long)n, LEFT[i].what,
                 LEFT[i].folder);
        if (n)
            note(k, LEFT[i].code, k->spec->repair && LEFT[i].repairs, LEFT[i].remedy, what);
    }
    return rc;
}

static int check_blobs(struct check *k, struct err *e)
{
    int rc = check_folders(k, e); // before they are opened for a repair, which clears them
    if (!rc)
        rc = blobs_dir_open(k->spec->dir, !k->spec->repair, &k->blobs, e);
    if (rc == ERR_NOT_FOUND && k->sum->n_versions == 0)
        return 0; // nothing was ever stored
    if (!rc)
        rc = check_uses(k, e);
    if (!rc)
        rc = check_orphans(k, e);
    int trash = k->blobs ? k->blobs->ops->trash(k->blobs) : -1;
    if (!rc && k->spec->repair && trash >= 0)
        rc = blob_trash_empty(trash, e);
    if (k->blobs)
        k->blobs->ops->close(k->blobs);
    return rc;
}

// ---- the directory ----

// Keeps servers out for as long as *ret_fds are open. Where no server ever ran there is nothing to lock.
static int lock(const char *dir, int ret_fds[2], struct err *e)
{
    static const char *const NAMES[] = {"lock", "registry.lock"};
    int dir_fd = -1, run_fd = -1;
    int rc = file_open_dir(AT_FDCWD, dir, &dir_fd, e);
    if (rc)
        return rc;
    rc = file_open_dir(dir_fd, "run", &run_fd, e);
    close(dir_fd);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    for (int i = 0; !rc && i < 2; i++)
        rc = file_lock(run_fd, NAMES[i], &ret_fds[i], e);
    close(run_fd);
    if (rc != ERR_CONFLICT)
        return rc;
    char holder[ERR_MSG_MAX];
    snprintf(holder, sizeof holder, "%s", e->msg);
    err_set(e, ERR_REFUSED, "a server uses '%s': %s", dir, holder);
    err_hint(e, "Stop it first, or check a copy: slipway backup -o COPY, then slipway fsck COPY.");
    return ERR_REFUSED;
}

static int open_database(struct check *k, struct err *e)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/registry.db", k->spec->dir);
    if (stat(path, &st) < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "there is no registry in '%s'", k->spec->dir);
    int rc = sqlite3_open_v2(path, &k->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return err_set(e, rc == SQLITE_NOMEM ? ERR_NOMEM : ERR_IO, "open '%s': %s", path,
                       k->db ? sqlite3_errmsg(k->db) : sqlite3_errstr(rc));
    sqlite3_busy_timeout(k->db, BUSY_TIMEOUT_MS);
    sqlite3_exec(k->db, "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF", NULL, NULL, NULL);
    return store_sums_init(k->db, e);
}

int registry_check(const struct registry_check_spec *s, struct registry_check_sum *ret, struct err *e)
{
    int fds[2] = {-1, -1};
    bool usable = false;
    *ret = (struct registry_check_sum){0};
    struct check k = {.spec = s, .sum = ret};
    int rc = lock(s->dir, fds, e);
    if (!rc)
        rc = open_database(&k, e);
    if (!rc)
        rc = check_database(&k, &usable, e);
    if (!rc && usable && !s->skip_blobs)
        rc = check_blobs(&k, e);
    sqlite3_close_v2(k.db);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

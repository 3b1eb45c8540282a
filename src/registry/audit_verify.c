// SPDX-License-Identifier: Apache-2.0
// Checking the audit: every hash is computed anew from the row and the hash before it, the end is compared
// with audit_head, with the file audit.head and with a receipt, where there is one.
//
// What one broken link of the chain can mean: numbers are left out: rows were removed. Else the row was
// changed, or the row before it was changed and given a hash that fits, or rows were exchanged or inserted.
// Broken links in a row are told as one finding.
#include "registry/audit_chain.h"
#include "registry/store_sqlite.h"

#include "os/file.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FINDINGS_TOLD = 100, FINDING_TEXT_MAX = 240 };

// A number and a hash that somebody else kept.
struct witness {
    const struct registry_audit *says; // NULL: there is none
    bool is_met, agrees;
};

struct check {
    struct arena *arena;
    struct registry_audit_report *report;
    struct registry_audit last; // the row before
    bool is_broken;             // the last link, and those from broken_from on
    uint64_t broken_from, broken_to;
    struct witness file, receipt;
};

static int tell(struct check *c, uint64_t first, uint64_t last, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static int tell(struct check *c, uint64_t first, uint64_t last, struct err *e, const char *fmt, ...)
{
    struct registry_audit_report *r = c->report;
    r->n_findings++;
    if (r->n_told == FINDINGS_TOLD)
        return 0;
    char *text = arena_alloc(c->arena, FINDING_TEXT_MAX);
    if (!text)
        return store_no_memory(e);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, FINDING_TEXT_MAX, fmt, ap);
    va_end(ap);
    r->findings[r->n_told++] = (struct registry_audit_finding){first, last, str_of(text)};
    return 0;
}

static int tell_missing(struct check *c, uint64_t first, uint64_t last, const char *where, struct err *e)
{
    if (first == last)
        return tell(c, first, last, e, "row %llu was removed%s", (unsigned long long)first, where);
    return tell(c, first, last, e, "rows %llu to %llu were removed%s", (unsigned long long)first,
                (unsigned long long)last, where);
}

static int tell_broken(struct check *c, struct err *e)
{
    uint64_t first = c->broken_from, last = c->broken_to;
    if (!c->is_broken)
        return 0;
    c->is_broken = false;
    if (first == last)
        return tell(c, first, last, e,
                    "row %llu was changed, or the row before it was changed and given a new hash",
                    (unsigned long long)first);
    return tell(c, first, last, e, "rows %llu to %llu were changed, exchanged or inserted",
                (unsigned long long)first, (unsigned long long)last);
}

static void look(struct witness *w, const struct registry_audit *row)
{
    if (!w->says || w->says->id != row->id)
        return;
    w->is_met = true;
    w->agrees = registry_digest_eq(&w->says->hash, &row->hash);
}

static int check_row(struct check *c, const struct registry_audit *row, struct err *e)
{
    struct registry_digest want;
    int rc = audit_hash(&c->last.hash, row, &want, e);
    if (rc)
        return rc;
    bool fits = registry_digest_eq(&want, &row->hash);
    bool has_gap = (int64_t)row->id > (int64_t)c->last.id + 1;
    if (!fits && !has_gap) {
        c->broken_from = c->is_broken ? c->broken_from : row->id;
        c->is_broken = true;
        c->broken_to = row->id;
    } else {
        rc = tell_broken(c, e);
        if (!rc && !fits)
            rc = tell_missing(c, c->last.id + 1, row->id - 1, "", e);
    }
    look(&c->file, row);
    look(&c->receipt, row);
    c->report->n_rows++;
    c->last.id = row->id;
    c->last.hash = row->hash;
    return rc;
}

static int check_rows(sqlite3 *db, struct check *c, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int code = 0, rc = sqlite3_prepare_v2(db, STORE_AUDIT_ALL, -1, &st, NULL);
    while (rc == SQLITE_OK && !code) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        struct registry_audit row = store_audit_row(st);
        code = check_row(c, &row, e);
        rc = SQLITE_OK;
    }
    if (!code && rc != SQLITE_DONE)
        code = store_error_from(rc, sqlite3_errmsg(db), e);
    sqlite3_finalize(st);
    return code ? code : tell_broken(c, e);
}

static int read_head(sqlite3 *db, struct registry_audit *ret, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT id, hash FROM audit_head", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 1) == (int)sizeof ret->hash.bytes) {
        ret->id = (uint64_t)sqlite3_column_int64(st, 0);
        memcpy(ret->hash.bytes, sqlite3_column_blob(st, 1), sizeof ret->hash.bytes);
    }
    int code = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_error_from(rc, sqlite3_errmsg(db), e);
    sqlite3_finalize(st);
    return code;
}

static int check_end(struct check *c, struct err *e)
{
    const struct registry_audit *head = &c->report->head;
    uint64_t last = c->last.id;
    if (last < head->id)
        return tell_missing(c, last + 1, head->id, " at the end", e);
    if (last > head->id)
        return tell(c, head->id + 1, last, e,
                    "rows from %llu were added behind the end of the audit, row %llu",
                    (unsigned long long)head->id + 1, (unsigned long long)head->id);
    if (!registry_digest_eq(&head->hash, &c->last.hash))
        return tell(c, last, last, e, "row %llu, the last, is not the one that was written",
                    (unsigned long long)last);
    return 0;
}

static bool is_told(const struct check *c, uint64_t row)
{
    for (size_t i = 0; i < c->report->n_told; i++)
        if (row >= c->report->findings[i].first && row <= c->report->findings[i].last)
            return true;
    return false;
}

static int check_witness(struct check *c, const struct witness *w, const char *who, struct err *e)
{
    if (!w->says || w->says->id == 0 || w->agrees)
        return 0;
    uint64_t id = w->says->id;
    if (w->is_met)
        return tell(c, id, id, e, "row %llu is not the one that %s has the hash of", (unsigned long long)id,
                    who);
    if (is_told(c, id))
        return 0;
    char where[64];
    snprintf(where, sizeof where, ", which %s knows", who);
    return tell_missing(c, c->last.id < id ? c->last.id + 1 : id, id, where, e);
}

int store_audit_verify_db(sqlite3 *db, int dir_fd, const struct registry_audit *receipt, struct arena *a,
                          struct registry_audit_report *ret, struct err *e)
{
    struct registry_audit file;
    *ret = (struct registry_audit_report){.findings = arena_calloc(a, FINDINGS_TOLD, sizeof *ret->findings)};
    if (!ret->findings)
        return store_no_memory(e);
    struct check c = {.arena = a, .report = ret, .receipt.says = receipt};
    enum store_head second = store_head_file_read(dir_fd, &file);
    ret->has_second_head = second == STORE_HEAD_READ;
    if (ret->has_second_head)
        c.file.says = &file;
    int rc = check_rows(db, &c, e);
    if (!rc)
        rc = read_head(db, &ret->head, e);
    if (!rc)
        rc = check_end(&c, e);
    if (!rc)
        rc = check_witness(&c, &c.file, "the file " STORE_HEAD_FILE, e);
    if (!rc && second == STORE_HEAD_DAMAGED)
        rc = tell(&c, 0, 0, e,
                  "the file " STORE_HEAD_FILE
                  " is damaged: whether rows at the end are missing cannot be seen "
                  "from it");
    if (!rc)
        rc = check_witness(&c, &c.receipt, "the receipt", e);
    return rc;
}

int store_audit_verify(struct registry *r, const struct registry_audit *receipt, struct arena *a,
                       struct registry_audit_report *ret, struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_HEAD, &st, e); // opens the database where an error closed it
    return rc ? rc : store_audit_verify_db(s->db, s->dir_fd, receipt, a, ret, e);
}

int store_open_to_read(const char *data_dir, int *ret_dir_fd, sqlite3 **ret, struct err *e)
{
    char *path = NULL;
    int64_t schema = 0;
    int rc = file_open_dir(AT_FDCWD, data_dir, ret_dir_fd, e);
    if (rc)
        return rc;
    if (faccessat(*ret_dir_fd, "registry.db", R_OK, 0) < 0)
        return err_set(e, ERR_NOT_FOUND, "there is no registry in '%s'", data_dir);
    if (asprintf(&path, "%s/registry.db", data_dir) < 0)
        return err_set(e, ERR_NOMEM, "no memory to open the registry");
    int code = sqlite3_open_v2(path, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    free(path);
    if (code != SQLITE_OK)
        return store_error_from(code, *ret ? sqlite3_errmsg(*ret) : sqlite3_errstr(code), e);
    sqlite3_busy_timeout(*ret, 2000);
    rc = store_integer(*ret, "PRAGMA user_version", &schema, e);
    if (!rc && schema < STORE_SCHEMA_OF_AUDIT)
        rc = err_set(e, ERR_INVALID, "registry.db has schema %lld, whose audit has no hashes yet",
                     (long long)schema);
    return rc;
}

static void close_both(sqlite3 *db, int dir_fd)
{
    sqlite3_close(db);
    if (dir_fd >= 0)
        close(dir_fd);
}

int registry_sqlite_audit_verify(const char *data_dir, const struct registry_audit *receipt, struct arena *a,
                                 struct registry_audit_report *ret, struct err *e)
{
    sqlite3 *db = NULL;
    int dir_fd = -1;
    int rc = store_open_to_read(data_dir, &dir_fd, &db, e);
    // One transaction: what a server writes meanwhile is not seen by half.
    if (!rc && sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        rc = err_set(e, ERR_IO, "registry: %s", sqlite3_errmsg(db));
    if (!rc)
        rc = store_audit_verify_db(db, dir_fd, receipt, a, ret, e);
    close_both(db, dir_fd);
    return rc;
}

int registry_sqlite_audit_list(const char *data_dir, const struct registry_history_query *which,
                               struct arena *a, struct registry_audit **ret, size_t *ret_n, struct err *e)
{
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int dir_fd = -1, code = SQLITE_OK;
    int rc = store_open_to_read(data_dir, &dir_fd, &db, e);
    if (!rc)
        code = sqlite3_prepare_v2(db, which->model.n ? STORE_AUDIT_SELECT_OF : STORE_AUDIT_SELECT, -1, &st,
                                  NULL);
    if (!rc && code == SQLITE_OK)
        store_audit_bind(st, which);
    while (!rc && code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        rc = store_audit_take(&l, st, a, e);
        code = SQLITE_OK;
    }
    if (!rc && code != SQLITE_DONE)
        rc = store_error_from(code, sqlite3_errmsg(db), e);
    sqlite3_finalize(st);
    close_both(db, dir_fd);
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

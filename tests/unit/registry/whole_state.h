// SPDX-License-Identifier: Apache-2.0
// All that a data directory holds while nobody has it open, as text: two that give the same text hold the
// same. Rows of all tables; the second head of the audit; names and sizes of the other files. What lies in
// run/, and how large SQLite's files are, says nothing.
#pragma once

#include "base/buf.h"

#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

enum { WHOLE_STATE_BYTES = 1 << 20, WHOLE_STATE_FILES = 64 };

static inline void whole_state_hex(const void *bytes, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%02x", ((const unsigned char *)bytes)[i]);
}

static inline void whole_state_value(sqlite3_stmt *st, int at, struct buf *out)
{
    int type = sqlite3_column_type(st, at);
    size_t n = type == SQLITE_BLOB || type == SQLITE_TEXT ? (size_t)sqlite3_column_bytes(st, at) : 0;
    buf_putc(out, ' ');
    if (type == SQLITE_INTEGER)
        buf_printf(out, "%lld", (long long)sqlite3_column_int64(st, at));
    else if (type == SQLITE_TEXT)
        buf_put_json_str(out, (struct str){(const char *)sqlite3_column_text(st, at), n});
    else if (type == SQLITE_BLOB)
        whole_state_hex(sqlite3_column_blob(st, at), n, out);
    else
        ck_assert_int_eq(type, SQLITE_NULL);
}

static inline void whole_state_table(sqlite3 *db, const char *name, struct buf *out)
{
    char sql[256];
    sqlite3_stmt *st;
    int rc;
    snprintf(sql, sizeof sql, "SELECT * FROM \"%s\" ORDER BY 1, 2", name);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        buf_puts(out, name);
        for (int i = 0; i < sqlite3_column_count(st); i++)
            whole_state_value(st, i, out);
        buf_putc(out, '\n');
    }
    ck_assert_int_eq(rc, SQLITE_DONE);
    sqlite3_finalize(st);
}

static inline void whole_state_rows(const char *dir, struct buf *out)
{
    char path[TEMPDIR_SIZE + 16];
    sqlite3 *db;
    sqlite3_stmt *st;
    snprintf(path, sizeof path, "%s/registry.db", dir);
    ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    static const char tables[] = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    ck_assert_int_eq(sqlite3_prepare_v2(db, tables, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW)
        whole_state_table(db, (const char *)sqlite3_column_text(st, 0), out);
    sqlite3_finalize(st);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static char whole_state_files[WHOLE_STATE_FILES][TEMPDIR_SIZE + 32]; // with their sizes
static size_t whole_state_n_files, whole_state_prefix;

static inline int whole_state_take(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)at;
    const char *name = path + whole_state_prefix;
    if (what != FTW_F || strncmp(name, "/run/", 5) == 0 || strncmp(name, "/registry.db", 12) == 0)
        return 0;
    ck_assert_uint_lt(whole_state_n_files, WHOLE_STATE_FILES);
    snprintf(whole_state_files[whole_state_n_files++], sizeof whole_state_files[0], "%s %lld", name,
             (long long)st->st_size);
    return 0;
}

static inline int whole_state_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static inline void whole_state_head(const char *dir, struct buf *out)
{
    char path[TEMPDIR_SIZE + 16], bytes[1024];
    snprintf(path, sizeof path, "%s/audit.head", dir);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof bytes);
    ck_assert_int_ge(n, 0);
    whole_state_hex(bytes, (size_t)n, out);
    buf_putc(out, '\n');
    if (fd >= 0)
        close(fd);
}

// Appends it to a buffer of WHOLE_STATE_BYTES.
static inline void whole_state(const char *dir, struct buf *out)
{
    whole_state_n_files = 0;
    whole_state_prefix = strlen(dir);
    whole_state_rows(dir, out);
    whole_state_head(dir, out);
    ck_assert_int_eq(nftw(dir, whole_state_take, 16, FTW_PHYS), 0);
    qsort(whole_state_files, whole_state_n_files, sizeof whole_state_files[0], whole_state_order);
    for (size_t i = 0; i < whole_state_n_files; i++)
        buf_printf(out, "%s\n", whole_state_files[i]);
    ck_assert(!out->failed && out->n > 0);
}

// Where two differ, for a message.
static inline const char *whole_state_at(const struct buf *s, const struct buf *other)
{
    size_t at = 0;
    while (at < s->n && at < other->n && s->p[at] == other->p[at])
        at++;
    while (at > 0 && s->p[at - 1] != '\n')
        at--;
    static char line[2][400];
    static int turn;
    turn = !turn;
    snprintf(line[turn], sizeof line[turn], "%.*s", (int)(s->n - at < 390 ? s->n - at : 390), s->p + at);
    return line[turn];
}

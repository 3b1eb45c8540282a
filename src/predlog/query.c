// SPDX-License-Identifier: Apache-2.0
// The files of the write-ahead log are opened before the manifest is read: what is sealed meanwhile is then
// found in both, and passed over in the log, because a sealed file says what it was made of. The other way
// round it could be found in neither.
#include "predlog/query.h"

#include "base/limits.h"
#include "os/file.h"
#include "predlog/line.h"
#include "predlog/match.h"
#include "predlog/part.h"
#include "predlog/schemas.h"
#include "predlog/view.h"
#include "predlog/wal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STOPPED = 1 }; // the limit is reached

struct search {
    const struct predlog_query *q;
    predlog_line_fn *on_line;
    void *ctx;
    struct predlog_query_done *done;
    struct schemas schemas;
    struct buf lines;
};

static int take_line(void *ctx, struct str line, struct err *e)
{
    struct search *s = ctx;
    if (!match_line_id(s->q, line))
        return 0;
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t seq = yyjson_get_uint(yyjson_obj_get(root, "seq"));
    int rc = 0;
    s->done->n_bad += !root;
    if (seq > s->done->last_seq)
        s->done->last_seq = seq;
    if (root && match_line(s->q, root)) {
        s->done->n_lines++;
        rc = s->on_line(s->ctx, line, root, e);
        if (!rc && s->q->limit && s->done->n_lines >= s->q->limit)
            rc = STOPPED;
    }
    yyjson_doc_free(doc);
    return rc;
}

// ---- what is not sealed yet

static int take_lines(struct search *s, struct str lines, struct err *e)
{
    int rc = 0;
    while (!rc && lines.n)
        rc = take_line(s, str_split(&lines, '\n'), e);
    return rc;
}

static int take_record(struct search *s, const struct view *v, uint64_t wal, const struct record *r,
                       struct err *e)
{
    if (r->head.kind == RECORD_SCHEMA)
        return schemas_add(&s->schemas, r->schema_json, e);
    if (!match_id(s->q, r->head.id))
        return 0;
    const struct schemas_one *schema = schemas_find(&s->schemas, r->head.schema);
    if (view_is_sealed(v, wal, schema ? schema->schema->model : STR(PREDLOG_NO_MODEL), r))
        return 0;
    buf_clear(&s->lines);
    line_put(r, schema ? schema->schema : NULL, &s->lines);
    if (s->lines.failed)
        return err_set(e, ERR_NOMEM, "out of memory for the lines of a record");
    return take_lines(s, buf_str(&s->lines), e);
}

static int search_wal(struct search *s, const struct view *v, size_t i, struct err *e)
{
    struct wal_reader *r = NULL;
    struct record record;
    enum wal_item item;
    const struct view_wal *one = &v->wal[i];
    uint64_t end_seq = i + 1 < v->n_wal ? v->wal[i + 1].first_seq : 0;
    int rc = wal_read_open(one->fd, one->first_seq, end_seq, &r, e);
    while (!rc && !(rc = wal_read_next(r, &item, &record, e)) && item != WAL_END)
        rc = take_record(s, v, one->first_seq, &record, e);
    wal_read_close(r);
    return rc;
}

// ---- sealed files

static int search_part(struct search *s, const struct view *v, const struct predlog_entry *entry,
                       struct err *e)
{
    if (!match_entry(s->q, entry))
        return 0;
    int fd = openat(v->log_fd, entry->file.p, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) { // retention was here
        s->done->n_bad++;
        return 0;
    }
    if (fd < 0)
        return err_errno(e, errno, "open log/%s", entry->file.p);
    int rc = part_read(fd, take_line, s, e);
    close(fd);
    return rc < 0 ? err_wrap(e, "log/%s", entry->file.p) : rc;
}

static void search_init(struct search *s, const struct predlog_query *q, predlog_line_fn *on_line, void *ctx,
                        struct predlog_query_done *done)
{
    *done = (struct predlog_query_done){0};
    *s = (struct search){.q = q, .on_line = on_line, .ctx = ctx, .done = done};
    buf_init(&s->lines, LIMIT_LOG_LINE_BYTES);
}

static void search_done(struct search *s)
{
    schemas_done(&s->schemas);
    buf_done(&s->lines);
}

int predlog_query(const char *data_dir, const struct predlog_query *q, predlog_line_fn *on_line, void *ctx,
                  struct predlog_query_done *ret, struct err *e)
{
    struct search s;
    struct view v;
    search_init(&s, q, on_line, ctx, ret);
    int rc = view_open(data_dir, &v, e);
    for (size_t i = 0; !rc && i < v.manifest.n; i++)
        rc = search_part(&s, &v, &v.manifest.entries[i], e);
    for (size_t i = 0; !rc && i < v.n_wal; i++)
        rc = search_wal(&s, &v, i, e);
    view_close(&v);
    search_done(&s);
    return rc == STOPPED ? 0 : rc;
}

// ---- the last lines

// A ring of copies of the lines of one file, the newest of them.
struct last {
    struct str *lines; // (cap) ours
    size_t cap, n, at; // at: the oldest
    struct predlog_query_done *done;
};

static int keep_line(void *ctx, struct str line, yyjson_val *root, struct err *e)
{
    struct last *l = ctx;
    (void)root;
    char *copy = str_dup(line);
    if (!copy)
        return err_set(e, ERR_NOMEM, "out of memory for the last lines");
    if (l->n == l->cap) {
        free((char *)(uintptr_t)l->lines[l->at].p);
        l->lines[l->at] = (struct str){copy, line.n};
        l->at = (l->at + 1) % l->cap;
    } else {
        l->lines[(l->at + l->n++) % l->cap] = (struct str){copy, line.n};
    }
    return 0;
}

// Puts the lines of an older file in front of those that are there.
static void put_before(struct last *all, struct last *older)
{
    while (older->n && all->n < all->cap) {
        all->at = (all->at + all->cap - 1) % all->cap;
        all->lines[all->at] = older->lines[(older->at + --older->n) % older->cap];
        all->n++;
    }
    while (older->n)
        free((char *)(uintptr_t)older->lines[(older->at + --older->n) % older->cap].p);
    older->at = 0;
}

static int hand_out(struct last *l, predlog_line_fn *on_line, void *ctx, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct str line = l->lines[(l->at + i) % l->cap];
        yyjson_doc *doc = rc ? NULL : yyjson_read(line.p, line.n, 0);
        if (!rc)
            rc = on_line(ctx, line, yyjson_doc_get_root(doc), e);
        yyjson_doc_free(doc);
        free((char *)(uintptr_t)line.p);
    }
    return rc;
}

int predlog_query_last(const char *data_dir, const struct predlog_query *q, predlog_line_fn *on_line,
                       void *ctx, struct predlog_query_done *ret, struct err *e)
{
    struct search s;
    struct view v;
    struct predlog_query all = *q;
    all.limit = 0;
    if (q->limit == 0 || q->limit > LIMIT_LOG_LAST)
        return err_set(e, ERR_INVALID, "the last 1 to %d lines can be asked for", LIMIT_LOG_LAST);
    struct last last = {.cap = q->limit}, older = {.cap = q->limit};
    last.lines = calloc(last.cap, sizeof *last.lines);
    older.lines = calloc(older.cap, sizeof *older.lines);
    search_init(&s, &all, keep_line, &last, ret);
    int rc = view_open(data_dir, &v, e);
    if (!rc && (!last.lines || !older.lines))
        rc = err_set(e, ERR_NOMEM, "out of memory for the last lines");
    for (size_t i = 0; !rc && i < v.n_wal; i++)
        rc = search_wal(&s, &v, i, e);
    s.ctx = &older;
    for (size_t i = v.manifest.n; !rc && i-- > 0 && last.n < last.cap;) {
        rc = search_part(&s, &v, &v.manifest.entries[i], e);
        put_before(&last, &older);
    }
    ret->n_lines = last.n;
    view_close(&v);
    search_done(&s);
    int handed = hand_out(&last, rc ? NULL : on_line, ctx, e);
    free(last.lines);
    free(older.lines);
    return rc ? rc : handed;
}

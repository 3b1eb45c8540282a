// SPDX-License-Identifier: Apache-2.0
// Checks a log against what its manifest says of it.
#include "predlog/query.h"

#include "predlog/part.h"
#include "predlog/view.h"
#include "predlog/wal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

struct check {
    struct predlog_verify *result;
    void (*on_fault)(void *ctx, const char *file, const char *what);
    void *ctx;
    uint64_t rows, last_seq; // of the file at hand
    bool unordered, unreadable;
};

static void fault(struct check *c, const char *file, const char *what)
{
    c->result->n_faults++;
    c->on_fault(c->ctx, file, what);
}

static void count_gap(struct check *c, uint64_t records)
{
    c->result->n_gaps++;
    c->result->gap_records += records;
}

static int check_line(void *ctx, struct str line, struct err *e)
{
    struct check *c = ctx;
    (void)e;
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t seq = yyjson_get_uint(yyjson_obj_get(root, "seq"));
    if (yyjson_equals_str(yyjson_obj_get(root, "kind"), "gap"))
        count_gap(c, yyjson_get_uint(yyjson_obj_get(root, "records")));
    c->unreadable |= !root;
    c->unordered |= seq < c->last_seq;
    c->last_seq = seq;
    c->rows++;
    yyjson_doc_free(doc);
    return 0;
}

static int check_part(struct check *c, int log_fd, const struct predlog_entry *one, struct err *e)
{
    char sha[MANIFEST_SHA256_SIZE] = "", text[160];
    struct err why;
    int fd = openat(log_fd, one->file.p, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fault(c, one->file.p, errno == ENOENT ? "is not there" : "cannot be opened");
        return 0;
    }
    c->rows = c->last_seq = 0;
    c->unordered = c->unreadable = false;
    int rc = part_digest(fd, sha, e);
    if (!rc && !str_eq(str_of(sha), one->sha256))
        fault(c, one->file.p, "has another SHA-256 than the manifest says");
    if (!rc) {
        int read = part_read(fd, check_line, c, &why);
        if (read == ERR_NOMEM)
            rc = err_set(e, read, "%s", why.msg);
        else if (read)
            fault(c, one->file.p, why.msg);
        else if (c->rows != one->rows) {
            snprintf(text, sizeof text, "has %" PRIu64 " lines, the manifest says %" PRIu64, c->rows,
                     one->rows);
            fault(c, one->file.p, text);
        }
        if (c->unordered || c->unreadable)
            fault(c, one->file.p, c->unreadable ? "has lines that are no JSON" : "is out of order");
    }
    c->result->n_files++;
    c->result->rows += c->rows;
    c->result->bytes += one->bytes;
    close(fd);
    return rc;
}

static int check_wal(struct check *c, const struct view *v, size_t i, struct err *e)
{
    struct wal_reader *r = NULL;
    struct record record;
    enum wal_item item;
    char file[48], text[160];
    snprintf(file, sizeof file, "state/wal/%020" PRIu64 ".wal", v->wal[i].first_seq);
    uint64_t end_seq = i + 1 < v->n_wal ? v->wal[i + 1].first_seq : 0;
    int rc = wal_read_open(v->wal[i].fd, v->wal[i].first_seq, end_seq, &r, e);
    while (!rc && !(rc = wal_read_next(r, &item, &record, e)) && item != WAL_END) {
        if (item == WAL_GAP) {
            snprintf(text, sizeof text, "%" PRIu64 " bytes are no records: the log is %s here",
                     record.gap.bytes, record_gap_reason_name(record.gap.reason));
            fault(c, file, text);
        }
        if (record.head.kind == RECORD_GAP)
            count_gap(c, record.gap.n_records);
        c->result->wal_records += item == WAL_RECORD && record.head.kind != RECORD_SCHEMA;
    }
    wal_read_close(r);
    c->result->n_wal_files++;
    return rc;
}

int predlog_verify(const char *data_dir, void (*on_fault)(void *ctx, const char *file, const char *what),
                   void *ctx, struct predlog_verify *ret, struct err *e)
{
    struct view v;
    struct check c = {.result = ret, .on_fault = on_fault, .ctx = ctx};
    *ret = (struct predlog_verify){0};
    int rc = view_open(data_dir, &v, e);
    if (!rc && v.manifest.n_bad)
        fault(&c, "log/MANIFEST.jsonl", "has lines that cannot be read");
    for (size_t i = 0; !rc && i < v.manifest.n; i++)
        rc = check_part(&c, v.log_fd, &v.manifest.entries[i], e);
    for (size_t i = 0; !rc && i < v.n_wal; i++)
        rc = check_wal(&c, &v, i, e);
    view_close(&v);
    return rc;
}

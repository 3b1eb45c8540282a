// SPDX-License-Identifier: Apache-2.0
// A file of the write-ahead log is read as often as its models and hours need, a few parts at a time, so that
// memory does not grow with their number. Parts are published first, then the manifest names them, then the
// file goes: after a kill in between the same parts are made again under the same names.
#include "predlog/seal.h"

#include "base/limits.h"
#include "os/file.h"
#include "predlog/line.h"
#include "predlog/part.h"
#include "predlog/schemas.h"
#include "predlog/wal.h"
#include "predlog/wal_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARTS_AT_ONCE = 8 };

static const char TMP[] = "tmp";

struct sealing {
    int wal_fd, log_fd, tmp_fd;
    uint64_t wal; // the file that is sealed
    struct part *parts[PARTS_AT_ONCE];
    int n_parts;
    struct str *done; // "model/hour" of parts that earlier passes made
    size_t n_done, cap_done;
    bool more; // records were met that belong to other parts
    struct buf lines, manifest;
    struct schemas schemas;
    struct seal_done *result;
};

// ---- one pass over a file

// Which part a record belongs to, as a text that is compared.
static struct str place(struct str model, uint64_t wall_ns, char *room, size_t n)
{
    int used = snprintf(room, n, "%.*s/%llu", (int)model.n, model.p,
                        (unsigned long long)(wall_ns / (UINT64_C(3600) * 1000000000)));
    return (struct str){room, (size_t)used};
}

static bool is_done(const struct sealing *s, struct str model, uint64_t wall_ns)
{
    char room[LIMIT_MODEL_NAME_BYTES + 32];
    struct str here = place(model, wall_ns, room, sizeof room);
    for (size_t i = 0; i < s->n_done; i++)
        if (str_eq(s->done[i], here))
            return true;
    return false;
}

// The open part that the record belongs to; NULL: made already, or to be made in a later pass.
static int part_for(struct sealing *s, struct str model, uint64_t wall_ns, struct part **ret, struct err *e)
{
    *ret = NULL;
    for (int i = 0; i < s->n_parts; i++) {
        if (part_is(s->parts[i], model, wall_ns)) {
            *ret = s->parts[i];
            return 0;
        }
    }
    if (is_done(s, model, wall_ns))
        return 0;
    if (s->n_parts == PARTS_AT_ONCE) {
        s->more = true;
        return 0;
    }
    char room[LIMIT_MODEL_NAME_BYTES + 32];
    if (s->n_done == s->cap_done) {
        size_t cap = s->cap_done ? 2 * s->cap_done : 32;
        struct str *grown = realloc(s->done, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory to seal the log");
        s->done = grown;
        s->cap_done = cap;
    }
    int rc = part_new(s->tmp_fd, model, wall_ns, s->wal, &s->parts[s->n_parts], e);
    if (rc)
        return rc;
    *ret = s->parts[s->n_parts++];
    struct str here = place(model, wall_ns, room, sizeof room);
    s->done[s->n_done] = (struct str){str_dup(here), here.n};
    return s->done[s->n_done++].p ? 0 : err_set(e, ERR_NOMEM, "out of memory to seal the log");
}

static int take_record(struct sealing *s, const struct record *r, bool first_pass, struct err *e)
{
    if (r->head.kind == RECORD_SCHEMA)
        return first_pass ? schemas_add(&s->schemas, r->schema_json, e) : 0;
    if (first_pass && r->head.kind == RECORD_GAP) {
        s->result->n_gaps++;
        s->result->lost_records += r->gap.n_records;
        s->result->lost_bytes += r->gap.bytes;
    }
    const struct schemas_one *schema = schemas_find(&s->schemas, r->head.schema);
    struct part *part;
    int rc = part_for(s, schema ? schema->schema->model : STR(PREDLOG_NO_MODEL), r->head.wall_ns, &part, e);
    if (rc || !part)
        return rc;
    buf_clear(&s->lines);
    uint32_t n = line_put(r, schema ? schema->schema : NULL, &s->lines);
    if (s->lines.failed)
        return err_set(e, ERR_NOMEM, "out of memory for the lines of a record");
    return part_add(part, r, buf_str(&s->lines), n, r->head.schema, schema ? schema->json : (struct str){0},
                    e);
}

static int pass(struct sealing *s, int fd, uint64_t end_seq, bool first_pass, struct err *e)
{
    struct wal_reader *r = NULL;
    struct record record;
    enum wal_item item;
    s->more = false;
    int rc = wal_read_open(fd, s->wal, end_seq, &r, e);
    while (!rc && !(rc = wal_read_next(r, &item, &record, e)) && item != WAL_END)
        rc = take_record(s, &record, first_pass, e);
    wal_read_close(r);
    return rc;
}

static void drop_parts(struct sealing *s)
{
    for (int i = 0; i < s->n_parts; i++)
        part_free(s->parts[i]);
    s->n_parts = 0;
}

// The parts of this pass, and their lines for the manifest where it does not have them.
static int publish_parts(struct sealing *s, const struct predlog_manifest *m, struct err *e)
{
    struct predlog_entry entry;
    int rc = 0;
    for (int i = 0; !rc && i < s->n_parts; i++) {
        rc = part_publish(s->parts[i], s->log_fd, &entry, e);
        if (rc || predlog_manifest_find(m, entry.file))
            continue;
        predlog_manifest_put(&entry, &s->manifest);
        s->result->n_parts++;
        s->result->rows += entry.rows;
        s->result->records += entry.records;
        s->result->bytes += entry.bytes;
    }
    return rc;
}

// ---- one file

static int seal_passes(struct sealing *s, int fd, uint64_t end_seq, const struct predlog_manifest *m,
                       struct err *e)
{
    int rc = 0;
    bool first = true;
    do {
        rc = pass(s, fd, end_seq, first, e);
        if (!rc)
            rc = publish_parts(s, m, e);
        drop_parts(s);
        first = false;
    } while (!rc && s->more);
    return rc;
}

// What is missing with a file that cannot be opened, in the hour that it was written in last. How many
// records that are its neighbours tell, if no server began in between: it leaves out more numbers than fit
// the file.
static int seal_unopened(struct sealing *s, uint64_t end_seq, const struct predlog_manifest *m, struct err *e)
{
    struct stat st = {0};
    char name[WAL_NAME_SIZE];
    wal_name(s->wal, name);
    if (fstatat(s->wal_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        (void)!fstat(s->wal_fd, &st);
    uint64_t bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0, n = end_seq - s->wal;
    struct record gap = {.head = {.kind = RECORD_GAP,
                                  .sample_weight = 1,
                                  .log_seq = s->wal,
                                  .wall_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u},
                         .gap = {.reason = RECORD_GAP_DAMAGED,
                                 .n_records = n <= bytes / RECORD_HEAD_BYTES ? n : 0,
                                 .first_seq = s->wal,
                                 .last_seq = end_seq - 1,
                                 .bytes = bytes}};
    int rc = take_record(s, &gap, true, e);
    if (!rc)
        rc = publish_parts(s, m, e);
    drop_parts(s);
    return rc;
}

// Where the file ends: before the next one, which may be sealed already if this one was set aside and is
// back.
static uint64_t end_of(uint64_t first, uint64_t next, const struct predlog_manifest *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->entries[i].wal > first && m->entries[i].wal < next)
            next = m->entries[i].wal;
    return next;
}

static int remove_file(const struct sealing *s, bool is_open, struct err *e)
{
    char name[WAL_NAME_SIZE];
    if (!is_open)
        return wal_set_aside(s->wal_fd, s->wal, e);
    wal_name(s->wal, name);
    if (unlinkat(s->wal_fd, name, 0) < 0)
        return err_errno(e, errno, "remove '%s'", name);
    return file_sync(s->wal_fd, e);
}

static void note_aside(struct seal_done *d, uint64_t wal, const struct err *why)
{
    d->n_aside++;
    d->aside = wal;
    memcpy(d->aside_why, why->msg, sizeof d->aside_why);
}

static int seal_file(struct sealing *s, uint64_t first, uint64_t next, struct err *e)
{
    struct predlog_manifest m;
    struct err why;
    int fd = -1, rc = predlog_manifest_read(s->log_fd, &m, e);
    if (rc)
        return rc;
    s->wal = first;
    rc = wal_open_file(s->wal_fd, first, &fd, &why);
    if (rc)
        *e = why;
    else if (fd < 0)
        rc = seal_unopened(s, next, &m, e);
    else
        rc = seal_passes(s, fd, end_of(first, next, &m), &m, e);
    if (!rc && s->manifest.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory for the log's manifest");
    if (!rc && s->manifest.n)
        rc = predlog_manifest_append(s->log_fd, &m, buf_str(&s->manifest), e);
    if (!rc)
        rc = remove_file(s, fd >= 0, e);
    if (!rc && fd < 0)
        note_aside(s->result, first, &why);
    s->result->n_files += !rc && fd >= 0;
    if (fd >= 0)
        close(fd);
    buf_clear(&s->manifest);
    schemas_done(&s->schemas);
    for (size_t i = 0; i < s->n_done; i++)
        free((char *)(uintptr_t)s->done[i].p);
    s->n_done = 0;
    predlog_manifest_done(&m);
    return rc ? err_wrap(e, "seal '%020llu.wal'", (unsigned long long)first) : 0;
}

static int empty_folder(int fd, struct err *e)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return err_errno(e, errno, "read log/%s", TMP);
    for (struct dirent *one; (one = readdir(dir));)
        if (one->d_name[0] != '.')
            unlinkat(fd, one->d_name, 0);
    closedir(dir);
    return 0;
}

int predlog_seal(int wal_fd, int log_fd, uint64_t before_seq, struct seal_done *ret, struct err *e)
{
    struct sealing s = {.wal_fd = wal_fd, .log_fd = log_fd, .tmp_fd = -1, .result = ret};
    uint64_t *files = NULL;
    size_t n = 0;
    *ret = (struct seal_done){0};
    buf_init(&s.lines, LIMIT_LOG_LINE_BYTES);
    buf_init(&s.manifest, LIMIT_LOG_MANIFEST_BYTES);
    int rc = wal_list(wal_fd, &files, &n, e);
    if (!rc)
        rc = file_make_dir(log_fd, TMP, &s.tmp_fd, e);
    if (!rc)
        rc = empty_folder(s.tmp_fd, e);
    for (size_t i = 0; !rc && i < n && files[i] < before_seq; i++)
        rc = seal_file(&s, files[i], i + 1 < n ? files[i + 1] : before_seq, e);
    if (s.tmp_fd >= 0)
        close(s.tmp_fd);
    buf_done(&s.lines);
    buf_done(&s.manifest);
    free(s.done);
    free(files);
    return rc;
}

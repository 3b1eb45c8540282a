// SPDX-License-Identifier: Apache-2.0
// `slipway log`: the prediction log, from a server or from a data directory.
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/log_source.h"
#include "cli/log_text.h"
#include "cli/term.h"
#include "os/file.h"
#include "predlog/sheet.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAIL_LINES = 20, FOLLOW_MS = 250, OUT_BYTES = 64 << 10 };

// ---- tail and query

struct shown {
    bool json;
    struct buf out;
    uint64_t n;
};

static int show_line(void *ctx, struct str line, struct yyjson_val *root, struct err *e)
{
    struct shown *s = ctx;
    s->n++;
    if (s->json) {
        buf_put_str(&s->out, line);
        buf_putc(&s->out, '\n');
    } else {
        log_text_put(root, &s->out);
    }
    if (s->out.n < OUT_BYTES && !s->out.failed)
        return 0;
    int rc = term_write(&s->out, e);
    buf_clear(&s->out);
    return rc;
}

static int show(struct log_source *source, const struct predlog_query *q, bool is_last, struct shown *s,
                uint64_t *last_seq, struct err *e)
{
    int rc = log_source_lines(source, q, is_last, show_line, s, last_seq, e);
    if (!rc)
        rc = term_write(&s->out, e);
    buf_clear(&s->out);
    return rc;
}

static int follow(struct log_source *source, struct predlog_query *q, struct shown *s, uint64_t last_seq,
                  struct err *e)
{
    int rc = 0;
    q->limit = 0;
    while (!rc) {
        poll(NULL, 0, FOLLOW_MS);
        q->after_seq = last_seq;
        rc = show(source, q, false, s, &last_seq, e);
    }
    return rc;
}

static int run_lines(const struct args *a, struct log_source *source, struct predlog_query *q, bool is_tail,
                     struct err *e)
{
    struct shown s = {.json = args_has(a, "json")};
    uint64_t last_seq = q->after_seq;
    buf_init(&s.out, LIMIT_LOG_LINE_BYTES);
    if (is_tail && !q->limit)
        q->limit = TAIL_LINES;
    int rc = show(source, q, is_tail, &s, &last_seq, e);
    if (!rc && is_tail && args_has(a, "follow"))
        rc = follow(source, q, &s, last_seq, e);
    if (!rc && s.n == 0 && !s.json)
        fprintf(stderr, "No line of the log matches.\n");
    buf_done(&s.out);
    return rc;
}

// ---- export

// A file that appears under its name only when it is whole; "-": standard output.
struct target {
    const char *path;
    char partial[PATH_MAX];
    int fd;
};

static int target_open(struct target *t, const char *path, struct err *e)
{
    *t = (struct target){.path = path, .fd = STDOUT_FILENO};
    if (strcmp(path, "-") == 0)
        return 0;
    int n = snprintf(t->partial, sizeof t->partial, "%s.partial", path);
    if (n < 0 || (size_t)n >= sizeof t->partial)
        return err_set(e, ERR_INVALID, "the name of the file is too long");
    t->fd = open(t->partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return t->fd < 0 ? err_errno(e, errno, "make '%.200s'", t->partial) : 0;
}

static int target_close(struct target *t, bool good, struct err *e)
{
    int rc = 0;
    if (t->fd < 0 || !t->partial[0])
        return 0;
    if (good)
        rc = file_sync(t->fd, e);
    close(t->fd);
    if (good && !rc && rename(t->partial, t->path) < 0)
        rc = err_errno(e, errno, "rename to '%.200s'", t->path);
    if (!good || rc)
        unlink(t->partial);
    return rc;
}

// A file without a name, beside the target where it is one.
static int spool_open(const struct target *t, int *ret_fd, struct err *e)
{
    const char *slash = strrchr(t->partial, '/'), *base = getenv("TMPDIR");
    char path[PATH_MAX];
    if (t->partial[0])
        snprintf(path, sizeof path, "%.*s", slash ? (int)(slash - t->partial) + 1 : 1,
                 slash ? t->partial : ".");
    else
        snprintf(path, sizeof path, "%s", base && base[0] ? base : "/tmp");
    *ret_fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*ret_fd >= 0)
        return 0;
    strncat(path, "/.slipway-log-XXXXXX", sizeof path - strlen(path) - 1);
    *ret_fd = mkostemp(path, O_CLOEXEC);
    if (*ret_fd < 0)
        return err_errno(e, errno, "make a file to gather lines in");
    unlink(path);
    return 0;
}

struct exported {
    struct sheet *table; // NULL: lines as they are
    struct buf out;
    int fd;
    uint64_t n;
    struct progress bar;
};

static int export_line(void *ctx, struct str line, struct yyjson_val *root, struct err *e)
{
    struct exported *x = ctx;
    progress_at(&x->bar, ++x->n);
    if (x->table)
        return sheet_add(x->table, line, root, e);
    buf_put_str(&x->out, line);
    buf_putc(&x->out, '\n');
    if (x->out.failed)
        return err_set(e, ERR_NOMEM, "out of memory for a line");
    if (x->out.n < OUT_BYTES)
        return 0;
    int rc = file_write_all(x->fd, x->out.p, x->out.n, e);
    buf_clear(&x->out);
    return rc;
}

static int export_to(const struct args *a, struct log_source *source, const struct predlog_query *q,
                     const char *format, struct target *t, uint64_t *ret_n, struct err *e)
{
    struct exported x = {.fd = t->fd};
    int spool = -1, rc = 0;
    uint64_t last_seq = 0;
    (void)a;
    buf_init(&x.out, LIMIT_LOG_LINE_BYTES);
    if (strcmp(format, "jsonl") != 0)
        rc = spool_open(t, &spool, e);
    if (!rc && spool >= 0)
        rc = sheet_new(spool, &x.table, e);
    progress_start(&x.bar, "Exporting", "lines", 0);
    if (!rc)
        rc = log_source_lines(source, q, false, export_line, &x, &last_seq, e);
    progress_end(&x.bar);
    if (!rc && x.table)
        rc = sheet_write(x.table, strcmp(format, "csv") == 0 ? SHEET_CSV : SHEET_PARQUET, t->fd, e);
    else if (!rc && x.out.n)
        rc = file_write_all(t->fd, x.out.p, x.out.n, e);
    *ret_n = x.n;
    sheet_free(x.table);
    buf_done(&x.out);
    if (spool >= 0)
        close(spool);
    return rc;
}

static const char *format_of(const struct args *a, const char *path)
{
    const char *said = args_value(a, "format");
    struct str name = str_of(path);
    if (said)
        return said;
    return str_ends(name, STR(".parquet")) ? "parquet" : str_ends(name, STR(".csv")) ? "csv" : "jsonl";
}

static int run_export(const struct args *a, struct log_source *source, struct predlog_query *q, struct err *e)
{
    struct target t;
    uint64_t n = 0;
    const char *path = args_value(a, "output") ? args_value(a, "output") : "-";
    int rc = target_open(&t, path, e);
    if (!rc)
        rc = export_to(a, source, q, format_of(a, path), &t, &n, e);
    struct err why;
    int closed = target_close(&t, rc == 0, &why);
    if (!rc && closed)
        rc = err_set(e, closed, "%s", why.msg);
    if (!rc && strcmp(path, "-") != 0 && args_has(a, "json"))
        printf("{\"file\":\"%s\",\"rows\":%" PRIu64 "}\n", path, n);
    else if (!rc && strcmp(path, "-") != 0)
        printf("%" PRIu64 " %s of the log in %s\n", n, n == 1 ? "row" : "rows", path);
    return rc;
}

// ---- verify

struct faults {
    bool json;
    struct buf out;
};

static void on_fault(void *ctx, const char *file, const char *what)
{
    struct faults *f = ctx;
    if (f->json) {
        buf_puts(&f->out, f->out.n ? ",{\"file\":" : "{\"file\":");
        buf_put_json_str(&f->out, str_of(file));
        buf_puts(&f->out, ",\"what\":");
        buf_put_json_str(&f->out, str_of(what));
        buf_putc(&f->out, '}');
        return;
    }
    term_put_safe(str_of(file), &f->out);
    buf_puts(&f->out, ": ");
    term_put_safe(str_of(what), &f->out);
    buf_putc(&f->out, '\n');
}

static void put_sum(const struct predlog_verify *v, const struct faults *f, struct buf *out)
{
    if (f->json) {
        buf_printf(out,
                   "{\"sound\":%s,\"files\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
                   ",\"wal_files\":%" PRIu64 ",\"wal_records\":%" PRIu64
                   ",\"gaps\":%u,\"gap_records\":%" PRIu64 ",\"faults\":[" STR_FMT "]}\n",
                   v->n_faults ? "false" : "true", v->n_files, v->rows, v->bytes, v->n_wal_files,
                   v->wal_records, v->n_gaps, v->gap_records, STR_ARG(buf_str(&f->out)));
        return;
    }
    buf_put_str(out, buf_str(&f->out));
    term_put_count(v->rows, out);
    buf_puts(out, v->rows == 1 ? " row in " : " rows in ");
    term_put_count(v->n_files, out);
    buf_puts(out, v->n_files == 1 ? " sealed file of " : " sealed files of ");
    term_put_bytes(v->bytes, out);
    buf_puts(out, ", ");
    term_put_count(v->wal_records, out);
    buf_puts(out, v->wal_records == 1 ? " record not sealed yet" : " records not sealed yet");
    if (v->n_gaps) {
        buf_printf(out, "; the log tells of %u %s, ", v->n_gaps, v->n_gaps == 1 ? "gap" : "gaps");
        term_put_count(v->gap_records, out);
        buf_puts(out, " records as far as known");
    }
    buf_puts(out, v->n_faults ? "\n" : ". The log is sound.\n");
}

static int verify_offline(const struct args *a, const char *dir, struct err *e)
{
    struct faults f = {.json = args_has(a, "json")};
    struct predlog_verify sum;
    struct buf out;
    buf_init(&f.out, 64 << 20);
    buf_init(&out, 128 << 20);
    int rc = predlog_verify(dir, on_fault, &f, &sum, e);
    if (!rc) {
        put_sum(&sum, &f, &out);
        rc = term_write(&out, e);
    }
    if (!rc && sum.n_faults)
        rc = err_set(e, ERR_DIGEST, "the log is not sound: %u %s", sum.n_faults,
                     sum.n_faults == 1 ? "fault" : "faults");
    buf_done(&f.out);
    buf_done(&out);
    return rc;
}

// The server's answer is what verify --json writes for its data directory.
static int verify_online(const struct args *a, struct log_source *source, struct err *e)
{
    struct faults f = {.json = args_has(a, "json")};
    struct buf out;
    yyjson_doc *doc;
    yyjson_val *one, *list;
    size_t i, n;
    struct client_request q = {.method = "GET", .path = "/api/v1/log/verify"};
    int rc = client_json(&source->client, &q, &doc, e);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct predlog_verify sum = {
        .n_files = yyjson_get_uint(yyjson_obj_get(root, "files")),
        .rows = yyjson_get_uint(yyjson_obj_get(root, "rows")),
        .bytes = yyjson_get_uint(yyjson_obj_get(root, "bytes")),
        .n_wal_files = yyjson_get_uint(yyjson_obj_get(root, "wal_files")),
        .wal_records = yyjson_get_uint(yyjson_obj_get(root, "wal_records")),
        .n_gaps = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "gaps")),
        .gap_records = yyjson_get_uint(yyjson_obj_get(root, "gap_records")),
    };
    buf_init(&f.out, 64 << 20);
    buf_init(&out, 128 << 20);
    list = yyjson_obj_get(root, "faults");
    sum.n_faults = (uint32_t)yyjson_arr_size(list);
    yyjson_arr_foreach(list, i, n, one)
    {
        const char *file = yyjson_get_str(yyjson_obj_get(one, "file"));
        const char *what = yyjson_get_str(yyjson_obj_get(one, "what"));
        on_fault(&f, file ? file : "", what ? what : "");
    }
    put_sum(&sum, &f, &out);
    rc = term_write(&out, e);
    if (!rc && sum.n_faults)
        rc = err_set(e, ERR_DIGEST, "the log is not sound");
    buf_done(&f.out);
    buf_done(&out);
    yyjson_doc_free(doc);
    return rc;
}

// ---- the verb

static int log_run(const struct args *a)
{
    struct log_source source;
    struct predlog_query q;
    struct err e;
    const char *what = a->words[0];
    bool is_verify = strcmp(what, "verify") == 0, is_export = strcmp(what, "export") == 0;
    bool is_tail = strcmp(what, "tail") == 0;
    if (log_source_query(a, &q, &e) || log_source_open(&source, a, &e))
        return term_usage(&e);
    int rc = 0;
    if (is_verify)
        rc = source.data_dir ? verify_offline(a, source.data_dir, &e) : verify_online(a, &source, &e);
    else if (is_export)
        rc = run_export(a, &source, &q, &e);
    else
        rc = run_lines(a, &source, &q, is_tail, &e);
    log_source_close(&source);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

#define LINES "tail|query|export" // what looks for lines

const struct verb verb_log = {
    .name = "log",
    .summary = "Shows, searches, exports or verifies the prediction log.",
    .usage = "slipway log tail|query|export|verify [MODEL] [flags]",
    .examples = "slipway log tail churn --follow\n"
                "slipway log query churn --status 5xx --from 2026-11-22T10:00:00Z\n"
                "slipway log query --id 019aab3c-0f10-7b25-8abc-0123456789ab --json\n"
                "slipway log export churn --format parquet -o churn.parquet\n"
                "slipway log verify --data-dir /var/lib/slipway   # without a server, or beside it",
    .flags =
        (const struct flag[]){
            {.name = "version", .value = "N", .only = LINES, .help = "Lines of this version only."},
            {.name = "arm",
             .value = "ARM",
             .only = LINES,
             .help = "Lines of this arm only: stable, canary or a number."},
            {.name = "status",
             .value = "STATUS",
             .only = LINES,
             .help = "Lines answered so: 503, 5xx or 400-499."},
            {.name = "from",
             .value = "TIME",
             .only = LINES,
             .help = "Lines from then on: 2026-11-22 or 2026-11-22T10:49:29Z."},
            {.name = "to", .value = "TIME", .only = LINES, .help = "Lines before then."},
            {.name = "id", .value = "ID", .only = LINES, .help = "The lines of one prediction."},
            {.name = "after",
             .value = "SEQ",
             .only = LINES,
             .help = "Lines with a higher number in the log."},
            {.name = "limit",
             .value = "N",
             .only = LINES,
             .help = "At most so many lines; tail: the last ones (20).",
             .letter = 'n'},
            {.name = "gaps", .only = LINES, .help = "Also lines that tell what the log misses."},
            {.name = "follow", .only = "tail", .help = "Goes on with the lines to come.", .letter = 'f'},
            {.name = "format",
             .value = "FORMAT",
             .only = "export",
             .help = "By default what the file's name ends with, else jsonl.",
             .choices = "jsonl|csv|parquet"},
            {.name = "output",
             .value = "FILE",
             .only = "export",
             .help = "Writes this file instead of standard output.",
             .letter = 'o'},
            {.name = "data-dir", .value = "DIR", .help = "Reads this data directory instead of asking."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 2,
    .first_words = "tail|query|export|verify",
    .run = log_run,
};

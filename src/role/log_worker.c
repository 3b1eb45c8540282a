// SPDX-License-Identifier: Apache-2.0
// Each kind of work over the files of the prediction log.
#include "role/log_worker.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/file.h"
#include "predlog/query.h"
#include "predlog/seal.h"
#include "predlog/wal.h"
#include "wire/url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OUT_BYTES = 64 << 10, OUT_MAX = 16 << 20, IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_IDLE_AT = 3 << 13 };

// Everybody else first: processor and disk.
static void be_idle(void)
{
    (void)setpriority(PRIO_PROCESS, 0, 19);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE_AT);
}

// data_dir/NAME, made if it is missing.
static int open_folder(const char *data_dir, const char *outer, const char *inner, int *ret_fd, struct err *e)
{
    int data_fd, outer_fd, rc = file_make_dir_path(data_dir, &data_fd, e);
    if (rc)
        return rc;
    rc = file_make_dir(data_fd, outer, &outer_fd, e);
    close(data_fd);
    if (rc || !inner) {
        *ret_fd = outer_fd;
        return rc;
    }
    rc = file_make_dir(outer_fd, inner, ret_fd, e);
    close(outer_fd);
    return rc;
}

static int seal(char *const *args, struct err *e)
{
    struct log log = {STDERR_FILENO, LOG_LEVEL_INFO, "log", -1};
    struct seal_done sealed = {0};
    struct retain_done retained = {0};
    struct retain_rule rule;
    struct err why;
    uint64_t before;
    int wal_fd, log_fd, retain_rc = 0;
    if (!str_to_u64(str_of(args[1]), UINT64_MAX, &before) ||
        !str_to_u64(str_of(args[2]), UINT64_MAX, &rule.max_age_s) ||
        !str_to_u64(str_of(args[3]), UINT64_MAX, &rule.max_bytes))
        return err_set(e, ERR_INVALID, "wrong arguments");
    be_idle();
    int rc = open_folder(args[0], "state", "wal", &wal_fd, e);
    if (!rc)
        rc = open_folder(args[0], "log", NULL, &log_fd, e);
    bool is_open = !rc;
    if (is_open)
        rc = predlog_seal(wal_fd, log_fd, before, &sealed, e);
    if (is_open) // whatever became of that: on a full disk this makes room
        retain_rc = predlog_retain(log_fd, &rule, clock_wall_ns(), &retained, rc ? &why : e);
    rc = rc ? rc : retain_rc;
    if (sealed.n_files || sealed.n_aside || retained.n_files || retained.n_orphans)
        log_event(&log, LOG_LEVEL_INFO, "log_sealed", LOG_INT("files", sealed.n_files),
                  LOG_INT("parts", sealed.n_parts), LOG_INT("rows", sealed.rows),
                  LOG_INT("bytes", sealed.bytes), LOG_INT("gaps", sealed.n_gaps),
                  LOG_INT("removed_files", retained.n_files), LOG_INT("removed_bytes", retained.bytes),
                  LOG_INT("orphans", retained.n_orphans));
    if (sealed.n_aside)
        log_event(&log, LOG_LEVEL_ERROR, "log_file_set_aside", LOG_INT("files", sealed.n_aside),
                  LOG_INT("file", sealed.aside), LOG_Z("message", sealed.aside_why),
                  LOG_Z("hint", "Its records are told as a gap. Make it readable and take '" WAL_ASIDE
                                "' off its name in state/wal: then it is sealed as well."));
    if (retained.n_bad)
        log_event(&log, LOG_LEVEL_WARN, "log_manifest_damaged", LOG_INT("lines", retained.n_bad));
    if (rc)
        log_event(&log, LOG_LEVEL_ERROR, "log_not_sealed", LOG_Z("code", err_name(e->code)),
                  LOG_Z("message", e->msg));
    return rc;
}

static int flush(struct buf *out, struct err *e)
{
    int rc = out->failed ? err_set(e, ERR_TOO_LARGE, "a line is too long")
                         : file_write_all(LOG_WORKER_FD_OUT, out->p, out->n, e);
    buf_clear(out);
    return rc;
}

static int put_line(void *ctx, struct str line, struct yyjson_val *root, struct err *e)
{
    struct buf *out = ctx;
    (void)root;
    buf_put_str(out, line);
    buf_putc(out, '\n');
    return out->n >= OUT_BYTES ? flush(out, e) : 0;
}

// The parameters of a URL, each decoded into memory of its own that lives as long as the process.
static int read_query(struct str text, bool *is_last, struct predlog_query *ret, struct err *e)
{
    struct str key, value, rest = text;
    int rc = 0;
    *ret = (struct predlog_query){0};
    while (!rc && url_query_next(&rest, &key, &value)) {
        char *decoded = malloc(LIMIT_HTTP_TARGET_BYTES);
        if (!decoded)
            return err_set(e, ERR_NOMEM, "no memory");
        rc = url_query_get(text, key, decoded, LIMIT_HTTP_TARGET_BYTES, &value, e);
        if (rc < 0)
            return rc;
        *is_last = *is_last || str_eq(key, STR("last"));
        rc = predlog_query_set(ret, str_eq(key, STR("last")) ? STR("limit") : key, value, e);
    }
    return rc;
}

static int query(char *const *args, struct buf *out, struct err *e)
{
    struct predlog_query q;
    struct predlog_query_done done;
    bool is_last = false;
    int rc = read_query(str_of(args[1]), &is_last, &q, e);
    if (!rc)
        rc = is_last ? predlog_query_last(args[0], &q, put_line, out, &done, e)
                     : predlog_query(args[0], &q, put_line, out, &done, e);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static int find(char *const *args, struct buf *out, struct err *e)
{
    struct predlog_query_done done;
    uint8_t(*ids)[16] = calloc(LOG_WORKER_IDS_MAX, sizeof *ids);
    size_t n = 0;
    be_idle();
    int rc = ids ? file_read_at(LOG_WORKER_FD_IDS, ids, LOG_WORKER_IDS_MAX * sizeof *ids, 0, &n, e)
                 : err_set(e, ERR_NOMEM, "no memory");
    struct predlog_query q = {.ids = (const uint8_t(*)[16])ids, .n_ids = n / sizeof *ids};
    if (!rc && q.n_ids) {
        qsort(ids, q.n_ids, sizeof *ids, by_bytes);
        rc = predlog_query(args[0], &q, put_line, out, &done, e);
    }
    free(ids);
    return rc;
}

struct faults {
    struct buf *out;
    unsigned n;
};

static void put_fault(void *ctx, const char *file, const char *what)
{
    struct faults *f = ctx;
    buf_puts(f->out, f->n++ ? ",{\"file\":" : "{\"file\":");
    buf_put_json_str(f->out, str_of(file));
    buf_puts(f->out, ",\"what\":");
    buf_put_json_str(f->out, str_of(what));
    buf_putc(f->out, '}');
}

static int verify(char *const *args, struct buf *out, struct err *e)
{
    struct predlog_verify v;
    struct faults f = {out, 0};
    buf_puts(out, "{\"faults\":[");
    int rc = predlog_verify(args[0], put_fault, &f, &v, e);
    if (rc) {
        buf_clear(out);
        return rc;
    }
    buf_printf(
        out,
        "],\"files\":%llu,\"rows\":%llu,\"bytes\":%llu,\"wal_files\":%llu,\"wal_records\":%llu,\"gaps\":%u,"
        "\"gap_records\":%llu}\n",
        (unsigned long long)v.n_files, (unsigned long long)v.rows, (unsigned long long)v.bytes,
        (unsigned long long)v.n_wal_files, (unsigned long long)v.wal_records, v.n_gaps,
        (unsigned long long)v.gap_records);
    return 0;
}

static int show_manifest(char *const *args, struct buf *out, struct err *e)
{
    int log_fd, fd, rc = open_folder(args[0], "log", NULL, &log_fd, e);
    if (rc)
        return rc;
    fd = openat(log_fd, "MANIFEST.jsonl", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open the manifest of the prediction log");
    for (uint64_t at = 0;;) {
        size_t n;
        char *to = buf_reserve(out, OUT_BYTES);
        if (!to)
            return err_set(e, ERR_NOMEM, "no memory");
        rc = file_read_at(fd, to, OUT_BYTES, at, &n, e);
        if (rc || n == 0)
            return rc;
        buf_advance(out, n);
        at += n;
        if ((rc = flush(out, e)))
            return rc;
    }
}

static int to_out(int (*work)(char *const *args, struct buf *out, struct err *e), char *const *args,
                  struct err *e)
{
    struct buf out;
    struct err ignored;
    buf_init(&out, OUT_MAX);
    int rc = work(args, &out, e);
    if (rc) {
        buf_puts(&out, "{\"error\":");
        buf_put_json_str(&out, str_of(e->msg));
        buf_printf(&out, ",\"code\":\"%s\",\"status\":%d}\n", err_name(e->code), err_http_status(e->code));
    }
    rc = flush(&out, &ignored) || rc;
    buf_done(&out);
    return rc;
}

static const struct {
    const char *name;
    int n_args;
    int (*work)(char *const *args, struct buf *out, struct err *e); // NULL: seal
} KINDS[] = {{"seal", 4, NULL},
             {"query", 2, query},
             {"find", 1, find},
             {"verify", 1, verify},
             {"manifest", 1, show_manifest}};

int log_worker_main(int argc, char *const *argv)
{
    struct err e = {0};
    for (size_t i = 0; argc > 2 && i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(argv[2], KINDS[i].name) != 0 || argc != 3 + KINDS[i].n_args)
            continue;
        int rc = KINDS[i].work ? to_out(KINDS[i].work, argv + 3, &e) : seal(argv + 3, &e);
        return rc ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    return 2;
}

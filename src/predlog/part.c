// SPDX-License-Identifier: Apache-2.0
// Compression and digest go along with the lines; the name is known only at the end, as it has the numbers.
#include "predlog/part.h"

#include "base/assert.h"
#include "base/limits.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum {
    LEVEL = 3,
    OUT_BYTES = 128 << 10,
    LINES_BYTES = 64 << 10,
    SCHEMAS_BYTES = 64 << 20,
    NAME_BYTES = 512,
    WINDOW_LOG = 23
};

#define HOUR_NS (UINT64_C(3600) * 1000000000)

struct part {
    int tmp_fd, fd;
    char tmp_name[64], sha256[MANIFEST_SHA256_SIZE], name[NAME_BYTES];
    char model[LIMIT_MODEL_NAME_BYTES + 1];
    uint64_t hour; // since 1970
    struct predlog_entry entry;
    ZSTD_CCtx *zstd;
    EVP_MD_CTX *sha;
    struct buf lines;   // to be compressed, up to LINES_BYTES at once
    struct buf schemas; // "[{…},{…}"
    uint64_t *keys;     // of those
    size_t n_keys, cap_keys;
    char out[OUT_BYTES];
};

int part_new(int tmp_fd, struct str model, uint64_t wall_ns, uint64_t wal, struct part **ret, struct err *e)
{
    struct part *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "out of memory for a part of the log");
    ASSERT(model.n && model.n < sizeof p->model);
    memcpy(p->model, model.p, model.n);
    p->tmp_fd = tmp_fd;
    p->hour = wall_ns / HOUR_NS;
    p->entry = (struct predlog_entry){.model = str_of(p->model), .wal = wal};
    p->zstd = ZSTD_createCCtx();
    p->sha = EVP_MD_CTX_new();
    buf_init(&p->schemas, SCHEMAS_BYTES);
    buf_init(&p->lines, LINES_BYTES);
    snprintf(p->tmp_name, sizeof p->tmp_name, "%d-%" PRIu64 "-%p.part", (int)getpid(), wal, (void *)p);
    p->fd = openat(tmp_fd, p->tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    int rc = p->fd < 0 ? err_errno(e, errno, "make a part of the log") : 0;
    if (!rc && (!p->zstd || !p->sha || EVP_DigestInit_ex(p->sha, EVP_sha256(), NULL) != 1 ||
                ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
                ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1))))
        rc = err_set(e, ERR_NOMEM, "out of memory for a part of the log");
    if (rc) {
        part_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void part_free(struct part *p)
{
    if (!p)
        return;
    if (p->fd >= 0) {
        close(p->fd);
        unlinkat(p->tmp_fd, p->tmp_name, 0);
    }
    ZSTD_freeCCtx(p->zstd);
    EVP_MD_CTX_free(p->sha);
    buf_done(&p->schemas);
    buf_done(&p->lines);
    free(p->keys);
    free(p);
}

bool part_is(const struct part *p, struct str model, uint64_t wall_ns)
{
    return p->hour == wall_ns / HOUR_NS && str_eq(str_of(p->model), model);
}

static int compress(struct part *p, struct str bytes, ZSTD_EndDirective how, struct err *e)
{
    ZSTD_inBuffer in = {bytes.p, bytes.n, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {p->out, sizeof p->out, 0};
        left = ZSTD_compressStream2(p->zstd, &out, &in, how);
        if (ZSTD_isError(left))
            return err_set(e, ERR_INTERNAL, "compress the log: %s", ZSTD_getErrorName(left));
        if (EVP_DigestUpdate(p->sha, p->out, out.pos) != 1)
            return err_set(e, ERR_NOMEM, "out of memory for a digest");
        p->entry.bytes += out.pos;
        int rc = file_write_all(p->fd, p->out, out.pos, e);
        if (rc)
            return rc;
    } while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

static int compress_lines(struct part *p, ZSTD_EndDirective how, struct err *e)
{
    int rc = compress(p, buf_str(&p->lines), how, e);
    buf_clear(&p->lines);
    return rc;
}

static int add_schema(struct part *p, uint64_t key, struct str json, struct err *e)
{
    for (size_t i = 0; i < p->n_keys; i++)
        if (p->keys[i] == key)
            return 0;
    if (p->n_keys == p->cap_keys) {
        size_t cap = p->cap_keys ? 2 * p->cap_keys : 4;
        uint64_t *grown = realloc(p->keys, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory for a part of the log");
        p->keys = grown;
        p->cap_keys = cap;
    }
    p->keys[p->n_keys++] = key;
    buf_putc(&p->schemas, p->schemas.n ? ',' : '[');
    buf_put_str(&p->schemas, json);
    return p->schemas.failed ? err_set(e, ERR_TOO_LARGE, "too many schemas in an hour of the log") : 0;
}

int part_add(struct part *p, const struct record *r, struct str lines, uint32_t n_lines, uint64_t schema_key,
             struct str schema_json, struct err *e)
{
    struct predlog_entry *m = &p->entry;
    const struct record_head *h = &r->head;
    if (m->records == 0 || h->log_seq < m->first_seq)
        m->first_seq = h->log_seq;
    if (m->records == 0 || h->wall_ns < m->first_ns)
        m->first_ns = h->wall_ns;
    m->last_seq = h->log_seq > m->last_seq ? h->log_seq : m->last_seq;
    m->last_ns = h->wall_ns > m->last_ns ? h->wall_ns : m->last_ns;
    m->records++;
    m->rows += n_lines;
    int rc = schema_json.n ? add_schema(p, schema_key, schema_json, e) : 0;
    if (!rc && lines.n > LINES_BYTES - p->lines.n)
        rc = compress_lines(p, ZSTD_e_continue, e);
    if (rc || lines.n > LINES_BYTES)
        return rc ? rc : compress(p, lines, ZSTD_e_continue, e);
    buf_put_str(&p->lines, lines);
    return p->lines.failed ? err_set(e, ERR_NOMEM, "out of memory for a part of the log") : 0;
}

static void hex(const uint8_t *bytes, size_t n, char *ret)
{
    for (size_t i = 0; i < n; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

// Makes and opens log/model=M/date=D/hour=H, each made durable in its parent.
static int open_folder(struct part *p, int log_fd, int *ret_fd, struct err *e)
{
    char names[3][LIMIT_MODEL_NAME_BYTES + 16];
    time_t s = (time_t)(p->hour * 3600);
    struct tm tm;
    gmtime_r(&s, &tm);
    snprintf(names[0], sizeof names[0], "model=%s", p->model);
    strftime(names[1], sizeof names[1], "date=%Y-%m-%d", &tm);
    strftime(names[2], sizeof names[2], "hour=%H", &tm);
    snprintf(p->name, sizeof p->name, "%s/%s/%s/part-%020" PRIu64 "-%020" PRIu64 ".jsonl.zst", names[0],
             names[1], names[2], p->entry.first_seq, p->entry.last_seq);
    int rc = 0, at = log_fd;
    for (int i = 0; !rc && i < 3; i++) {
        int next;
        rc = file_make_dir(at, names[i], &next, e);
        if (at != log_fd)
            close(at);
        at = next;
    }
    *ret_fd = at;
    return rc;
}

int part_publish(struct part *p, int log_fd, struct predlog_entry *ret, struct err *e)
{
    uint8_t sha[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int folder;
    int rc = compress_lines(p, ZSTD_e_end, e);
    if (!rc && EVP_DigestFinal_ex(p->sha, sha, &n) != 1)
        rc = err_set(e, ERR_NOMEM, "out of memory for a digest");
    if (!rc)
        rc = file_sync(p->fd, e);
    if (!rc)
        rc = open_folder(p, log_fd, &folder, e);
    if (rc)
        return rc;
    rc = file_publish(p->tmp_fd, p->tmp_name, folder, strrchr(p->name, '/') + 1, e);
    close(folder);
    if (rc)
        return rc;
    close(p->fd);
    p->fd = -1;
    hex(sha, n, p->sha256);
    buf_puts(&p->schemas, p->schemas.n ? "]" : "[]");
    p->entry.file = str_of(p->name);
    p->entry.sha256 = (struct str){p->sha256, MANIFEST_SHA256_SIZE - 1};
    p->entry.schemas = buf_str(&p->schemas);
    *ret = p->entry;
    return p->schemas.failed ? err_set(e, ERR_NOMEM, "out of memory for a part of the log") : 0;
}

// ---- reading

struct reading {
    ZSTD_DCtx *zstd;
    struct buf line; // the beginning of one whose end is in the next piece
    char *in, *out;  // OUT_BYTES each
    bool at_frame_end;
};

static int hand_lines(struct reading *r, struct str text, int (*on_line)(void *, struct str, struct err *),
                      void *ctx, struct err *e)
{
    while (text.n) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        struct str line = {text.p, n};
        if (!end || r->line.n) {
            buf_put(&r->line, text.p, n);
            line = buf_str(&r->line);
        }
        if (r->line.failed)
            return err_set(e, ERR_TOO_LARGE, "a line of the log above %d bytes", (int)LIMIT_LOG_LINE_BYTES);
        int rc = end ? on_line(ctx, line, e) : 0;
        if (rc)
            return rc;
        if (end)
            buf_clear(&r->line);
        text.p += n + (end != NULL);
        text.n -= n + (end != NULL);
    }
    return 0;
}

static int read_pieces(struct reading *r, int fd, int (*on_line)(void *, struct str, struct err *), void *ctx,
                       struct err *e)
{
    uint64_t offset = 0;
    for (;;) {
        size_t n;
        int rc = file_read_at(fd, r->in, OUT_BYTES, offset, &n, e);
        if (rc)
            return rc;
        if (n == 0)
            break;
        offset += n;
        ZSTD_inBuffer in = {r->in, n, 0};
        bool more = true;
        while (in.pos < in.size || more) {
            ZSTD_outBuffer out = {r->out, OUT_BYTES, 0};
            size_t left = ZSTD_decompressStream(r->zstd, &out, &in);
            if (ZSTD_isError(left))
                return err_set(e, ERR_DIGEST, "not what was written: %s", ZSTD_getErrorName(left));
            r->at_frame_end = left == 0;
            rc = hand_lines(r, (struct str){r->out, out.pos}, on_line, ctx, e);
            if (rc)
                return rc;
            more = left != 0 && out.pos == out.size; // behind the end of a frame it would ask for the next
        }
    }
    return r->at_frame_end && r->line.n == 0 ? 0 : err_set(e, ERR_DIGEST, "the file ends too early");
}

int part_read(int fd, int (*on_line)(void *ctx, struct str line, struct err *e), void *ctx, struct err *e)
{
    struct reading r = {.zstd = ZSTD_createDCtx(), .in = malloc(OUT_BYTES), .out = malloc(OUT_BYTES)};
    int rc = r.zstd && r.in && r.out ? 0 : err_set(e, ERR_NOMEM, "out of memory to read the log");
    buf_init(&r.line, LIMIT_LOG_LINE_BYTES);
    if (!rc && ZSTD_isError(ZSTD_DCtx_setParameter(r.zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
        rc = err_set(e, ERR_INTERNAL, "the window of zstd could not be set");
    if (!rc)
        rc = read_pieces(&r, fd, on_line, ctx, e);
    ZSTD_freeDCtx(r.zstd);
    buf_done(&r.line);
    free(r.in);
    free(r.out);
    return rc;
}

int part_digest(int fd, char ret[MANIFEST_SHA256_SIZE], struct err *e)
{
    uint8_t sha[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    uint64_t offset = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    char *block = malloc(OUT_BYTES);
    int rc = ctx && block && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
                 ? 0
                 : err_set(e, ERR_NOMEM, "out of memory for a digest");
    for (size_t n = 1; !rc && n; offset += n) {
        rc = file_read_at(fd, block, OUT_BYTES, offset, &n, e);
        if (!rc && EVP_DigestUpdate(ctx, block, n) != 1)
            rc = err_set(e, ERR_NOMEM, "out of memory for a digest");
    }
    if (!rc && EVP_DigestFinal_ex(ctx, sha, &size) != 1)
        rc = err_set(e, ERR_NOMEM, "out of memory for a digest");
    if (!rc)
        hex(sha, size, ret);
    EVP_MD_CTX_free(ctx);
    free(block);
    return rc;
}

// SPDX-License-Identifier: Apache-2.0
// gzip by zlib and zstd by libzstd, both as streams into the growing output, so that the limit on what comes
// out holds whatever the input claims. Several members or frames in a row are one body, as their formats say.
#include "wire/coding.h"

#include "base/limits.h"

#define ZLIB_CONST // next_in is const
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { BLOCK_BYTES = 64 << 10 };

// Where the next piece of output goes, and how much of it.
struct piece {
    char *p;
    size_t n;
    char spill; // stands in for the output when it is full: one byte more is too much
};

struct sink {
    struct buf *out;
    size_t room; // bytes that may still come
};

static int sink_reserve(struct sink *s, struct piece *piece, struct err *e)
{
    size_t n = s->room < BLOCK_BYTES ? s->room : BLOCK_BYTES;
    *piece = (struct piece){.p = &piece->spill, .n = 1};
    if (n == 0)
        return 0;
    // What the buffer has left beyond n is used too: it doubles, so that large bodies need few calls.
    char *p = buf_reserve(s->out, n);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a decoded body");
    size_t left = s->out->cap - s->out->n;
    piece->p = p;
    piece->n = left < s->room ? left : s->room;
    return 0;
}

static int sink_commit(struct sink *s, const struct piece *piece, size_t n, struct err *e)
{
    if (n == 0)
        return 0;
    if (piece->p == &piece->spill)
        return err_set(e, ERR_TOO_LARGE, "the decoded body is over its limit");
    buf_advance(s->out, n);
    s->room -= n;
    return 0;
}

static int broken(const char *name, const char *what, struct err *e)
{
    return err_set(e, ERR_BAD_HTTP, "%s body is %s", name, what);
}

static int gunzip(z_stream *z, struct sink *s, struct err *e)
{
    for (;;) {
        struct piece piece;
        int rc = sink_reserve(s, &piece, e);
        if (rc)
            return rc;
        z->next_out = (Bytef *)piece.p;
        z->avail_out = (uInt)(piece.n < UINT32_MAX ? piece.n : UINT32_MAX);
        uInt before = z->avail_out;
        int state = inflate(z, Z_NO_FLUSH);
        rc = sink_commit(s, &piece, before - z->avail_out, e);
        if (rc)
            return rc;
        if (state == Z_STREAM_END) {
            if (z->avail_in == 0)
                return 0;
            if (inflateReset(z) != Z_OK)
                return broken("gzip", "broken", e);
        } else if (state == Z_MEM_ERROR) {
            return err_set(e, ERR_NOMEM, "no memory to decode a gzip body");
        } else if (state == Z_BUF_ERROR || (state == Z_OK && z->avail_in == 0 && z->avail_out)) {
            return broken("gzip", "incomplete", e);
        } else if (state != Z_OK) {
            return broken("gzip", "broken or followed by other bytes", e);
        }
    }
}

static int gzip_decode(struct str body, struct sink *s, struct err *e)
{
    z_stream z = {.next_in = (const Bytef *)body.p, .avail_in = (uInt)body.n};
    if (body.n > UINT32_MAX)
        return err_set(e, ERR_TOO_LARGE, "gzip body over 4 GiB");
    if (inflateInit2(&z, 15 + 16) != Z_OK) // 15: the format's largest window, 32 KiB; 16: gzip only
        return err_set(e, ERR_NOMEM, "no memory to decode a gzip body");
    int rc = gunzip(&z, s, e);
    inflateEnd(&z);
    return rc;
}

static int zstd_error(size_t result, struct err *e)
{
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
        return err_set(e, ERR_NOMEM, "no memory to decode a zstd body");
    case ZSTD_error_frameParameter_windowTooLarge:
        return err_set(e, ERR_TOO_LARGE, "zstd body with a window over 2^%d bytes", LIMIT_ZSTD_WINDOW_LOG);
    default:
        return err_set(e, ERR_BAD_HTTP, "zstd body is broken or followed by other bytes: %s",
                       ZSTD_getErrorName(result));
    }
}

static int unzstd(ZSTD_DCtx *d, struct str body, struct sink *s, struct err *e)
{
    ZSTD_inBuffer in = {body.p, body.n, 0};
    for (;;) {
        struct piece piece;
        int rc = sink_reserve(s, &piece, e);
        if (rc)
            return rc;
        ZSTD_outBuffer to = {piece.p, piece.n, 0};
        size_t left = ZSTD_decompressStream(d, &to, &in);
        rc = sink_commit(s, &piece, to.pos, e);
        if (rc)
            return rc;
        if (ZSTD_isError(left))
            return zstd_error(left, e);
        if (left == 0 && in.pos == in.size) // a frame ends where the body ends
            return 0;
        if (in.pos == in.size && to.pos < to.size)
            return broken("zstd", "incomplete", e);
    }
}

static int zstd_decode(struct str body, struct sink *s, struct err *e)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory to decode a zstd body");
    int rc;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, LIMIT_ZSTD_WINDOW_LOG)))
        rc = err_set(e, ERR_INTERNAL, "zstd refuses a window of 2^%d bytes", LIMIT_ZSTD_WINDOW_LOG);
    else
        rc = unzstd(d, body, s, e);
    ZSTD_freeDCtx(d);
    return rc;
}

int coding_decode(enum http_coding coding, struct str body, size_t max_bytes, struct buf *out, struct err *e)
{
    size_t room = out->max - out->n;
    struct sink s = {out, max_bytes < room ? max_bytes : room};
    if (coding == HTTP_CODING_UNKNOWN)
        return err_set(e, ERR_MEDIA_TYPE, "Content-Encoding other than gzip, zstd and identity");
    if (coding == HTTP_CODING_NONE) {
        if (body.n > s.room)
            return err_set(e, ERR_TOO_LARGE, "the body is over its limit of %zu bytes", s.room);
        buf_put_str(out, body);
        return out->failed ? err_set(e, ERR_NOMEM, "no memory for a body") : 0;
    }
    if (body.n == 0)
        return broken(coding == HTTP_CODING_GZIP ? "gzip" : "zstd", "empty", e);
    return coding == HTTP_CODING_GZIP ? gzip_decode(body, &s, e) : zstd_decode(body, &s, e);
}

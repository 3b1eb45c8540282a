// SPDX-License-Identifier: Apache-2.0
// Compressed bodies: the input decoded as it is, where the limit must hold exactly; and the input compressed
// and decoded again, which must give it back. The first byte chooses the coding.
#include "fuzz.h"

#include "wire/coding.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { MAX_BYTES = 1 << 20 };

static void as_it_is(enum http_coding c, struct str body)
{
    struct buf out;
    struct err e;
    buf_init(&out, MAX_BYTES);
    int rc = coding_decode(c, body, MAX_BYTES, &out, &e);
    EXPECT(out.n <= MAX_BYTES && rc <= 0);
    if (rc == 0 && out.n) {
        size_t n = out.n;
        buf_clear(&out);
        EXPECT(coding_decode(c, body, n, &out, &e) == 0 && out.n == n);
        buf_clear(&out);
        EXPECT(coding_decode(c, body, n - 1, &out, &e) == ERR_TOO_LARGE);
    }
    buf_done(&out);
}

static void there_and_back(enum http_coding c, struct str body)
{
    size_t cap = ZSTD_compressBound(body.n) + compressBound(body.n) + 64, n;
    char *packed = malloc(cap);
    if (c == HTTP_CODING_ZSTD) {
        n = ZSTD_compress(packed, cap, body.p, body.n, 1);
        EXPECT(!ZSTD_isError(n));
    } else {
        z_stream z = {.next_in = (Bytef *)(uintptr_t)body.p,
                      .avail_in = (uInt)body.n,
                      .next_out = (Bytef *)packed,
                      .avail_out = (uInt)cap};
        EXPECT(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
        EXPECT(deflate(&z, Z_FINISH) == Z_STREAM_END);
        n = cap - z.avail_out;
        deflateEnd(&z);
    }
    struct buf out;
    struct err e;
    buf_init(&out, MAX_BYTES);
    EXPECT(coding_decode(c, (struct str){packed, n}, body.n, &out, &e) == 0);
    EXPECT(str_eq(buf_str(&out), body));
    buf_done(&out);
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > MAX_BYTES)
        return 0;
    enum http_coding c = data[0] & 1 ? HTTP_CODING_ZSTD : HTTP_CODING_GZIP;
    struct str body = {(const char *)data + 1, n - 1};
    as_it_is(c, body);
    there_and_back(c, body);
    return 0;
}

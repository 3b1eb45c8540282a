// SPDX-License-Identifier: Apache-2.0
#include "wire/coding.h"

#include "unit.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { TEXT_BYTES = 300000, PACKED_BYTES = 400000 };

static char text[TEXT_BYTES], packed[PACKED_BYTES];
static struct buf out;
static struct err e;

static size_t gzip(const char *p, size_t n, char *to, size_t cap)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)p,
                  .avail_in = (uInt)n,
                  .next_out = (Bytef *)to,
                  .avail_out = (uInt)cap};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return cap - z.avail_out;
}

static size_t zstd(const char *p, size_t n, char *to, size_t cap)
{
    size_t got = ZSTD_compress(to, cap, p, n, 3);
    ck_assert(!ZSTD_isError(got));
    return got;
}

static size_t pack(enum http_coding c, const char *p, size_t n, char *to, size_t cap)
{
    return c == HTTP_CODING_GZIP ? gzip(p, n, to, cap) : zstd(p, n, to, cap);
}

static int decode(enum http_coding c, size_t n, size_t max_bytes)
{
    buf_clear(&out);
    // An exact copy, so that a sanitizer sees a read past the end.
    char *exact = malloc(n ? n : 1);
    memcpy(exact, packed, n);
    int rc = coding_decode(c, (struct str){exact, n}, max_bytes, &out, &e);
    free(exact);
    return rc;
}

static void fill(void)
{
    buf_init(&out, 10 * TEXT_BYTES);
    uint32_t x = 1; // compresses to about half
    for (size_t i = 0; i < TEXT_BYTES; i++)
        text[i] = (char)('0' + ((x = x * 1664525 + 1013904223) >> 28));
}

static const enum http_coding both[] = {HTTP_CODING_GZIP, HTTP_CODING_ZSTD};

START_TEST(bodies_of_all_sizes_come_back)
{
    fill();
    const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 131072, TEXT_BYTES};
    for (int c = 0; c < 2; c++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = pack(both[c], text, sizes[i], packed, sizeof packed);
            ck_assert_int_eq(decode(both[c], n, TEXT_BYTES), 0);
            ck_assert_uint_eq(out.n, sizes[i]);
            ck_assert(sizes[i] == 0 || memcmp(out.p, text, sizes[i]) == 0);
        }
    buf_done(&out);
}
END_TEST

START_TEST(members_and_frames_are_joined)
{
    fill();
    for (int c = 0; c < 2; c++) {
        size_t n = pack(both[c], text, 70000, packed, sizeof packed);
        n += pack(both[c], text, 0, packed + n, sizeof packed - n);
        n += pack(both[c], text + 70000, 5, packed + n, sizeof packed - n);
        ck_assert_int_eq(decode(both[c], n, TEXT_BYTES), 0);
        ck_assert_uint_eq(out.n, 70005);
        ck_assert_mem_eq(out.p, text, 70005);
    }
    buf_done(&out);
}
END_TEST

START_TEST(output_is_appended)
{
    fill();
    for (int c = 0; c < 2; c++) {
        buf_clear(&out);
        buf_puts(&out, "before ");
        size_t n = pack(both[c], "after", 5, packed, sizeof packed);
        ck_assert_int_eq(coding_decode(both[c], (struct str){packed, n}, 5, &out, &e), 0);
        ck_assert(str_eq(buf_str(&out), STR("before after")));
    }
    buf_done(&out);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    fill();
    for (int c = 0; c < 2; c++) {
        size_t n = pack(both[c], text, 1000, packed, sizeof packed);
        for (size_t cut = 0; cut < n; cut++)
            ck_assert_int_eq(decode(both[c], cut, TEXT_BYTES), ERR_BAD_HTTP);
    }
    buf_done(&out);
}
END_TEST

START_TEST(trailing_bytes_are_refused)
{
    fill();
    for (int c = 0; c < 2; c++) {
        size_t n = pack(both[c], text, 1000, packed, sizeof packed);
        packed[n] = 0;
        ck_assert_int_eq(decode(both[c], n + 1, TEXT_BYTES), ERR_BAD_HTTP);
        memcpy(packed + n, "garbage!", 8);
        ck_assert_int_eq(decode(both[c], n + 8, TEXT_BYTES), ERR_BAD_HTTP);
    }
    buf_done(&out);
}
END_TEST

START_TEST(a_flipped_byte_of_content_is_noticed)
{
    fill();
    size_t n = gzip(text, 1000, packed, sizeof packed);
    packed[n - 8] = (char)(packed[n - 8] ^ 1); // the checksum
    ck_assert_int_eq(decode(HTTP_CODING_GZIP, n, TEXT_BYTES), ERR_BAD_HTTP);
    buf_done(&out);
}
END_TEST

START_TEST(limit_is_exact)
{
    fill();
    for (int c = 0; c < 2; c++) {
        size_t n = pack(both[c], text, 200000, packed, sizeof packed);
        ck_assert_int_eq(decode(both[c], n, 200000), 0);
        ck_assert_int_eq(decode(both[c], n, 199999), ERR_TOO_LARGE);
        ck_assert_int_eq(decode(both[c], n, 0), ERR_TOO_LARGE);
        struct buf small;
        buf_init(&small, 199999);
        ck_assert_int_eq(coding_decode(both[c], (struct str){packed, n}, SIZE_MAX, &small, &e),
                         ERR_TOO_LARGE);
        buf_done(&small);
    }
    buf_done(&out);
}
END_TEST

START_TEST(a_bomb_stops_at_the_limit)
{
    enum { ZEROS = 64 << 20 };
    fill();
    char *zeros = calloc(1, ZEROS);
    for (int c = 0; c < 2; c++) {
        size_t n = pack(both[c], zeros, ZEROS, packed, sizeof packed);
        ck_assert_int_eq(decode(both[c], n, 1 << 20), ERR_TOO_LARGE);
        ck_assert_uint_le(out.cap, 4 << 20);
    }
    free(zeros);
    buf_done(&out);
}
END_TEST

START_TEST(zstd_window_is_limited)
{
    enum { ZEROS = 20 << 20 };
    char *zeros = calloc(1, ZEROS);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    for (int log = LIMIT_ZSTD_WINDOW_LOG; log <= LIMIT_ZSTD_WINDOW_LOG + 1; log++) {
        // With room for the whole frame zstd needs no window and checks none: so begin with none each time.
        buf_init(&out, 2 * ZEROS);
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
        size_t n = ZSTD_compress2(c, packed, sizeof packed, zeros, ZEROS);
        ck_assert(!ZSTD_isError(n));
        ck_assert_int_eq(decode(HTTP_CODING_ZSTD, n, SIZE_MAX),
                         log > LIMIT_ZSTD_WINDOW_LOG ? ERR_TOO_LARGE : 0);
        buf_done(&out);
    }
    ZSTD_freeCCtx(c);
    free(zeros);
}
END_TEST

START_TEST(other_codings)
{
    buf_init(&out, 100);
    memcpy(packed, "plain", 5);
    ck_assert_int_eq(decode(HTTP_CODING_NONE, 5, 5), 0);
    ck_assert(str_eq(buf_str(&out), STR("plain")));
    ck_assert_int_eq(decode(HTTP_CODING_NONE, 5, 4), ERR_TOO_LARGE);
    ck_assert_int_eq(decode(HTTP_CODING_UNKNOWN, 5, 5), ERR_MEDIA_TYPE);
    ck_assert_int_eq(decode(HTTP_CODING_GZIP, 5, 5), ERR_BAD_HTTP);
    ck_assert_int_eq(decode(HTTP_CODING_ZSTD, 5, 5), ERR_BAD_HTTP);
    buf_done(&out);
}
END_TEST

UNIT_MAIN("wire/coding", bodies_of_all_sizes_come_back, members_and_frames_are_joined, output_is_appended,
          every_truncation_is_refused, trailing_bytes_are_refused, a_flipped_byte_of_content_is_noticed,
          limit_is_exact, a_bomb_stops_at_the_limit, zstd_window_is_limited, other_codings)

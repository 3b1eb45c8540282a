// SPDX-License-Identifier: Apache-2.0
// Responses out of a stream of bytes, in every way it can be cut.
#include "cli/reader.h"

#include "unit.h"

#include <string.h>

static const char STREAM[] =
    "HTTP/1.1 100 Continue\r\n\r\n"
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSlipway-Model-Version: 3\r\n\r\nhello"
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    "HTTP/1.1 204 No Content\r\n\r\n"
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end";

static struct err e;

START_TEST(responses_come_out_whole_however_they_are_cut)
{
    for (size_t piece = 1; piece < sizeof STREAM; piece++) {
        struct reader r;
        struct reply reply;
        int n = 0;
        reader_init(&r);
        for (size_t at = 0; at < sizeof STREAM - 1;) {
            size_t take = sizeof STREAM - 1 - at < piece ? sizeof STREAM - 1 - at : piece;
            buf_put(&r.in, STREAM + at, take);
            at += take;
            int rc;
            while ((rc = reader_take(&r, at == sizeof STREAM - 1, false, &reply, &e)) == 1) {
                static const struct {
                    int status;
                    const char *body, *version;
                } WANT[] = {{200, "hello", "3"}, {404, "abcde", ""}, {204, "", ""}, {200, "to the end", ""}};
                ck_assert_int_lt(n, 4);
                ck_assert_int_eq(reply.status, WANT[n].status);
                ck_assert(str_eq(reply.body, str_of(WANT[n].body)));
                ck_assert_str_eq(reply.model_version, WANT[n].version);
                if (++n == 4)
                    break;
            }
            ck_assert_msg(rc >= 0, "piece %zu: %s", piece, e.msg);
        }
        ck_assert_int_eq(n, 4);
        ck_assert(!reply.keep_alive);
        reader_done(&r);
    }
}
END_TEST

static int read_all(const char *text, bool no_body)
{
    struct reader r;
    struct reply reply;
    reader_init(&r);
    buf_puts(&r.in, text);
    int rc = reader_take(&r, true, no_body, &reply, &e);
    reader_done(&r);
    return rc;
}

START_TEST(broken_and_cut_off_answers_are_errors)
{
    ck_assert_int_eq(read_all("", false), ERR_UNAVAILABLE);
    ck_assert_int_eq(read_all("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false), ERR_UNAVAILABLE);
    ck_assert_int_eq(read_all("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", false),
                     ERR_UNAVAILABLE);
    ck_assert_int_eq(read_all("SSH-2.0-x\r\n\r\n", false), ERR_BAD_HTTP);
    ck_assert_int_eq(read_all("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false),
                     ERR_BAD_HTTP);
    ck_assert_int_eq(read_all("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true), 1);
}
END_TEST

UNIT_MAIN("cli/reader", responses_come_out_whole_however_they_are_cut, broken_and_cut_off_answers_are_errors)

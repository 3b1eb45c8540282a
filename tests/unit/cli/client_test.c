// SPDX-License-Identifier: Apache-2.0
// URLs of servers, paths, and errors made of refusing answers. Talking to a server is tested by the flows.
#include "cli/client.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

static struct client to;
static struct err e;

START_TEST(urls_are_cut_into_host_and_port)
{
    ck_assert_int_eq(client_init_url(&to, "http://10.0.0.5:8080/", 1000, &e), 0);
    ck_assert_str_eq(to.url, "http://10.0.0.5:8080");
    ck_assert_str_eq(to.host, "10.0.0.5");
    ck_assert_str_eq(to.port, "8080");
    ck_assert_int_eq(client_init_url(&to, "http://models.example", 1000, &e), 0);
    ck_assert_str_eq(to.port, "80");
    ck_assert_int_eq(client_init_url(&to, "http://[::1]:81", 1000, &e), 0);
    ck_assert_str_eq(to.host, "::1");
    ck_assert_str_eq(to.port, "81");
}
END_TEST

START_TEST(other_urls_are_refused)
{
    static const char *const BAD[] = {
        "",          "localhost:8080", "https://x",   "http://",    "http://x:99999",
        "http://x:", "http://x/v1",    "http://[::1", "http://:80", "ftp://x"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(client_init_url(&to, BAD[i], 1000, &e) == ERR_INVALID, "%s", BAD[i]);
}
END_TEST

START_TEST(path_segments_are_encoded)
{
    struct buf b;
    buf_init(&b, 256);
    ck_assert_str_eq(client_path(&b, "/v1/models/", "a/b c%é", ":predict", NULL),
                     "/v1/models/a%2Fb%20c%25%C3%A9:predict");
    buf_done(&b);
}
END_TEST

START_TEST(refusals_keep_what_the_server_said)
{
    struct reply r = {.status = 404,
                      .body = STR("{\"error\":\"no model 'x'\",\"code\":\"unknown_model\",\"path\":\"$.a\","
                                  "\"hint\":\"Did you mean 'y'?\"}")};
    ck_assert_int_eq(client_refusal(&r, &e), ERR_UNKNOWN_MODEL);
    ck_assert_str_eq(e.msg, "no model 'x'");
    ck_assert_str_eq(e.path, "$.a");
    ck_assert_str_eq(e.hint, "Did you mean 'y'?");
    r = (struct reply){.status = 403, .body = STR("<html>")};
    ck_assert_int_eq(client_refusal(&r, &e), ERR_REFUSED);
    ck_assert_str_eq(e.msg, "the server answered 403 Forbidden");
    r = (struct reply){.status = 500};
    ck_assert_int_eq(client_refusal(&r, &e), ERR_INTERNAL);
}
END_TEST

START_TEST(a_missing_server_is_told_with_what_to_do)
{
    ck_assert_int_eq(client_init_url(&to, "http://127.0.0.1:8080", 1000, &e), 0);
    ck_assert_int_eq(client_unreachable(&to, ECONNREFUSED, &e), ERR_UNAVAILABLE);
    ck_assert_str_eq(e.msg, "Nothing answers at http://127.0.0.1:8080.");
    ck_assert_msg(strstr(e.hint, "slipway serve"), "%s", e.hint);
}
END_TEST

UNIT_MAIN("cli/client", urls_are_cut_into_host_and_port, other_urls_are_refused, path_segments_are_encoded,
          refusals_keep_what_the_server_said, a_missing_server_is_told_with_what_to_do)

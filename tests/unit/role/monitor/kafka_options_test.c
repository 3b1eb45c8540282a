// SPDX-License-Identifier: Apache-2.0
// Options of librdkafka, out of a setting and out of a file.
#include "role/monitor/kafka_options.h"

#include "unit.h"

#include <string.h>

static struct str rest;
static struct kafka_option option;
static struct err e;

static void begin(const char *text)
{
    rest = str_of(text);
    option.line = 0;
}

static void expect(bool is_file, const char *name, const char *value)
{
    ck_assert_int_eq(kafka_options_next(&rest, is_file, &option, &e), 1);
    ck_assert(str_eq(option.name, str_of(name)));
    ck_assert(str_eq(option.value, str_of(value)));
}

START_TEST(a_setting_has_them_between_spaces)
{
    begin(" compression.type=zstd  linger.ms=50 debug=broker,topic x= ");
    expect(false, "compression.type", "zstd");
    expect(false, "linger.ms", "50");
    expect(false, "debug", "broker,topic");
    expect(false, "x", "");
    ck_assert_int_eq(kafka_options_next(&rest, false, &option, &e), 0);
    begin("");
    ck_assert_int_eq(kafka_options_next(&rest, false, &option, &e), 0);
}
END_TEST

START_TEST(a_file_has_them_in_lines_with_comments)
{
    begin("# who we are\r\n\n sasl.username = slipway\r\nsasl.password= a b=c \n#end");
    expect(true, "sasl.username", "slipway");
    ck_assert_uint_eq(option.line, 3);
    expect(true, "sasl.password", "a b=c");
    ck_assert_int_eq(kafka_options_next(&rest, true, &option, &e), 0);
}
END_TEST

START_TEST(secrets_are_taken_from_a_file_only)
{
    static const char *const SECRETS[] = {"sasl.password=hunter2", "ssl.key.password=hunter2",
                                          "ssl.key.pem=hunter2", "sasl.oauthbearer.client.secret=hunter2",
                                          "sasl.oauthbearer.config=hunter2"};
    for (size_t i = 0; i < sizeof SECRETS / sizeof SECRETS[0]; i++) {
        begin(SECRETS[i]);
        ck_assert_int_eq(kafka_options_next(&rest, false, &option, &e), ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(e.msg, "log_kafka_options_file"));
        ck_assert_ptr_null(strstr(e.msg, "hunter2"));
        begin(SECRETS[i]);
        ck_assert_int_eq(kafka_options_next(&rest, true, &option, &e), 1);
    }
}
END_TEST

START_TEST(what_is_none_is_refused_without_being_repeated)
{
    static const char *const WRONG[] = {"hunter2", "=hunter2", "\t=hunter2"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        begin(WRONG[i]);
        ck_assert_int_eq(kafka_options_next(&rest, true, &option, &e), ERR_INVALID);
        ck_assert_ptr_null(strstr(e.msg, "hunter2"));
        ck_assert_ptr_nonnull(strstr(e.msg, "line 1"));
        begin(WRONG[i]);
        ck_assert_int_eq(kafka_options_next(&rest, false, &option, &e), ERR_INVALID);
        ck_assert_ptr_null(strstr(e.msg, "hunter2"));
    }
}
END_TEST

UNIT_MAIN("role/monitor/kafka_options", a_setting_has_them_between_spaces,
          a_file_has_them_in_lines_with_comments, secrets_are_taken_from_a_file_only,
          what_is_none_is_refused_without_being_repeated)

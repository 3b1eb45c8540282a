// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include "unit.h"

#include <math.h>
#include <string.h>

static int holds(const struct buf *b, const char *z)
{
    return str_eq(buf_str(b), str_of(z));
}

START_TEST(appends_grow_and_keep_order)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    ck_assert(!b.failed);
    ck_assert(str_starts(buf_str(&b), STR("0,1,2,")));
    ck_assert(str_ends(buf_str(&b), STR("998,999,")));
    buf_done(&b);
}
END_TEST

// Whatever room there is left in memory that grows: none, too little, just enough.
START_TEST(formats_are_whole_whatever_room_there_is)
{
    char text[700];
    memset(text, 'x', sizeof text);
    for (size_t n = 0; n < 600; n++) {
        struct buf b;
        buf_init(&b, 1000);
        buf_put(&b, text, n);
        buf_printf(&b, "%d-%s.", 12345, "end");
        buf_printf(&b, "%s", "");
        ck_assert(!b.failed && b.n == n + 10);
        ck_assert(str_ends(buf_str(&b), STR("12345-end.")));
        ck_assert_int_eq(memcmp(b.p, text, n), 0);
        b.failed = true;
        buf_printf(&b, "%d", 1);
        ck_assert_uint_eq(b.n, n + 10);
        buf_done(&b);
    }
}
END_TEST

START_TEST(failure_past_the_maximum_sticks)
{
    struct buf b;
    buf_init(&b, 4);
    buf_puts(&b, "abcd");
    ck_assert(!b.failed);
    buf_putc(&b, 'e');
    ck_assert(b.failed);
    buf_clear(&b);
    buf_puts(&b, "x");
    ck_assert(!b.failed && holds(&b, "x"));
    buf_done(&b);
}
END_TEST

START_TEST(json_strings_are_escaped_and_valid_utf8)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_put_json_str(&b, STR("a\"b\\c\n\xc3\xa9\xff\xed\xa0\x80"));
    ck_assert(holds(&b, "\"a\\\"b\\\\c\\u000a\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
    buf_clear(&b);
    buf_put_json_str(&b, STR("\x7f plain ~\"\"text\x1f"));
    buf_put_json_str(&b, STR(""));
    ck_assert(holds(&b, "\"\\u007f plain ~\\\"\\\"text\\u001f\"\"\""));
    buf_done(&b);
}
END_TEST

START_TEST(numbers_and_consume)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_put_u64(&b, 0);
    buf_put_u64(&b, 18446744073709551615u);
    ck_assert(holds(&b, "018446744073709551615"));
    buf_consume(&b, 19);
    ck_assert(holds(&b, "15"));
    buf_consume(&b, 2);
    ck_assert_uint_eq(b.n, 0);
    buf_done(&b);
}
END_TEST

START_TEST(json_has_no_numbers_that_are_not_finite)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_put_json_number(&b, "a", 0.1);
    buf_put_json_number(&b, "b", HUGE_VAL);
    buf_put_json_number(&b, "c", -HUGE_VAL);
    buf_put_json_number(&b, "d", nan(""));
    buf_put_json_numbers(&b, "e", (const double[]){1, -0.5, 1e300}, 3);
    buf_put_json_numbers(&b, "f", NULL, 0);
    ck_assert(holds(&b, ",\"a\":0.1,\"b\":null,\"c\":null,\"d\":null,\"e\":[1.0,-0.5,1e+300],\"f\":[]"));
    buf_done(&b);
}
END_TEST

UNIT_MAIN("base/buf", appends_grow_and_keep_order, formats_are_whole_whatever_room_there_is,
          failure_past_the_maximum_sticks, json_strings_are_escaped_and_valid_utf8, numbers_and_consume,
          json_has_no_numbers_that_are_not_finite)

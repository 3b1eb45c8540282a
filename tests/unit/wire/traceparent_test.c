// SPDX-License-Identifier: Apache-2.0
#include "wire/traceparent.h"

#include "unit.h"

#include <string.h>

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

START_TEST(one_as_specified_is_read)
{
    static const uint8_t trace[16] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                                      0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
    static const uint8_t parent[8] = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
    struct traceparent t;
    ck_assert(traceparent_read(STR("00-" TRACE "-" PARENT "-01"), &t));
    ck_assert_mem_eq(t.trace, trace, 16);
    ck_assert_mem_eq(t.parent, parent, 8);
    ck_assert(t.is_sampled);
    ck_assert(traceparent_read(STR("00-" TRACE "-" PARENT "-00"), &t) && !t.is_sampled);
    ck_assert(traceparent_read(STR("00-" TRACE "-" PARENT "-fe"), &t) && !t.is_sampled);
    ck_assert(traceparent_read(STR("cc-" TRACE "-" PARENT "-03"), &t) && t.is_sampled);
    ck_assert(traceparent_read(STR("cc-" TRACE "-" PARENT "-01-what.comes"), &t) && t.is_sampled);
}
END_TEST

START_TEST(anything_else_is_none)
{
    static const char *const WRONG[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01 ",
        "01-" TRACE "-" PARENT "-01.",
        "ff-" TRACE "-" PARENT "-01",
        "0g-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0x",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-0" PARENT "-01",
    };
    struct traceparent t;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        ck_assert_msg(!traceparent_read(str_of(WRONG[i]), &t), "%s", WRONG[i]);
}
END_TEST

UNIT_MAIN("wire/traceparent", one_as_specified_is_read, anything_else_is_none)

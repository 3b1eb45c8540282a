// SPDX-License-Identifier: Apache-2.0
// What is printed: counts, sizes, tables, and no control characters of somebody else's.
#include "cli/term.h"

#include "unit.h"

static char text[512];
static struct buf b;

static const char *printed(void)
{
    size_t n = b.n < sizeof text - 1 ? b.n : sizeof text - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = b.p[i];
    text[n] = '\0';
    buf_done(&b);
    buf_init(&b, 4096);
    return text;
}

START_TEST(amounts_are_readable)
{
    buf_init(&b, 4096);
    term_put_count(1234567, &b);
    ck_assert_str_eq(printed(), "1,234,567");
    term_put_count(999, &b);
    ck_assert_str_eq(printed(), "999");
    term_put_bytes(1023, &b);
    ck_assert_str_eq(printed(), "1023 B");
    term_put_bytes(1536 << 10, &b);
    ck_assert_str_eq(printed(), "1.5 MiB");
}
END_TEST

START_TEST(control_characters_do_not_reach_the_terminal)
{
    buf_init(&b, 4096);
    term_put_safe(STR("a\033[2J\n\xc2\x9b"
                      "é"),
                  &b);
    ck_assert_str_eq(printed(), "a\\x1b[2J\\x0a\\xc2\\x9bé");
}
END_TEST

START_TEST(tables_are_aligned)
{
    static const char *const CELLS[] = {"MODEL", "N", "é", "1", NULL, "22", "long name", NULL};
    buf_init(&b, 4096);
    term_put_table(CELLS, 4, 2, &b);
    ck_assert_str_eq(printed(), "  MODEL      N\n  é          1\n             22\n  long name\n");
}
END_TEST

UNIT_MAIN("cli/term", amounts_are_readable, control_characters_do_not_reach_the_terminal, tables_are_aligned)

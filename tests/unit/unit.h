// SPDX-License-Identifier: Apache-2.0
// What every unit test program needs: Check, and one macro for its main.
#pragma once

#include <check.h>
#include <stdlib.h>

// Check notes every assertion that holds in a file, which in a loop takes longer than what is tested. Without
// it a crash is told without the last line before it.
#define _mark_point(file, line) ((void)0)

enum { UNIT_SECONDS = 240 }; // for one test; others may use the machine, and sanitizers make it slow

// UNIT_MAIN("base/buf", test_a, test_b): runs the listed START_TEST functions, each in its own process.
#define UNIT_MAIN(suite_name, ...)                                                                           \
    int main(void)                                                                                           \
    {                                                                                                        \
        const TTest *tests[] = {__VA_ARGS__};                                                                \
        Suite *s = suite_create(suite_name);                                                                 \
        TCase *c = tcase_create("all");                                                                      \
        tcase_set_timeout(c, UNIT_SECONDS);                                                                  \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)                                          \
            tcase_add_test(c, tests[i]);                                                                     \
        suite_add_tcase(s, c);                                                                               \
        SRunner *r = srunner_create(s);                                                                      \
        srunner_run_all(r, CK_NORMAL);                                                                       \
        int failed = srunner_ntests_failed(r);                                                               \
        srunner_free(r);                                                                                     \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                         \
    }

// SPDX-License-Identifier: Apache-2.0
// What every unit test program needs: Check, and one macro for its main.
#pragma once

#include <check.h>
#include <stdlib.h>

// UNIT_MAIN("base/buf", test_a, test_b): runs the listed START_TEST functions, each in its own process.
#define UNIT_MAIN(suite_name, ...)                                                                           \
    int main(void)                                                                                           \
    {                                                                                                        \
        const TTest *tests[] = {__VA_ARGS__};                                                                \
        Suite *s = suite_create(suite_name);                                                                 \
        TCase *c = tcase_create("all");                                                                      \
        tcase_set_timeout(c, 60);                                                                            \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)                                          \
            tcase_add_test(c, tests[i]);                                                                     \
        suite_add_tcase(s, c);                                                                               \
        SRunner *r = srunner_create(s);                                                                      \
        srunner_run_all(r, CK_NORMAL);                                                                       \
        int failed = srunner_ntests_failed(r);                                                               \
        srunner_free(r);                                                                                     \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                         \
    }

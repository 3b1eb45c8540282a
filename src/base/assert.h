// SPDX-License-Identifier: Apache-2.0
// Assertions that stay on in release: for bugs of ours, never for input.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define BASE_STR2(x) #x
#define BASE_STR(x)  BASE_STR2(x)
#define ASSERT(cond)                                                                                         \
    (__builtin_expect(!(cond), 0)                                                                            \
         ? assert_fail("slipway: assertion failed: " #cond " (" __FILE__ ":" BASE_STR(__LINE__) ")\n")       \
         : (void)0)

// Writes the line to stderr and aborts.
_Noreturn void assert_fail(const char *line);

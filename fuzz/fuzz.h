// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: an expectation that says which one broke.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define EXPECT(cond)                                                                                         \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "%s:%d: expected: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

// SPDX-License-Identifier: Apache-2.0
// The limit that an exact sum of leaves cannot pass for one row: ns per dependent float addition on this
// processor.
#include "base/clock.h"

#include <stdio.h>

enum { ADDS = 100000000 };

int main(void)
{
    volatile float step_in = 1e-9f;
    float sum = 0, step = step_in;
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < ADDS; i++) {
        sum += step;
        __asm__ volatile("" : "+x"(sum)); // each addition waits for the one before
    }
    volatile float sink = sum;
    (void)sink;
    printf("%.3f\n", (double)(clock_mono_ns() - start) / ADDS);
    return 0;
}

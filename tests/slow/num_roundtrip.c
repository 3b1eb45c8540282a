// SPDX-License-Identifier: Apache-2.0
// Writes and reads back many numbers: 10 million random floats and as many doubles, or with the argument
// `all-floats` every one of the 2^32 floats (minutes). Exits 1 if one does not come back bit for bit.
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_bits(uint64_t *state) // SplitMix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool float_comes_back(uint32_t bits)
{
    float f, back;
    memcpy(&f, &bits, sizeof f);
    if (!isfinite(f))
        return true;
    char text[NUM_TEXT_MAX];
    double d;
    size_t used, n = num_write_float(f, text);
    if (!num_parse_double(text, n, &d, &used) || used != n)
        return false;
    back = (float)d;
    return memcmp(&back, &f, sizeof f) == 0;
}

static bool double_comes_back(uint64_t bits)
{
    double d, back;
    memcpy(&d, &bits, sizeof d);
    if (!isfinite(d))
        return true;
    char text[NUM_TEXT_MAX];
    size_t used, n = num_write_double(d, text);
    return num_parse_double(text, n, &back, &used) && used == n && memcmp(&back, &d, sizeof d) == 0;
}

int main(int argc, char **argv)
{
    uint64_t state = 4, wrong = 0, n = 10000000;
    bool all = argc > 1 && strcmp(argv[1], "all-floats") == 0;
    for (uint64_t i = 0; all && i <= UINT32_MAX; i++)
        wrong += !float_comes_back((uint32_t)i);
    for (uint64_t i = 0; !all && i < n; i++)
        wrong += !float_comes_back((uint32_t)random_bits(&state)) + !double_comes_back(random_bits(&state));
    printf("%s: %llu did not come back\n", all ? "all 2^32 floats" : "10 million floats and doubles",
           (unsigned long long)wrong);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

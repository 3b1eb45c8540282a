// SPDX-License-Identifier: Apache-2.0
// us that yyjson takes to parse one of the bodies in a file (one a line), the least of several rounds.
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { LINES_MAX = 256, ROUNDS = 20 };

int main(int argc, char **argv)
{
    static char *lines[LINES_MAX];
    size_t sizes[LINES_MAX], n = 0, cap = 0;
    FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!f)
        return EXIT_FAILURE;
    for (ssize_t got; n < LINES_MAX && (got = getline(&lines[n], &cap, f)) > 0; cap = 0)
        sizes[n++] = (size_t)got;
    double best = 1e18;
    for (int round = 0; round < ROUNDS && n; round++) {
        uint64_t start = clock_mono_ns();
        for (size_t i = 0; i < n; i++)
            yyjson_doc_free(yyjson_read(lines[i], sizes[i], 0));
        double us = (double)(clock_mono_ns() - start) / 1e3 / (double)n;
        best = us < best ? us : best;
    }
    printf("%.1f\n", best);
    fclose(f);
    return 0;
}

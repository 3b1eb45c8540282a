// SPDX-License-Identifier: Apache-2.0
// Optimal string alignment distance, in half steps so that a difference in case costs less than another
// letter.
#include "base/near.h"

#include <ctype.h>
#include <stdio.h>

enum { NAME_MAX_BYTES = 64, STEP = 2 };

static int min2(int a, int b)
{
    return a < b ? a : b;
}

static int replace_cost(char a, char b)
{
    return a == b ? 0 : tolower((unsigned char)a) == tolower((unsigned char)b) ? STEP / 2 : STEP;
}

static int distance(struct str a, struct str b)
{
    int rows[3][NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = (int)j * STEP;
    for (size_t i = 1; i <= a.n; i++) {
        int *now = rows[i % 3], *last = rows[(i - 1) % 3];
        const int *before = rows[(i + 1) % 3];
        now[0] = (int)i * STEP;
        for (size_t j = 1; j <= b.n; j++) {
            int d =
                min2(last[j - 1] + replace_cost(a.p[i - 1], b.p[j - 1]), min2(last[j], now[j - 1]) + STEP);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                d = min2(d, before[j - 2] + STEP);
            now[j] = d;
        }
    }
    return rows[a.n % 3][b.n];
}

int near_find(struct str name, const struct str *candidates, size_t n)
{
    int best = -1, best_distance = 0;
    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct str c = candidates[i];
        if (c.n == 0 || c.n > NAME_MAX_BYTES)
            continue;
        int d = distance(name, c), longer = (int)(c.n > name.n ? c.n : name.n);
        if (d * 5 <= longer * STEP * 2 && (best < 0 || d < best_distance)) { // at most two letters in five
            best = (int)i;
            best_distance = d;
        }
    }
    return best;
}

void near_list(const struct str *names, size_t n, char *ret, size_t size)
{
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (used + names[i].n + 8 > size) {
            snprintf(ret + used, size - used, ", ...");
            return;
        }
        used += (size_t)snprintf(ret + used, size - used, "%s" STR_FMT, used ? ", " : "", STR_ARG(names[i]));
    }
}

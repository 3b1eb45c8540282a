// SPDX-License-Identifier: Apache-2.0
// Shared by xgboost_json_fuzz.c and xgboost_ubj_fuzz.c.
#include "xgboost_fuzz.h"

#include <math.h>

static void compute(const struct forest *f)
{
    static const float EXTREME[] = {NAN,    INFINITY, -INFINITY, 0.0f,        -0.0f,
                                    1e-45f, 3.4e38f,  -3.4e38f,  -0.5f,       -1.0f,
                                    31.0f,  32.0f,    33.0f,     16777215.0f, 16777216.0f};
    enum { N = sizeof EXTREME / sizeof *EXTREME };
    float *row = calloc(f->sig.n_features, sizeof *row), *margins = calloc(f->n_groups, sizeof *margins);
    float *out = calloc(f->sig.n_outputs, sizeof *out);
    EXPECT(row && margins && out);
    for (unsigned round = 0; round < 2 * N; round++) {
        for (uint32_t i = 0; i < f->sig.n_features; i++)
            row[i] = EXTREME[round < N ? round : (round * 7 + i * 5) % N];
        forest_reference_margin(f, row, margins);
        forest_transform(f, margins, out);
    }
    free(row);
    free(margins);
    free(out);
}

void xgboost_fuzz(const uint8_t *data, size_t n, xgboost_parse *parse)
{
    static struct arena a;
    struct err e = {0};
    struct forest f;
    if (!a.base)
        EXPECT(arena_init(&a, (size_t)256 << 20, &e) == 0);
    arena_reset(&a, 1 << 20);
    int rc = parse(data, n, &a, &f, &e);
    if (rc == 0) {
        compute(&f);
        return;
    }
    EXPECT(rc == e.code && e.msg[0]);
    EXPECT(rc == ERR_BAD_MODEL || rc == ERR_UNSUPPORTED_MODEL || rc == ERR_TOO_LARGE || rc == ERR_NOMEM);
}

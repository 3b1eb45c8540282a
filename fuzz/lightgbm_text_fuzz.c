// SPDX-License-Identifier: Apache-2.0
// Any bytes as a LightGBM text model: refused with a reason, or sound enough to compute any row. A refusal
// must be one of the codes that the parser promises.
#include "engine/trees/forest.h"
#include "engine/trees/formats.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void row_fill(double *row, uint32_t n, unsigned round, uint64_t *state)
{
    static const double EXTREME[] = {(double)NAN,   HUGE_VAL,      -HUGE_VAL, 0.0,  -0.0, 1e-36,
                                     1e308,         -5e-324,       -0.5,      -1.0, 33.0, 2147483647.0,
                                     2147483648.0,  1e18,          16777216,  31.0, 32.0, 63.0,
                                     -2147483649.0, -2147483648.0, 0.5};
    enum { N = sizeof EXTREME / sizeof *EXTREME };
    for (uint32_t i = 0; i < n; i++) {
        if (round < N)
            row[i] = EXTREME[round];
        else if (round < 2 * N)
            row[i] = EXTREME[random_next(state) % N];
        else // any bits: subnormals, all kinds of NaN
            memcpy(&row[i], &(uint64_t){random_next(state)}, sizeof row[i]);
    }
}

static void compute(const struct forest *f)
{
    double *row = calloc(f->sig.n_features, sizeof *row);
    double *margins = calloc(f->n_groups, sizeof *margins), *out = calloc(f->sig.n_outputs, sizeof *out);
    EXPECT(row && margins && out);
    uint64_t state = 88172645463325252u;
    for (unsigned round = 0; round < 48; round++) {
        row_fill(row, f->sig.n_features, round, &state);
        forest_reference_margin(f, row, margins);
        forest_transform(f, margins, out);
    }
    free(row);
    free(margins);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct arena a;
    struct err e = {0};
    struct forest f;
    if (!a.base)
        EXPECT(arena_init(&a, (size_t)256 << 20, &e) == 0);
    arena_reset(&a, 1 << 20);
    (void)lightgbm_text_detect(data, n);
    int rc = lightgbm_text_parse(data, n, &a, &f, &e);
    if (rc == 0) {
        compute(&f);
        return 0;
    }
    EXPECT(rc == e.code && e.msg[0]);
    EXPECT(rc == ERR_BAD_MODEL || rc == ERR_UNSUPPORTED_MODEL || rc == ERR_TOO_LARGE || rc == ERR_NOMEM);
    return 0;
}

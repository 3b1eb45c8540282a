// SPDX-License-Identifier: Apache-2.0
// Zeros, the largest, lowest and smallest numbers, infinities and missing values, all inputs at once.
#include "admission/extremes.h"

#include "admission/together.h"
#include "base/clock.h"
#include "tensor/signature.h"

#include <stdio.h>
#include <string.h>

static const uint64_t BUDGET_NS = 5000000000;

// Tree models are never asked with infinities, and with missing values only where they have a rule for them.
static bool prepare(const struct subject *s, enum extreme to, struct examples *x)
{
    const struct signature *sig = s->signature;
    if (sig && (to == EXTREME_INFINITE || to == EXTREME_MINUS_INFINITE))
        return false;
    if (!examples_set(x, to))
        return false;
    size_t size = sig ? dtype_size(sig->input_dtype) : 0;
    for (uint32_t k = 0; sig && to == EXTREME_MISSING && k < sig->n_features; k++)
        for (uint32_t i = 0; !sig->features[k].may_be_missing && i < x->n_rows; i++)
            memset(x->memory[0].p + ((size_t)i * sig->n_features + k) * size, 0, size);
    return true;
}

struct tally {
    char not_finite[160], refused[160]; // names of extremes
    unsigned n;
};

static void add_name(char *to, size_t size, enum extreme x)
{
    size_t n = strlen(to);
    snprintf(to + n, size - n, "%s%s", n ? ", " : "", extreme_name(x));
}

static void try_extreme(struct subject *s, const struct examples *rows, enum extreme to, struct tally *t)
{
    struct examples x;
    struct err ignored;
    if (examples_take(rows, 0, s->has_rows ? 1 : rows->n_rows, &x, &ignored))
        return;
    if (prepare(s, to, &x)) {
        t->n++;
        if (subject_run(s, &x, &ignored))
            add_name(t->refused, sizeof t->refused, to);
        else if (together_not_finite(s) >= 0)
            add_name(t->not_finite, sizeof t->not_finite, to);
    }
    examples_done(&x);
}

void extremes_run(struct admission *a, struct subject *s, const struct examples *rows)
{
    struct tally t = {0};
    admission_begin(a, ADMISSION_EXTREMES);
    uint64_t end = clock_mono_ns() + BUDGET_NS;
    for (int k = 0; k < EXTREMES && clock_mono_ns() < end; k++)
        try_extreme(s, rows, (enum extreme)k, &t);
    if (t.n == 0) {
        admission_end(a, ADMISSION_EXTREMES, ADMISSION_SKIPPED,
                      "no input holds numbers with a point, or texts");
        return;
    }
    admission_end(a, ADMISSION_EXTREMES, t.not_finite[0] ? ADMISSION_WARNED : ADMISSION_PASSED,
                  "%u kinds of extreme inputs%s%s%s%s", t.n,
                  t.not_finite[0] ? "; an output is not finite (null in an answer) for " : "", t.not_finite,
                  t.refused[0] ? "; refused: " : "", t.refused);
}

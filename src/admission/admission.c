// SPDX-License-Identifier: Apache-2.0
// The steps that compute: golden, batch, stability, extremes, warm-up. How long it takes is measured in
// profile.c.
#include "admission/admission.h"

#include "admission/extremes.h"
#include "admission/profile.h"
#include "admission/together.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    CHUNK_ROWS = 1024,   // golden rows that are computed together
    MADE_UP_ROWS = 64,   // where there are no golden ones
    MADE_UP_TENSORS = 7, // the same of a model of tensors, whose rows may be large
    WARM_UP_RUNS = 10,
};
static const uint64_t ALONE_NS = 5000000000, // for golden rows one by one
    WARM_UP_NS = 200000000;

void admission_begin(struct admission *a, const char *step)
{
    a->started_ns = clock_mono_ns();
    if (a->on_begin)
        a->on_begin(a->ctx, step);
}

void admission_end(struct admission *a, const char *step, enum admission_result result, const char *fmt, ...)
{
    struct admission_step *s = &a->report.steps[a->report.n_steps];
    va_list ap;
    if (a->report.n_steps == ADMISSION_STEPS_MAX)
        return;
    a->report.n_steps++;
    *s = (struct admission_step){
        .name = step, .result = result, .ms = (double)(clock_mono_ns() - a->started_ns) / 1e6};
    va_start(ap, fmt);
    vsnprintf(s->detail, sizeof s->detail, fmt, ap);
    va_end(ap);
    if (a->on_step)
        a->on_step(a->ctx, s);
}

// The step failed: why is what the client is told.
static int fail(struct admission *a, const char *step, const struct err *why)
{
    a->why = *why;
    admission_end(a, step, ADMISSION_FAILED, "%s", why->msg);
    return 0;
}

static int run(struct admission *a, struct subject *s, const struct examples *x, struct err *e)
{
    uint64_t began = clock_mono_ns();
    int rc = subject_run(s, x, e);
    if (a->n_runs++ == 0)
        a->first_run_ns = clock_mono_ns() - began;
    return rc;
}

// ---- golden

struct check {
    struct admission *a;
    struct subject *s;
    const struct golden *g;
    struct together together;
    struct golden_worst worst;
    uint32_t n_alone, differs; // rows tried alone; the first one that is another among others, or UINT32_MAX
    uint64_t alone_end_ns;
};

// A row alone; *ret_ok is false when the model refused it, which e then says.
static int hold_alone(struct check *c, const struct examples *chunk, uint32_t first, uint32_t i,
                      struct err *e)
{
    struct examples one;
    int rc = examples_take(chunk, i, 1, &one, e);
    if (rc)
        return rc;
    rc = run(c->a, c->s, &one, e);
    if (!rc)
        rc = golden_hold(c->g, c->s, first + i, 1, &c->worst, e);
    if (!rc && c->differs == UINT32_MAX && !together_has_row(&c->together, c->s, i))
        c->differs = first + i;
    c->n_alone += rc == 0;
    examples_done(&one);
    return rc;
}

static int hold_chunk(struct check *c, uint32_t first, uint32_t n, struct err *e)
{
    struct examples chunk;
    int rc = examples_take(golden_inputs(c->g), first, n, &chunk, e);
    if (rc)
        return rc;
    rc = run(c->a, c->s, &chunk, e);
    if (!rc)
        rc = golden_hold(c->g, c->s, first, n, &c->worst, e);
    if (!rc)
        rc = together_keep(&c->together, c->s, n, e);
    for (uint32_t i = 0; !rc && i < n && clock_mono_ns() < c->alone_end_ns; i++)
        rc = hold_alone(c, &chunk, first, i, e);
    examples_done(&chunk);
    return rc;
}

static int hold_all(struct check *c, struct err *e)
{
    uint32_t n = golden_n_rows(c->g);
    int rc = 0;
    if (n == 0) { // inputs and outputs are a whole
        rc = run(c->a, c->s, golden_inputs(c->g), e);
        return rc ? rc : golden_hold(c->g, c->s, 0, 0, &c->worst, e);
    }
    for (uint32_t first = 0; !rc && first < n; first += CHUNK_ROWS)
        rc = hold_chunk(c, first, n - first < CHUNK_ROWS ? n - first : CHUNK_ROWS, e);
    return rc;
}

static int beyond(const struct golden_worst *w, struct err *e)
{
    char difference[40] = "", allowed[96] = "";
    double most = w->excess > 0 && w->difference > 0 ? w->difference / w->excess : 0;
    if (w->difference < 1e300)
        snprintf(difference, sizeof difference, ", %.3g off", w->difference);
    snprintf(allowed, sizeof allowed, ", %.3g is allowed", most == most ? most : 0);
    err_set(e, ERR_REJECTED, "golden row %u, output '%s': expected %s, got %s%s%s", w->row, w->output,
            w->expected, w->got, difference, w->difference < 1e300 ? allowed : "");
    err_at(e, "$.outputs[%u]", w->row);
    err_hint(
        e,
        "Either the model is another than the golden rows were made with, or their tolerance is too tight.");
    return ERR_REJECTED;
}

// The sentence about golden rows that hold.
static void say_golden(struct check *c)
{
    const struct golden_worst *w = &c->worst;
    uint32_t n = golden_n_rows(c->g);
    char how[80] = "as a whole", worst[240] = "";
    if (n)
        snprintf(how, sizeof how,
                 c->n_alone == n ? "%u rows, alone and together" : "%u rows together, %u alone", n,
                 c->n_alone);
    if (w->is_known && w->difference > 0)
        snprintf(worst, sizeof worst, "; furthest off by %.3g, row %u, %s", w->difference, w->row, w->output);
    else if (w->is_known)
        snprintf(worst, sizeof worst, "; every value as expected");
    admission_end(c->a, ADMISSION_GOLDEN, ADMISSION_PASSED, "%s%s", how, worst);
}

static int bad_file(struct err *e)
{
    if (!e->hint[0])
        err_hint(e, "The file is {\"inputs\": rows, \"outputs\": rows, \"tolerance\": number}%s.",
                 e->path[0] ? "; the path is one of its" : "");
    return err_wrap(e, "golden rows");
}

// 1: go on. Errors of a file that cannot be read are the caller's.
static int step_golden(struct check *c, struct str text, struct golden **ret, struct err *e)
{
    struct admission *a = c->a;
    struct err why = {0};
    admission_begin(a, ADMISSION_GOLDEN);
    if (!text.p) {
        admission_end(a, ADMISSION_GOLDEN, ADMISSION_SKIPPED, "no golden rows were given (--golden FILE)");
        return 1;
    }
    int rc = golden_open(text, c->s, ret, e);
    if (rc)
        return bad_file(e);
    c->g = *ret;
    c->alone_end_ns = clock_mono_ns() + ALONE_NS;
    rc = hold_all(c, &why);
    a->report.has_golden = true;
    a->report.golden_rows = golden_n_rows(c->g);
    a->report.worst = c->worst;
    a->report.batched_equal = c->differs == UINT32_MAX;
    if (rc == ERR_NOMEM || why.path[0]) { // what is expected has not the shape of what the model gives
        *e = why;
        return bad_file(e);
    }
    if (rc)
        (void)err_wrap(&why, "the model refuses the golden rows");
    else if (c->worst.is_beyond)
        rc = beyond(&c->worst, &why);
    if (rc) {
        why.code = ERR_REJECTED;
        return fail(a, ADMISSION_GOLDEN, &why);
    }
    say_golden(c);
    return 1;
}

// ---- batch

// Whether each way to compute gives the bits of the first run; *ret_n ways.
static const char *other_way(struct subject *s, const struct together *t, const struct examples *x,
                             uint32_t *ret_n)
{
    const char *name;
    for (*ret_n = 0; (name = subject_run_by(s, *ret_n, x)) != NULL; ++*ret_n)
        if (!together_is(t, s))
            return name;
    return NULL;
}

// Made-up or golden rows, together, alone and in every way that there is.
static int compare_rows(struct check *c, const struct examples *x, struct err *e)
{
    int rc = run(c->a, c->s, x, e);
    if (!rc)
        rc = together_keep(&c->together, c->s, x->n_rows, e);
    for (uint32_t i = 0; !rc && !c->g && i < x->n_rows && c->differs == UINT32_MAX; i++) {
        struct examples one;
        rc = examples_take(x, i, 1, &one, e);
        if (rc)
            break;
        rc = run(c->a, c->s, &one, e);
        if (!rc && !together_has_row(&c->together, c->s, i))
            c->differs = i;
        examples_done(&one);
    }
    return rc;
}

static int differs(struct check *c, const char *kernel, struct err *e)
{
    if (kernel)
        err_set(e, ERR_REJECTED, "the kernel '%s' computes other bits than the chosen one", kernel);
    else
        err_set(e, ERR_REJECTED, "row %u alone has other outputs than among others", c->differs);
    err_hint(e, "That is a fault of this build: please report it with the model file.");
    return ERR_REJECTED;
}

// 1: go on.
static int step_batch(struct check *c, const struct examples *x)
{
    struct admission *a = c->a;
    struct err why = {0};
    uint32_t n_ways = 0;
    admission_begin(a, ADMISSION_BATCH);
    if (!c->s->has_rows) {
        admission_end(a, ADMISSION_BATCH, ADMISSION_SKIPPED,
                      "rows depend on each other or are not known; requests are never put together");
        return 1;
    }
    int rc = compare_rows(c, x, &why);
    const char *kernel = rc ? NULL : other_way(c->s, &c->together, x, &n_ways);
    if (rc)
        admission_end(a, ADMISSION_BATCH, ADMISSION_WARNED, "the model refuses made-up rows: %.200s",
                      why.msg);
    else if (kernel || (c->s->is_exact && c->differs != UINT32_MAX)) {
        (void)differs(c, kernel, &why);
        return fail(a, ADMISSION_BATCH, &why);
    } else if (c->differs != UINT32_MAX) {
        c->s->has_rows = false;
        admission_end(a, ADMISSION_BATCH, ADMISSION_WARNED,
                      "row %u among others has other outputs than alone; requests are never put together",
                      c->differs);
    } else if (n_ways)
        admission_end(a, ADMISSION_BATCH, ADMISSION_PASSED,
                      "%u rows alone, together and by each of %u kernels: the same bits", x->n_rows, n_ways);
    else
        admission_end(a, ADMISSION_BATCH, ADMISSION_PASSED, "%u rows alone and together: %s", x->n_rows,
                      c->together.worst > 0 ? "the same but for rounding" : "the same bits");
    return 1;
}

// ---- stability

static int step_stability(struct check *c, const struct examples *x)
{
    struct admission *a = c->a;
    struct err why = {0};
    admission_begin(a, ADMISSION_STABILITY);
    int rc = run(a, c->s, x, &why);
    if (!rc)
        rc = together_keep(&c->together, c->s, x->n_rows, &why);
    if (!rc)
        rc = run(a, c->s, x, &why);
    if (rc) {
        admission_end(a, ADMISSION_STABILITY, ADMISSION_WARNED, "the model refuses made-up rows: %.200s",
                      why.msg);
        return 1;
    }
    if (together_is(&c->together, c->s)) {
        admission_end(a, ADMISSION_STABILITY, ADMISSION_PASSED, "the same input twice: the same bits");
        return 1;
    }
    err_set(&why, ERR_REJECTED, "the same input twice gives two different outputs");
    err_hint(&why,
             "Does the model draw random numbers? Export it for inference, without dropout or sampling.");
    return fail(a, ADMISSION_STABILITY, &why);
}

// ---- warm-up

static void step_warm_up(struct check *c, const struct examples *x)
{
    struct err ignored;
    uint64_t last = 0;
    admission_begin(c->a, ADMISSION_WARM_UP);
    uint64_t end = clock_mono_ns() + WARM_UP_NS;
    for (unsigned i = 0; i < WARM_UP_RUNS && clock_mono_ns() < end; i++) {
        uint64_t began = clock_mono_ns();
        if (run(c->a, c->s, x, &ignored))
            break;
        last = clock_mono_ns() - began;
    }
    admission_end(c->a, ADMISSION_WARM_UP, ADMISSION_PASSED, "the first run took %.3g ms, now %.3g ms",
                  (double)c->a->first_run_ns / 1e6, (double)last / 1e6);
}

// ---- all of them

// Rows for what follows: golden ones where there are any.
static int example_rows(struct check *c, struct examples *ret, struct err *e)
{
    const struct examples *golden = c->g ? golden_inputs(c->g) : NULL;
    uint32_t n = c->s->signature ? MADE_UP_ROWS : MADE_UP_TENSORS;
    if (!golden)
        return subject_make_up(c->s, n, 1, ret, e);
    return examples_take(golden, 0, golden->n_rows < MADE_UP_ROWS ? golden->n_rows : MADE_UP_ROWS, ret, e);
}

static void skip_rest(struct check *c, const char *why, bool in_full)
{
    static const char *const STEPS[] = {ADMISSION_BATCH, ADMISSION_STABILITY, ADMISSION_EXTREMES,
                                        ADMISSION_WARM_UP, ADMISSION_LATENCY};
    for (size_t i = 0; i < (in_full ? sizeof STEPS / sizeof STEPS[0] : 1); i++) {
        admission_begin(c->a, STEPS[i]);
        admission_end(c->a, STEPS[i], ADMISSION_SKIPPED, "%s", why);
    }
}

static int steps(struct check *c, bool in_full, struct err *e)
{
    struct examples x = {0};
    struct err why = {0};
    bool whole = c->g && golden_inputs(c->g)->n_rows == 0;
    int rc = whole ? 0 : example_rows(c, &x, &why);
    if (rc == ERR_NOMEM) {
        *e = why;
        return rc;
    }
    if (rc) {
        skip_rest(c, why.msg, in_full);
        return 0;
    }
    const struct examples *rows = whole ? golden_inputs(c->g) : &x;
    rc = step_batch(c, rows);
    if (rc == 1 && in_full)
        rc = step_stability(c, rows);
    if (rc == 1 && in_full) {
        extremes_run(c->a, c->s, rows);
        step_warm_up(c, rows);
        admission_begin(c->a, ADMISSION_LATENCY);
        profile_run(c->a, c->s, rows);
    }
    examples_done(&x);
    return 0;
}

int admission_run(struct admission *a, struct subject *s, struct str golden, bool in_full, struct err *e)
{
    struct check c = {.a = a, .s = s, .differs = UINT32_MAX};
    struct golden *g = NULL;
    int rc = step_golden(&c, golden, &g, e);
    if (rc == 1)
        rc = steps(&c, in_full, e);
    together_done(&c.together);
    golden_close(g);
    return rc;
}

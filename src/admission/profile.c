// SPDX-License-Identifier: Apache-2.0
// The latency profile: the time of a run as its caller sees it, so that what else the machine does is in it.
#include "admission/profile.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS_MIN = 20, RUNS_MAX = 2000 };
static const uint32_t SIZES[ADMISSION_PROFILE] = {1, 8, 32, 128, 1024};
static const uint64_t SIZE_NS = 20000000, // for one size, once there were RUNS_MIN runs
    SIZE_MOST_NS = 100000000,             // or in any case, after two
    ALL_NS = 2000000000;                  // no size begins that would pass this

static int by_time(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

// Fills times[0..RUNS_MAX); returns how many, 0 when the model refuses so many rows.
static uint32_t measure(struct subject *s, const struct examples *x, uint64_t *times)
{
    struct err ignored;
    uint64_t began = clock_mono_ns(), now = began;
    uint32_t n = 0;
    if (subject_run(s, x, &ignored)) // the first one prepares for this size
        return 0;
    uint64_t first = clock_mono_ns() - began;
    began = now = clock_mono_ns();
    while (n < RUNS_MAX && (n < 1 || now - began + first < SIZE_MOST_NS) &&
           (n < RUNS_MIN || now - began < SIZE_NS)) {
        if (subject_run(s, x, &ignored))
            return 0;
        uint64_t end = clock_mono_ns();
        times[n++] = end - now;
        now = end;
    }
    qsort(times, n, sizeof *times, by_time);
    return n;
}

static bool profile_size(struct admission *a, struct subject *s, const struct examples *rows, uint32_t size,
                         uint64_t *times)
{
    struct examples x;
    struct err ignored;
    if (examples_take(rows, 0, size, &x, &ignored))
        return false;
    uint32_t n = measure(s, &x, times);
    examples_done(&x);
    if (n == 0)
        return false;
    a->report.latency[a->report.n_latency++] = (struct admission_latency){
        .rows = size, .p50_us = (double)times[n / 2] / 1e3, .p99_us = (double)times[n - 1 - n / 100] / 1e3};
    return true;
}

static void profile(struct admission *a, struct subject *s, const struct examples *rows, uint64_t *times)
{
    uint64_t end = clock_mono_ns() + ALL_NS;
    for (size_t i = 0; i < ADMISSION_PROFILE; i++) {
        uint32_t n = a->report.n_latency;
        const struct admission_latency *last = n ? &a->report.latency[n - 1] : NULL;
        double expected_ns = last ? 2e3 * last->p50_us * SIZES[i] / last->rows : 0;
        if ((double)clock_mono_ns() + expected_ns > (double)end || !profile_size(a, s, rows, SIZES[i], times))
            break;
    }
}

void profile_run(struct admission *a, struct subject *s, const struct examples *rows)
{
    uint64_t *times = calloc(RUNS_MAX, sizeof *times);
    if (times && s->has_rows)
        profile(a, s, rows, times);
    else if (times && rows->n_rows) // as they are: other numbers of rows may be refused
        (void)profile_size(a, s, rows, rows->n_rows, times);
    free(times);
    const struct admission_report *r = &a->report;
    if (r->n_latency == 0) {
        admission_end(a, ADMISSION_LATENCY, ADMISSION_SKIPPED, "the rows cannot be taken one by one");
        return;
    }
    const struct admission_latency *one = &r->latency[0], *most = &r->latency[r->n_latency - 1];
    admission_end(a, ADMISSION_LATENCY, ADMISSION_PASSED,
                  "%u row in %.3g µs, %u together in %.3g µs (median)%s", one->rows, one->p50_us, most->rows,
                  most->p50_us, r->n_latency < ADMISSION_PROFILE ? "; larger batches were left out" : "");
}

// SPDX-License-Identifier: Apache-2.0
// Trying a version out before it may serve, and again at each later load: golden rows, the same rows alone,
// together and twice, extreme inputs, and how long it takes. Computes only; the process that it runs in, what
// it is told of the file, and what becomes of the result are role/compile.c's and the controller's.
#pragma once

#include "admission/report.h"

struct admission {
    // What happens, as it happens; may be NULL. A process that ends during a step has told which.
    void (*on_begin)(void *ctx, const char *step);
    void (*on_step)(void *ctx, const struct admission_step *step);
    void *ctx;
    struct admission_report report;
    struct err why; // of the step that failed

    // Private
    uint64_t started_ns, n_runs, first_run_ns;
};

// Names of the steps, in their order.
#define ADMISSION_FORMAT    "format"
#define ADMISSION_SIGNATURE "signature"
#define ADMISSION_LIMITS    "limits"
#define ADMISSION_FIT       "fit"
#define ADMISSION_GOLDEN    "golden"
#define ADMISSION_BATCH     "batch"
#define ADMISSION_STABILITY "stability"
#define ADMISSION_EXTREMES  "extremes"
#define ADMISSION_WARM_UP   "warm-up"
#define ADMISSION_LATENCY   "latency"

// A step that is the caller's begins; and ends, with a sentence on what came out.
void admission_begin(struct admission *a, const char *step);
void admission_end(struct admission *a, const char *step, enum admission_result result, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// The steps from golden on; those after batch only `in_full`, at the first time. golden: text of the file,
// p NULL without one. 0: what came out is in a->report, and in a->why when a step failed, which ends it. Else
// the golden rows cannot be read (golden_open), or there is no memory.
// A model whose rows turn out to depend on each other is warned of, and s->has_rows is false then.
int admission_run(struct admission *a, struct subject *s, struct str golden, bool in_full,
                  struct err *e) ERR_CHECKED;

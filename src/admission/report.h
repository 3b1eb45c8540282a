// SPDX-License-Identifier: Apache-2.0
// What came out of trying a version: one line for each step, and what was measured. Kept with the version as
// JSON, shown by `slipway show` and the API.
#pragma once

#include "admission/golden.h"

enum { ADMISSION_STEPS_MAX = 12, ADMISSION_DETAIL_MAX = 400, ADMISSION_PROFILE = 5 };

enum admission_result { ADMISSION_PASSED, ADMISSION_FAILED, ADMISSION_SKIPPED, ADMISSION_WARNED };

struct admission_step {
    const char *name; // "golden"
    enum admission_result result;
    double ms;
    char detail[ADMISSION_DETAIL_MAX]; // a sentence without its full stop
};

struct admission_latency {
    uint32_t rows; // computed together
    double p50_us, p99_us;
};

struct admission_report {
    struct admission_step steps[ADMISSION_STEPS_MAX];
    uint32_t n_steps;
    bool has_golden, batched_equal;
    uint32_t golden_rows;
    struct golden_worst worst;
    struct admission_latency latency[ADMISSION_PROFILE];
    uint32_t n_latency;
    double load_ms;        // to read the file and make it ready to compute
    uint64_t memory_bytes; // the most that the process which tried it had in memory
    char library[64];      // "onnxruntime 1.23.2"; empty: none
};

// {"step":"golden","result":"passed","ms":3.1,"detail":"…"}
void admission_step_encode(const struct admission_step *s, struct buf *json);
// {"schema":1,"verdict":"accepted","steps":[…],"golden":{…},"latency":[{"rows":1,"p50_us":2.1,"p99_us":3.5},…],
//  "load_ms":12.5,"memory_bytes":31457280,"library":"onnxruntime 1.23.2"}; verdict "rejected" when a step
// failed; golden, latency and library where there are any.
void admission_report_encode(const struct admission_report *r, struct buf *json);
bool admission_is_rejected(const struct admission_report *r);

// SPDX-License-Identifier: Apache-2.0
// The throw-away process that plays a rollout many times before it is started (rollout/planner.h). The
// controller starts it, because that takes seconds.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "rollout/request.h"

// Its arguments and descriptors (os/proc places them).
enum forecast_arg { FORECAST_ARG_PROGRAM, FORECAST_ARG_ROLE, FORECAST_ARGS };
#define FORECAST_ROLE "@forecast"
enum forecast_fd {
    FORECAST_FD_QUESTION = 3, // the question as JSON, as forecast_read has it
    FORECAST_FD_RESULT,
};
enum { FORECAST_QUESTION_MAX = 128 << 10, FORECAST_RUNS = 100 };

struct forecast_question {
    struct rollout_spec spec;
    double requests_per_second; // of the model; 0: not given
    double error_rate; // of the stable version, also of invalid outputs and wrong predictions; 0: not given
    double harm;       // how many times as often a bad version has it
    uint32_t runs;
};

// {"rollout":{…},"requests_per_second":120,"error_rate":0.01,"harm":3,"runs":100}; all but the first may be
// absent. *ret_doc is freed by the caller with yyjson_doc_free. Errors as rollout_request_decode, at
// "$.rollout…".
struct yyjson_doc;
int forecast_read(struct str json, struct forecast_question *ret, struct yyjson_doc **ret_doc,
                  struct err *e) ERR_CHECKED;

// Result: the forecast as JSON, or an error as compile_main writes it. Returns the exit code, 0 when a result
// was written. argc and argv are main's; argv[1] is FORECAST_ROLE.
int forecast_main(int argc, char *const *argv);

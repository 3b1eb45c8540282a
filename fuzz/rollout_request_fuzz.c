// SPDX-License-Identifier: Apache-2.0
// Rollout requests: whatever is taken can be lived, by the events that the rest of the input names, with
// every weight a declared one (plan_apply asserts it); and what is refused says where.
#include "fuzz.h"
#include "rollout/plan.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct rollout_spec spec;
    struct plan p = {0};
    struct err e = {0};
    enum plan_action action;
    const uint8_t *end = memchr(data, '\n', n);
    size_t n_json = end ? (size_t)(end - data) : n;
    if (rollout_request_decode((struct str){(const char *)data, n_json}, &spec, &e)) {
        EXPECT(e.code < 0 && e.msg[0]);
        return 0;
    }
    EXPECT(spec.model[0] && spec.n_steps >= 1 && spec.n_arms >= 1 && spec.arms[0].version[0]);
    for (uint32_t i = 0; i < spec.n_steps; i++)
        EXPECT(spec.steps[i].weight_bp > (i ? spec.steps[i - 1].weight_bp : 0) &&
               spec.steps[i].weight_bp < 10000);
    for (size_t i = n_json + 1; i < n; i++) {
        enum plan_event event = data[i] % PLAN_EVENTS;
        bool allowed = plan_allows(&spec, &p, event);
        EXPECT((plan_apply(&spec, &p, event, i, i, &action, &e) == 0) == allowed);
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Stands between the model and its answers in the fake server's replicas: loses them when it is asked to. The
// process is well otherwise and answers the supervisor.
#include "fake_runtime.h"
#include "role/replica/serve.h"

void __real_answer_results(const struct answer *a, const struct tensor *results);
void __wrap_answer_results(const struct answer *a, const struct tensor *results);

void __wrap_answer_results(const struct answer *a, const struct tensor *results)
{
    static bool is_mute;
    int first = (int)((const float *)a->request->item.inputs[0].data)[0];
    is_mute |= first == FAKE_MUTE && !a->request->item.alone; // alone: another replica ended with it
    if (!is_mute && first != FAKE_LOST)
        __real_answer_results(a, results);
}

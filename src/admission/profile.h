// SPDX-License-Identifier: Apache-2.0
// How long a model takes for batches of several sizes, within a budget. Private to src/admission.
#pragma once

#include "admission/admission.h"

// Measures with these rows, round and round, and ends the step ADMISSION_LATENCY. Sizes that would take too
// long are left out.
void profile_run(struct admission *a, struct subject *s, const struct examples *rows);

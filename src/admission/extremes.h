// SPDX-License-Identifier: Apache-2.0
// Inputs beyond those that a model was trained with. Private to src/admission.
#pragma once

#include "admission/admission.h"

// Asks the model with extremes in the place of the first row's values, and ends the step ADMISSION_EXTREMES:
// a process that ends here has failed, outputs that are not finite are warned of.
void extremes_run(struct admission *a, struct subject *s, const struct examples *rows);

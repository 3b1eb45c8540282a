// SPDX-License-Identifier: Apache-2.0
// Predictions of a model of tensors as rows of a file. Private to predict_out.c.
#pragma once

#include "cli/predict_out.h"

// Writes one prediction: in CSV a column for each value, "output", "output_LABEL" where the server says what
// it stands for, else "output_0" and so on, with the header before the first row; in JSON lines as it came.
// False: it has not as many values as the first, or values that have no form in CSV.
bool predict_tensors_put(struct predict_out *o, yyjson_val *row);

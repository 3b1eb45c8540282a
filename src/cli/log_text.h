// SPDX-License-Identifier: Apache-2.0
// A line of the prediction log as people read it.
#pragma once

#include "base/buf.h"

struct yyjson_val;

// Appends "10:49:29.123  churn/3  200  61 us  019a…  age=31 … -> prediction=0.25" with a newline.
void log_text_put(struct yyjson_val *line, struct buf *out);

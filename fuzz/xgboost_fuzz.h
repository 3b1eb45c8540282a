// SPDX-License-Identifier: Apache-2.0
// What the two XGBoost targets share: parse, and compute extreme rows with what was accepted.
#pragma once

#include "engine/trees/forest.h"
#include "fuzz.h"

typedef int xgboost_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret,
                          struct err *e);

void xgboost_fuzz(const uint8_t *data, size_t n, xgboost_parse *parse);

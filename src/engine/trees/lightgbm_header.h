// SPDX-License-Identifier: Apache-2.0
// What stands before the trees of a LightGBM text model: sizes, objective, feature names. Private to the
// LightGBM parser. Source: LightGBM src/boosting/gbdt_model_text.cpp.
#pragma once

#include "engine/trees/forest.h"
#include "engine/trees/lightgbm_lines.h"

// Reads the header up to the first line "Tree=" or "end of trees", which is left to be read, and fills the
// forest's signature (all features may be missing, none is categorical but by feature_infos), groups,
// average, transform and objective. ERR_BAD_MODEL, ERR_UNSUPPORTED_MODEL, ERR_NOMEM.
int header_parse(struct lines *in, struct arena *a, struct forest *ret, struct err *e) ERR_CHECKED;

// The line "pandas_categorical:" behind the trees. Categories that are numbers but not their own codes are
// refused: clients would send the number where the model computes with the code. ERR_UNSUPPORTED_MODEL,
// ERR_BAD_MODEL when it is not JSON.
int pandas_categories_check(struct lines *in, struct err *e) ERR_CHECKED;

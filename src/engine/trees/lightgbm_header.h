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
// refused: clients would send the number where the model computes with the code. The lists belong to the
// columns of type category, which the file does not name: they are given to the features that the file
// calls categorical where those are as many, else left out. ERR_UNSUPPORTED_MODEL, ERR_BAD_MODEL when it is
// not JSON, ERR_NOMEM.
int pandas_categories_read(struct lines *in, struct arena *a, struct signature *s, struct err *e) ERR_CHECKED;

// SPDX-License-Identifier: Apache-2.0
// Leaf values as the kernels add them: float32 for XGBoost, with the tree's weight multiplied in (the same
// rounded product that the library adds), double for LightGBM.
#pragma once

#include "engine/trees/forest.h"

#include <stddef.h>

size_t leaf_bytes(enum forest_family family);
// Writes the value of a leaf to place i of an array of such values.
void leaf_put(const struct forest *f, const struct forest_tree *tree, uint32_t leaf, void *values, size_t i);

// SPDX-License-Identifier: Apache-2.0
#include "engine/trees/leaf.h"

size_t leaf_bytes(enum forest_family family)
{
    return family == FOREST_XGBOOST ? sizeof(float) : sizeof(double);
}

void leaf_put(const struct forest *f, const struct forest_tree *tree, uint32_t leaf, void *values, size_t i)
{
    if (f->family == FOREST_XGBOOST)
        ((float *)values)[i] = (float)f->leaf_values[leaf] * tree->weight;
    else
        ((double *)values)[i] = f->leaf_values[leaf];
}

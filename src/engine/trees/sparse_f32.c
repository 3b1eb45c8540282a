// SPDX-License-Identifier: Apache-2.0
// The sparse walk with float values.
#include "engine/trees/kernel_list.h"
#include "engine/trees/sparse.h"

#define VALUE   float
#define NAME(x) sparse_##x##_f32
#include "engine/trees/sparse_run.h"

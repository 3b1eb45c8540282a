// SPDX-License-Identifier: Apache-2.0
// The sparse walk with double values.
#include "engine/trees/kernel_list.h"
#include "engine/trees/sparse.h"

#define VALUE   double
#define NAME(x) sparse_##x##_f64
#include "engine/trees/sparse_run.h"

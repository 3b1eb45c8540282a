// SPDX-License-Identifier: Apache-2.0
// The walk through blocks of four levels with double values.
#include "engine/trees/kernel_list.h"
#include "engine/trees/quad_walk.h"

#define VALUE   double
#define NAME(x) quad_##x##_f64
#include "engine/trees/quad_run.h"

// SPDX-License-Identifier: Apache-2.0
// The walk through blocks of four levels with float values.
#include "engine/trees/kernel_list.h"
#include "engine/trees/quad_walk.h"

#define VALUE   float
#define NAME(x) quad_##x##_f32
#include "engine/trees/quad_run.h"

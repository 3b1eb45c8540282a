// SPDX-License-Identifier: Apache-2.0
// The vector coders: the same codes as code_row, for the processors that kernel.c asks for.
#pragma once

#include "engine/trees/code.h"

#include <math.h>

void code_row_f32_avx2(struct coder *c, const void *row, uint8_t *to);
void code_row_f64_avx2(struct coder *c, const void *row, uint8_t *to);

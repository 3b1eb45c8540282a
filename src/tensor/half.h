// SPDX-License-Identifier: Apache-2.0
// FP16 (IEEE 754 binary16) to and from wider floats. It has no JSON form of its own: numbers stand for it.
#pragma once

#include <stdint.h>

double half_to_double(uint16_t half); // exact; the sign of a zero and the payload of a NaN stay
// Rounded once, to the nearest, ties to even; infinite beyond the largest half (65504) and its rounding.
uint16_t half_from_double(double v);

// SPDX-License-Identifier: Apache-2.0
// Halves by integer arithmetic, so that no instruction set is needed. A double has 52 bits of fraction, a
// half 10; exponents are biased by 1023 and 15.
#include "tensor/half.h"

#include <string.h>

enum { DROPPED = 52 - 10 };

double half_to_double(uint16_t half)
{
    uint64_t sign = (uint64_t)(half >> 15) << 63, exponent = half >> 10 & 31, fraction = half & 0x3ff, bits;
    double v;
    if (exponent == 0) {
        v = (double)fraction * 0x1p-24; // zero and subnormal
        return sign ? -v : v;
    }
    exponent = exponent == 31 ? 2047 : exponent - 15 + 1023;
    bits = sign | exponent << 52 | fraction << DROPPED;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// The upper bits of v with the lower `drop` rounded away, ties to even.
static uint64_t round_off(uint64_t v, unsigned drop)
{
    uint64_t half = (uint64_t)1 << (drop - 1), rest = v & ((half << 1) - 1), kept = v >> drop;
    return kept + (rest > half || (rest == half && (kept & 1)));
}

uint16_t half_from_double(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 63 << 15);
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52 & 2047) - 1023;
    if (exponent == 1024 && fraction) // a quiet NaN with the upper bits of its payload
        return (uint16_t)(sign | 0x7e00 | fraction >> DROPPED);
    if (exponent > 15)
        return (uint16_t)(sign | 0x7c00);
    if (exponent >= -14) // a carry out of the fraction raises the exponent, up to infinity
        return (uint16_t)(sign + round_off((uint64_t)(exponent + 15) << 52 | fraction, DROPPED));
    if (exponent < -25)
        return sign; // below half of the smallest subnormal
    return (uint16_t)(sign + round_off((uint64_t)1 << 52 | fraction, (unsigned)(DROPPED - 14 - exponent)));
}

// SPDX-License-Identifier: Apache-2.0
#include "tensor/half.h"

#include "unit.h"

#include <math.h>

// All halves, by the definition of their bits.
static double by_definition(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 0x3ff;
    double v = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
               : exponent == 0 ? ldexp(fraction, -24)
                               : ldexp(1024 + fraction, exponent - 25);
    return h >> 15 ? -v : v;
}

START_TEST(every_half_goes_to_double_and_back)
{
    for (unsigned h = 0; h <= 0xffff; h++) {
        double v = half_to_double((uint16_t)h), expected = by_definition((uint16_t)h);
        if (isnan(expected)) {
            ck_assert(isnan(v));
            ck_assert(isnan(half_to_double(half_from_double(v))));
            ck_assert_uint_eq(half_from_double(v), h | 0x200);
            continue;
        }
        ck_assert_msg(v == expected && signbit(v) == signbit(expected), "%04x: %g", h, v);
        ck_assert_uint_eq(half_from_double(v), h);
    }
}
END_TEST

// Between each two neighbours: below, at and above the middle, where the even one is taken.
START_TEST(doubles_round_to_the_nearest_half)
{
    for (unsigned h = 0; h < 0x7c00; h++) {
        double low = half_to_double((uint16_t)h),
               high = h == 0x7bff ? 65536 : half_to_double((uint16_t)(h + 1));
        double middle = low / 2 + high / 2;
        unsigned even = h & 1 ? h + 1 : h;
        ck_assert_uint_eq(half_from_double(middle), even);
        ck_assert_uint_eq(half_from_double(nextafter(middle, 0)), h);
        ck_assert_uint_eq(half_from_double(nextafter(middle, 1e9)), h + 1);
        ck_assert_uint_eq(half_from_double(-middle), even | 0x8000);
    }
    ck_assert_uint_eq(half_from_double(65536), 0x7c00);
    ck_assert_uint_eq(half_from_double(-1e300), 0xfc00);
    ck_assert_uint_eq(half_from_double((double)INFINITY), 0x7c00);
    ck_assert_uint_eq(half_from_double(1e-300), 0);
    ck_assert_uint_eq(half_from_double(-5e-324), 0x8000);
}
END_TEST

UNIT_MAIN("tensor/half", every_half_goes_to_double_and_back, doubles_round_to_the_nearest_half)

// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include "unit.h"

#include <string.h>

// RFC 3720 appendix B.4.
START_TEST(gives_the_published_values)
{
    uint8_t zeros[32] = {0}, ones[32], up[32];
    memset(ones, 0xff, sizeof ones);
    for (uint8_t i = 0; i < 32; i++)
        up[i] = i;
    ck_assert_uint_eq(crc32c(0, zeros, 32), 0x8a9136aa);
    ck_assert_uint_eq(crc32c(0, ones, 32), 0x62a8ab43);
    ck_assert_uint_eq(crc32c(0, up, 32), 0x46dd794e);
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc32c(0, "", 0), 0);
}
END_TEST

START_TEST(the_instruction_and_the_table_agree_at_any_length_and_cut)
{
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + (i >> 3));
    for (size_t n = 0; n <= sizeof bytes - 3; n++) {
        uint32_t whole = crc32c_portable(0, bytes + 3, n);
        ck_assert_uint_eq(crc32c(0, bytes + 3, n), whole);
        ck_assert_uint_eq(crc32c(crc32c(0, bytes + 3, n / 3), bytes + 3 + n / 3, n - n / 3), whole);
    }
}
END_TEST

UNIT_MAIN("base/crc32c", gives_the_published_values,
          the_instruction_and_the_table_agree_at_any_length_and_cut)

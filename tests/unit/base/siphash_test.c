// SPDX-License-Identifier: Apache-2.0
// The vectors published with SipHash-2-4: key 00 01 … 0f, message the first n bytes of 00 01 02 ….
#include "base/siphash.h"

#include "unit.h"

START_TEST(the_published_vectors_are_reproduced)
{
    const struct {
        size_t n;
        uint64_t hash;
    } vectors[] = {{0, 0x726fdb47dd0e0e31u},  {1, 0x74f839c593dc67fdu}, {2, 0x0d6c8009d9a94f5au},
                   {3, 0x85676696d7fb7e2du},  {7, 0xab0200f58b01d137u}, {8, 0x93f5f5799a932462u},
                   {15, 0xa129ca6149be45e5u}, {63, 0x958a324ceb064572u}};
    struct siphash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    char message[64];
    for (int i = 0; i < 64; i++)
        message[i] = (char)i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        ck_assert_uint_eq(siphash(key, (struct str){message, vectors[i].n}), vectors[i].hash);
    ck_assert_uint_eq(siphash_u64(key, 0x0706050403020100u), 0x93f5f5799a932462u); // the same eight bytes
}
END_TEST

UNIT_MAIN("base/siphash", the_published_vectors_are_reproduced)

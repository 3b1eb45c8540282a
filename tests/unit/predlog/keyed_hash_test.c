// SPDX-License-Identifier: Apache-2.0
#include "predlog/keyed_hash.h"

#include "unit.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

static void expect(struct str key, struct str message, const char *hex)
{
    struct keyed_hash h;
    uint8_t full[KEYED_HASH_BYTES];
    char text[2 * KEYED_HASH_BYTES + 1], first[17];
    keyed_hash_init(&h, key);
    keyed_hash_full(&h, message, full);
    for (int i = 0; i < KEYED_HASH_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", full[i]);
    ck_assert_str_eq(text, hex);
    snprintf(first, sizeof first, "%016llx", (unsigned long long)keyed_hash_64(&h, message));
    ck_assert_int_eq(strncmp(first, hex, 16), 0);
}

// RFC 4231, test cases 1, 2, 3, 6 and 7.
START_TEST(gives_the_published_values)
{
    char key[131], data[50];
    memset(key, 0x0b, 20);
    expect((struct str){key, 20}, STR("Hi There"),
           "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect(STR("Jefe"), STR("what do ya want for nothing?"),
           "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 20);
    memset(data, 0xdd, 50);
    expect((struct str){key, 20}, (struct str){data, 50},
           "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    memset(key, 0xaa, 131);
    expect((struct str){key, 131}, STR("Test Using Larger Than Block-Size Key - Hash Key First"),
           "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    expect((struct str){key, 131},
           STR("This is a test using a larger than block-size key and a larger than block-size data. The key "
               "needs to be hashed before being used by the HMAC algorithm."),
           "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}
END_TEST

// Each length of message and key, around the edges of the padding.
START_TEST(agrees_with_the_library_at_all_lengths)
{
    char message[200], key[140];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (char)(i * 7);
    memset(key, 'k', sizeof key);
    for (size_t n = 0; n <= sizeof message; n++) {
        struct keyed_hash h;
        uint8_t ours[KEYED_HASH_BYTES], theirs[KEYED_HASH_BYTES];
        size_t n_key = 1 + n % sizeof key;
        keyed_hash_init(&h, (struct str){key, n_key});
        keyed_hash_full(&h, (struct str){message, n}, ours);
        ck_assert_ptr_nonnull(HMAC(EVP_sha256(), key, (int)n_key, (const uint8_t *)message, n, theirs, NULL));
        ck_assert_mem_eq(ours, theirs, sizeof ours);
    }
}
END_TEST

UNIT_MAIN("predlog/keyed_hash", gives_the_published_values, agrees_with_the_library_at_all_lengths)

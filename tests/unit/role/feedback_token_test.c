// SPDX-License-Identifier: Apache-2.0
#include "role/feedback_token.h"

#include "role/feedback_keys.h"
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

enum { LIFE_S = 1000 };
#define WALL_NS UINT64_C(1763850000123456789)
#define NS      UINT64_C(1000000000)
#define KEY_A   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B   "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static struct feedback_sealer *sealer;
static _Alignas(8) char plain[FEEDBACK_PLAIN_MAX];
static char text[FEEDBACK_TOKEN_MAX];

static void set_keys(struct feedback_sealer *s, const char *keys)
{
    struct err e;
    char json[1024];
    snprintf(json, sizeof json, "{\"life_s\":%d,\"keys\":\"%s\"}", LIFE_S, keys);
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    ck_assert_int_eq(feedback_sealer_take(s, yyjson_doc_get_root(doc), &e), 0);
    yyjson_doc_free(doc);
}

static struct feedback_sealer *make(const char *keys)
{
    struct feedback_sealer *s;
    struct err e;
    ck_assert_int_eq(feedback_sealer_new(&s, &e), 0);
    ck_assert(!feedback_sealer_has_keys(s));
    set_keys(s, keys);
    ck_assert(feedback_sealer_has_keys(s));
    return s;
}

static struct feedback_token of(enum dtype t, int64_t rows, int64_t width, const void *values)
{
    struct feedback_token x = {
        .deployment = 0x123456789a,
        .wall_ns = WALL_NS,
        .version = 7,
        .weight_bp = 9000,
        .bucket = 77,
        .arm = 1,
        .is_override = true,
        .output = {.dtype = t,
                   .n_dims = width ? 2 : 1,
                   .shape = {rows, width},
                   .data = values,
                   .bytes = (size_t)(rows * (width ? width : 1)) * dtype_size(t)},
    };
    for (uint8_t i = 0; i < 16; i++)
        x.id[i] = (uint8_t)(16 * i + 5);
    return x;
}

static struct str seal(const struct feedback_token *t)
{
    size_t n = feedback_token_seal(sealer, t, text);
    ck_assert_uint_le(n, FEEDBACK_TOKEN_MAX);
    return (struct str){text, n};
}

static void comes_back(struct feedback_token t)
{
    struct feedback_token back;
    struct err e;
    struct str token = seal(&t);
    ck_assert_uint_gt(token.n, 0);
    ck_assert_int_eq(feedback_token_open(sealer, token, WALL_NS, plain, &back, &e), 0);
    ck_assert_mem_eq(back.id, t.id, sizeof t.id);
    ck_assert(back.deployment == t.deployment && back.wall_ns == t.wall_ns && back.version == t.version &&
              back.weight_bp == t.weight_bp && back.bucket == t.bucket && back.arm == t.arm &&
              back.is_override == t.is_override && back.output.dtype == t.output.dtype &&
              back.output.n_dims == t.output.n_dims && back.output.shape[0] == t.output.shape[0] &&
              back.output.bytes == t.output.bytes);
    ck_assert_uint_eq(feedback_output_width(&back.output), feedback_output_width(&t.output));
    ck_assert_mem_eq(back.output.data, t.output.data, t.output.bytes);
}

START_TEST(what_was_predicted_comes_back)
{
    static const float floats[64] = {0.25f, 0.75f, 1};
    static const double doubles[32] = {-1e300, 0.1};
    static const int64_t classes[3] = {2, 0, 1};
    sealer = make("3 1763849000 " KEY_A "\\n");
    comes_back(of(DTYPE_FP32, 1, 0, floats));
    comes_back(of(DTYPE_FP32, 64, 1, floats));
    comes_back(of(DTYPE_FP32, 8, 8, floats));
    comes_back(of(DTYPE_FP64, 1, 32, doubles));
    comes_back(of(DTYPE_INT64, 3, 0, classes));
    struct feedback_token one = of(DTYPE_FP32, 1, 0, floats);
    ck_assert_uint_le(seal(&one).n, 96); // bytes of a header for each answer
    feedback_sealer_free(sealer);
}
END_TEST

START_TEST(what_cannot_be_judged_or_is_too_long_gets_none)
{
    static const float floats[65] = {0};
    sealer = make("3 1763849000 " KEY_A "\\n");
    const struct feedback_token without[] = {of(DTYPE_FP32, 65, 0, floats), of(DTYPE_FP32, 13, 5, floats),
                                             of(DTYPE_INT32, 2, 2, floats), of(DTYPE_UINT8, 2, 0, floats),
                                             of(DTYPE_FP32, 0, 0, floats),  of(DTYPE_FP32, 1, 0, NULL)};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        ck_assert_uint_eq(seal(&without[i]).n, 0);
    struct feedback_token fits = of(DTYPE_FP32, 64, 0, floats);
    ck_assert_uint_gt(seal(&fits).n, 0);
    struct err e;
    ck_assert_int_eq(feedback_sealer_take(sealer, NULL, &e), 0);
    ck_assert_uint_eq(seal(&fits).n, 0); // no key
    feedback_sealer_free(sealer);
}
END_TEST

static bool opens(const char *token, uint64_t now_ns)
{
    struct feedback_token back;
    struct err e = {0};
    int rc = feedback_token_open(sealer, str_of(token), now_ns, plain, &back, &e);
    ck_assert(rc == 0 || (rc == ERR_INVALID && e.msg[0]));
    return rc == 0;
}

START_TEST(a_token_that_is_changed_anywhere_is_refused)
{
    const float score = 0.25f;
    struct feedback_token t = of(DTYPE_FP32, 1, 0, &score);
    char copy[FEEDBACK_TOKEN_MAX + 8];
    sealer = make("3 1763849000 " KEY_A "\\n4 1763849000 " KEY_A "\\n"); // also the number of the key counts
    struct str token = seal(&t);
    memcpy(copy, token.p, token.n);
    copy[token.n] = '\0';
    ck_assert(opens(copy, WALL_NS));
    for (size_t i = 0; i < token.n; i++)
        for (const char *c = "AQgw4_-B"; *c; c++) {
            char was = copy[i];
            if (was == *c)
                continue;
            copy[i] = *c;
            ck_assert_msg(!opens(copy, WALL_NS), "%zu %c", i, *c);
            copy[i] = was;
        }
    ck_assert(opens(copy, WALL_NS));
    copy[token.n] = 'A'; // longer
    copy[token.n + 1] = '\0';
    ck_assert(!opens(copy, WALL_NS));
    copy[token.n] = '='; // padded
    ck_assert(!opens(copy, WALL_NS));
    for (size_t n = 0; n < token.n; n++) { // shorter
        char was = copy[n];
        copy[n] = '\0';
        ck_assert(!opens(copy, WALL_NS));
        copy[n] = was;
    }
    feedback_sealer_free(sealer);
}
END_TEST

START_TEST(tokens_end_with_their_time_and_with_their_key)
{
    const float score = 0.25f;
    struct feedback_token t = of(DTYPE_FP32, 1, 0, &score);
    char copy[FEEDBACK_TOKEN_MAX + 1];
    sealer = make("3 1763849000 " KEY_A "\\n");
    struct str token = seal(&t);
    memcpy(copy, token.p, token.n);
    copy[token.n] = '\0';
    ck_assert(opens(copy, WALL_NS + (LIFE_S - 1) * NS));
    ck_assert(!opens(copy, WALL_NS + LIFE_S * NS));
    ck_assert(opens(copy, 0)); // a clock that was set back
    set_keys(sealer, "4 1763850000 " KEY_B "\\n3 1763849000 " KEY_A "\\n");
    ck_assert(opens(copy, WALL_NS)); // sealed by the one before
    token = seal(&t);
    ck_assert(memcmp(token.p, copy, token.n) != 0);
    set_keys(sealer, "4 1763850000 " KEY_B "\\n");
    ck_assert(!opens(copy, WALL_NS));
    set_keys(sealer, "3 1763850000 " KEY_B "\\n"); // another of that number
    ck_assert(!opens(copy, WALL_NS));
    feedback_sealer_free(sealer);
}
END_TEST

START_TEST(a_token_is_what_is_said_of_it)
{
    // Made from the description alone, with the library's HMAC.
    uint8_t token[18 + 36 + 16] = {1, 3}, key[32], raw[32];
    const float score = 0.25f;
    struct feedback_token t = of(DTYPE_FP32, 1, 0, &score);
    static const uint8_t nonce[12] = {0};
    int n;
    unsigned used;
    uint8_t sealed[36] = {0x9a, 0x78, 0x56, 0x34, 0x12};
    memcpy(sealed + 8, &t.wall_ns, 8);
    memcpy(sealed + 16, (const uint8_t[]){7, 0, 0, 0, 0x28, 0x23, 77, 0, 1, 1, DTYPE_FP32, 1, 1, 0, 1, 0},
           16);
    memcpy(sealed + 32, &score, 4);
    memcpy(token + 2, t.id, 16);
    for (uint8_t i = 0; i < 32; i++)
        raw[i] = i;
    ck_assert_ptr_nonnull(HMAC(EVP_sha256(), raw, sizeof raw, token, 18, key, &used));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    ck_assert_int_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce), 1);
    ck_assert_int_eq(EVP_EncryptUpdate(ctx, NULL, &n, token, 18), 1);
    ck_assert_int_eq(EVP_EncryptUpdate(ctx, token + 18, &n, sealed, sizeof sealed), 1);
    ck_assert_int_eq(EVP_EncryptFinal_ex(ctx, token + 54, &n), 1);
    ck_assert_int_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, token + 54), 1);
    EVP_CIPHER_CTX_free(ctx);
    char expected[128];
    n = EVP_EncodeBlock((unsigned char *)expected, token, sizeof token);
    for (int i = 0; i < n; i++)
        expected[i] = (char)(expected[i] == '+' ? '-' : expected[i] == '/' ? '_' : expected[i]);
    sealer = make("3 1763849000 " KEY_A "\\n");
    struct str ours = seal(&t);
    ck_assert_uint_eq(ours.n, (sizeof token * 4 + 2) / 3);
    ck_assert_mem_eq(ours.p, expected, ours.n);
    feedback_sealer_free(sealer);
}
END_TEST

UNIT_MAIN("role/feedback_token", what_was_predicted_comes_back,
          what_cannot_be_judged_or_is_too_long_gets_none, a_token_that_is_changed_anywhere_is_refused,
          tokens_end_with_their_time_and_with_their_key, a_token_is_what_is_said_of_it)

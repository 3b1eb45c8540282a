// SPDX-License-Identifier: Apache-2.0
// Contexts of the cipher are made once; a token only sets their key.
#include "role/feedback_token.h"

#include "predlog/keyed_hash.h"
#include "role/feedback_keys.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { FORM = 1, PREFIX = 18, TAG = 16, NONCE = 12 };

struct plain_head {
    uint64_t deployment, wall_ns;
    uint32_t version;
    uint16_t weight_bp, bucket;
    uint8_t arm, is_override, dtype, n_dims;
    uint16_t rows, width;
};
_Static_assert(sizeof(struct plain_head) == 32, "clients keep tokens");

struct sealing_key {
    uint8_t number;
    struct keyed_hash hash;
};

struct feedback_sealer {
    EVP_CIPHER_CTX *seal, *open;
    uint64_t life_s;
    uint32_t n_keys;
    struct sealing_key keys[FEEDBACK_KEYS_MAX]; // the newest first
};

// ---- what can be judged

uint32_t feedback_output_width(const struct tensor *t)
{
    int64_t rows = t->n_dims ? t->shape[0] : 0, n = tensor_n_elements(t->shape, t->n_dims);
    if (rows <= 0 || n <= 0)
        return 0;
    int64_t width = rows == n ? 1 : rows == 1 ? n : n / rows; // a division costs as much as all the rest
    return width <= INT32_MAX ? (uint32_t)width : 0;
}

int feedback_output_rank(const struct tensor *t)
{
    bool is_float = t->dtype == DTYPE_FP32 || t->dtype == DTYPE_FP64,
         is_whole = t->dtype == DTYPE_INT64 || t->dtype == DTYPE_INT32 || t->dtype == DTYPE_BOOL;
    uint32_t width = feedback_output_width(t);
    if (!t->data || !(is_float || is_whole) || t->n_dims > 2 || width == 0)
        return 0;
    if (width > 1)
        return is_float ? 3 : 0;
    return is_float ? 2 : 1;
}

// ---- under the seal

size_t feedback_token_write(const struct feedback_token *t, void *plain)
{
    const struct tensor *o = &t->output;
    if (feedback_output_rank(o) == 0 || o->bytes > FEEDBACK_VALUES_MAX)
        return 0;
    struct plain_head h = {.deployment = t->deployment,
                           .wall_ns = t->wall_ns,
                           .version = t->version,
                           .weight_bp = t->weight_bp,
                           .bucket = t->bucket,
                           .arm = t->arm,
                           .is_override = t->is_override,
                           .dtype = (uint8_t)o->dtype,
                           .n_dims = (uint8_t)o->n_dims,
                           .rows = (uint16_t)o->shape[0],
                           .width = (uint16_t)feedback_output_width(o)};
    memcpy(plain, &h, sizeof h);
    memcpy((char *)plain + sizeof h, o->data, o->bytes);
    return sizeof h + o->bytes;
}

int feedback_token_read(const void *plain, size_t n, struct feedback_token *ret, struct err *e)
{
    struct plain_head h;
    if (n < sizeof h || n > FEEDBACK_PLAIN_MAX)
        return err_set(e, ERR_INVALID, "a token has %zu bytes under its seal", n);
    memcpy(&h, plain, sizeof h);
    ret->deployment = h.deployment;
    ret->wall_ns = h.wall_ns;
    ret->version = h.version;
    ret->weight_bp = h.weight_bp;
    ret->bucket = h.bucket;
    ret->arm = h.arm;
    ret->is_override = h.is_override;
    ret->output = (struct tensor){.dtype = (enum dtype)h.dtype,
                                  .n_dims = h.n_dims,
                                  .shape = {h.rows, h.width},
                                  .data = (const char *)plain + sizeof h,
                                  .bytes = n - sizeof h};
    bool is_sound = (h.n_dims == 2 || (h.n_dims == 1 && h.width == 1)) &&
                    feedback_output_rank(&ret->output) > 0 &&
                    (size_t)h.rows * h.width * dtype_size(ret->output.dtype) == n - sizeof h;
    return is_sound ? 0 : err_set(e, ERR_INVALID, "a token has values that cannot be");
}

// ---- base64url (RFC 4648 section 5)

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t put_letters(const uint8_t *p, size_t n, char *ret)
{
    char *to = ret;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            *to++ = LETTERS[bits >> (n_bits - 6) & 63];
    }
    if (n_bits)
        *to++ = LETTERS[bits << (6 - n_bits) & 63];
    return (size_t)(to - ret);
}

// ret: room for three quarters of the text. False: no base64url, or not as it is written here.
static bool read_letters(struct str text, uint8_t *ret, size_t *ret_n)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(LETTERS, text.p[i]) : NULL;
        if (!at)
            return false;
        bits = bits << 6 | (uint32_t)(at - LETTERS);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            ret[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    *ret_n = n;
    return n_bits < 6 && (bits & ((1u << n_bits) - 1)) == 0;
}

// ---- the seal

int feedback_sealer_new(struct feedback_sealer **ret, struct err *e)
{
    struct feedback_sealer *s = *ret = calloc(1, sizeof *s);
    if (s && (s->seal = EVP_CIPHER_CTX_new()) && (s->open = EVP_CIPHER_CTX_new()) &&
        EVP_EncryptInit_ex(s->seal, EVP_aes_256_gcm(), NULL, NULL, NULL) == 1 &&
        EVP_DecryptInit_ex(s->open, EVP_aes_256_gcm(), NULL, NULL, NULL) == 1)
        return 0;
    feedback_sealer_free(s);
    *ret = NULL;
    return err_set(e, ERR_NOMEM, "no memory for the cipher of feedback tokens");
}

void feedback_sealer_free(struct feedback_sealer *s)
{
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->seal);
    EVP_CIPHER_CTX_free(s->open);
    free(s);
}

int feedback_sealer_take(struct feedback_sealer *s, yyjson_val *tokens, struct err *e)
{
    struct feedback_keys k = {0};
    yyjson_val *text = yyjson_obj_get(tokens, "keys"), *life = yyjson_obj_get(tokens, "life_s");
    if (tokens && (!yyjson_is_str(text) || !yyjson_is_uint(life)))
        return err_set(e, ERR_INVALID, "keys of feedback tokens are not as agreed");
    int rc = tokens ? feedback_keys_read((struct str){yyjson_get_str(text), yyjson_get_len(text)}, &k, e) : 0;
    if (rc)
        return rc;
    s->n_keys = k.n;
    s->life_s = yyjson_get_uint(life);
    for (uint32_t i = 0; i < k.n; i++) {
        s->keys[i].number = k.list[i].number;
        keyed_hash_init(&s->keys[i].hash, (struct str){(const char *)k.list[i].bytes, FEEDBACK_KEY_BYTES});
    }
    return 0;
}

bool feedback_sealer_has_keys(const struct feedback_sealer *s)
{
    return s->n_keys > 0;
}

static const uint8_t ONE_NONCE[NONCE] = {0};

size_t feedback_token_seal(struct feedback_sealer *s, const struct feedback_token *t, char *ret)
{
    _Alignas(8) uint8_t plain[FEEDBACK_PLAIN_MAX];
    uint8_t token[FEEDBACK_TOKEN_BYTES_MAX], key[KEYED_HASH_BYTES];
    size_t n = s->n_keys ? feedback_token_write(t, plain) : 0;
    int used;
    if (n == 0)
        return 0;
    token[0] = FORM;
    token[1] = s->keys[0].number;
    memcpy(token + 2, t->id, sizeof t->id);
    keyed_hash_full(&s->keys[0].hash, (struct str){(const char *)token, PREFIX}, key);
    if (EVP_EncryptInit_ex(s->seal, NULL, NULL, key, ONE_NONCE) != 1 ||
        EVP_EncryptUpdate(s->seal, NULL, &used, token, PREFIX) != 1 ||
        EVP_EncryptUpdate(s->seal, token + PREFIX, &used, plain, (int)n) != 1 ||
        EVP_EncryptFinal_ex(s->seal, token + PREFIX + n, &used) != 1 ||
        EVP_CIPHER_CTX_ctrl(s->seal, EVP_CTRL_GCM_GET_TAG, TAG, token + PREFIX + n) != 1)
        return 0;
    return put_letters(token, PREFIX + n + TAG, ret);
}

static const struct sealing_key *key_of(const struct feedback_sealer *s, uint8_t number)
{
    for (uint32_t i = 0; i < s->n_keys; i++)
        if (s->keys[i].number == number)
            return &s->keys[i];
    return NULL;
}

static bool is_unsealed(struct feedback_sealer *s, const struct sealing_key *with, uint8_t *token, size_t n,
                        void *plain)
{
    uint8_t key[KEYED_HASH_BYTES];
    int used;
    keyed_hash_full(&with->hash, (struct str){(const char *)token, PREFIX}, key);
    return EVP_DecryptInit_ex(s->open, NULL, NULL, key, ONE_NONCE) == 1 &&
           EVP_DecryptUpdate(s->open, NULL, &used, token, PREFIX) == 1 &&
           EVP_DecryptUpdate(s->open, plain, &used, token + PREFIX, (int)n) == 1 &&
           EVP_CIPHER_CTX_ctrl(s->open, EVP_CTRL_GCM_SET_TAG, TAG, token + PREFIX + n) == 1 &&
           EVP_DecryptFinal_ex(s->open, (uint8_t *)plain + n, &used) == 1;
}

int feedback_token_open(struct feedback_sealer *s, struct str text, uint64_t now_ns, void *plain,
                        struct feedback_token *ret, struct err *e)
{
    uint8_t token[FEEDBACK_TOKEN_BYTES_MAX + 3];
    size_t n;
    if (text.n > FEEDBACK_TOKEN_MAX || !read_letters(text, token, &n) || n <= PREFIX + TAG ||
        n > FEEDBACK_TOKEN_BYTES_MAX || token[0] != FORM)
        return err_set(e, ERR_INVALID, "'token' must be a token as the answer to a prediction had it");
    const struct sealing_key *key = key_of(s, token[1]);
    if (!key)
        return err_set(e, ERR_INVALID, "the token has expired, or is of another server");
    n -= PREFIX + TAG;
    if (!is_unsealed(s, key, token, n, plain))
        return err_set(e, ERR_INVALID, "the token is not as it was given");
    int rc = feedback_token_read(plain, n, ret, e);
    memcpy(ret->id, token + 2, sizeof ret->id);
    if (!rc && ret->wall_ns / 1000000000 + s->life_s <= now_ns / 1000000000)
        rc = err_set(e, ERR_INVALID, "the token has expired");
    return rc;
}

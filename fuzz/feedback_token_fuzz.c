// SPDX-License-Identifier: Apache-2.0
// Feedback tokens, what lies under their seal, and the keys: what is taken is written again as it was.
#include "fuzz.h"

#include "role/feedback_keys.h"
#include "role/feedback_token.h"

#include <string.h>
#include <yyjson.h>

static const char KEYS[] = "{\"life_s\":1000,\"keys\":\"3 1763849000 "
                           "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\\n\"}";

static void check_token(struct str text)
{
    static struct feedback_sealer *sealer;
    _Alignas(8) char plain[FEEDBACK_PLAIN_MAX];
    char again[FEEDBACK_TOKEN_MAX];
    struct feedback_token t;
    struct err e = {0};
    if (!sealer) {
        yyjson_doc *doc = yyjson_read(KEYS, sizeof KEYS - 1, 0);
        EXPECT(feedback_sealer_new(&sealer, &e) == 0);
        EXPECT(feedback_sealer_take(sealer, yyjson_doc_get_root(doc), &e) == 0);
        yyjson_doc_free(doc);
    }
    if (feedback_token_open(sealer, text, 0, plain, &t, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    EXPECT(feedback_token_seal(sealer, &t, again) == text.n && memcmp(again, text.p, text.n) == 0);
}

static void check_plain(const char *p, size_t n)
{
    _Alignas(8) char copy[FEEDBACK_PLAIN_MAX];
    _Alignas(8) char again[FEEDBACK_PLAIN_MAX];
    struct feedback_token t = {.version = 0};
    struct err e = {0};
    if (n > sizeof copy)
        return;
    memcpy(copy, p, n);
    if (feedback_token_read(copy, n, &t, &e)) {
        EXPECT(e.code == ERR_INVALID);
        return;
    }
    const char *values = t.output.data;
    EXPECT(values >= copy && values + t.output.bytes <= copy + n);
    EXPECT(feedback_token_write(&t, again) == n);
    enum { BEHIND_OVERRIDE = 26 }; // any byte but 0 is 1 when it is written again
    EXPECT(memcmp(copy, again, BEHIND_OVERRIDE - 1) == 0);
    EXPECT(memcmp(copy + BEHIND_OVERRIDE, again + BEHIND_OVERRIDE, n - BEHIND_OVERRIDE) == 0);
}

static void check_keys(struct str text)
{
    struct feedback_keys keys, back;
    struct buf out;
    struct err e = {0};
    if (feedback_keys_read(text, &keys, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    buf_init(&out, FEEDBACK_KEYS_TEXT_MAX);
    feedback_keys_write(&keys, &out);
    EXPECT(!out.failed && feedback_keys_read(buf_str(&out), &back, &e) == 0 && back.n == keys.n);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *in = malloc(n ? n : 1);
    if (n)
        memcpy(in, data, n);
    check_token((struct str){in, n});
    check_plain(in, n);
    check_keys((struct str){in, n});
    free(in);
    return 0;
}

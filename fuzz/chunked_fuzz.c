// SPDX-License-Identifier: Apache-2.0
// A chunked body in pieces gives what it gives in one piece: the payload, the end, and the refusal. The first
// byte seeds the sizes of the pieces.
#include "fuzz.h"

#include "wire/http1.h"

#include <string.h>

struct result {
    int rc;
    size_t used, payload;
    char *body;
};

static void decode(const char *p, size_t n, uint32_t seed, struct result *r)
{
    struct http1_chunked k = {0};
    struct err e;
    while (r->rc == 0 && r->used < n) {
        seed = seed * 1664525 + 1013904223;
        size_t left = n - r->used, piece = seed ? 1 + (seed >> 24) % 19 : left, used, payload;
        if (!seed || piece > left)
            piece = left;
        char *in = malloc(piece);
        memcpy(in, p + r->used, piece);
        r->rc = http1_chunked_decode(&k, in, piece, &used, &payload, &e);
        EXPECT(payload <= used && used <= piece);
        EXPECT(r->rc != 0 || used == piece);
        memcpy(r->body + r->payload, in, payload);
        r->used += used;
        r->payload += payload;
        free(in);
    }
}

static void decode_whole(const char *p, size_t n, struct result *r)
{
    struct http1_chunked k = {0};
    struct err e;
    memcpy(r->body, p, n);
    r->rc = http1_chunked_decode(&k, r->body, n, &r->used, &r->payload, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    const char *p = (const char *)data + 1;
    struct result whole = {.body = malloc(n)}, pieces = {.body = malloc(n)};
    decode_whole(p, n - 1, &whole);
    decode(p, n - 1, data[0], &pieces);
    EXPECT(whole.rc == pieces.rc && whole.used == pieces.used && whole.payload == pieces.payload);
    EXPECT(memcmp(whole.body, pieces.body, whole.payload) == 0);
    free(whole.body);
    free(pieces.body);
    return 0;
}

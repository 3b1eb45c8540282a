// SPDX-License-Identifier: Apache-2.0
// The names of weight files in a model's bytes: each stands there as it is written, in order, and none that
// is written after the last byte which could begin another is missed.
#include "fuzz.h"

#include "base/limits.h"
#include "cli/beside.h"

#include <string.h>

static const char ENTRY[] = "\x0a\x08location\x12";
enum { ENTRY_BYTES = sizeof ENTRY - 1 };

// A name's length is written in one byte below 128, else in two.
static size_t put_length(char *out, size_t n)
{
    if (n < 128) {
        out[0] = (char)n;
        return 1;
    }
    out[0] = (char)(n | 0x80);
    out[1] = (char)(n >> 7);
    return 2;
}

static size_t check(struct str model, struct str *ret_last)
{
    size_t at = 0, before = 0, n_names = 0;
    struct str name;
    while (beside_next_name(model, &at, &name)) {
        char length[2];
        size_t from = (size_t)(name.p - model.p), n_length = put_length(length, name.n);
        EXPECT(name.n >= 1 && name.n <= LIMIT_ARTIFACT_NAME_BYTES && from + name.n == at && at <= model.n);
        EXPECT(from >= before + ENTRY_BYTES + n_length);
        // A length below 128 may have been written in two bytes as well.
        EXPECT(memcmp(name.p - n_length - ENTRY_BYTES, ENTRY, ENTRY_BYTES) == 0 ||
               memcmp(name.p - 2 - ENTRY_BYTES, ENTRY, ENTRY_BYTES) == 0);
        before = at;
        n_names++;
        *ret_last = name;
    }
    EXPECT(at == model.n);
    EXPECT(!beside_next_name(model, &at, &name) && at == model.n);
    return n_names;
}

// The input without its line feeds, of which no entry can begin, and then an entry of our own.
static void check_own_is_found(struct str input)
{
    size_t n = 0, length = 1 + input.n % LIMIT_ARTIFACT_NAME_BYTES;
    char *model = malloc(input.n + ENTRY_BYTES + 2 + length);
    EXPECT(model);
    for (size_t i = 0; i < input.n; i++)
        if (input.p[i] != '\n')
            model[n++] = input.p[i];
    memcpy(model + n, ENTRY, ENTRY_BYTES);
    n += ENTRY_BYTES;
    n += put_length(model + n, length);
    memset(model + n, 'w', length);
    struct str last = {0};
    EXPECT(check((struct str){model, n + length}, &last) == 1);
    EXPECT(last.p == model + n && last.n == length);
    free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    // Not libFuzzer's own copy, which may be followed by bytes that can be read.
    char *exact = malloc(n ? n : 1);
    struct str input = {exact, n}, last;
    EXPECT(exact);
    if (n)
        memcpy(exact, data, n);
    (void)check(input, &last);
    check_own_is_found(input);
    free(exact);
    return 0;
}

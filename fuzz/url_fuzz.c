// SPDX-License-Identifier: Apache-2.0
// Percent-decoding: what comes out has no control characters and no separators, and a query that is walked
// ends.
#include "fuzz.h"

#include "wire/url.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str in = {(const char *)data, n}, got, key, value;
    struct err e;
    char *out = malloc(n ? n : 1);
    bool encoded = n && memchr(data, '%', n);
    if (url_segment_decode(in, out, n, &got, &e) == 0 && encoded)
        for (size_t i = 0; i < got.n; i++)
            EXPECT((unsigned char)got.p[i] >= 0x20 && got.p[i] != 0x7f && got.p[i] != '/' &&
                   got.p[i] != '\\');
    size_t parts = 0;
    for (struct str q = in; url_query_next(&q, &key, &value); parts++)
        EXPECT(key.p >= in.p && value.p + value.n <= in.p + in.n);
    EXPECT(parts <= n);
    if (url_query_get(in, STR("a"), out, n, &got, &e) == 1)
        EXPECT(parts > 0 && got.n <= n);
    free(out);
    return 0;
}

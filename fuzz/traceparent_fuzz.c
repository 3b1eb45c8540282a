// SPDX-License-Identifier: Apache-2.0
// Of version 00, what is taken is exactly what its parts are written as again.
#include "fuzz.h"

#include "wire/traceparent.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct traceparent t;
    char *in = malloc(n ? n : 1), again[64], *at = again;
    memcpy(in, data, n);
    if (traceparent_read((struct str){in, n}, &t)) {
        at += sprintf(at, "00-");
        for (size_t i = 0; i < 16; i++)
            at += sprintf(at, "%02x", t.trace[i]);
        *at++ = '-';
        for (size_t i = 0; i < 8; i++)
            at += sprintf(at, "%02x", t.parent[i]);
        EXPECT(n >= 55 && memcmp(in + 2, again + 2, 50) == 0);
        EXPECT(memcmp(in, "ff", 2) != 0 && (memcmp(in, "00", 2) != 0 || n == 55));
        EXPECT(t.is_sampled == ((in[54] >= 'a' ? in[54] - 'a' + 10 : in[54] - '0') & 1));
    }
    free(in);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// A Snappy block, the first two bytes being the size that is expected of it.
#include "fuzz.h"

#include "predlog/snappy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    size_t size = (size_t)data[0] << 8 | data[1];
    uint8_t *to = malloc(size ? size : 1);
    if (snappy_decode(data + 2, n - 2, to, size))
        for (size_t i = 0; i < size; i++)
            EXPECT(to[i] <= 255);
    free(to);
    return 0;
}

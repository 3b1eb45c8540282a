// SPDX-License-Identifier: Apache-2.0
// Any bytes, their checksum made right, are refused or are a record whose blocks lie within it.
#include "fuzz.h"

#include "base/crc32c.h"
#include "predlog/record.h"

#include <stdlib.h>
#include <string.h>

static void walk(struct str blocks, const struct record *r)
{
    struct record_block b;
    while (record_block_next(&blocks, &b)) {
        const char *data = b.t.data;
        EXPECT(data >= r->bytes.p && data + b.t.bytes <= r->bytes.p + r->bytes.n);
        EXPECT(b.form == RECORD_LEFT_OUT || tensor_check(&b.t, NULL) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct record r;
    struct err e = {0};
    char *copy = aligned_alloc(8, (n + 8) & ~(size_t)7);
    memcpy(copy, data, n);
    if (n >= RECORD_HEAD_BYTES) {
        uint32_t bytes = (uint32_t)(n & ~(size_t)7), crc;
        memcpy(copy, &bytes, sizeof bytes);
        crc = crc32c(0, copy + 8, bytes - 8);
        memcpy(copy + 4, &crc, sizeof crc);
    }
    if (record_read(copy, n, &r, &e)) {
        EXPECT(e.code < 0 && e.msg[0]);
    } else {
        EXPECT(r.bytes.n <= n);
        walk(r.inputs, &r);
        walk(r.outputs, &r);
        EXPECT(r.schema_json.n < n);
    }
    free(copy);
    return 0;
}

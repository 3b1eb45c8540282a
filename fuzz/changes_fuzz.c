// SPDX-License-Identifier: Apache-2.0
// The file of detectors of changes, its checksum made right: refused, or detectors that go on with any
// labels.
#include "fuzz.h"

#include "base/crc32c.h"
#include "monitor/shiryaev_roberts.h"

#include <math.h>
#include <string.h>

enum { MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct shiryaev_rule RULE = {.ratio = 2, .limit = 1000, .reference = 10};
    struct shiryaev_kept list[MAX];
    struct buf b;
    struct err e;
    uint32_t found = 0, crc;
    buf_init(&b, 1 << 20);
    buf_put(&b, data, n);
    if (b.n >= sizeof crc) {
        crc = crc32c(0, b.p, b.n - sizeof crc);
        memcpy(b.p + b.n - sizeof crc, &crc, sizeof crc);
    }
    int rc = shiryaev_decode(buf_str(&b), list, MAX, &found, &e);
    EXPECT(rc == 0 || (rc == ERR_DIGEST && found == 0));
    for (uint32_t i = 0; i < found; i++) {
        struct shiryaev_roberts *d = &list[i].state;
        shiryaev_roberts_add(d, &RULE, 100, i % 100, i);
        EXPECT(isfinite(d->m) && d->m >= 0 && d->p0 >= 0 && d->p0 < 1 && d->p1 < 1);
    }
    buf_done(&b);
    return 0;
}

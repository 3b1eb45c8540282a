// SPDX-License-Identifier: Apache-2.0
// Bytes as a profile, which a user may send: it is refused, or comes back from its own JSON and can be
// compared with any counts.
#include "base/limits.h"
#include "monitor/finding.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct profile_column *c, const uint8_t *data, size_t size)
{
    struct tally t = {.cells = calloc(profile_cells(c) + 1, sizeof *t.cells)};
    struct finding f = {0};
    struct verdict v;
    struct stats_random r;
    struct buf text;
    double x = 0;
    for (size_t i = 0; t.cells && i + sizeof x <= size && i < 4000; i += sizeof x) {
        memcpy(&x, data + i, sizeof x);
        tally_number(&t, c, x);
        tally_text(&t, c, (struct str){(const char *)data + i, 5});
    }
    stats_random_init(&r, 1);
    buf_init(&text, 1 << 16);
    verdict_of(&t, c, 1e300, &r, &v);
    for (int k = 0; k < FINDING_KINDS; k++) {
        finding_next(&f, k, c, &v, 1);
        finding_put_text(&f, k, c, &t, &v, &text);
    }
    buf_done(&text);
    free(t.cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct profile *p, *again;
    struct err e;
    struct buf json;
    if (profile_decode((struct str){(const char *)data, size}, &p, &e))
        return 0;
    for (uint32_t i = 0; i < p->n_columns; i++)
        use(&p->columns[i], data, size);
    buf_init(&json, LIMIT_PROFILE_BYTES);
    profile_encode(p, &json);
    if (!json.failed && profile_decode(buf_str(&json), &again, &e))
        abort();
    if (!json.failed)
        profile_free(again);
    buf_done(&json);
    profile_free(p);
    return 0;
}

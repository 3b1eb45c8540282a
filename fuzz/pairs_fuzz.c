// SPDX-License-Identifier: Apache-2.0
// What gateways say of mirrored requests: any bytes end in an error, or in pairs that read back as they were
// written; and any two answers are counted once.
#include "fuzz.h"

#include "rollout/pairs.h"

#include <math.h>
#include <string.h>
#include <yyjson.h>

static void check_text(const char *text, size_t n)
{
    static struct pairs p, again;
    struct err e = {0};
    yyjson_doc *doc = yyjson_read(text, n, 0);
    int rc = pairs_read(yyjson_doc_get_root(doc), &p, &e);
    yyjson_doc_free(doc);
    if (rc) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    struct buf one, other;
    buf_init(&one, 1 << 20);
    buf_init(&other, 1 << 20);
    pairs_encode(&p, &one);
    EXPECT(!one.failed);
    doc = yyjson_read(one.p, one.n, 0);
    EXPECT(doc && pairs_read(yyjson_doc_get_root(doc), &again, &e) == 0);
    yyjson_doc_free(doc);
    pairs_encode(&again, &other);
    EXPECT(one.n == other.n && memcmp(one.p, other.p, one.n) == 0);
    buf_done(&one);
    buf_done(&other);
}

// Values of any bits, the same bytes for both but shifted by one value.
static void check_answers(const uint8_t *data, size_t n)
{
    static struct pairs p;
    double values[64] = {0};
    int64_t classes[64] = {0};
    if (n < 3)
        return;
    uint32_t n_rows = data[0] % 4, n_values = data[1] % 8;
    memcpy(values, data + 3, n - 3 < sizeof values ? n - 3 : sizeof values);
    memcpy(classes, values, sizeof classes);
    const struct pairs_answer stable = {n_rows, n_values, data[2] & 1 ? values : NULL,
                                        data[2] & 2 ? classes : NULL};
    const struct pairs_answer shadow = {data[2] & 4 ? n_rows : n_rows + 1, n_values,
                                        data[2] & 8 ? values + 1 : NULL, data[2] & 16 ? classes + 1 : NULL};
    memset(&p, 0, sizeof p);
    if (n_values == 0 || (!stable.values && !stable.classes) || (!shadow.values && !shadow.classes))
        return;
    pairs_add(&p, &stable, &shadow, "an id");
    EXPECT(p.n == 1 && p.unlike <= 1 && p.rows <= n_rows && p.disagree <= p.rows);
    EXPECT(p.unlike == 0 || p.rows == 0);
    EXPECT(pairs_quantile(&p, 0) <= pairs_quantile(&p, 1));
    struct buf out;
    buf_init(&out, 1 << 20);
    pairs_encode(&p, &out);
    check_text(out.p, out.n);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n && data[0] == '{')
        check_text((const char *)data, n);
    else
        check_answers(data, n);
    return 0;
}

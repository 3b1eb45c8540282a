// SPDX-License-Identifier: Apache-2.0
// A file of alert rules: refused, or rules that can be shown.
#include "fuzz.h"

#include "monitor/alert_rule.h"

#include <yyjson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct alert_rules r;
    struct err e;
    struct buf out;
    alert_rules_init(&r);
    buf_init(&out, 1 << 22);
    if (alert_rules_read(&r, (struct str){(const char *)data, n}, &e) == 0) {
        alert_rules_put(&r, &out);
        yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
        EXPECT(yyjson_arr_size(yyjson_doc_get_root(doc)) == r.n);
        yyjson_doc_free(doc);
    }
    buf_done(&out);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// A page as other processes may write it, and an Accept field: neither reads or writes beyond its bytes.
#include "wire/exposition.h"
#include "wire/exposition_proto.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str page = {(const char *)data, n};
    struct buf out, text;
    struct err e;
    buf_init(&out, 1 << 20);
    buf_init(&text, 1 << 20);
    if (exposition_proto(page, &out, &e) && e.code != ERR_INVALID)
        __builtin_trap();
    buf_put_str(&text, page);
    exposition_without_native(&text, 0);
    // What is left has no native histogram to refuse; what was good stays good.
    buf_clear(&out);
    (void)!exposition_proto(buf_str(&text), &out, &e);
    (void)exposition_proto_is_asked(page);
    buf_done(&out);
    buf_done(&text);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Interfaces from JSON: what is taken is written and read again without a change.
#include "base/limits.h"
#include "fuzz.h"
#include "tensor/interface.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct interface *first, *second;
    struct err e;
    struct buf a, b;
    if (interface_decode((struct str){(const char *)data, n}, &first, &e))
        return 0;
    buf_init(&a, LIMIT_INTERFACE_BYTES * 8);
    buf_init(&b, LIMIT_INTERFACE_BYTES * 8);
    interface_encode(first, &a);
    EXPECT(!a.failed && interface_decode(buf_str(&a), &second, &e) == 0);
    interface_encode(second, &b);
    EXPECT(str_eq(buf_str(&a), buf_str(&b)));
    for (uint32_t i = 0; i < first->n_inputs; i++)
        EXPECT(interface_input(first, first->inputs[i].name) == (int)i);
    interface_free(first);
    interface_free(second);
    buf_done(&a);
    buf_done(&b);
    return 0;
}

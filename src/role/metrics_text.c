// SPDX-License-Identifier: Apache-2.0
// One writer, many readers, no lock: a reader whose text changed under it reads again.
#include "role/metrics.h"

#include "base/buf.h"

#include <string.h>

enum { ATTEMPTS = 64 };

static uint64_t get(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

bool metrics_text_write(struct metrics_text *t, struct str text)
{
    if (text.n > sizeof t->text)
        return false;
    // A writer that died in the middle left it odd.
    uint64_t seq = get(&t->seq) | 1;
    __atomic_store_n(&t->seq, seq, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    t->bytes = text.n;
    if (text.n)
        memcpy(t->text, text.p, text.n);
    __atomic_store_n(&t->seq, seq + 1, __ATOMIC_SEQ_CST);
    return true;
}

bool metrics_text_read(const struct metrics_text *t, struct buf *out)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t seq = get(&t->seq), n = get(&t->bytes);
        size_t before = out->n;
        if (seq & 1 || n > sizeof t->text)
            continue;
        buf_put(out, t->text, n);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (out->failed || get(&t->seq) == seq)
            return !out->failed;
        out->n = before;
    }
    return false;
}

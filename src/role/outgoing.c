// SPDX-License-Identifier: Apache-2.0
#include "role/outgoing.h"

#include "base/assert.h"

struct str outgoing_next(const struct outgoing *o, const struct buf *b, size_t max)
{
    size_t rest = b->n - o->at;
    if (rest == 0)
        return (struct str){0};
    return (struct str){b->p + o->at, rest < max ? rest : max};
}

void outgoing_sent(struct outgoing *o, struct buf *b, size_t n)
{
    ASSERT(n <= b->n - o->at);
    o->at += n;
    size_t rest = b->n - o->at;
    if (o->at < rest)
        return;
    o->n_moved += rest;
    buf_consume(b, o->at);
    o->at = 0;
}

// SPDX-License-Identifier: Apache-2.0
// The last admitted head of a predict request and what it means. Clients send the same head again and again,
// but for the digits of Content-Length: such a head is compared, which is far cheaper than to be parsed,
// routed and checked. What a head means depends on nothing but its bytes and the settings.
#pragma once

#include "api/routes.h"
#include "wire/http1.h"

enum { HEAD_MEMO_BYTES = 512 }; // longer heads are parsed each time

struct head {
    struct http1_request req;
    struct route_match match;
};

// Zero-initialise.
struct head_memo {
    size_t n, length_at,
        length_end;   // bytes of the head, 0 = none yet; where the digits of Content-Length stand
    struct head head; // its slices point into bytes
    char bytes[HEAD_MEMO_BYTES];
};

// What the head at p[0 … n) means if it is the one kept, with as many digits in its Content-Length, which is
// at most max_body_bytes; else NULL. The result is valid until the next head_memo_find or head_memo_keep.
struct head *head_memo_find(struct head_memo *m, const char *p, size_t n, uint64_t max_body_bytes);
// Remembers the head at p, which was admitted, if it is of the sort that comes again.
void head_memo_keep(struct head_memo *m, const char *p, const struct head *h);

// SPDX-License-Identifier: Apache-2.0
// Answers as the load generator reads them: its quick look at a usual head must say what the strict parser
// says (of a head that the strict one refuses, it may see nothing wrong: it skips what it does not need), and
// an answer in two parts is the same as in one. The first byte says where it is cut.
#include "fuzz.h"

#include "cli/load_reply.h"

#include <string.h>

// Takes one answer from n bytes of which `first` arrive before the others.
static int take(const char *p, size_t n, size_t first, char *room, struct load_reply *a)
{
    struct load_reader r = {0};
    struct err e;
    size_t have = first;
    memcpy(room, p, first);
    int rc = load_reply_take(&r, room, &have, a, &e);
    if (rc != 0 || first == n)
        return rc;
    memcpy(room + have, p + first, n - first); // decoded chunks have made it shorter
    have += n - first;
    return load_reply_take(&r, room, &have, a, &e);
}

// False: the strict parser refuses the head.
static bool compare_with_strict(const char *p, size_t n, const struct load_reply *a)
{
    struct http1_response h;
    struct err e;
    if (http1_response_parse(p, n, &h, &e) != 1)
        return false;
    EXPECT(h.status == a->status && h.keep_alive == a->keep_alive);
    EXPECT(h.chunked || (h.content_length == a->body.n && a->bytes == h.head_bytes + a->body.n));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const char *p = (const char *)data + 1;
    struct load_reply whole, parts;
    char *room = malloc(n), *room2 = malloc(n);
    n--;
    int rc = take(p, n, n, room, &whole);
    if (rc == 1 && compare_with_strict(p, n, &whole)) {
        EXPECT(take(p, n, data[0] % n, room2, &parts) == 1);
        EXPECT(str_eq(whole.body, parts.body) && whole.bytes == parts.bytes && whole.status == parts.status);
    }
    free(room);
    free(room2);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// What gateways say of mirrored requests by segment, and the sets of entities that the controller keeps: any
// bytes end in an error, or in something that reads back as it was written.
#include "fuzz.h"

#include "rollout/entities.h"
#include "rollout/segments.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { TEXT_MAX = 1 << 22, SLOTS = 256 };

static void check_segments(yyjson_val *root)
{
    static struct segments s, again;
    struct err e = {0};
    if (segments_read(root, &s, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    struct buf one, other;
    buf_init(&one, TEXT_MAX);
    buf_init(&other, TEXT_MAX);
    segments_encode(&s, &one);
    EXPECT(!one.failed);
    yyjson_doc *doc = yyjson_read(one.p, one.n, 0);
    EXPECT(doc && segments_read(yyjson_doc_get_root(doc), &again, &e) == 0);
    yyjson_doc_free(doc);
    segments_encode(&again, &other);
    EXPECT(one.n == other.n && memcmp(one.p, other.p, one.n) == 0);
    segments_merge(&again, &s);
    EXPECT(again.n <= SEGMENTS_MAX);
    buf_done(&one);
    buf_done(&other);
}

static void check_entities(yyjson_val *root)
{
    struct entities s;
    struct err e = {0};
    if (entities_init(&s, SLOTS, &e))
        return;
    if (entities_read(root, &s, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
    } else {
        EXPECT(s.n <= SLOTS / 2);
        for (uint32_t i = 0; i < SLOTS; i++)
            EXPECT(!s.slots[i] || !entities_first(&s, (uint64_t)s.slots[i] << 32));
    }
    entities_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    yyjson_doc *doc = yyjson_read((const char *)data, n, 0);
    check_segments(yyjson_doc_get_root(doc));
    check_entities(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return 0;
}

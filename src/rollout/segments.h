// SPDX-License-Identifier: Apache-2.0
// What two versions say to the same requests (pairs.h), apart for each value of one input, header or query
// parameter. The first values that come have a place each; all that come later share one, and so do requests
// without a value. So memory and messages are bounded, whatever clients send.
#pragma once

#include "rollout/pairs.h"

#include "base/str.h"

enum {
    SEGMENTS_MAX = 16,
    SEGMENT_BYTES = 64, // of a value; a longer one is among the others, and so is what is no UTF-8
};

struct segment {
    char value[SEGMENT_BYTES + 1];
    struct pairs pairs;
};

struct segments {
    uint32_t n;
    struct segment of[SEGMENTS_MAX]; // in the order in which they came
    struct pairs absent, others;
};

// A place: an index below SEGMENTS_MAX, or one of these.
enum { SEGMENT_ABSENT = SEGMENTS_MAX, SEGMENT_OTHERS };

// The place of a value, which gets one if there is one left. Empty: absent.
uint32_t segments_place(struct segments *s, struct str value);
struct pairs *segments_at(struct segments *s, uint32_t place);
// Counts begin anew, values keep their places.
void segments_clear(struct segments *s);
void segments_merge(struct segments *into, const struct segments *from);

// {"of":[{"value":"DE","pairs":{…}},…],"absent":{…},"others":{…}}: as pairs_encode has them, and only those
// with a count.
void segments_encode(const struct segments *s, struct buf *json);
// ERR_INVALID.
int segments_read(struct yyjson_val *json, struct segments *ret, struct err *e) ERR_CHECKED;

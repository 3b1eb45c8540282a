// SPDX-License-Identifier: Apache-2.0
// Events as CloudEvents 1.0 has them in its JSON format, for the structured mode (one event is the body) and
// the batched mode (a list of them). Which events there are is the business of those who send them.
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define CLOUDEVENTS_TYPE       "application/cloudevents+json"
#define CLOUDEVENTS_BATCH_TYPE "application/cloudevents-batch+json"

struct cloudevent {
    const char *id;       // with `source` the same for the same event, however often it is sent
    const char *source;   // a URI, or a path
    const char *type;     //
    const char *subject;  // "": none
    const char *time;     // RFC 3339
    struct str data;      // JSON, as it is
    const uint8_t *trace; // (16) of a traceparent; all zero: none
    const uint8_t *span;  // (8) of it
    bool is_recorded;     // its flag
    uint32_t rate;        // it stands for so many like it; up to 1: is not said
};

// Appends one event.
void cloudevent_put(const struct cloudevent *ev, struct buf *out);

// SPDX-License-Identifier: Apache-2.0
// A buffer that is appended to at its end and sent from its start, piece by piece. What was sent stays in
// front until it is at least as much as the rest: then the rest is moved there, so that all pieces together
// move no more bytes than are sent.
#pragma once

#include "base/buf.h"

#include <stdint.h>

struct outgoing {     // zeroed at the start
    size_t at;        // bytes of the buffer that were sent
    uint64_t n_moved; // bytes, so far
};

// The next bytes to be sent, at most `max`; empty: there are none, and then the buffer is empty.
struct str outgoing_next(const struct outgoing *o, const struct buf *b, size_t max);
// So many of them were sent.
void outgoing_sent(struct outgoing *o, struct buf *b, size_t n);

// SPDX-License-Identifier: Apache-2.0
// llhttp's reading of a message, for http1_fuzz to compare ours with.
#pragma once

#include "base/str.h"

struct oracle {
    bool head_complete, message_complete;
    const char *method;
    struct str target;
    int status, minor_version;
    bool chunked, length_given, keep_alive;
    uint64_t content_length;
    size_t head_bytes, message_bytes;
    char *body; // with room for all input, owned by the caller
    size_t body_bytes;
    const char *reason; // of a refusal
};

// Reads one message (a request, or a response) at the start of p; o->body set, the rest zero.
void oracle_read(const char *p, size_t n, bool request, struct oracle *o);

// SPDX-License-Identifier: Apache-2.0
// Percent-encoding in request targets (RFC 3986): segments of a path and parameters of a query, decoded
// strictly, because two readings of one path are two opinions on who may do what.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

// Decodes one path segment (between two '/'). *ret is the segment itself when nothing is encoded, else lies
// in out, which has room for cap bytes (segment.n always suffice). '+' stays '+'. ERR_INVALID for a '%'
// without two hex digits, for encoded control characters, '/' and '\', and for the segments "." and ".."
// however written; ERR_TOO_LARGE when cap is too small.
int url_segment_decode(struct str segment, char *out, size_t cap, struct str *ret, struct err *e) ERR_CHECKED;

// Takes the next "key=value" off *query, both still encoded; a key without '=' has an empty value. Empty
// parts ("a&&b") are passed over. False at the end.
bool url_query_next(struct str *query, struct str *ret_key, struct str *ret_value);

// Looks up a parameter by its decoded name. 1: *ret is its value, decoded ('+' is a space) into out, which
// has room for cap bytes (query.n always suffice). 0: absent. ERR_INVALID for a broken '%', a control
// character, or a key given twice; ERR_TOO_LARGE when cap is too small.
int url_query_get(struct str query, struct str key, char *out, size_t cap, struct str *ret,
                  struct err *e) ERR_CHECKED;

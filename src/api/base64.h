// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648 section 4) for bytes that JSON cannot hold. Private to src/api.
#pragma once

#include "base/buf.h"

// Writes what text stands for to `to`, which has room for text.n bytes. Padding may be left out; false when
// it is no base64.
bool base64_decode(struct str text, char *to, size_t *ret_n);
void base64_encode(struct str bytes, struct buf *out);

// SPDX-License-Identifier: Apache-2.0
// Content codings of request bodies: gzip and zstd, with a limit on what comes out, so that a small body
// cannot become a large one.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "wire/http1.h"

// Appends the decoded body to out. ERR_TOO_LARGE past max_bytes (out->max applies too), ERR_BAD_HTTP for a
// broken or incomplete stream or bytes after its end, ERR_NOMEM.
int coding_decode(enum http_coding coding, struct str body, size_t max_bytes, struct buf *out,
                  struct err *e) ERR_CHECKED;

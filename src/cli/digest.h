// SPDX-License-Identifier: Apache-2.0
// SHA-256 of bytes as they come, as text: "sha256:…".
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_SIZE = 72 };

struct digest {
    struct evp_md_ctx_st *md;
};

int digest_start(struct digest *d, struct err *e) ERR_CHECKED; // ERR_NOMEM
int digest_add(struct digest *d, const void *p, size_t n, struct err *e) ERR_CHECKED;
int digest_end(struct digest *d, char ret[DIGEST_SIZE], struct err *e) ERR_CHECKED;
void digest_done(struct digest *d); // also after digest_end; a zeroed one is fine
// Of bytes that lie together.
int digest_of(const void *p, size_t n, char ret[DIGEST_SIZE], struct err *e) ERR_CHECKED;
// Whether it is "sha256:" and 64 lower-case hexadecimal digits.
bool digest_is_valid(const char *text, size_t n);

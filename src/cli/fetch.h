// SPDX-License-Identifier: Apache-2.0
// HTTP and HTTPS to servers of others, by libcurl, which is opened only when it is needed: neither the server
// nor any other verb pays for it. What a server of Slipway is asked goes through client.h.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch;

struct fetch_options {
    const char *user, *password; // HTTP Basic; NULL: none
    const char *token;           // Bearer, before Basic; NULL: none
    const char *ca_file;         // certificates to trust; NULL: the system's
    bool any_certificate;        // the server's certificate is not checked
    uint64_t timeout_ms;         // to connect, and of silence
};

// ERR_UNAVAILABLE when there is no libcurl on this machine, with what to install. Options are borrowed until
// fetch_close. Credentials are sent to the first host alone, also when it redirects.
int fetch_open(const struct fetch_options *options, struct fetch **ret, struct err *e) ERR_CHECKED;
void fetch_close(struct fetch *f); // NULL is fine

// Gets a URL; every piece of the answer's body goes to the sink, whatever the status. ERR_TOO_LARGE past
// max_bytes, ERR_UNAVAILABLE, ERR_REQUEST_TIMEOUT, and what the sink returns. Follows a few redirects, never
// from https to http. Messages name the host, never a user or password.
int fetch_get(struct fetch *f, const char *url, uint64_t max_bytes,
              int (*sink)(void *ctx, const char *p, size_t n, struct err *e), void *ctx, long *ret_status,
              struct err *e) ERR_CHECKED;

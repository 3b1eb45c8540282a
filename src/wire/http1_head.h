// SPDX-License-Identifier: Apache-2.0
// What the parsers of request heads (http1.c) and response heads (http1_response.c) share. Private to wire.
#pragma once

#include "wire/http1.h"

enum http1_field { FIELD_MORE, FIELD_ONE, FIELD_LAST, FIELD_BAD };

// Takes the field line at *pp; FIELD_LAST is the empty line. On FIELD_BAD *pp may have moved. The name is not
// checked to be a token yet.
enum http1_field http1_field_next(const char **pp, const char *end, struct str *name, struct str *value);
// As http1_field_next, with what both heads say: 1 with a field, 2 at the empty line, 0 for more bytes after
// n, or the error; counts the fields in *n_fields.
enum { HTTP1_FIELDS_END = 2 };
int http1_field_take(const char **pp, const char *end, size_t n, int *n_fields, struct str *name,
                     struct str *value, struct err *e);
// Says what is wrong with the field line at p, which is known to be bad.
int http1_field_explain(const char *p, const char *end, struct err *e);
// 0, or the error of a name (with its ':' behind it) that is not a token.
int http1_name_check(struct str name, struct err *e);
// First byte at or after p that may not stand in a field value, or end.
const char *http1_value_end(const char *p, const char *end);
// Out of bytes after n: 0 to ask for more, or the error when no more are allowed.
int http1_more_or_too_large(size_t n, struct err *e);

// How long the body is and whether the connection stays, gathered from the fields.
struct http1_framing {
    bool length_seen, chunked, close, keep_alive;
    uint64_t content_length;
    struct str length_text;
};
int http1_content_length_take(struct http1_framing *f, struct str value, struct err *e);
int http1_transfer_encoding_take(struct http1_framing *f, struct str value, struct err *e);
int http1_connection_take(struct http1_framing *f, struct str value);
bool http1_stays(const struct http1_framing *f, int minor_version);

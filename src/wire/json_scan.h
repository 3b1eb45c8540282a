// SPDX-License-Identifier: Apache-2.0
// A pull scanner for JSON (RFC 8259) over a byte slice: the caller asks for what it expects next, nothing is
// allocated but strings with escapes. Strict, but for one thing that Python's json writes: the bare words
// NaN, Infinity and -Infinity are told apart, for the caller to take or refuse. Escaped lone surrogates are
// refused. Whole documents with a tree are yyjson's work.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Lets a long text be read in pieces: wherever the scanner is, it calls `pause` about every so many bytes and
// goes on when that returns.
struct json_pause {
    void (*pause)(void *ctx);
    void *ctx;
    size_t every_bytes;
};

struct json_scan {
    const char *p, *end, *start; // next byte, end and start of the body
    uint32_t depth;              // open arrays and objects
    const char *pause_at;        // at or behind it a pause is due; behind the end when there is none
    const struct json_pause *pause;
};

enum json_kind {
    JSON_END, // no byte left
    JSON_BAD, // no value starts here
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NUMBER,
    JSON_NAN,
    JSON_INFINITY, // or -Infinity
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

void json_scan_init(struct json_scan *s, struct str body);
// From here on with pauses; NULL is without.
void json_scan_pauses(struct json_scan *s, const struct json_pause *pause);
// Goes on reading at p, at another place of the same text and in as many containers.
void json_scan_seek(struct json_scan *s, const char *p);
// Skips white space and says what starts there; consumes nothing else. Of a number, string, array or object
// only the first byte was looked at.
enum json_kind json_scan_kind(struct json_scan *s);
const char *json_kind_name(enum json_kind k); // "a number"

// Every function below returns ERR_BAD_JSON, with the byte offset in the message, where the text is not JSON.

// Steps into the array or object that starts here. ERR_TOO_DEEP past LIMIT_JSON_DEPTH.
int json_scan_enter(struct json_scan *s, struct err *e) ERR_CHECKED;
// Steps to the first or next item of the innermost container, whose closing bracket is `close`. Returns 1
// when there is one, or 0 when the container ended and was left. *first is true before the first call.
int json_scan_item(struct json_scan *s, char close, bool *first, struct err *e) ERR_CHECKED;
// A string: a slice of the body, or with escapes a decoded copy in `arena` (ERR_NOMEM). A NULL arena only
// checks the string; *ret is then unspecified.
int json_scan_string(struct json_scan *s, struct arena *arena, struct str *ret, struct err *e) ERR_CHECKED;
// A key, its colon and white space behind it, as json_scan_string.
int json_scan_key(struct json_scan *s, struct arena *arena, struct str *ret, struct err *e) ERR_CHECKED;
// Consumes the same if here stands exactly "name": without white space before the colon and without escapes.
bool json_scan_key_is(struct json_scan *s, struct str name);
// json_scan_item and json_scan_key_is in one: consumes the same if here stands exactly ,"name": or , "name":
bool json_scan_next_key_is(struct json_scan *s, struct str name);
// Whether text stands for itself between quotes: ASCII without control characters, quotes and backslashes.
bool json_scan_is_plain(struct str text);
// A number as the nearest double; infinite when the text lies beyond the largest one.
int json_scan_number(struct json_scan *s, double *ret, struct err *e) ERR_CHECKED;
// Consumes the word of a value of kind JSON_NULL, JSON_TRUE, JSON_FALSE or JSON_NAN.
void json_scan_word(struct json_scan *s, enum json_kind k);
// Checks and consumes any value, without recursion.
int json_scan_skip(struct json_scan *s, struct err *e) ERR_CHECKED;
// ERR_BAD_JSON if anything but white space is left.
int json_scan_finish(struct json_scan *s, struct err *e) ERR_CHECKED;

// The hot loop: reads numbers separated by commas into out[0..n_max), n_max > 0, as long as they are plain
// (no exponent, at most 19 digits and a point), and returns how many. At most 16,384 in one call. The
// position is then after the last one read, before the comma or whatever follows it; it is unchanged when the
// result is 0, which says nothing: ask json_scan_number then. Each value is exactly what that gives, rounded
// once more to float in the first.
size_t json_scan_floats(struct json_scan *s, float *out, size_t n_max);
size_t json_scan_doubles(struct json_scan *s, double *out, size_t n_max);

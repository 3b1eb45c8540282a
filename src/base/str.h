// SPDX-License-Identifier: Apache-2.0
// A borrowed run of bytes with its length; never NUL-terminated by promise, never owned.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p; // may be NULL only when n is 0
    size_t n;      // bytes
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).n, (s).p

struct str str_of(const char *z); // NULL gives an empty one
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); // ASCII only
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
int str_cmp(struct str a, struct str b); // bytewise, for sorting
struct str str_trim(struct str s);       // without spaces and tabs at both ends
// The part before the first sep, which is removed from *rest together with sep; all of *rest if there is no
// sep.
struct str str_split(struct str *rest, char sep);
// Whole string as a decimal without sign or spaces; false when empty, not digits, or above max.
bool str_to_u64(struct str s, uint64_t max, uint64_t *ret);
// Heap copy with a NUL appended, or NULL without memory; the caller frees.
char *str_dup(struct str s);
// Bytes of the UTF-8 sequence at the start of s (RFC 3629: no overlong forms, no surrogates), or 0 if it is
// not one. s is not empty.
size_t str_utf8_len(struct str s);

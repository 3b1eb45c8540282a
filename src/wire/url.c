// SPDX-License-Identifier: Apache-2.0
// Percent-decoding. Plain loops: targets are short, and most have nothing encoded.
#include "wire/url.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Takes one character off *s. -1 for a broken escape or a control character.
static int char_next(struct str *s, bool plus_is_space)
{
    unsigned char c = (unsigned char)s->p[0];
    size_t n = 1;
    if (c == '%') {
        int high = s->n >= 3 ? hex_digit(s->p[1]) : -1, low = s->n >= 3 ? hex_digit(s->p[2]) : -1;
        if (high < 0 || low < 0)
            return -1;
        c = (unsigned char)(high << 4 | low);
        n = 3;
    } else if (c == '+' && plus_is_space) {
        c = ' ';
    }
    *s = (struct str){s->p + n, s->n - n};
    return c < 0x20 || c == 0x7f ? -1 : c;
}

static int decode(struct str s, bool plus_is_space, char *out, size_t cap, struct str *ret, struct err *e)
{
    size_t n = 0;
    struct str rest = s;
    while (rest.n) {
        int c = char_next(&rest, plus_is_space);
        if (c < 0)
            return err_set(e, ERR_INVALID, "'" STR_FMT "' is not valid percent-encoding",
                           (int)(s.n < 64 ? s.n : 64), s.p);
        if (n == cap)
            return err_set(e, ERR_TOO_LARGE, "part of the request target over %zu bytes", cap);
        out[n++] = (char)c;
    }
    *ret = (struct str){out, n};
    return 0;
}

int url_segment_decode(struct str segment, char *out, size_t cap, struct str *ret, struct err *e)
{
    *ret = segment;
    if (segment.n && memchr(segment.p, '%', segment.n)) {
        int rc = decode(segment, false, out, cap, ret, e);
        if (rc)
            return rc;
        if (memchr(ret->p, '/', ret->n) || memchr(ret->p, '\\', ret->n))
            return err_set(e, ERR_INVALID, "encoded slash or backslash in the path");
    }
    if (str_eq(*ret, STR(".")) || str_eq(*ret, STR("..")))
        return err_set(e, ERR_INVALID, "'" STR_FMT "' as a part of the path", STR_ARG(*ret));
    return 0;
}

bool url_query_next(struct str *query, struct str *ret_key, struct str *ret_value)
{
    struct str part = {NULL, 0};
    while (query->n && part.n == 0)
        part = str_split(query, '&');
    if (part.n == 0)
        return false;
    *ret_key = str_split(&part, '=');
    *ret_value = part;
    return true;
}

static bool key_is(struct str encoded, struct str key)
{
    size_t i = 0;
    while (encoded.n) {
        int c = char_next(&encoded, true);
        if (c < 0 || i == key.n || (unsigned char)key.p[i++] != c)
            return false;
    }
    return i == key.n;
}

int url_query_get(struct str query, struct str key, char *out, size_t cap, struct str *ret, struct err *e)
{
    struct str k, v;
    int found = 0;
    while (url_query_next(&query, &k, &v)) {
        if (!key_is(k, key))
            continue;
        if (found)
            return err_set(e, ERR_INVALID, "query parameter '" STR_FMT "' given twice", STR_ARG(key));
        int rc = decode(v, true, out, cap, ret, e);
        if (rc)
            return rc;
        found = 1;
    }
    return found;
}

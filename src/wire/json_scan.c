// SPDX-License-Identifier: Apache-2.0
// The scanner's words, strings and containers. The hot loop over numbers is json_numbers.c.
#include "wire/json_scan.h"

#include "base/limits.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(LIMIT_JSON_DEPTH <= 64, "json_scan_skip keeps one bit for each level");

void json_scan_init(struct json_scan *s, struct str body)
{
    *s = (struct json_scan){.p = body.p, .start = body.p, .end = body.n ? body.p + body.n : body.p};
    s->pause_at = (const char *)UINTPTR_MAX;
}

static void plan_pause(struct json_scan *s, const char *p)
{
    if (s->pause && (size_t)(s->end - p) > s->pause->every_bytes)
        s->pause_at = p + s->pause->every_bytes;
    else
        s->pause_at = (const char *)UINTPTR_MAX;
}

void json_scan_pauses(struct json_scan *s, const struct json_pause *pause)
{
    s->pause = pause;
    plan_pause(s, s->p);
}

void json_scan_seek(struct json_scan *s, const char *p)
{
    s->p = p;
    plan_pause(s, p);
}

static __attribute__((cold, noinline)) void take_pause(struct json_scan *s, const char *p)
{
    s->pause->pause(s->pause->ctx);
    plan_pause(s, p);
}

// Where a loop over bytes has to look up.
static inline const char *stop_of(const struct json_scan *s)
{
    return s->pause_at < s->end ? s->pause_at : s->end;
}

static __attribute__((cold, noinline)) int bad(const struct json_scan *s, const char *at, struct err *e,
                                               const char *expected)
{
    char found[32] = "the end of the text";
    if (at < s->end) {
        unsigned char c = (unsigned char)*at;
        snprintf(found, sizeof found, c > 0x20 && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
    }
    return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: expected %s, found %s", (size_t)(at - s->start),
                   expected, found);
}

static void skip_run(struct json_scan *s)
{
    for (;;) {
        const char *p = s->p, *stop = stop_of(s);
        while (p < stop && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
            p++;
        s->p = p;
        if (p < stop || p == s->end)
            return;
        take_pause(s, p);
    }
}

static inline void skip_space(struct json_scan *s)
{
    if (s->p < s->end && (unsigned char)*s->p <= ' ')
        skip_run(s);
}

static const struct {
    const char *name, *word;
    size_t n;
} KINDS[] = {
    [JSON_END] = {"the end of the text", "", 0},
    [JSON_BAD] = {"something that is not JSON", "", 0},
    [JSON_NULL] = {"null", "null", 4},
    [JSON_TRUE] = {"true", "true", 4},
    [JSON_FALSE] = {"false", "false", 5},
    [JSON_NUMBER] = {"a number", "", 0},
    [JSON_NAN] = {"NaN", "NaN", 3},
    [JSON_INFINITY] = {"Infinity", "Infinity", 8},
    [JSON_STRING] = {"a string", "", 0},
    [JSON_ARRAY] = {"an array", "", 0},
    [JSON_OBJECT] = {"an object", "", 0},
};

const char *json_kind_name(enum json_kind k)
{
    return KINDS[k].name;
}

static enum json_kind word_kind(const char *p, const char *end, enum json_kind k)
{
    return (size_t)(end - p) >= KINDS[k].n && memcmp(p, KINDS[k].word, KINDS[k].n) == 0 ? k : JSON_BAD;
}

enum json_kind json_scan_kind(struct json_scan *s)
{
    skip_space(s);
    if (s->p == s->end)
        return JSON_END;
    switch (*s->p) {
    case '-':
        return s->end - s->p > 1 && s->p[1] == 'I' ? word_kind(s->p + 1, s->end, JSON_INFINITY) : JSON_NUMBER;
    case '0' ... '9':
        return JSON_NUMBER;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    case 'n':
        return word_kind(s->p, s->end, JSON_NULL);
    case 't':
        return word_kind(s->p, s->end, JSON_TRUE);
    case 'f':
        return word_kind(s->p, s->end, JSON_FALSE);
    case 'N':
        return word_kind(s->p, s->end, JSON_NAN);
    case 'I':
        return word_kind(s->p, s->end, JSON_INFINITY);
    default:
        return JSON_BAD;
    }
}

void json_scan_word(struct json_scan *s, enum json_kind k)
{
    s->p += KINDS[k].n;
}

int json_scan_enter(struct json_scan *s, struct err *e)
{
    skip_space(s);
    if (s->p == s->end || (*s->p != '[' && *s->p != '{'))
        return bad(s, s->p, e, "'[' or '{'");
    if (s->depth == LIMIT_JSON_DEPTH)
        return err_set(e, ERR_TOO_DEEP, "nested deeper than %d at byte %zu", LIMIT_JSON_DEPTH,
                       (size_t)(s->p - s->start));
    s->depth++;
    s->p++;
    return 0;
}

int json_scan_item(struct json_scan *s, char close, bool *first, struct err *e)
{
    if (__builtin_expect(s->p >= s->pause_at, 0))
        take_pause(s, s->p);
    skip_space(s);
    bool was_first = *first;
    *first = false;
    if (s->p < s->end && *s->p == close) {
        s->p++;
        s->depth--;
        return 0;
    }
    if (was_first) {
        if (close == '}' && (s->p == s->end || *s->p != '"'))
            return bad(s, s->p, e, "a key or '}'");
        return 1;
    }
    if (s->p == s->end || *s->p != ',')
        return bad(s, s->p, e, close == '}' ? "',' or '}'" : "',' or ']'");
    s->p++;
    skip_space(s);
    if (close == '}' && (s->p == s->end || *s->p != '"'))
        return bad(s, s->p, e, "a key");
    return 1;
}

// Bytes of the UTF-8 sequence at p (RFC 3629), or 0 if it is none.
static size_t utf8_len(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = (size_t)(end - text), len;
    unsigned low = 0x80, high = 0xbf; // of the second byte
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    if (p[0] < 0xe0) {
        len = 2;
    } else if (p[0] < 0xf0) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;  // no overlong form
        high = p[0] == 0xed ? 0x9f : 0xbf; // no surrogate
    } else {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf; // at most U+10FFFF
    }
    if (n < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

// The four hexadecimal digits at p, or -1.
static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned)(p[i] - '0'), letter = (unsigned)((p[i] | 0x20) - 'a');
        if (digit > 9 && letter > 5)
            return -1;
        v = v * 16 + (int)(digit <= 9 ? digit : letter + 10);
    }
    return v;
}

// Length of the escape at p (a backslash) and its code point, or 0 if it is none.
static size_t escape_len(const char *p, const char *end, uint32_t *ret_code)
{
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    if (end - p < 2)
        return 0;
    if (p[1] != 'u') {
        const char *at = p[1] ? strchr(FROM, p[1]) : NULL;
        *ret_code = at ? (uint32_t)TO[at - FROM] : 0;
        return at ? 2 : 0;
    }
    int high = hex4(p + 2, end);
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *ret_code = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 6;
    int low = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret_code = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 12;
}

static size_t put_utf8(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)((0xf0 << (4 - n) & 0xff) | c);
    return n;
}

// Copies text, which was checked, without its escapes.
static int unescape(struct str text, struct arena *arena, struct str *ret, struct err *e)
{
    char *to = arena_alloc(arena, text.n);
    if (!to)
        return err_set(e, ERR_NOMEM, "no room for a string of %zu bytes", text.n);
    *ret = (struct str){to, 0};
    for (const char *p = text.p, *end = text.p + text.n; p < end;) {
        uint32_t code;
        if (*p != '\\') {
            to[ret->n++] = *p++;
            continue;
        }
        p += escape_len(p, end, &code);
        ret->n += put_utf8(code, to + ret->n);
    }
    return 0;
}

// Characters of a string that stand for themselves: ASCII without control characters, quote and backslash.
static const bool PLAIN[256] = {[0x20 ... 0x21] = true, [0x23 ... 0x5b] = true, [0x5d ... 0x7f] = true};

bool json_scan_is_plain(struct str text)
{
    size_t i = 0;
    while (i < text.n && PLAIN[(unsigned char)text.p[i]])
        i++;
    return i == text.n;
}

int json_scan_string(struct json_scan *s, struct arena *arena, struct str *ret, struct err *e)
{
    skip_space(s);
    if (s->p == s->end || *s->p != '"')
        return bad(s, s->p, e, "a string");
    const char *p = s->p + 1;
    bool escaped = false;
    for (;;) {
        const char *stop = stop_of(s);
        while (p < stop && PLAIN[(unsigned char)*p])
            p++;
        if (p >= stop && p < s->end) { // p may have been behind it before
            take_pause(s, p);
            continue;
        }
        if (p == s->end || *p == '"')
            break;
        uint32_t code;
        size_t len;
        if (*p == '\\') {
            len = escape_len(p, s->end, &code);
            if (len == 0)
                return bad(s, p, e, "an escape sequence");
            escaped = true;
        } else if ((unsigned char)*p >= 0x80) {
            len = utf8_len(p, s->end);
            if (len == 0)
                return bad(s, p, e, "UTF-8");
        } else {
            return bad(s, p, e, "no control character in a string");
        }
        p += len;
    }
    if (p == s->end)
        return bad(s, p, e, "'\"'");
    struct str text = {s->p + 1, (size_t)(p - s->p - 1)};
    s->p = p + 1;
    *ret = text;
    return escaped && arena ? unescape(text, arena, ret, e) : 0;
}

int json_scan_key(struct json_scan *s, struct arena *arena, struct str *ret, struct err *e)
{
    int rc = json_scan_string(s, arena, ret, e);
    if (rc)
        return rc;
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return bad(s, s->p, e, "':'");
    s->p++;
    skip_space(s);
    return 0;
}

// memcmp for short runs, without the call.
static inline bool same_bytes(const char *a, const char *b, size_t n)
{
    uint64_t x, y;
    if (n < 8) {
        while (n > 0 && a[n - 1] == b[n - 1])
            n--;
        return n == 0;
    }
    for (size_t i = 0; i < n; i += 8) {
        size_t at = i + 8 <= n ? i : n - 8; // the last eight overlap those before
        memcpy(&x, a + at, sizeof x);
        memcpy(&y, b + at, sizeof y);
        if (x != y)
            return false;
    }
    return true;
}

bool json_scan_key_is(struct json_scan *s, struct str name)
{
    if ((size_t)(s->end - s->p) < name.n + 3 || s->p[0] != '"' || s->p[name.n + 1] != '"' ||
        s->p[name.n + 2] != ':' || !same_bytes(s->p + 1, name.p, name.n))
        return false;
    s->p += name.n + 3;
    skip_space(s);
    return true;
}

bool json_scan_next_key_is(struct json_scan *s, struct str name)
{
    const char *p = s->p;
    if (s->p >= s->pause_at || s->end - p < 2 || *p != ',')
        return false;
    p += 1 + (p[1] == ' ');
    if ((size_t)(s->end - p) < name.n + 3 || p[0] != '"' || p[name.n + 1] != '"' || p[name.n + 2] != ':' ||
        !same_bytes(p + 1, name.p, name.n))
        return false;
    s->p = p + name.n + 3;
    skip_space(s);
    return true;
}

int json_scan_number(struct json_scan *s, double *ret, struct err *e)
{
    size_t used;
    skip_space(s);
    if (!num_parse_double(s->p, (size_t)(s->end - s->p), ret, &used))
        return bad(s, s->p, e, "a number as JSON writes it");
    s->p += used;
    return 0;
}

// A scalar, or the opening bracket of a container: returns 1 then.
static int skip_one(struct json_scan *s, struct err *e)
{
    double number;
    struct str text;
    enum json_kind k = json_scan_kind(s);
    switch (k) {
    case JSON_END:
    case JSON_BAD:
        return bad(s, s->p, e, "a value");
    case JSON_NUMBER:
        return json_scan_number(s, &number, e);
    case JSON_STRING:
        return json_scan_string(s, NULL, &text, e);
    case JSON_ARRAY:
    case JSON_OBJECT: {
        int rc = json_scan_enter(s, e);
        return rc ? rc : 1;
    }
    case JSON_INFINITY:
        s->p += *s->p == '-';
        break;
    default:
        break;
    }
    json_scan_word(s, k);
    return 0;
}

int json_scan_skip(struct json_scan *s, struct err *e)
{
    uint64_t objects = 0; // bit 0: the innermost open container is an object
    uint32_t outside = s->depth;
    bool first = false;
    for (;;) {
        enum json_kind k = json_scan_kind(s);
        int rc = skip_one(s, e);
        if (rc < 0)
            return rc;
        if (rc == 1) {
            objects = objects << 1 | (k == JSON_OBJECT);
            first = true;
        }
        for (;;) { // to the next item, leaving containers that end
            if (s->depth == outside)
                return 0;
            rc = json_scan_item(s, objects & 1 ? '}' : ']', &first, e);
            if (rc)
                break;
            objects >>= 1;
        }
        struct str key;
        if (rc == 1 && (objects & 1))
            rc = json_scan_key(s, NULL, &key, e);
        if (rc < 0)
            return rc;
    }
}

int json_scan_finish(struct json_scan *s, struct err *e)
{
    skip_space(s);
    return s->p == s->end ? 0 : bad(s, s->p, e, "nothing more");
}

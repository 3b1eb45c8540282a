// SPDX-License-Identifier: Apache-2.0
// CSV records.
#include "wire/csv.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Twice the features, so that files with some columns to be left out are read.
enum { FIELDS_MAX = 2 * LIMIT_MODEL_FEATURES };
enum { ENDS_FIELD = 1 }; // , LF CR "

static const uint8_t SPECIAL[256] = {
    [','] = ENDS_FIELD, ['\n'] = ENDS_FIELD, ['\r'] = ENDS_FIELD, ['"'] = ENDS_FIELD};

void csv_row_done(struct csv_row *r)
{
    free(r->fields);
    *r = (struct csv_row){0};
}

static int add(struct csv_row *r, struct str field, struct err *e)
{
    if (r->n == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 64;
        cap = cap < FIELDS_MAX ? cap : FIELDS_MAX;
        if (r->n == cap)
            return err_set(e, ERR_TOO_LARGE, "a row has more than %d fields", FIELDS_MAX);
        struct str *grown = realloc(r->fields, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory");
        r->fields = grown;
        r->cap = cap;
    }
    r->fields[r->n++] = field;
    return 0;
}

// Length of the quoted field at p, quotes included: up to the quote that is not doubled. 0: not complete.
static size_t quoted_length(const char *p, size_t n, bool end, bool *ret_doubled)
{
    *ret_doubled = false;
    for (size_t i = 1; i < n;) {
        const char *quote = memchr(p + i, '"', n - i);
        if (!quote)
            return 0;
        i = (size_t)(quote - p) + 1;
        if (i == n)
            return end ? n : 0; // it may be the first of two
        if (p[i] != '"')
            return i;
        *ret_doubled = true;
        i++;
    }
    return 0;
}

static size_t undouble(char *p, size_t n)
{
    size_t to = 0;
    bool second = false; // of a pair of quotes
    for (size_t i = 0; i < n; i++) {
        second = p[i] == '"' && !second;
        if (p[i] != '"' || second)
            p[to++] = p[i];
    }
    return to;
}

// Where the record ends, or 0: needed before anything is undoubled, since an incomplete record is read again.
static size_t record_length(const char *p, size_t n, bool end)
{
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            inside = !inside;
        else if (p[i] == '\n' && !inside)
            return i + 1;
    }
    return end ? n : 0;
}

// True at the end of the record; *at moves behind the comma or the line end.
static bool ends_record(const char *p, size_t n, size_t *at)
{
    size_t i = *at;
    if (i < n && p[i] == ',') {
        *at = i + 1;
        return false;
    }
    if (i < n && p[i] == '\r')
        i++;
    if (i < n && p[i] == '\n')
        i++;
    *at = i;
    return true;
}

static int take_quoted(char *p, size_t n, size_t *at, struct str *ret, struct err *e)
{
    bool doubled;
    size_t length = quoted_length(p + *at, n - *at, true, &doubled);
    if (length < 2 || p[*at + length - 1] != '"')
        return err_set(e, ERR_INVALID, "a quoted field has no closing quote");
    *ret = (struct str){p + *at + 1, length - 2};
    if (doubled)
        ret->n = undouble(p + *at + 1, length - 2);
    *at += length;
    if (*at < n && p[*at] != ',' && p[*at] != '\n' &&
        !(p[*at] == '\r' && (*at + 1 == n || p[*at + 1] == '\n')))
        return err_set(e, ERR_INVALID, "text stands behind the closing quote of a field");
    return 0;
}

#if defined(__SSE2__)

// Bit i is set when p[i] is a character up to the comma: all that end a field, and some that rarely stand in
// one.
static inline unsigned stops16(const char *p)
{
    __m128i v;
    memcpy(&v, p, sizeof v);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(',')), v));
}

static inline unsigned stops32(const char *p)
{
    return stops16(p) | stops16(p + 16) << 16;
}

#else

static inline unsigned stops32(const char *p)
{
    unsigned stops = 0;
    for (int i = 0; i < 32; i++)
        stops |= (unsigned)(SPECIAL[(unsigned char)p[i]] & ENDS_FIELD) << i;
    return stops;
}

#endif

// Takes a record without quotes, as most are, in one pass. Returns its bytes, or 0 when another look is
// needed: at quotes, at the last bytes, at more fields than there is room for, at what may be wrong.
static size_t take_simple(const char *p, size_t n, struct csv_row *ret)
{
    size_t from = 0;
    if (ret->cap == 0)
        return 0;
    struct str *to = ret->fields, *full = to + ret->cap;
    for (size_t block = 0; n - block >= 32; block += 32) {
        for (unsigned stops = stops32(p + block); stops; stops &= stops - 1) {
            size_t at = block + (unsigned)__builtin_ctz(stops);
            char c = p[at];
            if (c != ',' && !(SPECIAL[(unsigned char)c] & ENDS_FIELD))
                continue;
            if (to == full)
                return 0;
            *to++ = (struct str){p + from, at - from};
            from = at + 1;
            if (c == ',')
                continue;
            if (c == '\r' && from < n)
                c = p[from++];
            ret->n = (uint32_t)(to - ret->fields);
            return c == '\n' ? from : 0;
        }
    }
    return 0;
}

int csv_take(char *p, size_t n, bool end, struct csv_row *ret, size_t *ret_used, struct err *e)
{
    size_t at = 0, simple = take_simple(p, n, ret);
    if (simple) {
        *ret_used = simple;
        return 1;
    }
    ret->n = 0;
    const char *line_end = memchr(p, '\n', n);
    size_t length = line_end ? (size_t)(line_end - p) + 1 : end ? n : 0;
    // Only a record with quotes may go on behind its first line end.
    if (length == 0 || memchr(p, '"', length))
        length = record_length(p, n, end);
    if (length == 0)
        return 0;
    for (bool done = false; !done;) {
        struct str field = {0};
        int rc = 0;
        if (at < length && p[at] == '"') {
            rc = take_quoted(p, length, &at, &field, e);
        } else {
            size_t from = at;
            while (at < length && !(SPECIAL[(unsigned char)p[at]] & ENDS_FIELD))
                at++;
            field = (struct str){p + from, at - from};
            if (at < length && p[at] == '"')
                rc = err_set(e, ERR_INVALID, "a quote stands inside a field that is not quoted");
            else if (at + 1 < length && p[at] == '\r' && p[at + 1] != '\n')
                rc = err_set(e, ERR_INVALID, "a carriage return stands inside a field");
        }
        if (rc == 0)
            rc = add(ret, field, e);
        if (rc)
            return rc;
        done = ends_record(p, length, &at);
    }
    *ret_used = length;
    return 1;
}

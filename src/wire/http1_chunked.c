// SPDX-License-Identifier: Apache-2.0
// The chunked transfer coding (RFC 9112 section 7.1), decoded in place as bytes arrive in pieces of any size.
// Extensions and trailer fields are checked for form and dropped. Lines are taken a byte at a time: there is
// one for thousands of payload bytes, which move as blocks.
#include "wire/http1.h"

#include <string.h>

//        ┌──────────────── DATA_LF ← DATA_CR ← DATA ◄──┐
//        ▼                                             │ size > 0
//   SIZE_FIRST → SIZE ──────────────────────► SIZE_LF ─┤
//                 └─► EXT_NAME … EXT_QUOTED ──────┘    │ size = 0
//                                                      ▼
//        DONE ◄── END_LF ◄──────────────────────── TRAILER ⇄ NAME → VALUE → TRAILER_LF
enum {
    SIZE_FIRST, // must be 0: a zeroed struct begins here
    SIZE,
    EXT_FIRST, // behind ';'
    EXT_NAME,
    EXT_VALUE_FIRST, // behind '='
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPE,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, // at the start of a line
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
};

enum { SIZE_DIGITS = 15 }; // 2^60 - 1 bytes

static bool is_token(unsigned char c)
{
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        return true;
    return c && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_text(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum { BAD = 255 };

// Behind a whole part of the size line: the next extension or the end of the line.
static unsigned part_end(unsigned char c)
{
    return c == ';' ? EXT_FIRST : c == '\r' ? SIZE_LF : BAD;
}

static unsigned size_step(struct http1_chunked *k, unsigned char c)
{
    int digit = hex_digit(c);
    if (digit < 0)
        return k->state == SIZE ? part_end(c) : BAD;
    if (k->line_bytes > SIZE_DIGITS)
        return BAD;
    k->left = k->left << 4 | (unsigned)digit;
    return SIZE;
}

static unsigned ext_step(unsigned state, unsigned char c)
{
    switch (state) {
    case EXT_FIRST:
        return is_token(c) ? EXT_NAME : BAD;
    case EXT_NAME:
        return is_token(c) ? EXT_NAME : c == '=' ? EXT_VALUE_FIRST : part_end(c);
    case EXT_VALUE_FIRST:
        return c == '"' ? EXT_QUOTED : is_token(c) ? EXT_VALUE : BAD;
    case EXT_VALUE:
        return is_token(c) ? EXT_VALUE : part_end(c);
    case EXT_QUOTED:
        return c == '"' ? EXT_QUOTED_END : c == '\\' ? EXT_ESCAPE : is_text(c) ? EXT_QUOTED : BAD;
    case EXT_ESCAPE:
        return is_text(c) ? EXT_QUOTED : BAD;
    default:
        return part_end(c);
    }
}

// The next state, or BAD. Never called in DATA and DONE.
static unsigned step(struct http1_chunked *k, unsigned char c)
{
    switch (k->state) {
    case SIZE_FIRST:
    case SIZE:
        return size_step(k, c);
    case SIZE_LF:
        k->line_bytes = 0;
        return c != '\n' ? BAD : k->left ? DATA : TRAILER;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        k->line_bytes = 0;
        return c == '\n' ? SIZE_FIRST : BAD;
    case TRAILER:
        return c == '\r' ? END_LF : is_token(c) ? TRAILER_NAME : BAD;
    case TRAILER_NAME:
        return c == ':' ? TRAILER_VALUE : is_token(c) ? TRAILER_NAME : BAD;
    case TRAILER_VALUE:
        return c == '\r' ? TRAILER_LF : is_text(c) ? TRAILER_VALUE : BAD;
    case TRAILER_LF:
        return c == '\n' ? TRAILER : BAD;
    case END_LF:
        return c == '\n' ? DONE : BAD;
    default:
        return ext_step(k->state, c);
    }
}

static int line_too_long(const struct http1_chunked *k, struct err *e)
{
    if (k->state < DATA)
        return err_set(e, ERR_BAD_HTTP, "size line of a chunk over %d bytes", LIMIT_HTTP_CHUNK_LINE_BYTES);
    return err_set(e, ERR_HEADER_TOO_LARGE, "trailer fields over %d bytes", LIMIT_HTTP_HEAD_BYTES);
}

int http1_chunked_decode(struct http1_chunked *k, char *p, size_t n, size_t *ret_used, size_t *ret_payload,
                         struct err *e)
{
    size_t used = 0, payload = 0;
    int rc = 0;
    while (used < n && k->state != DONE) {
        if (k->state == DATA) {
            size_t take = n - used < k->left ? n - used : (size_t)k->left;
            memmove(p + payload, p + used, take);
            payload += take, used += take, k->left -= take;
            if (k->left == 0)
                k->state = DATA_CR;
            continue;
        }
        if (++k->line_bytes > (k->state < DATA ? LIMIT_HTTP_CHUNK_LINE_BYTES : LIMIT_HTTP_HEAD_BYTES)) {
            rc = line_too_long(k, e);
            break;
        }
        unsigned next = step(k, (unsigned char)p[used]);
        if (next == BAD) {
            rc = err_set(e, ERR_BAD_HTTP, "byte 0x%02x where the chunked body's framing does not allow it",
                         (unsigned char)p[used]);
            break;
        }
        k->state = (uint8_t)next;
        used++;
    }
    *ret_used = used;
    *ret_payload = payload;
    return rc ? rc : k->state == DONE;
}

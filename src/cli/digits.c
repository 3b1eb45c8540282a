// SPDX-License-Identifier: Apache-2.0
// Copying numbers. A plain one, sign, digits and point within one window, takes a mask of which of its bytes
// are no digits; any other, such as one with an exponent, is read byte by byte.
#include "cli/digits.h"

#include <stdbool.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static bool is_digit(char c)
{
    return (unsigned)(c - '0') <= 9;
}

// Behind the digits at p; NULL when there are none.
static const char *skip_digits(const char *p, const char *end)
{
    const char *from = p;
    while (p < end && is_digit(*p))
        p++;
    return p > from ? p : NULL;
}

size_t digits_length(const char *start, size_t n)
{
    const char *p = start, *end = start + n;
    if (p < end && *p == '-')
        p++;
    if (end - p >= 2 && *p == '0' && is_digit(p[1]))
        return 0;
    p = skip_digits(p, end);
    if (p && p < end && *p == '.')
        p = skip_digits(p + 1, end);
    if (p && p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = skip_digits(p, end);
    }
    return p ? (size_t)(p - start) : 0;
}

#if defined(__SSE2__)

static inline uint32_t digits16(__m128i v)
{
    // Moved so that digits are the ten smallest values of a signed byte.
    v = _mm_add_epi8(v, _mm_set1_epi8((char)(-128 - '0')));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(_mm_set1_epi8(-128 + 10), v));
}

// Copies a window. Bit i is set when p[i] is no digit, and all bits from the window's end on.
static inline uint64_t copy_window(const char *p, char *to)
{
    __m128i low, high;
    memcpy(&low, p, sizeof low);
    memcpy(&high, p + 16, sizeof high);
    memcpy(to, &low, sizeof low);
    memcpy(to + 16, &high, sizeof high);
    return ~(uint64_t)(digits16(low) | digits16(high) << 16);
}

#else

static inline uint64_t copy_window(const char *p, char *to)
{
    uint64_t mask = ~(uint64_t)UINT32_MAX;
    for (int i = 0; i < DIGITS_WINDOW; i++)
        mask |= (uint64_t)!is_digit(p[i]) << i;
    memcpy(to, p, DIGITS_WINDOW);
    return mask;
}

#endif

// Copies a window; the length of the plain number at its start, 0 when there is none or it fills the window.
static inline unsigned copy_plain(const char *p, char *to)
{
    unsigned sign = *p == '-';
    uint64_t stops = copy_window(p, to) ^ sign; // the sign is no stop
    unsigned int_end = (unsigned)__builtin_ctzll(stops), end = int_end;
    // No && in the last: whether a number begins with 0 is not to be guessed.
    if (int_end == sign || int_end == DIGITS_WINDOW || ((int_end > sign + 1) & (p[sign] == '0')))
        return 0;
    if (p[int_end] == '.') {
        end = (unsigned)__builtin_ctzll(stops & (stops - 1));
        if (end == int_end + 1 || end == DIGITS_WINDOW)
            return 0;
    }
    return (p[end] | 0x20) == 'e' ? 0 : end;
}

static size_t copy_other(const char *p, size_t n, char *to)
{
    size_t length = digits_length(p, n);
    memcpy(to, p, length);
    return length;
}

size_t digits_copy(const char *p, size_t n, char *to)
{
    unsigned length = n >= DIGITS_WINDOW ? copy_plain(p, to) : 0;
    return length ? length : copy_other(p, n, to);
}

// A field that is no plain number. Returns its bytes; *ret_n: those written, 0 when it is for others to read.
static size_t copy_odd(const char *p, size_t n, char *to, size_t *ret_n)
{
    bool empty = *p == ',' || *p == '\n' || *p == '\r';
    size_t length = empty ? 0 : digits_length(p, n);
    if (length > DIGITS_WINDOW)
        length = 0;
    memcpy(to, empty ? "null" : p, empty ? 4 : length);
    *ret_n = empty ? 4 : length;
    return length;
}

size_t digits_copy_row(const char *start, size_t n, uint32_t n_values, char *to, size_t *ret_n)
{
    const char *p = start, *end = start + n;
    char *from = to;
    for (uint32_t i = 0; i < n_values; i++) {
        if (end - p < DIGITS_WINDOW)
            return 0;
        size_t length = copy_plain(p, to), written = length;
        if (length == 0)
            length = copy_odd(p, (size_t)(end - p), to, &written);
        p += length;
        to += written;
        if (written == 0 || p == end || (*p != ',' && i + 1 < n_values))
            return 0;
        if (i + 1 < n_values) {
            *to++ = ',';
            p++;
        }
    }
    if (n_values && *p == '\r')
        p++;
    if (p == end || *p != '\n')
        return 0;
    *ret_n = (size_t)(to - from);
    return (size_t)(p - start) + 1;
}

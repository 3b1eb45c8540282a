// SPDX-License-Identifier: Apache-2.0
// Numbers against strtod, which glibc rounds correctly, and the hot loop of the scanner against both. What
// is a number is checked by the grammar; what is written must read back.
#include "base/num.h"
#include "fuzz.h"
#include "wire/json_scan.h"

#include <math.h>
#include <string.h>

static size_t digits(const char *p)
{
    return strspn(p, "0123456789");
}

// Length of the JSON number at z, 0 if none.
static size_t grammar(const char *z)
{
    const char *p = z + (*z == '-');
    size_t n = digits(p);
    if (n == 0 || (n > 1 && *p == '0'))
        return 0;
    p += n;
    if (*p == '.') {
        n = digits(p + 1);
        if (n == 0)
            return 0;
        p += 1 + n;
    }
    if (*p == 'e' || *p == 'E') {
        const char *q = p + 1 + (p[1] == '-' || p[1] == '+');
        n = digits(q);
        if (n == 0)
            return 0;
        p = q + n;
    }
    return (size_t)(p - z);
}

static void hot_loop(const char *z, size_t n, size_t used, double v)
{
    double got;
    char *body = malloc(64 + n);
    memset(body, ' ', 64);
    memcpy(body + 64, z, n);
    struct json_scan s;
    json_scan_init(&s, (struct str){body, 64 + n});
    s.p += 64;
    if (json_scan_doubles(&s, &got, 1)) {
        EXPECT(used > 0 && s.p == body + 64 + used);
        EXPECT(memcmp(&got, &v, sizeof v) == 0);
    }
    free(body);
}

static void written(double v)
{
    char text[NUM_TEXT_MAX];
    double back;
    size_t used, n = num_write_double(v, text);
    EXPECT(num_parse_double(text, n, &back, &used) && used == n && memcmp(&back, &v, sizeof v) == 0);
    float f = (float)v;
    if (!isfinite(f))
        return;
    n = num_write_float(f, text);
    EXPECT(num_parse_double(text, n, &back, &used) && used == n && (float)back == f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    double v = 0, expected;
    size_t used = 0;
    char *z = malloc(n + 1);
    if (n)
        memcpy(z, data, n);
    z[n] = '\0';
    n = strlen(z);
    size_t expected_used = grammar(z);
    bool ok = num_parse_double(z, n, &v, &used);
    EXPECT(ok == (expected_used > 0) && (!ok || used == expected_used));
    hot_loop(z, n, ok ? used : 0, v);
    if (ok) {
        z[used] = '\0';
        expected = strtod(z, NULL);
        EXPECT(memcmp(&v, &expected, sizeof v) == 0);
        double loose;
        size_t loose_used;
        EXPECT(num_parse_loose(z, used, &loose, &loose_used) && loose_used == used &&
               memcmp(&loose, &v, sizeof v) == 0);
        if (isfinite(v))
            written(v);
    }
    free(z);
    return 0;
}

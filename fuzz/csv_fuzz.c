// SPDX-License-Identifier: Apache-2.0
// CSV: fields lie inside the bytes given, a record read in two pieces is the same record, and fields written
// back in quotes read as the same fields.
#include "fuzz.h"

#include "base/buf.h"
#include "wire/csv.h"

#include <string.h>

static void check_again(const struct csv_row *row)
{
    static struct csv_row again;
    struct buf b;
    struct err e;
    size_t used;
    buf_init(&b, 1 << 24);
    for (uint32_t i = 0; i < row->n; i++) {
        buf_puts(&b, i ? ",\"" : "\"");
        for (size_t c = 0; c < row->fields[i].n; c++) {
            if (row->fields[i].p[c] == '"')
                buf_putc(&b, '"');
            buf_putc(&b, row->fields[i].p[c]);
        }
        buf_putc(&b, '"');
    }
    buf_putc(&b, '\n');
    EXPECT(csv_take(b.p, b.n, false, &again, &used, &e) == 1 && used == b.n && again.n == row->n);
    for (uint32_t i = 0; i < row->n; i++)
        EXPECT(str_eq(row->fields[i], again.fields[i]));
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct csv_row row;
    struct err e;
    char *p = malloc(n ? n : 1), *first = malloc(n ? n : 1);
    memcpy(p, data, n);
    for (size_t at = 0, used; at < n; at += used) {
        size_t half = (n - at) / 2;
        memcpy(first, p + at, n - at);
        int early = half ? csv_take(p + at, half, false, &row, &used, &e) : 0;
        size_t early_used = early == 1 ? used : 0;
        if (early == 0) // nothing may have been moved
            EXPECT(memcmp(first, p + at, n - at) == 0);
        memcpy(p + at, first, n - at);
        int rc = csv_take(p + at, n - at, true, &row, &used, &e);
        EXPECT(rc != 0 && (early == 0 || (early > 0) == (rc > 0)));
        if (rc < 0)
            break;
        EXPECT(used > 0 && used <= n - at && row.n > 0 && (early != 1 || used == early_used));
        for (uint32_t i = 0; i < row.n; i++)
            EXPECT(row.fields[i].p >= p + at && row.fields[i].p + row.fields[i].n <= p + at + used);
        check_again(&row);
    }
    free(first);
    free(p);
    return 0;
}

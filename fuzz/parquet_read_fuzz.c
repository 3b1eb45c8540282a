// SPDX-License-Identifier: Apache-2.0
// Bytes as a Parquet file: refused, or rows whose texts lie in memory that can be read.
#include "fuzz.h"

#include "predlog/parquet_read.h"

#include <string.h>

enum { ROWS_MAX = 20000 }; // a few bytes can say that there are many nulls

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct parquet_file *f;
    struct err e;
    size_t sum = 0;
    char *bytes = malloc(n ? n : 1);
    memcpy(bytes, data, n);
    if (parquet_file_open((struct str){bytes, n}, &f, &e) == 0) {
        uint32_t width = parquet_file_width(f);
        struct parquet_cell *cells = calloc(width + 1, sizeof *cells);
        for (uint32_t i = 0; i < width; i++)
            if (parquet_file_use(f, i, &e)) { // as a reader does, who stops here
                EXPECT(e.code == ERR_INVALID);
                width = 0;
            }
        for (int row = 0; width && row < ROWS_MAX && parquet_file_next(f, cells, &e) > 0; row++)
            for (uint32_t i = 0; i < width; i++)
                for (size_t k = 0; cells[i].kind == PARQUET_CELL_TEXT && k < cells[i].text.n; k++)
                    sum += (unsigned char)cells[i].text.p[k];
        free(cells);
        parquet_file_close(f);
    }
    free(bytes);
    EXPECT(sum < SIZE_MAX);
    return 0;
}

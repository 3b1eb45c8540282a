// SPDX-License-Identifier: Apache-2.0
// When a row group is written. What is in the files: parquet_read_test.c, tests/flows/test_log_files.py.
#include "predlog/parquet.h"

#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

// Of each row and column a byte says whether there is a value: the last 2^19 bytes of the group.
START_TEST(empty_columns_fill_a_row_group)
{
    enum { WIDE = 8192, TALL = 64, TEXT = PARQUET_GROUP_BYTES - WIDE * TALL - 4 };
    char *text = calloc(1, TEXT);
    struct parquet_column *columns = calloc(WIDE, sizeof *columns);
    struct parquet *p;
    struct err e;
    int fd = memfd_create("parquet", MFD_CLOEXEC);
    for (int i = 0; i < WIDE; i++)
        columns[i] = (struct parquet_column){STR("x"), i ? PARQUET_DOUBLE : PARQUET_TEXT};
    ck_assert_int_eq(parquet_new(fd, columns, WIDE, &p, &e), 0);
    off_t before = lseek(fd, 0, SEEK_END);
    parquet_put_text(p, 0, (struct str){text, TEXT});
    for (int i = 0; i < TALL; i++) {
        ck_assert_int_eq(lseek(fd, 0, SEEK_END), before);
        ck_assert_int_eq(parquet_end_row(p, &e), 0);
    }
    ck_assert_int_gt(lseek(fd, 0, SEEK_END), before);
    parquet_free(p);
    free(columns);
    free(text);
    close(fd);
}
END_TEST

UNIT_MAIN("predlog/parquet", empty_columns_fill_a_row_group)

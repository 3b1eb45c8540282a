// SPDX-License-Identifier: Apache-2.0
// Tables that parquet.c wrote come back; every beginning of a file, and every file with a changed byte, is
// read without harm. Files of other writers are read by tests/flows/test_drift.py.
#include "predlog/parquet_read.h"

#include "base/buf.h"
#include "predlog/parquet.h"
#include "predlog/snappy.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COLUMNS = 5, ROWS = PARQUET_GROUP_ROWS + 100 };

static const struct parquet_column NAMES[COLUMNS] = {{STR("yes"), PARQUET_BOOLEAN},
                                                     {STR("n"), PARQUET_INT64},
                                                     {STR("x"), PARQUET_DOUBLE},
                                                     {STR("text"), PARQUET_TEXT},
                                                     {STR("when"), PARQUET_TIMESTAMP}};

static struct str written(int rows)
{
    struct parquet *p;
    struct err e;
    char text[32];
    int fd = memfd_create("parquet", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(parquet_new(fd, NAMES, COLUMNS, &p, &e), 0);
    for (int i = 0; i < rows; i++) {
        if (i % 3)
            parquet_put_bool(p, 0, i % 2);
        if (i % 5)
            parquet_put_i64(p, 1, (int64_t)i << 40);
        parquet_put_double(p, 2, -i / 8.0);
        snprintf(text, sizeof text, "row %d", i);
        if (i % 7)
            parquet_put_text(p, 3, str_of(text));
        parquet_put_i64(p, 4, i);
        ck_assert_int_eq(parquet_end_row(p, &e), 0);
    }
    ck_assert_int_eq(parquet_finish(p, &e), 0);
    parquet_free(p);
    size_t n = (size_t)lseek(fd, 0, SEEK_END);
    char *bytes = malloc(n);
    ck_assert_int_eq(pread(fd, bytes, n, 0), (ssize_t)n);
    close(fd);
    return (struct str){bytes, n};
}

static void check_row(const struct parquet_cell *c, int i)
{
    char text[32];
    snprintf(text, sizeof text, "row %d", i);
    bool good =
        i % 3 ? c[0].kind == PARQUET_CELL_BOOL && c[0].is_true == i % 2 : c[0].kind == PARQUET_CELL_NULL;
    good &=
        i % 5 ? c[1].kind == PARQUET_CELL_INT && c[1].i == (int64_t)i << 40 : c[1].kind == PARQUET_CELL_NULL;
    good &= c[2].kind == PARQUET_CELL_DOUBLE && c[2].d == -i / 8.0;
    good &= i % 7 ? c[3].kind == PARQUET_CELL_TEXT && str_eq(c[3].text, str_of(text))
                  : c[3].kind == PARQUET_CELL_NULL;
    good &= c[4].kind == PARQUET_CELL_NULL; // not asked for
    if (!good)
        ck_abort_msg("row %d", i);
}

START_TEST(a_table_comes_back_as_it_was_written)
{
    struct str bytes = written(ROWS);
    struct parquet_file *f;
    struct parquet_cell cells[COLUMNS];
    struct err e;
    ck_assert_int_eq(parquet_file_open(bytes, &f, &e), 0);
    ck_assert_uint_eq(parquet_file_width(f), COLUMNS);
    for (uint32_t i = 0; i < COLUMNS; i++)
        ck_assert(str_eq(parquet_file_name(f, i), NAMES[i].name));
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(parquet_file_use(f, i, &e), 0);
    for (int i = 0; i < ROWS; i++) {
        ck_assert_msg(parquet_file_next(f, cells, &e) == 1, "row %d: %s", i, e.msg);
        check_row(cells, i);
    }
    ck_assert_int_eq(parquet_file_next(f, cells, &e), 0);
    parquet_file_close(f);
    free((char *)(uintptr_t)bytes.p);
}
END_TEST

START_TEST(what_is_not_read_is_named_when_it_is_asked_for)
{
    struct str bytes = written(3);
    struct parquet_file *f;
    struct err e;
    ck_assert_int_eq(parquet_file_open(bytes, &f, &e), 0);
    ck_assert_int_eq(parquet_file_use(f, 4, &e), ERR_INVALID);
    ck_assert_str_eq(e.msg, "column 'when' of the Parquet file is a date or a time, which is not read");
    parquet_file_close(f);
    free((char *)(uintptr_t)bytes.p);
}
END_TEST

// The rows that can be read; -1: it is refused before the first.
static int n_read(struct str bytes)
{
    struct parquet_file *f;
    struct parquet_cell cells[64];
    struct err e = {0};
    int n = 0, rc = parquet_file_open(bytes, &f, &e);
    if (rc) {
        ck_assert(e.msg[0]);
        return -1;
    }
    for (uint32_t i = 0; rc == 0 && i < parquet_file_width(f); i++)
        rc = i == 4 ? 0 : parquet_file_use(f, i, &e);
    ck_assert_uint_le(parquet_file_width(f), 64);
    while (rc == 0 && n < 1000 && parquet_file_next(f, cells, &e) > 0)
        n++;
    parquet_file_close(f);
    return n;
}

START_TEST(a_file_that_is_cut_or_changed_does_no_harm)
{
    struct str bytes = written(40);
    int n_seen = 0;
    ck_assert_int_eq(n_read(bytes), 40);
    for (size_t n = 0; n < bytes.n; n++) {
        char *part = malloc(n ? n : 1); // of its size, so that a sanitizer sees what lies behind
        memcpy(part, bytes.p, n);
        ck_assert_int_eq(n_read((struct str){part, n}), -1);
        free(part);
    }
    char *changed = malloc(bytes.n);
    for (size_t at = 0; at < bytes.n; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(changed, bytes.p, bytes.n);
            changed[at] ^= (char)(1 << bit);
            n_seen += n_read((struct str){changed, bytes.n}) != 40;
        }
    ck_assert_int_gt(n_seen, 100);
    free(changed);
    free((char *)(uintptr_t)bytes.p);
}
END_TEST

START_TEST(snappy_blocks_decode_and_never_beyond_their_size)
{
    static const struct {
        const char *from;
        size_t n;
        const char *to; // NULL: damaged
        size_t size;
    } CASES[] = {
        {"\x04\x0c"
         "abcd",
         6, "abcd", 4},
        {"\x0d\x0c"
         "abcd\x15\x04",
         8, "abcdabcdabcda", 13}, // a copy that overlaps itself
        {"\x08\x0c"
         "wxyz\x0e\x04\x00",
         9, "wxyzwxyz", 8}, // an offset of two bytes
        {"\x08\x0c"
         "wxyz\x0f\x04\x00\x00\x00",
         11, "wxyzwxyz", 8}, // of four
        {"\x03\xf0\x02"
         "xyz",
         6, "xyz", 3}, // a length of its own byte
        {"\x00", 1, "", 0},
        {"\x04\x0c"
         "abcd",
         6, NULL, 5}, // another size than is expected
        {"\x05\x0c"
         "abcd",
         6, NULL, 5}, // fewer bytes than it says
        {"\x04\x0c"
         "abc",
         5, NULL, 4}, // cut off
        {"\x08\x0c"
         "wxyz\x0e\x05\x00",
         9, NULL, 8}, // from before its beginning
        {"\x08\x0c"
         "wxyz\x0e\x00\x00",
         9, NULL, 8}, // from where it is
        {"\x06\x0c"
         "wxyz\x0e\x04\x00",
         9, NULL, 6}, // more bytes than it says
        {"\x04\x10"
         "abcde",
         7, NULL, 4},
        {"\x08\x0c"
         "wxyz\x0e\x04",
         8, NULL, 8},
        {"", 0, NULL, 0},
        {"\xff\xff\xff\xff\xff", 5, NULL, 4},
        {"\x04\xfc\xff\xff\xff\xff"
         "a",
         7, NULL, 4},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char to[32], *from = malloc(CASES[i].n ? CASES[i].n : 1);
        memcpy(from, CASES[i].from, CASES[i].n);
        memset(to, '#', sizeof to);
        bool good = snappy_decode(from, CASES[i].n, to, CASES[i].size);
        ck_assert_msg(good == (CASES[i].to != NULL), "case %zu", i);
        ck_assert_msg(!good || memcmp(to, CASES[i].to, CASES[i].size) == 0, "case %zu", i);
        ck_assert_msg(to[CASES[i].size] == '#', "case %zu", i);
        free(from);
    }
}
END_TEST

// A literal of 300 bytes, eleven from 299 bytes before, 64 from 300 before.
START_TEST(snappy_lengths_and_offsets_may_have_several_bytes)
{
    enum { LITERAL = 300, SIZE = LITERAL + 11 + 64 };
    uint8_t from[SIZE] = {0xf7, 0x02, 0xf4, 0x2b, 0x01}, to[SIZE], want[SIZE];
    size_t n = 5;
    for (int i = 0; i < LITERAL; i++)
        from[n++] = want[i] = (uint8_t)(i * 7 + i / 256);
    for (int i = LITERAL; i < SIZE; i++)
        want[i] = want[i - (i < LITERAL + 11 ? 299 : 300)];
    memcpy(from + n, "\x3d\x2b\xfe\x2c\x01", 5);
    ck_assert(snappy_decode(from, n + 5, to, SIZE));
    ck_assert_mem_eq(to, want, SIZE);
    for (unsigned bytes = 1; bytes <= 4; bytes++) { // of a length
        uint8_t five[16] = {5, (uint8_t)((59 + bytes) << 2), 4};
        memcpy(five + 2 + bytes, "abcde", 5);
        ck_assert(snappy_decode(five, 2 + bytes + 5, to, 5));
        ck_assert_mem_eq(to, "abcde", 5);
        five[1 + bytes] ^= bytes > 1 ? 1 : 8; // its last byte: longer than there is
        ck_assert(!snappy_decode(five, 2 + bytes + 5, to, 5));
    }
}
END_TEST

UNIT_MAIN("predlog/parquet_read", a_table_comes_back_as_it_was_written,
          what_is_not_read_is_named_when_it_is_asked_for, a_file_that_is_cut_or_changed_does_no_harm,
          snappy_blocks_decode_and_never_beyond_their_size, snappy_lengths_and_offsets_may_have_several_bytes)
